/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_plan.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void *nzd_overlay_plan_grow(void *items, uint32_t count, uint32_t *capacity,
                            size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = *capacity ? 2 * *capacity : 32;
    void *grown = realloc(items, wanted * size);
    if (grown)
        *capacity = wanted;
    return grown;
}

/* --- folders ------------------------------------------------------------- */

static const char *last_two(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *before =
        slash ? memrchr(path, '/', (size_t)(slash - path)) : NULL;
    return before ? before + 1 : path;
}

const char *nzd_overlay_plan_owner(struct nzd_overlay_plan *plan,
                                   const char *folder)
{
    const char *tail = last_two(folder);
    size_t size = strcspn(tail, "/");
    if (strcmp(tail + size, "/ebin") != 0)
        return "";
    const char *hyphen = memchr(tail, '-', size);
    if (hyphen && isdigit((unsigned char)hyphen[1]))
        size = (size_t)(hyphen - tail);
    return nzd_arena_text(&plan->arena, tail, size);
}

static struct nzd_overlay_place *add_place(struct nzd_overlay_plan *plan,
                                           const char *folder)
{
    void *places =
        nzd_overlay_plan_grow(plan->places, plan->place_count,
                              &plan->place_capacity, sizeof *plan->places);
    if (!places)
        return NULL;
    plan->places = places;
    struct nzd_overlay_place *place = &plan->places[plan->place_count];
    memset(place, 0, sizeof *place);
    place->base = nzd_arena_text(&plan->arena, folder, strlen(folder));
    place->tail = place->base ? last_two(place->base) : NULL;
    place->app = place->base ? nzd_overlay_plan_owner(plan, place->base) : NULL;
    if (!place->app)
        return NULL;
    plan->place_count++;
    return place;
}

uint32_t nzd_overlay_plan_folder(struct nzd_overlay_plan *plan,
                                 const char *folder)
{
    for (uint32_t i = 0; i < plan->place_count; i++)
        if (strcmp(plan->places[i].base, folder) == 0)
            return i;
    return add_place(plan, folder) ? plan->place_count - 1
                                   : NZD_OVERLAY_NOWHERE;
}

/* --- folders of applications --------------------------------------------- */

static const char *version_of(struct nzd_overlay_plan *plan, const char *app)
{
    const struct nzd_overlay_app *own = nzd_overlay_plan_app(plan, app);
    const struct nzd_term *vsn =
        own && own->spec ? nzd_term_get(nzd_term_at(own->spec, 2), "vsn")
                         : NULL;
    const char *version = vsn ? nzd_term_text(vsn, &plan->arena) : NULL;
    return version && !strchr(version, '/') ? version : NULL;
}

/* "counter-0.1.0/ebin", as the base's boot script has it. */
static const char *tail_in_script(struct nzd_overlay_plan *plan,
                                  const struct nzd_term *script,
                                  const char *app)
{
    const struct nzd_term *list = nzd_term_at(script, 2);
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const struct nzd_term *item = nzd_term_at(list, i);
        const struct nzd_term *paths = nzd_term_at(item, 1);
        if (!nzd_term_is_tagged(item, "path", 2))
            continue;
        for (uint32_t k = 0; k < nzd_term_length(paths); k++) {
            const char *path =
                nzd_term_text(nzd_term_at(paths, k), &plan->arena);
            const char *named =
                path ? nzd_overlay_plan_owner(plan, path) : NULL;
            if (named && strcmp(named, app) == 0)
                return last_two(path);
        }
    }
    return NULL;
}

/* The folder lib of the release whose boot script this is; 0: not known. */
static int size_of_root(const char *boot_file)
{
    const char *end = boot_file + strlen(boot_file);
    for (int i = 0; i < 3 && end; i++)
        end = memrchr(boot_file, '/', (size_t)(end - boot_file));
    return end ? (int)(end - boot_file) : 0;
}

static uint32_t place_of(const struct nzd_overlay_plan *plan, const char *app)
{
    for (uint32_t i = 0; i < plan->place_count; i++)
        if (strcmp(plan->places[i].app, app) == 0)
            return i;
    return NZD_OVERLAY_NOWHERE;
}

uint32_t nzd_overlay_plan_home(struct nzd_overlay_plan *plan,
                               const struct nzd_overlay_base *base,
                               const char *app, struct nzd_err *err)
{
    uint32_t place = place_of(plan, app);
    int root = size_of_root(base->boot_file);
    if (place != NZD_OVERLAY_NOWHERE)
        return place;
    const char *tail = tail_in_script(plan, base->script, app);
    const char *version = tail ? NULL : version_of(plan, app);
    if (version)
        tail = nzd_arena_printf(&plan->arena, "%s-%s/ebin", app, version);
    if (!tail || !root) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "application %.100s in force has no folder in the base",
                    app);
        return NZD_OVERLAY_NOWHERE;
    }
    const char *folder = nzd_arena_printf(&plan->arena, "%.*s/lib/%s", root,
                                          base->boot_file, tail);
    place =
        folder ? nzd_overlay_plan_folder(plan, folder) : NZD_OVERLAY_NOWHERE;
    if (place == NZD_OVERLAY_NOWHERE)
        nzd_err_memory(err);
    return place;
}

/* --- names in the overlay ------------------------------------------------ */

/* The version in force stands in the folder's name where the base's did. */
static const char *within(struct nzd_overlay_plan *plan,
                          const struct nzd_overlay_place *place)
{
    const char *version = version_of(plan, place->app);
    bool numbered = place->tail[strlen(place->app)] == '-';
    if (!place->app[0])
        return nzd_arena_printf(&plan->arena, "%s",
                                strrchr(place->base, '/') + 1);
    if (version && numbered)
        return nzd_arena_printf(&plan->arena, "lib/%s-%.200s/ebin", place->app,
                                version);
    return nzd_arena_printf(&plan->arena, "lib/%s", place->tail);
}

int nzd_overlay_plan_name(struct nzd_overlay_plan *plan, struct nzd_err *err)
{
    for (uint32_t i = 0; i < plan->place_count; i++) {
        struct nzd_overlay_place *place = &plan->places[i];
        const struct nzd_overlay_app *app =
            nzd_overlay_plan_app(plan, place->app);
        place->added = app && app->added;
        place->within = within(plan, place);
        if (!place->within)
            return nzd_err_memory(err);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(plan->places[k].within, place->within) == 0)
                return nzd_err_set(err, NZD_EJOURNAL,
                                   "%s and %s are the same folder",
                                   plan->places[k].base, place->base);
    }
    return 0;
}

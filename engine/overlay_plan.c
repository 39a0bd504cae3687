/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_plan.h"

#include "file_rows.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct planning {
    struct nzd_overlay_plan *plan;
    struct nzd_buf specs; /* digests of their blobs */
    struct nzd_err *err;
};

static void *grow(void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = *capacity ? 2 * *capacity : 32;
    void *grown = realloc(items, wanted * size);
    if (grown)
        *capacity = wanted;
    return grown;
}

static const char *keep(struct planning *p, const char *text, size_t size)
{
    return nzd_arena_text(&p->plan->arena, text, size);
}

/* --- folders ------------------------------------------------------------- */

static const char *last_two(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *before =
        slash ? memrchr(path, '/', (size_t)(slash - path)) : NULL;
    return before ? before + 1 : path;
}

/* "counter" of "counter-0.1.0/ebin"; "" of a folder that is no application's.
 */
static const char *app_of(struct planning *p, const char *tail)
{
    size_t size = strcspn(tail, "/");
    if (strcmp(tail + size, "/ebin") != 0)
        return "";
    const char *hyphen = memchr(tail, '-', size);
    if (hyphen && isdigit((unsigned char)hyphen[1]))
        size = (size_t)(hyphen - tail);
    return keep(p, tail, size);
}

/* Index of the place; UINT32_MAX without memory. */
static uint32_t place_of(struct planning *p, const char *path)
{
    struct nzd_overlay_plan *plan = p->plan;
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;
    for (uint32_t i = 0; i < plan->place_count; i++)
        if (strlen(plan->places[i].base) == size &&
            memcmp(plan->places[i].base, path, size) == 0)
            return i;
    void *places = grow(plan->places, plan->place_count, &plan->place_capacity,
                        sizeof *plan->places);
    if (!places)
        return UINT32_MAX;
    plan->places = places;
    struct nzd_overlay_place *place = &plan->places[plan->place_count];
    memset(place, 0, sizeof *place);
    place->base = keep(p, path, size);
    place->tail = place->base ? last_two(place->base) : NULL;
    place->app = place->tail ? app_of(p, place->tail) : NULL;
    return place->app ? plan->place_count++ : UINT32_MAX;
}

/* --- rows ---------------------------------------------------------------- */

static int bad_row(struct planning *p, const char *module)
{
    return nzd_err_set(p->err, NZD_EJOURNAL,
                       "module %.100s in force names no folder of the base",
                       module);
}

static int note_module(void *context, const struct nzd_live_row *row)
{
    struct planning *p = context;
    struct nzd_overlay_plan *plan = p->plan;
    const char *path = row->base_path[0] ? row->base_path : row->path;
    if (path[0] != '/' || strchr(row->module, '/'))
        return bad_row(p, row->module);
    void *modules = grow(plan->modules, plan->module_count,
                         &plan->module_capacity, sizeof *plan->modules);
    if (!modules)
        return nzd_err_memory(p->err);
    plan->modules = modules;
    struct nzd_overlay_module *module = &plan->modules[plan->module_count++];
    module->name = keep(p, row->module, strlen(row->module));
    module->blob = row->blob;
    module->added = nzd_digest_is_zero(&row->base_md5);
    module->folder = place_of(p, path);
    return module->name && module->folder != UINT32_MAX
               ? 0
               : nzd_err_memory(p->err);
}

static int note_file(void *context, const struct nzd_live_row *row)
{
    struct planning *p = context;
    if (nzd_file_rows_app(row->module))
        nzd_buf_bytes(&p->specs, row->blob.bytes, NZD_DIGEST_SIZE);
    return p->specs.failed ? nzd_err_memory(p->err) : 0;
}

static int keep_spec(struct planning *p, const struct nzd_term *spec)
{
    struct nzd_overlay_plan *plan = p->plan;
    void *specs = grow(plan->specs, plan->spec_count, &plan->spec_capacity,
                       sizeof(const struct nzd_term *));
    if (!specs)
        return nzd_err_memory(p->err);
    plan->specs = specs;
    plan->specs[plan->spec_count++] = spec;
    return 0;
}

static int read_spec(struct planning *p, struct nzd_journal *journal,
                     const struct nzd_digest *blob)
{
    struct nzd_buf bytes = {0};
    const struct nzd_term *spec = NULL;
    const char *kept = NULL;
    int code = nzd_journal_get_blob(journal, blob, &bytes, p->err);
    if (!code)
        kept = keep(p, (const char *)bytes.data, bytes.size);
    if (!code && !kept)
        code = nzd_err_memory(p->err);
    if (!code)
        code = nzd_term_decode(nzd_view_of(kept, bytes.size), &p->plan->arena,
                               &spec, p->err);
    nzd_buf_clear(&bytes);
    if (!code && !nzd_term_is_tagged(spec, "application", 3))
        code = nzd_err_set(p->err, NZD_EJOURNAL,
                           "a specification in force is none");
    return code ? code : keep_spec(p, spec);
}

/* --- names in the overlay ------------------------------------------------ */

const struct nzd_term *nzd_overlay_plan_spec(const struct nzd_overlay_plan *p,
                                             const char *app)
{
    for (uint32_t i = 0; i < p->spec_count; i++)
        if (nzd_term_is_atom(nzd_term_at(p->specs[i], 1), app))
            return p->specs[i];
    return NULL;
}

/* The version in force stands in the folder's name where the base's did. */
static const char *within(struct nzd_overlay_plan *plan,
                          const struct nzd_overlay_place *place)
{
    const struct nzd_term *spec = nzd_overlay_plan_spec(plan, place->app);
    const struct nzd_term *vsn =
        spec ? nzd_term_get(nzd_term_at(spec, 2), "vsn") : NULL;
    const char *version = vsn ? nzd_term_text(vsn, &plan->arena) : NULL;
    bool numbered = place->tail[strlen(place->app)] == '-';
    if (!place->app[0])
        return nzd_arena_printf(&plan->arena, "%s",
                                strrchr(place->base, '/') + 1);
    if (version && numbered && !strchr(version, '/'))
        return nzd_arena_printf(&plan->arena, "lib/%s-%.200s/ebin", place->app,
                                version);
    return nzd_arena_printf(&plan->arena, "lib/%s", place->tail);
}

static int name_places(struct planning *p)
{
    struct nzd_overlay_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->place_count; i++) {
        struct nzd_overlay_place *place = &plan->places[i];
        place->within = within(plan, place);
        if (!place->within)
            return nzd_err_memory(p->err);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(plan->places[k].within, place->within) == 0)
                return nzd_err_set(p->err, NZD_EJOURNAL,
                                   "%s and %s are the same folder",
                                   plan->places[k].base, place->base);
    }
    return 0;
}

static bool is_open(struct nzd_journal *journal, const struct nzd_digest *base,
                    uint64_t generation)
{
    struct nzd_txn txn;
    if (nzd_journal_open_txn(journal, &txn, NULL))
        return false;
    bool open = txn.id == generation && nzd_digest_equal(&txn.base, base);
    nzd_txn_clear(&txn);
    return open;
}

static int read_specs(struct planning *p, struct nzd_journal *journal)
{
    int code = 0;
    for (size_t at = 0; at < p->specs.size && !code; at += NZD_DIGEST_SIZE) {
        struct nzd_digest blob;
        memcpy(blob.bytes, p->specs.data + at, NZD_DIGEST_SIZE);
        code = read_spec(p, journal, &blob);
    }
    return code;
}

int nzd_overlay_plan_read(struct nzd_journal *journal,
                          const struct nzd_digest *base, uint64_t generation,
                          struct nzd_overlay_plan *out, struct nzd_err *err)
{
    struct planning p = {.plan = out, .err = err};
    memset(out, 0, sizeof *out);
    bool open = is_open(journal, base, generation);
    int code =
        open ? nzd_journal_each_target_file(journal, generation, note_file, &p,
                                            err)
             : nzd_journal_each_live_file(journal, base, note_file, &p, err);
    if (!code)
        code = read_specs(&p, journal);
    if (!code)
        code = open
                   ? nzd_journal_each_target(journal, generation, note_module,
                                             &p, err)
                   : nzd_journal_each_live(journal, base, note_module, &p, err);
    if (!code)
        code = name_places(&p);
    nzd_buf_clear(&p.specs);
    return code;
}

void nzd_overlay_plan_clear(struct nzd_overlay_plan *plan)
{
    free(plan->modules);
    free(plan->places);
    free(plan->specs);
    nzd_arena_clear(&plan->arena);
    memset(plan, 0, sizeof *plan);
}

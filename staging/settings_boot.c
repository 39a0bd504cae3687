/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <stdlib.h>
#include <string.h>

/* --- the keys of an application --- */

enum shape { SET, KEYED, VALUE };
/* A start takes no more from it than that it is there; it takes it in; it does
 * where it goes through phases. */
enum use { TOLD, STARTS, PHASES };

/* What application:load/1 takes from {application, Name, Keys}, but for
 * description, id, vsn and modules; a missing key is its default. */
static const struct {
    const char *key;
    enum shape shape;
    bool infinity; /* the default; else [] */
    enum use use;
} keys[] = {{"applications", SET, false, TOLD},
            {"included_applications", SET, false, PHASES},
            {"optional_applications", SET, false, TOLD},
            {"registered", SET, false, TOLD},
            {"env", KEYED, false, TOLD},
            {"mod", VALUE, false, STARTS},
            {"start_phases", VALUE, false, STARTS},
            {"maxP", VALUE, true, STARTS},
            {"maxT", VALUE, true, STARTS}};

/* Items of a set are compared each with each. */
#define SET_MAX 4096u

#define KEY_COUNT (sizeof(keys) / sizeof(*keys))

static const struct nzd_term *default_of(size_t key)
{
    static const struct nzd_term empty = {.kind = NZD_TERM_LIST};
    static const struct nzd_term infinity = {
        .kind = NZD_TERM_ATOM,
        .text = {(const uint8_t *)"infinity", sizeof("infinity") - 1}};

    return keys[key].infinity ? &infinity : &empty;
}

static bool contains(const struct nzd_term *list, const struct nzd_term *item)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        if (nzd_term_equal(nzd_term_at(list, i), item))
            return true;
    return false;
}

/* The items of `list` that `other` lacks, printed: "crypto, ssl". */
static const char *print_rest(struct settings_compare *compare,
                              const struct nzd_term *list,
                              const struct nzd_term *other)
{
    struct nzd_buf buf = {0};
    const char *text;

    for (uint32_t i = 0; i < nzd_term_length(list) && buf.size < 100; i++) {
        const struct nzd_term *item = nzd_term_at(list, i);

        if (contains(other, item))
            continue;
        nzd_buf_text(&buf, buf.size > 0 ? ", " : "");
        nzd_buf_text(&buf, settings_print(compare, item));
    }
    text = buf.failed ? NULL
                      : nzd_arena_text(&compare->scratch,
                                       buf.data ? (const char *)buf.data : "",
                                       buf.size);
    nzd_buf_clear(&buf);
    if (!text)
        settings_memory(compare);
    return text ? text : "";
}

static void compare_value(struct settings_compare *compare, enum nzd_need need,
                          const char *subject, const char *key,
                          const struct nzd_term *old,
                          const struct nzd_term *new)
{
    if (!nzd_term_equal(old, new))
        settings_say(compare, need, subject, settings_print(compare, old),
                     settings_print(compare, new), key);
}

static void compare_set(struct settings_compare *compare, enum nzd_need need,
                        const char *subject, const char *key,
                        const struct nzd_term *old, const struct nzd_term *new)
{
    const char *left, *right;

    if (nzd_term_length(old) > SET_MAX || nzd_term_length(new) > SET_MAX) {
        compare_value(compare, need, subject, key, old, new);
        return;
    }
    left = print_rest(compare, old, new);
    right = print_rest(compare, new, old);
    if (*left || *right)
        settings_say(compare, need, subject, left, right, key);
}

static bool has_phases(const struct nzd_term *keys_of)
{
    return nzd_term_length(nzd_term_get(keys_of, "start_phases")) > 0;
}

static bool is_of_start(size_t i, const struct nzd_term *old,
                        const struct nzd_term *new)
{
    return keys[i].use == STARTS ||
           (keys[i].use == PHASES && (has_phases(old) || has_phases(new)));
}

/* What only a start takes in, of an application that is to be stopped for it.
 */
static void compare_started(struct settings_compare *compare, const char *app,
                            const char *subject, size_t i,
                            const struct nzd_term *old,
                            const struct nzd_term *new)
{
    enum nzd_need need =
        settings_is_of_boot(app) ? NZD_NEED_RESTART : NZD_NEED_SWITCH;
    const char *why = nzd_arena_printf(
        &compare->scratch, "%s%s", keys[i].key,
        need == NZD_NEED_SWITCH ? ", which only a start takes in" : "");

    if (!why) {
        settings_memory(compare);
        return;
    }
    compare->level = NZD_LEVEL_RESTART_APP;
    compare->restarts = app;
    if (keys[i].shape == SET)
        compare_set(compare, need, subject, why, old, new);
    else
        compare_value(compare, need, subject, why, old, new);
    compare->level = NZD_LEVEL_NOTHING;
    compare->restarts = NULL;
}

static void compare_key(struct settings_compare *compare, const char *app,
                        const char *subject, size_t i,
                        const struct nzd_term *old, const struct nzd_term *new,
                        bool starts)
{
    const struct nzd_term *left = nzd_term_get(old, keys[i].key);
    const struct nzd_term *right = nzd_term_get(new, keys[i].key);

    left =
        settings_mark_term(compare, compare->old, left ? left : default_of(i));
    right = settings_mark_term(compare, compare->new,
                               right ? right : default_of(i));
    if (starts && is_of_start(i, old, new))
        compare_started(compare, app, subject, i, left, right);
    else if (keys[i].shape == SET)
        compare_set(compare, NZD_NEED_SWITCH, subject, keys[i].key, left,
                    right);
    else if (keys[i].shape == KEYED)
        settings_diff(compare, settings_env_need(compare, app), subject,
                      keys[i].key, left, right);
    else
        compare_value(compare, NZD_NEED_SWITCH, subject, keys[i].key, left,
                      right);
}

void settings_spec(struct settings_compare *compare, const char *app,
                   const struct nzd_term *old, const struct nzd_term *new,
                   bool starts, unsigned *seen)
{
    const char *subject = nzd_arena_printf(&compare->scratch, "%s.app", app);

    if (!subject) {
        settings_memory(compare);
        return;
    }
    old = nzd_term_at(old, 2);
    new = nzd_term_at(new, 2);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        uint32_t said = compare->said;

        if (!(*seen & (1u << i)))
            compare_key(compare, app, subject, i, old, new, starts);
        if (compare->said > said)
            *seen |= 1u << i;
    }
    settings_end(compare, subject);
}

/* --- the boot script --- */

static const char SOURCE[] = "boot script";

static const char *describe(struct settings_compare *compare,
                            const struct nzd_script_app *app)
{
    const char *text = nzd_arena_printf(&compare->scratch, "%s%s%s",
                                        app->version, *app->version ? ", " : "",
                                        *app->start ? app->start
                                        : app->spec ? "not started"
                                                    : "not loaded");

    if (!text)
        settings_memory(compare);
    return text ? text : "";
}

static void compare_specs(struct settings_compare *compare,
                          const struct nzd_script_app *old,
                          const struct nzd_script_app *new)
{
    const struct nzd_app *left = nzd_inventory_app(compare->old, new->name);
    const struct nzd_app *right = nzd_inventory_app(compare->new, new->name);
    bool starts = nzd_script_does(old) == NZD_SCRIPT_STARTS &&
                  nzd_script_does(new) == NZD_SCRIPT_STARTS;
    unsigned seen = 0;

    if (left && right && left->spec && right->spec)
        settings_spec(compare, new->name, left->spec, right->spec, starts,
                      &seen);
    if (old->spec && new->spec)
        settings_spec(compare, new->name, old->spec, new->spec, starts, &seen);
}

static uint32_t count_priv(const struct nzd_inventory *side, const char *app)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < side->priv_count; i++)
        count += strcmp(side->priv[i].app, app) == 0;
    return count;
}

/* One that the new side only names would have to be installed already. */
static enum nzd_need need_of_added(const struct settings_compare *compare,
                                   const struct nzd_script_app *added)
{
    const struct nzd_app *app = nzd_inventory_app(compare->new, added->name);

    if (!app || !compare->new_held[app - compare->new->apps])
        return NZD_NEED_BASE;
    return app->spec && added->spec ? settings_env_need(compare, added->name)
                                    : NZD_NEED_RESTART;
}

/* The files that come with it, where they cannot be there at once. */
static void say_added_files(struct settings_compare *compare, const char *app)
{
    uint32_t count = count_priv(compare->new, app);
    const char *why = compare->old->priv_fixed;
    const char *subject = nzd_arena_printf(&compare->scratch, "%s priv", app);
    const char *files = nzd_arena_printf(&compare->scratch, "%u file%s", count,
                                         count == 1 ? "" : "s");

    if (!subject || !files) {
        settings_memory(compare);
        return;
    }
    if (count == 0)
        return;
    compare->files = true;
    settings_say(compare, why ? NZD_NEED_RESTART : NZD_NEED_SWITCH, subject, "",
                 files, why ? why : "with the application");
    compare->files = false;
}

static void compare_type(struct settings_compare *compare,
                         const struct nzd_script_app *old,
                         const struct nzd_script_app *new)
{
    if (strcmp(old->start, new->start) != 0)
        settings_say(
            compare,
            settings_is_of_boot(new->name) ? NZD_NEED_RESTART : NZD_NEED_SWITCH,
            new->name, old->start, new->start, "boot script: start type");
}

static void compare_added(struct settings_compare *compare,
                          const struct nzd_script_app *new)
{
    settings_say(compare, need_of_added(compare, new), new->name, "",
                 describe(compare, new), SOURCE);
    say_added_files(compare, new->name);
}

/* What stops takes its processes along: that is the operator's word. `is` says
 * what the new script does with it, `now` in words. */
static void compare_less(struct settings_compare *compare,
                         const struct nzd_script_app *old,
                         enum nzd_script_does is, const char *now,
                         enum nzd_need need)
{
    enum nzd_script_does was = nzd_script_does(old);

    if (is < was && was == NZD_SCRIPT_STARTS)
        compare->level = NZD_LEVEL_RESTART_APP;
    settings_say(compare, need, old->name, describe(compare, old), now, SOURCE);
    compare->level = NZD_LEVEL_NOTHING;
}

/* One that the new script starts and does not load has no keys there. */
static enum nzd_need need_of_both(const struct settings_compare *compare,
                                  const struct nzd_script_app *new)
{
    return nzd_script_does(new) == NZD_SCRIPT_STARTS && !new->spec
               ? NZD_NEED_RESTART
               : settings_env_need(compare, new->name);
}

static void compare_both(struct settings_compare *compare,
                         const struct nzd_script_app *old,
                         const struct nzd_script_app *new)
{
    enum nzd_script_does is = nzd_script_does(new);

    if (nzd_script_does(old) != is)
        compare_less(compare, old, is, describe(compare, new),
                     need_of_both(compare, new));
    else if (is == NZD_SCRIPT_STARTS)
        compare_type(compare, old, new);
}

static void compare_apps(struct settings_compare *compare,
                         const struct nzd_script *old,
                         const struct nzd_script *new)
{
    for (uint32_t i = 0; i < new->app_count; i++) {
        const struct nzd_script_app *was =
            nzd_script_app(old, new->apps[i].name);

        if (was)
            compare_both(compare, was, &new->apps[i]);
        else
            compare_added(compare, &new->apps[i]);
    }
    for (uint32_t i = 0; i < old->app_count; i++)
        if (!nzd_script_app(new, old->apps[i].name))
            compare_less(compare, &old->apps[i], nzd_script_does(NULL), "",
                         settings_env_need(compare, old->apps[i].name));
    settings_end(compare, "applications");
    for (uint32_t i = 0; i < new->app_count; i++) {
        const struct nzd_script_app *left =
            nzd_script_app(old, new->apps[i].name);

        if (left)
            compare_specs(compare, left, &new->apps[i]);
    }
}

/* --- start order --- */

static int by_order(const void *a, const void *b)
{
    const struct nzd_script_app *left =
        *(const struct nzd_script_app *const *)a;
    const struct nzd_script_app *right =
        *(const struct nzd_script_app *const *)b;

    return (left->order > right->order) - (left->order < right->order);
}

/* The applications that both start, as `script` orders them. */
static const struct nzd_script_app **started(struct settings_compare *compare,
                                             const struct nzd_script *script,
                                             const struct nzd_script *other,
                                             uint32_t *count)
{
    const struct nzd_script_app **list =
        nzd_arena_alloc(&compare->scratch, (script->app_count + 1) *
                                               sizeof(struct nzd_script_app *));

    *count = 0;
    for (uint32_t i = 0; list && i < script->app_count; i++) {
        const struct nzd_script_app *app = &script->apps[i];
        const struct nzd_script_app *twin = nzd_script_app(other, app->name);

        if (app->order > 0 && twin && twin->order > 0)
            list[(*count)++] = app;
    }
    if (!list)
        settings_memory(compare);
    else if (*count > 1)
        qsort(list, *count, sizeof(struct nzd_script_app *), by_order);
    return list;
}

static void compare_order(struct settings_compare *compare,
                          const struct nzd_script *old,
                          const struct nzd_script *new)
{
    uint32_t left_count = 0, right_count = 0;
    const struct nzd_script_app **left =
        started(compare, old, new, &left_count);
    const struct nzd_script_app **right =
        started(compare, new, old, &right_count);

    if (!left || !right)
        return;
    for (uint32_t i = 0; i < left_count && i < right_count; i++)
        if (strcmp(left[i]->name, right[i]->name) != 0) {
            settings_say(compare, NZD_NEED_SWITCH, SOURCE, left[i]->name,
                         right[i]->name,
                         "order of the starts, of the next boot");
            return;
        }
}

/* --- paths, other commands --- */

/* primLoad lists say nothing here: modules are the plan's concern, and a node
 * that runs a later generation is not what its boot script lists. */

static bool has_text(const char *const *items, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(items[i], text) == 0)
            return true;
    return false;
}

static void mark_all(struct settings_compare *compare,
                     const struct nzd_inventory *side,
                     struct nzd_script *script)
{
    for (uint32_t i = 0; i < script->path_count; i++)
        script->paths[i] = settings_mark_text(compare, side, script->paths[i],
                                              strlen(script->paths[i]));
    for (uint32_t i = 0; i < script->rest_count; i++)
        script->rest[i] = settings_mark_term(compare, side, script->rest[i]);
}

static void compare_paths(struct settings_compare *compare,
                          const struct nzd_script *old,
                          const struct nzd_script *new)
{
    for (uint32_t i = 0; i < old->path_count; i++)
        if (!has_text(new->paths, new->path_count, old->paths[i]))
            settings_say(compare, NZD_NEED_RESTART, SOURCE, old->paths[i], "",
                         "code path");
    for (uint32_t i = 0; i < new->path_count; i++)
        if (!has_text(old->paths, old->path_count, new->paths[i]))
            settings_say(compare, NZD_NEED_RESTART, SOURCE, "", new->paths[i],
                         "code path");
}

static bool has_term(const struct nzd_script *script,
                     const struct nzd_term *command)
{
    for (uint32_t i = 0; i < script->rest_count; i++)
        if (nzd_term_equal(script->rest[i], command))
            return true;
    return false;
}

/* Mix has the providers run at each boot; here their work is done already. */
static enum nzd_need need_of_command(const struct settings_compare *compare,
                                     const struct nzd_term *command)
{
    const struct nzd_term *call = nzd_term_at(command, 1);

    return nzd_term_is_tagged(command, "apply", 2) &&
                   nzd_term_is_tagged(call, "Elixir.Config.Provider", 3)
               ? compare->config
               : NZD_NEED_RESTART;
}

static void compare_rest(struct settings_compare *compare,
                         const struct nzd_script *old,
                         const struct nzd_script *new)
{
    uint32_t said = compare->said;

    for (uint32_t i = 0; i < old->rest_count; i++)
        if (!has_term(new, old->rest[i]))
            settings_say(compare, need_of_command(compare, old->rest[i]),
                         SOURCE, settings_print(compare, old->rest[i]), "",
                         "commands");
    for (uint32_t i = 0; i < new->rest_count; i++)
        if (!has_term(old, new->rest[i]))
            settings_say(compare, need_of_command(compare, new->rest[i]),
                         SOURCE, "", settings_print(compare, new->rest[i]),
                         "commands");
    for (uint32_t i = 0;
         compare->said == said && i < old->rest_count && i < new->rest_count;
         i++)
        if (!nzd_term_equal(old->rest[i], new->rest[i]))
            settings_say(compare, NZD_NEED_RESTART, SOURCE,
                         settings_print(compare, old->rest[i]),
                         settings_print(compare, new->rest[i]),
                         "order of the commands");
    if (compare->said == said && old->rest_count != new->rest_count)
        settings_say(compare, NZD_NEED_RESTART, SOURCE, "", "",
                     "a command repeated");
}

void settings_boot(struct settings_compare *compare)
{
    struct nzd_script old = {0}, new = {0};

    if (compare->code == 0)
        compare->code = nzd_script_read(compare->old->boot_script,
                                        &compare->scratch, &old, compare->err);
    if (compare->code == 0)
        compare->code = nzd_script_read(compare->new->boot_script,
                                        &compare->scratch, &new, compare->err);
    if (compare->code < 0)
        return;
    mark_all(compare, compare->old, &old);
    mark_all(compare, compare->new, &new);
    compare_apps(compare, &old, &new);
    compare_order(compare, &old, &new);
    compare_paths(compare, &old, &new);
    compare_rest(compare, &old, &new);
    settings_end(compare, SOURCE);
}

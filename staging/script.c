/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include "limits.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Real scripts have about twenty commands that we do not tell apart, and one
 * path that is no application's; they are compared each with each. */
#define OTHERS_MAX 4096u

struct reading {
    struct nzd_arena *arena;
    struct nzd_script *out;
    uint32_t app_capacity;
    uint32_t path_capacity;
    uint32_t rest_capacity;
    uint32_t started;
    bool failed; /* no memory */
};

/* The next element of an array in the arena; doubling leaves the old one
 * there, which is as much again at most. */
static void *grow(struct reading *reading, void *items, uint32_t *count,
                  uint32_t *capacity, size_t size)
{
    if (*count == *capacity) {
        uint32_t wanted = *capacity ? 2 * *capacity : 32;
        void *grown = nzd_arena_alloc(reading->arena, wanted * size);

        if (!grown) {
            reading->failed = true;
            return NULL;
        }
        if (*count > 0)
            memcpy(grown, items, *count * size);
        items = grown;
        *capacity = wanted;
    }
    (*count)++;
    return items;
}

static void add_text(struct reading *reading, const char ***items,
                     uint32_t *count, uint32_t *capacity, const char *text)
{
    const char **grown = grow(reading, *items, count, capacity, sizeof(*grown));

    if (!grown)
        return;
    *items = grown;
    grown[*count - 1] = text;
}

static void add_rest(struct reading *reading, const struct nzd_term *command)
{
    struct nzd_script *out = reading->out;
    const struct nzd_term **grown =
        grow(reading, out->rest, &out->rest_count, &reading->rest_capacity,
             sizeof(struct nzd_term *));

    if (!grown)
        return;
    out->rest = grown;
    grown[out->rest_count - 1] = command;
}

const struct nzd_script_app *nzd_script_app(const struct nzd_script *script,
                                            const char *name)
{
    for (uint32_t i = 0; i < script->app_count; i++)
        if (strcmp(script->apps[i].name, name) == 0)
            return &script->apps[i];
    return NULL;
}

enum nzd_script_does nzd_script_does(const struct nzd_script_app *app)
{
    if (app && app->order > 0)
        return NZD_SCRIPT_STARTS;
    return app && app->spec ? NZD_SCRIPT_LOADS : NZD_SCRIPT_NOTHING;
}

/* The application of this name, added where it is not there; NULL without
 * memory. */
static struct nzd_script_app *app_of(struct reading *reading, const char *name)
{
    struct nzd_script *out = reading->out;
    struct nzd_script_app *grown;

    for (uint32_t i = 0; i < out->app_count; i++)
        if (strcmp(out->apps[i].name, name) == 0)
            return &out->apps[i];
    if (out->app_count >= NZD_LIMIT_APPS)
        return NULL;
    grown = grow(reading, out->apps, &out->app_count, &reading->app_capacity,
                 sizeof(*grown));
    if (!grown)
        return NULL;
    out->apps = grown;
    grown += out->app_count - 1;
    *grown = (struct nzd_script_app){.name = name, .version = "", .start = ""};
    return grown;
}

/* --- commands --- */

/* ".../counter-0.2.0/ebin" is the application's; all else is just a path. */
static void read_path(struct reading *reading, const char *path)
{
    struct nzd_script *out = reading->out;
    struct nzd_script_app *app = NULL;
    size_t size = strlen(path);
    const char *slash, *hyphen, *name;

    if (size > 5 && strcmp(path + size - 5, "/ebin") == 0) {
        slash = memrchr(path, '/', size - 5);
        slash = slash ? slash + 1 : path;
        name = nzd_arena_text(reading->arena, slash,
                              size - 5 - (size_t)(slash - path));
        hyphen = name ? strchr(name, '-') : NULL;
        if (hyphen && isdigit((unsigned char)hyphen[1]))
            name =
                nzd_arena_text(reading->arena, name, (size_t)(hyphen - name));
        if (name)
            app = app_of(reading, name);
        if (app && hyphen && !*app->version)
            app->version = hyphen + 1;
        reading->failed |= !name;
        return;
    }
    add_text(reading, &out->paths, &out->path_count, &reading->path_capacity,
             path);
}

static bool read_paths(struct reading *reading, const struct nzd_term *list)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const struct nzd_term *item = nzd_term_at(list, i);
        const char *path = item ? nzd_term_text(item, reading->arena) : NULL;

        if (!path)
            return false;
        read_path(reading, path);
    }
    return true;
}

/* {application, load | start, [{application, Name, Keys}]} */
static bool read_load(struct reading *reading, const struct nzd_term *call)
{
    const struct nzd_term *spec = nzd_term_at(nzd_term_at(call, 2), 0);
    const struct nzd_term *version;
    struct nzd_script_app *app;

    if (!spec || !nzd_term_is_tagged(spec, "application", 3) ||
        nzd_term_at(spec, 1)->kind != NZD_TERM_ATOM)
        return false;
    app = app_of(reading, (const char *)nzd_term_at(spec, 1)->text.data);
    if (!app)
        return false;
    app->spec = spec;
    version = nzd_term_get(nzd_term_at(spec, 2), "vsn");
    if (version && nzd_term_text(version, reading->arena))
        app->version = nzd_term_text(version, reading->arena);
    return true;
}

/* {application, start_boot, [Name] | [Name, Type]} */
static bool read_start(struct reading *reading, const struct nzd_term *call)
{
    const struct nzd_term *args = nzd_term_at(call, 2);
    const struct nzd_term *name = nzd_term_at(args, 0);
    const struct nzd_term *type = nzd_term_at(args, 1);
    struct nzd_script_app *app;

    if (!name || name->kind != NZD_TERM_ATOM ||
        (type && type->kind != NZD_TERM_ATOM))
        return false;
    app = app_of(reading, (const char *)name->text.data);
    if (!app)
        return false;
    app->start = type ? (const char *)type->text.data : "temporary";
    app->order = ++reading->started;
    return true;
}

static bool is_call(const struct nzd_term *call, const char *module,
                    const char *function)
{
    return call && nzd_term_is_tagged(call, module, 3) &&
           nzd_term_is_atom(nzd_term_at(call, 1), function) &&
           nzd_term_at(call, 2)->kind == NZD_TERM_LIST;
}

/* True when the command is told by one of our fields. */
static bool read_command(struct reading *reading, const struct nzd_term *item)
{
    const struct nzd_term *call;

    if (nzd_term_is_tagged(item, "progress", 2) ||
        nzd_term_is_tagged(item, "kernel_load_completed", 1))
        return true;
    if (nzd_term_is_tagged(item, "path", 2))
        return read_paths(reading, nzd_term_at(item, 1));
    if (nzd_term_is_tagged(item, "primLoad", 2))
        return true; /* modules are the plan's concern */
    if (nzd_term_is_tagged(item, "kernelProcess", 3)) {
        call = nzd_term_at(item, 2);
        return is_call(call, "application_controller", "start") &&
               read_load(reading, call);
    }
    if (!nzd_term_is_tagged(item, "apply", 2))
        return false;
    call = nzd_term_at(item, 1);
    return (is_call(call, "application", "load") && read_load(reading, call)) ||
           (is_call(call, "application", "start_boot") &&
            read_start(reading, call));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_once(const char **items, uint32_t *count)
{
    uint32_t kept = 0;

    if (*count > 1)
        qsort(items, *count, sizeof(*items), by_text);
    for (uint32_t i = 0; i < *count; i++)
        if (i == 0 || strcmp(items[i], items[kept - 1]) != 0)
            items[kept++] = items[i];
    *count = kept;
}

int nzd_script_read(const struct nzd_term *term, struct nzd_arena *arena,
                    struct nzd_script *out, struct nzd_err *err)
{
    struct reading reading = {.arena = arena, .out = out};
    const struct nzd_term *id = nzd_term_at(term, 1);
    const struct nzd_term *list = nzd_term_at(term, 2);
    const struct nzd_term *name = nzd_term_at(id, 0);
    const struct nzd_term *version = nzd_term_at(id, 1);

    memset(out, 0, sizeof(*out));
    if (!nzd_term_is_tagged(term, "script", 3) || !name || !version ||
        list->kind != NZD_TERM_LIST ||
        !(out->release = nzd_term_text(name, arena)) ||
        !(out->version = nzd_term_text(version, arena)))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not a boot script {script, {Name, Vsn}, [...]}");
    for (uint32_t i = 0; i < list->count; i++)
        if (!read_command(&reading, list->children[i]))
            add_rest(&reading, list->children[i]);
    sort_once(out->paths, &out->path_count);
    if (out->rest_count > OTHERS_MAX || out->path_count > OTHERS_MAX)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "a boot script of more than %u commands",
                           OTHERS_MAX);
    return reading.failed ? nzd_err_memory(err) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "script_touch.h"

#include "term_build.h"

#include <string.h>

struct touching {
    const struct nzd_script_touch *touch;
    struct nzd_arena *arena;
    struct nzd_term_atoms atoms;
    bool failed; /* no memory */
};

typedef const struct nzd_term term;

static term **children(struct touching *t, size_t count)
{
    term **room = nzd_arena_alloc(t->arena, (count + 1) * sizeof(term *));

    t->failed |= room == NULL;
    return room;
}

/* A tuple of two with a new second element. */
static term *retagged(struct touching *t, term *item, term *second)
{
    term **pair = children(t, 2);

    if (!pair || !second)
        return item;
    pair[0] = nzd_term_at(item, 0);
    pair[1] = second;
    return nzd_term_new_tuple(t->arena, pair, 2);
}

/* --- the code path --- */

static const struct nzd_script_folder *folder_of(struct touching *t, term *path)
{
    const char *text = nzd_term_text(path, t->arena);
    size_t size = text ? strlen(text) : 0;

    for (uint32_t i = 0; text && i < t->touch->folder_count; i++) {
        const struct nzd_script_folder *folder = &t->touch->folders[i];
        size_t tail = strlen(folder->tail);

        if (size > tail && text[size - tail - 1] == '/' &&
            strcmp(text + size - tail, folder->tail) == 0)
            return folder;
    }
    return NULL;
}

static bool names(struct touching *t, term *path,
                  const struct nzd_script_folder *folder)
{
    term *list = nzd_term_at(path, 1);

    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        if (folder_of(t, nzd_term_at(list, i)) == folder)
            return true;
    return false;
}

static term *touch_path(struct touching *t, term *item)
{
    term *list = nzd_term_at(item, 1);
    uint32_t count = nzd_term_length(list);
    term **paths = children(t, count);

    for (uint32_t i = 0; paths && i < count; i++) {
        const struct nzd_script_folder *folder =
            folder_of(t, nzd_term_at(list, i));

        paths[i] = nzd_term_at(list, i);
        if (folder)
            paths[i] = nzd_term_new_text(t->arena, NZD_TERM_STRING,
                                         nzd_view_text(folder->instead));
        t->failed |= paths[i] == NULL;
    }
    if (t->failed)
        return item;
    return retagged(t, item, nzd_term_new_list(t->arena, paths, count, NULL));
}

/* --- what is loaded --- */

static bool is_removed(const struct touching *t, term *module)
{
    for (uint32_t i = 0; i < t->touch->folder_count; i++) {
        const struct nzd_script_folder *folder = &t->touch->folders[i];

        for (uint32_t k = 0; k < folder->removed_count; k++)
            if (nzd_term_is_atom(module, folder->removed[k]))
                return true;
    }
    return false;
}

/* The last list that is loaded under a path with this folder: kernel and
 * stdlib have an early one too, of what is needed to load the rest. */
static term *last_load(struct touching *t, term *list,
                       const struct nzd_script_folder *folder)
{
    term *path = NULL, *found = NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        term *item = list->children[i];

        if (nzd_term_is_tagged(item, "path", 2))
            path = item;
        else if (nzd_term_is_tagged(item, "primLoad", 2) && path &&
                 names(t, path, folder))
            found = item;
    }
    return found;
}

/* Loaded twice it would have old code from the first moment on. */
static bool is_listed(term *script_list, const char *module)
{
    for (uint32_t i = 0; i < script_list->count; i++) {
        term *item = script_list->children[i];
        term *list = nzd_term_at(item, 1);

        if (!nzd_term_is_tagged(item, "primLoad", 2))
            continue;
        for (uint32_t k = 0; k < nzd_term_length(list); k++)
            if (nzd_term_is_atom(nzd_term_at(list, k), module))
                return true;
    }
    return false;
}

static uint32_t added_count(const struct touching *t)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < t->touch->folder_count; i++)
        count += t->touch->folders[i].added_count;
    return count;
}

static uint32_t add_modules(struct touching *t, term *script_list, term *item,
                            term **modules, uint32_t count)
{
    for (uint32_t i = 0; i < t->touch->folder_count; i++) {
        const struct nzd_script_folder *folder = &t->touch->folders[i];

        if (folder->added_count == 0 ||
            last_load(t, script_list, folder) != item)
            continue;
        for (uint32_t k = 0; k < folder->added_count; k++) {
            if (is_listed(script_list, folder->added[k]))
                continue;
            modules[count] = nzd_term_new_atom(t->arena, &t->atoms,
                                               nzd_view_text(folder->added[k]));
            t->failed |= modules[count++] == NULL;
        }
    }
    return count;
}

static term *touch_load(struct touching *t, term *script_list, term *item)
{
    term *list = nzd_term_at(item, 1);
    uint32_t length = nzd_term_length(list), count = 0;
    term **modules = children(t, (size_t)length + added_count(t));

    if (!modules)
        return item;
    for (uint32_t i = 0; i < length; i++)
        if (!is_removed(t, nzd_term_at(list, i)))
            modules[count++] = nzd_term_at(list, i);
    count = add_modules(t, script_list, item, modules, count);
    if (t->failed)
        return item;
    return retagged(t, item, nzd_term_new_list(t->arena, modules, count, NULL));
}

/* --- specifications --- */

static term *spec_instead(const struct touching *t, term *spec)
{
    for (uint32_t i = 0; i < t->touch->spec_count; i++)
        if (nzd_term_is_tagged(t->touch->specs[i], "application", 3) &&
            nzd_term_equal(nzd_term_at(t->touch->specs[i], 1),
                           nzd_term_at(spec, 1)))
            return t->touch->specs[i];
    return NULL;
}

/* {application, load, [Spec]} or {application_controller, start, [Spec]} */
static term *touch_call(struct touching *t, term *call)
{
    term *args = nzd_term_at(call, 2);
    term *spec = nzd_term_at(args, 0);
    term *instead = NULL;
    term **list, **triple;

    if (nzd_term_is_tagged(spec, "application", 3))
        instead = spec_instead(t, spec);
    if (!instead)
        return call;
    list = children(t, 1);
    triple = children(t, 3);
    if (t->failed)
        return call;
    list[0] = instead;
    triple[0] = nzd_term_at(call, 0);
    triple[1] = nzd_term_at(call, 1);
    triple[2] = nzd_term_new_list(t->arena, list, 1, NULL);
    t->failed |= triple[2] == NULL;
    return t->failed ? call : nzd_term_new_tuple(t->arena, triple, 3);
}

static bool loads_spec(term *call)
{
    return (nzd_term_is_tagged(call, "application", 3) &&
            nzd_term_is_atom(nzd_term_at(call, 1), "load")) ||
           (nzd_term_is_tagged(call, "application_controller", 3) &&
            nzd_term_is_atom(nzd_term_at(call, 1), "start"));
}

static term *touch_process(struct touching *t, term *item)
{
    term **triple = children(t, 3);

    if (!triple || !loads_spec(nzd_term_at(item, 2)))
        return item;
    triple[0] = nzd_term_at(item, 0);
    triple[1] = nzd_term_at(item, 1);
    triple[2] = touch_call(t, nzd_term_at(item, 2));
    return nzd_term_new_tuple(t->arena, triple, 3);
}

/* --- applications that are gone --- */

/* Behind it there is a code server. */
static bool starts_kernel(term *item)
{
    term *call = nzd_term_at(item, 1);

    return nzd_term_is_tagged(item, "apply", 2) &&
           nzd_term_is_tagged(call, "application", 3) &&
           nzd_term_is_atom(nzd_term_at(call, 1), "start_boot") &&
           nzd_term_is_atom(nzd_term_at(nzd_term_at(call, 2), 0), "kernel");
}

static term *atom(struct touching *t, const char *name)
{
    term *made = nzd_term_new_atom(t->arena, &t->atoms, nzd_view_text(name));

    t->failed |= made == NULL;
    return made;
}

/* {apply, {code, del_path, [App]}} */
static term *take_away(struct touching *t, const char *app)
{
    term **args = children(t, 1), **call = children(t, 3);
    term **apply = children(t, 2);

    if (t->failed)
        return NULL;
    args[0] = atom(t, app);
    call[0] = atom(t, "code");
    call[1] = atom(t, "del_path");
    call[2] = nzd_term_new_list(t->arena, args, 1, NULL);
    apply[0] = atom(t, "apply");
    apply[1] = call[2] ? nzd_term_new_tuple(t->arena, call, 3) : NULL;
    t->failed |= apply[1] == NULL;
    return t->failed ? NULL : nzd_term_new_tuple(t->arena, apply, 2);
}

/* --- the script --- */

static term *touch_command(struct touching *t, term *list, term *item)
{
    if (nzd_term_is_tagged(item, "path", 2))
        return touch_path(t, item);
    if (nzd_term_is_tagged(item, "primLoad", 2))
        return touch_load(t, list, item);
    if (nzd_term_is_tagged(item, "kernelProcess", 3))
        return touch_process(t, item);
    if (nzd_term_is_tagged(item, "apply", 2) &&
        loads_spec(nzd_term_at(item, 1)))
        return retagged(t, item, touch_call(t, nzd_term_at(item, 1)));
    return item;
}

/* The first module of the folder that the script does not load, or NULL. */
static const char *missing(term *list, const struct nzd_script_folder *folder)
{
    for (uint32_t i = 0; i < folder->added_count; i++)
        if (!is_listed(list, folder->added[i]))
            return folder->added[i];
    return NULL;
}

static int check(struct touching *t, term *list, struct nzd_err *err)
{
    for (uint32_t i = 0; i < t->touch->folder_count; i++) {
        const struct nzd_script_folder *folder = &t->touch->folders[i];
        const char *module = missing(list, folder);

        if (module && !last_load(t, list, folder))
            return nzd_err_set(err, NZD_EBUNDLE,
                               "the boot script loads nothing from %s, where "
                               "%s is added",
                               folder->tail, module);
    }
    return 0;
}

static uint32_t touch_all(struct touching *t, term *list, term **commands)
{
    uint32_t count = 0, gone = 0;

    for (uint32_t i = 0; i < list->count && !t->failed; i++) {
        term *item = list->children[i];

        commands[count++] = touch_command(t, list, item);
        while (gone < t->touch->gone_count && starts_kernel(item)) {
            commands[count] = take_away(t, t->touch->gone[gone++]);
            t->failed |= commands[count++] == NULL;
        }
    }
    return count;
}

int nzd_script_touch(const struct nzd_term *script,
                     const struct nzd_script_touch *touch,
                     struct nzd_arena *arena, const struct nzd_term **out,
                     struct nzd_err *err)
{
    struct touching t = {.touch = touch, .arena = arena};
    term *list = nzd_term_at(script, 2);
    term **commands, **triple;
    uint32_t count;
    int rc;

    if (!nzd_term_is_tagged(script, "script", 3) ||
        list->kind != NZD_TERM_LIST || list->tail)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not a boot script {script, {Name, Vsn}, [...]}");
    rc = check(&t, list, err);
    commands = children(&t, (size_t)list->count + touch->gone_count);
    triple = children(&t, 3);
    if (rc || t.failed)
        return rc ? rc : nzd_err_memory(err);
    count = touch_all(&t, list, commands);
    if (t.failed)
        return nzd_err_memory(err);
    triple[0] = nzd_term_at(script, 0);
    triple[1] = nzd_term_at(script, 1);
    triple[2] = nzd_term_new_list(arena, commands, count, NULL);
    *out = triple[2] ? nzd_term_new_tuple(arena, triple, 3) : NULL;
    return *out ? 0 : nzd_err_memory(err);
}

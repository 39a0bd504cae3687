/* SPDX-License-Identifier: Apache-2.0 */
#include "appup.h"
#include "limits.h"
#include "release.h"
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An application as .rel and boot script name it. */
struct named {
    const char *app;
    const char *version; /* "" not said */
    bool in_script;
};

struct choice {
    struct release_reader *reader;
    struct nzd_inventory *out;
    const struct release_version *version; /* NULL: only a lib/ */
    uint32_t version_index;
    struct named *named;
    uint32_t named_count;
};

static const char *bundle(const struct choice *choice)
{
    return nzd_source_name(choice->reader->source);
}

/* --- which release --- */

static bool says_something(const struct release_version *version)
{
    return version->boot.size > 0 || version->rel.size > 0 ||
           version->sys_config.size > 0;
}

static int choose_named(struct choice *choice, struct nzd_err *err)
{
    struct release_reader *reader = choice->reader;

    for (uint32_t i = 0; i < reader->version_count; i++)
        if (strcmp(reader->versions[i].name, reader->start_version) == 0 &&
            says_something(&reader->versions[i])) {
            choice->version = &reader->versions[i];
            choice->version_index = i;
            return 0;
        }
    return nzd_err_set(err, NZD_EBUNDLE,
                       "%s: releases/start_erl.data names %s, but there is no "
                       "releases/%s with a boot script",
                       bundle(choice), reader->start_version,
                       reader->start_version);
}

static int choose_version(struct choice *choice, struct nzd_err *err)
{
    struct release_reader *reader = choice->reader;

    choice->version_index = RELEASE_NONE;
    if (reader->start_version)
        return choose_named(choice, err);
    for (uint32_t i = 0; i < reader->version_count; i++) {
        if (!says_something(&reader->versions[i]))
            continue;
        if (choice->version)
            return nzd_err_set(err, NZD_EBUNDLE,
                               "%s: releases %s and %s, and no "
                               "releases/start_erl.data says which",
                               bundle(choice), choice->version->name,
                               reader->versions[i].name);
        choice->version = &reader->versions[i];
        choice->version_index = i;
    }
    return 0;
}

/* --- what it says --- */

static int blame(const struct choice *choice, const char *file, int code,
                 struct nzd_err *err)
{
    if (code < 0 && err)
        nzd_err_prefix(err, "%s: releases/%s/%s", bundle(choice),
                       choice->version->name, file ? file : "");
    return code;
}

static int add_named(struct choice *choice, const char *app,
                     const char *version, bool in_script, struct nzd_err *err)
{
    struct named *named;

    for (uint32_t i = 0; i < choice->named_count; i++) {
        named = &choice->named[i];
        if (strcmp(named->app, app) == 0) {
            named->in_script |= in_script;
            if (!*named->version)
                named->version = version;
            return 0;
        }
    }
    if (choice->named_count == NZD_LIMIT_APPS)
        return nzd_err_set(err, NZD_EBUNDLE, "more than %u applications",
                           NZD_LIMIT_APPS);
    choice->named[choice->named_count++] =
        (struct named){app, version, in_script};
    return 0;
}

static int read_boot(struct choice *choice, struct nzd_err *err)
{
    struct nzd_inventory *out = choice->out;
    struct nzd_arena *kept = &choice->reader->kept;
    const struct nzd_term *term = NULL;
    struct nzd_script script = {0};
    int code;

    if (choice->version->boot.size == 0)
        return 0;
    code = nzd_term_decode(choice->version->boot, kept, &term, err);
    if (code == 0)
        code = nzd_script_read(term, kept, &script, err);
    if (code < 0)
        return code;
    out->boot_script = release_copy_term(term, &out->arena);
    out->release = release_intern(choice->reader, script.release);
    out->version = release_intern(choice->reader, script.version);
    if (!out->boot_script || !out->release || !out->version)
        return nzd_err_memory(err);
    for (uint32_t i = 0; code == 0 && i < script.app_count; i++)
        code = add_named(choice, script.apps[i].name, script.apps[i].version,
                         script.apps[i].spec || script.apps[i].order > 0, err);
    return code;
}

static int read_rel_apps(struct choice *choice, const struct nzd_term *apps,
                         struct nzd_err *err)
{
    struct nzd_arena *kept = &choice->reader->kept;
    int code = 0;

    for (uint32_t i = 0; code == 0 && i < nzd_term_length(apps); i++) {
        const struct nzd_term *item = nzd_term_at(apps, i);
        const struct nzd_term *name = nzd_term_at(item, 0);
        const struct nzd_term *version = nzd_term_at(item, 1);
        const char *text = version ? nzd_term_text(version, kept) : NULL;

        if (!name || name->kind != NZD_TERM_ATOM || !text)
            return nzd_err_set(err, NZD_EBUNDLE,
                               "application %u is not {Name, Vsn, ...}", i + 1);
        code =
            add_named(choice, (const char *)name->text.data, text, false, err);
    }
    return code;
}

/* {release, {Name, Vsn}, {erts, Vsn}, [{App, Vsn, ...}]} */
static int read_rel(struct choice *choice, struct nzd_err *err)
{
    struct release_reader *reader = choice->reader;
    struct nzd_inventory *out = choice->out;
    struct nzd_arena *kept = &reader->kept;
    const struct nzd_term *terms = NULL, *rel, *id;
    const char *name, *version, *erts;
    int code;

    if (choice->version->rel.size == 0)
        return 0;
    code = nzd_term_parse(choice->version->rel, kept, &terms, err);
    if (code < 0)
        return code;
    rel = nzd_term_at(terms, 0);
    id = nzd_term_at(rel, 1);
    if (!nzd_term_at(id, 1) || !nzd_term_is_tagged(rel, "release", 4) ||
        !nzd_term_is_tagged(nzd_term_at(rel, 2), "erts", 2) ||
        !(name = nzd_term_text(nzd_term_at(id, 0), kept)) ||
        !(version = nzd_term_text(nzd_term_at(id, 1), kept)) ||
        !(erts = nzd_term_text(nzd_term_at(nzd_term_at(rel, 2), 1), kept)))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not {release, {Name, Vsn}, {erts, Vsn}, [...]}");
    if (!*out->release)
        out->release = release_intern(reader, name);
    if (!*out->version)
        out->version = release_intern(reader, version);
    if (!*out->erts)
        out->erts = release_intern(reader, erts);
    if (!out->release || !out->version || !out->erts)
        return nzd_err_memory(err);
    return read_rel_apps(choice, nzd_term_at(rel, 3), err);
}

/* sys.config.src with ${VARIABLES} is no term: then its text is compared. */
static const struct nzd_term *raw_text(struct nzd_view text,
                                       struct nzd_arena *arena)
{
    struct nzd_term *binary = nzd_arena_alloc(arena, sizeof(*binary));
    struct nzd_term *list = nzd_arena_alloc(arena, sizeof(*list));
    const struct nzd_term **child =
        nzd_arena_alloc(arena, sizeof(struct nzd_term *));

    if (!binary || !list || !child)
        return NULL;
    binary->kind = NZD_TERM_BINARY;
    binary->text = text;
    child[0] = binary;
    list->kind = NZD_TERM_LIST;
    list->count = 1;
    list->children = child;
    return list;
}

static int read_sys_config(struct choice *choice, struct nzd_err *err)
{
    struct nzd_view text = choice->version->sys_config;
    const char *name = choice->version->sys_config_name;
    struct nzd_arena *kept = &choice->reader->kept;
    const struct nzd_term *terms = NULL;
    bool source = name && strcmp(name, "sys.config.src") == 0;
    int code;

    if (text.size == 0)
        return 0;
    code = nzd_term_parse(text, kept, &terms, source ? NULL : err);
    if (code < 0 && source && code == NZD_EBUNDLE) {
        terms = raw_text(text, kept);
        code = terms ? 0 : nzd_err_memory(err);
    }
    if (code < 0)
        return code;
    choice->out->sys_config = release_copy_term(terms, &choice->out->arena);
    return choice->out->sys_config ? 0 : nzd_err_memory(err);
}

static int read_relup(struct choice *choice, struct nzd_err *err)
{
    const struct nzd_term *terms = NULL;
    int code;

    if (choice->version->relup.size == 0)
        return 0;
    code = nzd_term_parse(choice->version->relup, &choice->reader->kept, &terms,
                          err);
    if (code < 0)
        return code;
    if (nzd_term_length(terms) != 1 || !nzd_appup_is(nzd_term_at(terms, 0)))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not one {Version, [...], [...]} term");
    choice->out->relup =
        release_copy_term(nzd_term_at(terms, 0), &choice->out->arena);
    return choice->out->relup ? 0 : nzd_err_memory(err);
}

/* What its start script would put values into. */
static bool is_source(const char *name, struct nzd_view text)
{
    size_t size = name ? strlen(name) : 0;

    return size > 4 && strcmp(name + size - 4, ".src") == 0 && text.size > 0 &&
           memmem(text.data, text.size, "${", 2);
}

static int keep_view(struct nzd_inventory *out, struct nzd_view text,
                     struct nzd_view *to, struct nzd_err *err)
{
    const char *copy;

    if (text.size == 0)
        return 0;
    copy = nzd_arena_text(&out->arena, (const char *)text.data, text.size);
    if (!copy)
        return nzd_err_memory(err);
    *to = nzd_view_of(copy, text.size);
    return 0;
}

static int read_version(struct choice *choice, struct nzd_err *err)
{
    const struct release_version *version = choice->version;
    struct nzd_inventory *out = choice->out;
    int code = blame(choice, version->boot_name, read_boot(choice, err), err);

    if (code == 0)
        code = blame(choice, version->rel_name, read_rel(choice, err), err);
    if (code == 0)
        code = blame(choice, version->sys_config_name,
                     read_sys_config(choice, err), err);
    if (code == 0)
        code = blame(choice, "relup", read_relup(choice, err), err);
    if (code == 0)
        code = keep_view(out, version->sys_config, &out->sys_config_text, err);
    if (code == 0)
        code = keep_view(out, version->vm_args, &out->vm_args, err);
    if (code == 0)
        code =
            keep_view(out, version->runtime_config, &out->runtime_config, err);
    if (code == 0)
        code = keep_view(out, version->env_script, &out->env_script, err);
    out->sys_config_is_source =
        is_source(version->sys_config_name, version->sys_config);
    out->vm_args_is_source = is_source(version->vm_args_name, version->vm_args);
    if (!*out->version)
        out->version = version->name;
    out->is_release = version->boot.size > 0 || version->rel.size > 0;
    return code;
}

/* --- which applications --- */

static const char *spec_version(struct release_reader *reader,
                                const struct nzd_term *spec)
{
    const struct nzd_term *version =
        spec ? nzd_term_get(nzd_term_at(spec, 2), "vsn") : NULL;
    const char *text = version ? nzd_term_text(version, &reader->kept) : NULL;

    return text ? release_intern(reader, text) : NULL;
}

static bool fits(struct release_reader *reader,
                 const struct release_folder *folder, const struct named *named)
{
    const char *version =
        *folder->version ? folder->version : spec_version(reader, folder->spec);

    return !*named->version || !version || !*version ||
           strcmp(version, named->version) == 0;
}

/* The folder of that version; `other`: one of another version, if only that
 * is there. */
static struct release_folder *
folder_for(struct choice *choice, const struct named *named, const char **other)
{
    struct release_reader *reader = choice->reader;

    *other = NULL;
    for (uint32_t i = 0; i < reader->folder_count; i++) {
        struct release_folder *folder = &reader->folders[i];

        if (strcmp(folder->app, named->app) != 0)
            continue;
        if (fits(reader, folder, named))
            return folder;
        *other = folder->folder;
    }
    return NULL;
}

static int add_app(struct choice *choice, const char *name, const char *version,
                   const struct nzd_term *spec, const struct nzd_term *appup,
                   bool in_script, struct nzd_err *err)
{
    struct nzd_app *app = nzd_inventory_add_app(choice->out);

    if (!app)
        return nzd_err_memory(err);
    /* Folders are made of both. */
    if (!nzd_layout_is_name(nzd_view_text(name)) ||
        (*version && !nzd_layout_is_name(nzd_view_text(version))))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: an application or its version cannot be the "
                           "name of a folder",
                           bundle(choice));
    app->name = release_intern(choice->reader, name);
    app->version = release_intern(choice->reader, version);
    app->spec = spec;
    app->appup = appup;
    app->in_script = in_script;
    return app->name && app->version ? 0 : nzd_err_memory(err);
}

static int add_folder(struct choice *choice, struct release_folder *folder,
                      bool in_script, struct nzd_err *err)
{
    const char *version = spec_version(choice->reader, folder->spec);

    folder->chosen = true;
    return add_app(choice, folder->app, version ? version : folder->version,
                   folder->spec, folder->appup, in_script, err);
}

/* The applications that the release names; what else lies in lib/ is of
 * another version. Where OTP's own are not in lib/, one that is missing is
 * taken from an installed OTP. */
static int choose_release_apps(struct choice *choice, struct nzd_err *err)
{
    static const struct named kernel = {"kernel", "", true};
    const char *any;
    bool complete = folder_for(choice, &kernel, &any) != NULL;
    int code = 0;

    for (uint32_t i = 0; code == 0 && i < choice->named_count; i++) {
        const struct named *named = &choice->named[i];
        const char *other;
        struct release_folder *folder = folder_for(choice, named, &other);

        if (folder)
            code = add_folder(choice, folder, named->in_script, err);
        else if (other || complete)
            code = nzd_err_set(err, NZD_EBUNDLE,
                               "%s: the release needs %s %s, but lib/ has %s",
                               bundle(choice), named->app, named->version,
                               other ? other : "none");
        else
            code = add_app(choice, named->app, named->version, NULL, NULL,
                           named->in_script, err);
    }
    return code;
}

static int choose_all_apps(struct choice *choice, struct nzd_err *err)
{
    struct release_reader *reader = choice->reader;
    int code = 0;

    for (uint32_t i = 0; code == 0 && i < reader->folder_count; i++) {
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(reader->folders[i].app, reader->folders[j].app) == 0)
                return nzd_err_set(err, NZD_EBUNDLE,
                                   "%s: %s and %s, and no release says which",
                                   bundle(choice), reader->folders[j].folder,
                                   reader->folders[i].folder);
        code = add_folder(choice, &reader->folders[i], false, err);
    }
    return code;
}

/* --- which modules and files --- */

static bool counts(const struct choice *choice, const struct nzd_module *module,
                   uint32_t from)
{
    if (module->flags & NZD_MODULE_CONSOLIDATED)
        return from == RELEASE_NONE || from == choice->version_index;
    return choice->reader->folders[from].chosen;
}

static void drop_others(struct choice *choice)
{
    struct release_reader *reader = choice->reader;
    struct nzd_inventory *out = choice->out;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < out->module_count; i++)
        if (counts(choice, &out->modules[i], reader->module_from[i]))
            out->modules[kept++] = out->modules[i];
    out->module_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < out->priv_count; i++)
        if (reader->folders[reader->priv_from[i]].chosen)
            out->priv[kept++] = out->priv[i];
    out->priv_count = kept;
}

static int by_override(const void *a, const void *b)
{
    const struct nzd_module *left = a;
    const struct nzd_module *right = b;
    int order = strcmp(left->name, right->name);

    return order ? order
                 : (int)(right->flags & NZD_MODULE_CONSOLIDATED) -
                       (int)(left->flags & NZD_MODULE_CONSOLIDATED);
}

/* What two modules of one name come to: 1 the first holds, 0 both stay. */
static int override(struct nzd_module *first, const struct nzd_module *second)
{
    bool both = first->flags & second->flags & NZD_MODULE_CONSOLIDATED;

    if (strcmp(first->name, second->name) != 0 ||
        !(first->flags & NZD_MODULE_CONSOLIDATED))
        return 0;
    if (both)
        return nzd_module_same(first, second);
    first->app = second->app;
    return 1;
}

static void apply_consolidation(struct nzd_inventory *out)
{
    uint32_t kept = 0;

    if (out->module_count < 2)
        return;
    qsort(out->modules, out->module_count, sizeof(*out->modules), by_override);
    for (uint32_t i = 1; i < out->module_count; i++)
        if (!override(&out->modules[kept], &out->modules[i]))
            out->modules[++kept] = out->modules[i];
    out->module_count = kept + 1;
}

int release_choose(struct release_reader *reader, struct nzd_err *err)
{
    struct choice choice = {.reader = reader, .out = reader->out};
    int code;

    choice.named =
        nzd_arena_alloc(&reader->kept, NZD_LIMIT_APPS * sizeof(struct named));
    if (!choice.named)
        return nzd_err_memory(err);
    if (reader->start_erts)
        reader->out->erts = reader->start_erts;
    code = choose_version(&choice, err);
    if (code == 0 && choice.version)
        code = read_version(&choice, err);
    if (code == 0)
        code = choice.named_count > 0 ? choose_release_apps(&choice, err)
                                      : choose_all_apps(&choice, err);
    if (code < 0)
        return code;
    if (!*reader->out->erts && reader->erts_folder)
        reader->out->erts = reader->erts_folder;
    if ((*reader->out->version &&
         !nzd_layout_is_name(nzd_view_text(reader->out->version))) ||
        (*reader->out->erts &&
         !nzd_layout_is_name(nzd_view_text(reader->out->erts))))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: its version, or that of ERTS, cannot be the "
                           "name of a folder",
                           bundle(&choice));
    code = release_choose_erts(reader, err);
    if (code < 0)
        return code;
    drop_others(&choice);
    apply_consolidation(reader->out);
    if (reader->out->module_count == 0)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: no module in it: neither a release nor a "
                           "build's lib/",
                           bundle(&choice));
    code = nzd_inventory_sort(reader->out, err);
    if (code < 0 && err)
        nzd_err_prefix(err, "%s", bundle(&choice));
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "release.h"

#include "limits.h"
#include "spool.h"

#include <stdlib.h>
#include <string.h>

/* All we keep of one bundle; 2000 modules in full detail take 10 MB. */
#define KEPT_BYTES (256u << 20)

int release_blame(const struct release_reader *reader, const char *path,
                  int code, struct nzd_err *err)
{
    if (code == NZD_EINTERNAL && reader->names.refused) {
        nzd_err_clear(err);
        code = nzd_err_set(err, NZD_EBUNDLE,
                           "more than %u different names in all modules",
                           NZD_LIMIT_NAMES);
    }
    if (code < 0 && err)
        nzd_err_prefix(err, "%s: %s", nzd_source_name(reader->source), path);
    return code;
}

/* --- folders and versions --- */

static uint32_t find_folder(const struct release_reader *reader,
                            struct nzd_view folder)
{
    uint32_t last = reader->last_folder;

    if (last < reader->folder_count &&
        nzd_view_equal(nzd_view_text(reader->folders[last].folder), folder))
        return last;
    for (uint32_t i = 0; i < reader->folder_count; i++)
        if (nzd_view_equal(nzd_view_text(reader->folders[i].folder), folder))
            return i;
    return RELEASE_NONE;
}

static int add_folder(struct release_reader *reader,
                      const struct nzd_layout *layout, struct nzd_err *err)
{
    struct release_folder *folder;

    if (reader->folder_count >= NZD_LIMIT_APPS)
        return nzd_err_set(err, NZD_EBUNDLE, "more than %u applications",
                           NZD_LIMIT_APPS);
    if (reader->folder_count == reader->folder_capacity) {
        uint32_t capacity = 2 * reader->folder_capacity + 32;

        folder = realloc(reader->folders, capacity * sizeof(*folder));
        if (!folder)
            return nzd_err_memory(err);
        reader->folders = folder;
        reader->folder_capacity = capacity;
    }
    folder = &reader->folders[reader->folder_count];
    memset(folder, 0, sizeof(*folder));
    folder->folder = release_intern_view(reader, layout->folder);
    folder->app = release_intern_view(reader, layout->app);
    folder->version = layout->kind == NZD_LAYOUT_CONSOLIDATED
                          ? ""
                          : release_intern_view(reader, layout->version);
    if (!folder->folder || !folder->app || !folder->version)
        return nzd_err_memory(err);
    reader->last_folder = reader->folder_count++;
    return 0;
}

int release_folder_of(struct release_reader *reader,
                      const struct nzd_layout *layout, uint32_t *out,
                      struct nzd_err *err)
{
    uint32_t found = find_folder(reader, layout->folder);
    int code = 0;

    if (found == RELEASE_NONE) {
        code = add_folder(reader, layout, err);
        found = reader->last_folder;
    }
    reader->last_folder = found;
    *out = found;
    return code;
}

int release_version_of(struct release_reader *reader, struct nzd_view name,
                       uint32_t *out, struct nzd_err *err)
{
    struct release_version *version;

    for (uint32_t i = 0; i < reader->version_count; i++)
        if (nzd_view_equal(nzd_view_text(reader->versions[i].name), name)) {
            *out = i;
            return 0;
        }
    if (reader->version_count == RELEASE_VERSIONS_MAX)
        return nzd_err_set(err, NZD_EBUNDLE, "more than %u releases in it",
                           RELEASE_VERSIONS_MAX);
    if (!reader->versions)
        reader->versions = calloc(RELEASE_VERSIONS_MAX, sizeof(*version));
    if (!reader->versions)
        return nzd_err_memory(err);
    version = &reader->versions[reader->version_count];
    version->name = release_intern_view(reader, name);
    if (!version->name)
        return nzd_err_memory(err);
    *out = reader->version_count++;
    return 0;
}

/* --- modules --- */

/* What a module's file name says it is called. */
static bool named_after(const char *file, const char *module)
{
    size_t size = strlen(module);

    return strncmp(file, module, size) == 0 &&
           strcmp(file + size, ".beam") == 0;
}

static int remember(uint32_t **list, uint32_t *capacity, uint32_t index,
                    uint32_t from, struct nzd_err *err)
{
    if (index >= *capacity) {
        uint32_t wanted = 2 * index + 64;
        uint32_t *grown = realloc(*list, wanted * sizeof(*grown));

        if (!grown)
            return nzd_err_memory(err);
        *list = grown;
        *capacity = wanted;
    }
    (*list)[index] = from;
    return 0;
}

static int spool_module(struct release_reader *reader,
                        struct nzd_module *module, struct nzd_err *err)
{
    struct nzd_view view = nzd_buf_view(&reader->bytes);
    int code;

    if (!reader->options->spool)
        return 0;
    code = nzd_spool_append(reader->options->spool, view, &module->spool_offset,
                            err);
    module->content = nzd_digest_of(view);
    module->flags |= NZD_MODULE_SPOOLED;
    return code;
}

/* Calls and lambdas, and the bytes: of what the node does not have so. */
static int detail(struct release_reader *reader, struct nzd_module *module,
                  struct nzd_arena *scratch, struct nzd_err *err)
{
    const struct nzd_module *known =
        reader->options->known
            ? nzd_inventory_module(reader->options->known, module->name)
            : NULL;
    struct nzd_beam beam;
    int code;

    if (known && nzd_module_same(known, module))
        return 0;
    code = nzd_beam_read(nzd_buf_view(&reader->bytes),
                         NZD_BEAM_CALLS | NZD_BEAM_FUNS | NZD_BEAM_AGAIN,
                         scratch, &beam, err);
    if (code < 0)
        return code;
    beam.md5 = module->md5;
    module->beam = release_keep_beam(reader, &beam);
    if (!module->beam)
        return nzd_err_memory(err);
    if (reader->out->arena.total > KEPT_BYTES)
        return nzd_err_set(err, NZD_EBUNDLE, "more modules than we take");
    module->flags |= NZD_MODULE_DETAILED;
    return spool_module(reader, module, err);
}

static int detail_module(struct release_reader *reader, uint32_t index,
                         struct nzd_err *err)
{
    struct nzd_arena scratch = {0};
    int code = detail(reader, &reader->out->modules[index], &scratch, err);

    nzd_arena_clear(&scratch);
    return code;
}

static int fill_module(struct release_reader *reader,
                       const struct nzd_layout *layout, const char *path,
                       struct nzd_module *module, struct nzd_err *err)
{
    struct nzd_arena scratch = {0};
    struct nzd_beam beam;
    int code =
        nzd_beam_read(nzd_buf_view(&reader->bytes), 0, &scratch, &beam, err);

    if (code == 0 && !named_after(layout->rest, beam.module))
        code = nzd_err_set(err, NZD_EBUNDLE, "it holds the module %s",
                           beam.module);
    if (code < 0)
        goto out;
    module->name = release_intern(reader, beam.module);
    module->path = release_intern(reader, path + layout->prefix);
    module->bytes = reader->bytes.size;
    module->md5 = beam.md5;
    module->attrs = beam.attrs;
    if (!module->name || !module->path)
        code = nzd_err_memory(err);
out:
    nzd_arena_clear(&scratch);
    return code;
}

/* Where the module comes from, as an index. */
static int origin_of(struct release_reader *reader,
                     const struct nzd_layout *layout, uint32_t *out,
                     struct nzd_err *err)
{
    if (layout->kind == NZD_LAYOUT_MODULE)
        return release_folder_of(reader, layout, out, err);
    *out = RELEASE_NONE;
    if (layout->version.size == 0)
        return 0;
    return release_version_of(reader, layout->version, out, err);
}

static int read_module(struct release_reader *reader,
                       const struct nzd_layout *layout, const char *path,
                       struct nzd_err *err)
{
    struct nzd_module *module;
    uint32_t from = RELEASE_NONE;
    int code = nzd_source_read(reader->source, NZD_LIMIT_MODULE_BYTES,
                               &reader->bytes, err);

    if (code < 0)
        return code;
    if (reader->out->module_count >= NZD_LIMIT_MODULES)
        code = nzd_err_set(err, NZD_EBUNDLE, "more than %u modules",
                           NZD_LIMIT_MODULES);
    else
        code = origin_of(reader, layout, &from, err);
    if (code == 0)
        code = remember(&reader->module_from, &reader->module_from_capacity,
                        reader->out->module_count, from, err);
    module = code == 0 ? nzd_inventory_add_module(reader->out) : NULL;
    if (!module) {
        code = code < 0 ? code : nzd_err_memory(err);
    } else {
        if (layout->kind == NZD_LAYOUT_CONSOLIDATED)
            module->flags = NZD_MODULE_CONSOLIDATED;
        else
            module->app = reader->folders[from].app;
        code = fill_module(reader, layout, path, module, err);
    }
    if (code < 0)
        return release_blame(reader, path, code, err);
    return release_later(reader, path, detail_module,
                         reader->out->module_count - 1, err);
}

/* --- priv --- */

/* The whole content is at hand: what the node does not have so is spooled. */
static int spool_priv(struct release_reader *reader, uint32_t index,
                      struct nzd_err *err)
{
    const struct nzd_inventory *known = reader->options->known;
    struct nzd_file *file = &reader->out->priv[index];
    const struct nzd_file *there =
        known ? nzd_inventory_priv(known, file->app, file->path) : NULL;
    struct nzd_view view = nzd_buf_view(&reader->bytes);
    int code;

    if (!reader->options->spool ||
        (there && nzd_digest_equal(&there->md5, &file->md5)) ||
        reader->spooled + view.size > NZD_LIMIT_PRIV_SPOOL)
        return 0;
    code = nzd_spool_append(reader->options->spool, view, &file->spool_offset,
                            err);
    file->content = nzd_digest_of(view);
    file->spooled = code == 0;
    reader->spooled += view.size;
    return code;
}

/* `whole`: its content stays at hand. */
static int digest_priv(struct release_reader *reader, bool whole,
                       struct nzd_digest *md5, struct nzd_err *err)
{
    struct nzd_view view;
    int code;

    if (!whole)
        return nzd_source_md5(reader->source, md5, err);
    code = nzd_source_read(reader->source, NZD_LIMIT_PRIV_BYTES, &reader->bytes,
                           err);
    view = nzd_buf_view(&reader->bytes);
    if (code == 0)
        *md5 = nzd_md5_of(&view, 1);
    return code;
}

static int read_priv(struct release_reader *reader,
                     const struct nzd_layout *layout,
                     const struct nzd_source_entry *entry, struct nzd_err *err)
{
    bool may_spool = reader->options->spool || reader->options->settle;
    bool whole = may_spool && entry->size <= NZD_LIMIT_PRIV_BYTES;
    struct nzd_file *file;
    struct nzd_digest md5;
    uint32_t from = RELEASE_NONE;
    int code = digest_priv(reader, whole, &md5, err);

    if (code < 0)
        return code;
    code = release_folder_of(reader, layout, &from, err);
    if (code == 0)
        code = remember(&reader->priv_from, &reader->priv_from_capacity,
                        reader->out->priv_count, from, err);
    file = code == 0 ? nzd_inventory_add_priv(reader->out) : NULL;
    if (!file) {
        code = code < 0 ? code : nzd_err_memory(err);
    } else {
        file->app = reader->folders[from].app;
        file->path = release_intern(reader, layout->rest);
        file->size = entry->size;
        file->md5 = md5;
        file->executable = entry->executable;
        if (!file->path)
            code = nzd_err_memory(err);
    }
    if (code < 0 || !whole)
        return release_blame(reader, entry->path, code, err);
    return release_later(reader, entry->path, spool_priv,
                         reader->out->priv_count - 1, err);
}

/* --- one pass --- */

/* All that counts lies below one folder, or below none. */
static int check_prefix(struct release_reader *reader,
                        const struct nzd_layout *layout, const char *path,
                        struct nzd_err *err)
{
    struct nzd_view prefix = nzd_view_of(path, layout->prefix);

    if (!reader->prefix) {
        reader->prefix = release_intern_view(reader, prefix);
        return reader->prefix ? 0 : nzd_err_memory(err);
    }
    if (nzd_view_equal(nzd_view_text(reader->prefix), prefix))
        return 0;
    return nzd_err_set(
        err, NZD_EBUNDLE, "%s: a second release beside the one in %s: %s",
        nzd_source_name(reader->source),
        *reader->prefix ? reader->prefix : "its top folder", path);
}

static int read_entry(struct release_reader *reader,
                      const struct nzd_source_entry *entry, struct nzd_err *err)
{
    struct nzd_layout layout;
    int code = 0;

    nzd_layout_of(entry->path, &layout);
    if (layout.kind != NZD_LAYOUT_OTHER)
        code = check_prefix(reader, &layout, entry->path, err);
    if (code < 0)
        return code;
    switch (layout.kind) {
    case NZD_LAYOUT_MODULE:
    case NZD_LAYOUT_CONSOLIDATED:
        return read_module(reader, &layout, entry->path, err);
    case NZD_LAYOUT_APPLICATION:
        return release_read_application(reader, &layout, entry->path, err);
    case NZD_LAYOUT_APPUP:
        return release_read_appup(reader, &layout, entry->path, err);
    case NZD_LAYOUT_PRIV:
        return read_priv(reader, &layout, entry, err);
    case NZD_LAYOUT_RELEASE:
        return release_read_file(reader, &layout, entry->path, err);
    case NZD_LAYOUT_START_ERL:
        return release_read_start_erl(reader, entry->path, err);
    case NZD_LAYOUT_HOOKS:
        return release_read_hooks(reader, entry->path, err);
    case NZD_LAYOUT_ERTS:
        code = release_settle(reader, err);
        return code ? code : release_read_erts(reader, &layout, entry, err);
    case NZD_LAYOUT_OTHER:
        break;
    }
    return 0;
}

static void tell(const struct release_reader *reader, unsigned per_mille)
{
    if (reader->options->progress)
        reader->options->progress(reader->options->context, per_mille);
}

static int read_all(struct release_reader *reader, struct nzd_err *err)
{
    struct nzd_source_entry entry;
    unsigned told = 0;
    int code;

    while ((code = nzd_source_next(reader->source, &entry, err)) > 0) {
        unsigned now = nzd_source_progress(reader->source);

        code = read_entry(reader, &entry, err);
        if (code < 0)
            break;
        if (now > told)
            tell(reader, told = now);
    }
    if (code == 0)
        code = release_settle(reader, err);
    if (code == 0 && told < 1000)
        tell(reader, 1000);
    return code;
}

int nzd_release_read(struct nzd_source *source,
                     const struct nzd_release_options *options,
                     struct nzd_inventory *out, struct nzd_err *err)
{
    static const struct nzd_release_options none;
    struct release_reader reader = {
        .source = source, .options = options ? options : &none, .out = out};
    int code;

    nzd_inventory_init(out);
    code = read_all(&reader, err);
    if (code == 0)
        code = release_choose(&reader, err);
    if (code < 0)
        nzd_inventory_clear(out);
    release_forget_later(&reader);
    nzd_arena_clear(&reader.kept);
    nzd_buf_clear(&reader.bytes);
    free(reader.folders);
    free(reader.versions);
    free(reader.module_from);
    free(reader.priv_from);
    nzd_names_clear(&reader.names);
    return code;
}

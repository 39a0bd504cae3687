/* SPDX-License-Identifier: Apache-2.0 */
#include "release.h"

#include "limits.h"
#include "spool.h"

#include <stdlib.h>
#include <string.h>

/* Texts of all versions and applications together, and all we keep of one
 * bundle. A release of 50 applications has 0.3 MB of texts; 2000 modules in
 * full detail take 10 MB. */
#define KEPT_TEXT_BYTES (16u << 20)
#define KEPT_BYTES      (256u << 20)

int release_blame(const struct release_reader *reader, const char *path,
                  int code, struct nzd_err *err)
{
    if (code < 0 && err)
        nzd_err_prefix(err, "%s: %s", nzd_source_name(reader->source), path);
    return code;
}

static bool is_named(const char *file, const char *name)
{
    return strcmp(file, name) == 0;
}

static bool has_suffix(const char *file, const char *suffix)
{
    size_t size = strlen(file);
    size_t tail = strlen(suffix);

    return size > tail && strcmp(file + size - tail, suffix) == 0;
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

static int folder_of(struct release_reader *reader,
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

static int version_of(struct release_reader *reader, struct nzd_view name,
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
                         NZD_BEAM_CALLS | NZD_BEAM_FUNS, scratch, &beam, err);
    if (code < 0)
        return code;
    module->beam = release_keep_beam(reader, &beam);
    if (!module->beam)
        return nzd_err_memory(err);
    if (reader->out->arena.total > KEPT_BYTES)
        return nzd_err_set(err, NZD_EBUNDLE, "more modules than we take");
    module->flags |= NZD_MODULE_DETAILED;
    return spool_module(reader, module, err);
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
    else
        code = detail(reader, module, &scratch, err);
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
        return folder_of(reader, layout, out, err);
    *out = RELEASE_NONE;
    if (layout->version.size == 0)
        return 0;
    return version_of(reader, layout->version, out, err);
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
    return release_blame(reader, path, code, err);
}

/* --- texts --- */

/* The current file's content, kept until the choice is made. */
static int keep_text(struct release_reader *reader, const char *path,
                     struct nzd_view *out, struct nzd_err *err)
{
    char *copy;
    int code = nzd_source_read(reader->source, NZD_LIMIT_TEXT_BYTES,
                               &reader->bytes, err);

    if (code < 0)
        return code;
    reader->kept_bytes += reader->bytes.size;
    if (reader->kept_bytes > KEPT_TEXT_BYTES) {
        code = nzd_err_set(err, NZD_EBUNDLE,
                           "the bundle's texts are more than %u bytes",
                           KEPT_TEXT_BYTES);
        return release_blame(reader, path, code, err);
    }
    copy = nzd_arena_text(&reader->kept, (const char *)reader->bytes.data,
                          reader->bytes.size);
    if (!copy)
        return nzd_err_memory(err);
    *out = nzd_view_of(copy, reader->bytes.size);
    return 0;
}

static bool is_spec(const struct nzd_term *terms, const char *app)
{
    const struct nzd_term *spec = nzd_term_at(terms, 0);

    return nzd_term_length(terms) == 1 &&
           nzd_term_is_tagged(spec, "application", 3) &&
           nzd_term_is_atom(nzd_term_at(spec, 1), app) &&
           (nzd_term_at(spec, 2)->kind == NZD_TERM_LIST);
}

static int parse_spec(struct release_reader *reader,
                      struct release_folder *folder, struct nzd_err *err)
{
    struct nzd_arena scratch = {0};
    const struct nzd_term *terms = NULL;
    int code =
        nzd_term_parse(nzd_buf_view(&reader->bytes), &scratch, &terms, err);

    if (code == 0 && !is_spec(terms, folder->app))
        code =
            nzd_err_set(err, NZD_EBUNDLE,
                        "not one {application, %s, [...]} term", folder->app);
    if (code == 0) {
        folder->spec =
            release_copy_term(nzd_term_at(terms, 0), &reader->out->arena);
        if (!folder->spec)
            code = nzd_err_memory(err);
    }
    nzd_arena_clear(&scratch);
    return code;
}

static int read_application(struct release_reader *reader,
                            const struct nzd_layout *layout, const char *path,
                            struct nzd_err *err)
{
    struct nzd_view text;
    uint32_t from = RELEASE_NONE;
    int code = folder_of(reader, layout, &from, err);

    if (code < 0)
        return release_blame(reader, path, code, err);
    /* Some ebin folders hold a second .app, which no one asks for. */
    if (strlen(layout->rest) != layout->app.size + strlen(".app") ||
        memcmp(layout->rest, layout->app.data, layout->app.size) != 0)
        return 0;
    code = keep_text(reader, path, &text, err);
    if (code < 0)
        return code;
    code = parse_spec(reader, &reader->folders[from], err);
    return release_blame(reader, path, code, err);
}

static int read_priv(struct release_reader *reader,
                     const struct nzd_layout *layout,
                     const struct nzd_source_entry *entry, struct nzd_err *err)
{
    struct nzd_file *file;
    struct nzd_digest md5;
    uint32_t from = RELEASE_NONE;
    int code = nzd_source_md5(reader->source, &md5, err);

    if (code < 0)
        return code;
    code = folder_of(reader, layout, &from, err);
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
        if (!file->path)
            code = nzd_err_memory(err);
    }
    return release_blame(reader, entry->path, code, err);
}

/* --- files of a release --- */

/* Which of several boot scripts starts the release: Nerves boots shoehorn's,
 * all others start.boot or one with the release's name. 0: none of them. */
static int boot_rank(const char *file)
{
    if (!has_suffix(file, ".boot") || is_named(file, "start_clean.boot") ||
        is_named(file, "no_dot_erlang.boot") ||
        is_named(file, "start_sasl.boot"))
        return 0;
    return is_named(file, "shoehorn.boot") ? 3
           : is_named(file, "start.boot")  ? 2
                                           : 1;
}

/* Does `file` replace what is already kept, of this rank or by name? */
static bool is_better(const char *file, int rank, const char *kept,
                      int kept_rank)
{
    return rank > 0 && (!kept || rank > kept_rank ||
                        (rank == kept_rank && strcmp(file, kept) < 0));
}

static int src_rank(const char *file, const char *name)
{
    size_t size = strlen(name);

    if (strncmp(file, name, size) != 0)
        return 0;
    return !file[size] ? 2 : is_named(file + size, ".src") ? 1 : 0;
}

static int rel_rank(const char *file)
{
    return has_suffix(file, ".rel") && strncmp(file, "start_clean", 11) != 0 &&
                   strncmp(file, "no_dot_erlang", 13) != 0
               ? 1
               : 0;
}

/* The place for this file's content, NULL when it says nothing to us. */
static struct nzd_view *place_of(struct release_version *version,
                                 const char *file, const char ***name)
{
    int rank;

    *name = NULL;
    if (is_named(file, "runtime.exs"))
        return &version->runtime_config;
    if (is_named(file, "env.sh"))
        return &version->env_script;
    if ((rank = boot_rank(file)) > 0) {
        *name = &version->boot_name;
        return is_better(file, rank, **name, **name ? boot_rank(**name) : 0)
                   ? &version->boot
                   : NULL;
    }
    if ((rank = rel_rank(file)) > 0) {
        *name = &version->rel_name;
        return is_better(file, rank, **name, 1) ? &version->rel : NULL;
    }
    if ((rank = src_rank(file, "sys.config")) > 0) {
        *name = &version->sys_config_name;
        return is_better(file, rank, **name,
                         **name ? src_rank(**name, "sys.config") : 0)
                   ? &version->sys_config
                   : NULL;
    }
    if ((rank = src_rank(file, "vm.args")) > 0) {
        *name = &version->vm_args_name;
        return is_better(file, rank, **name,
                         **name ? src_rank(**name, "vm.args") : 0)
                   ? &version->vm_args
                   : NULL;
    }
    return NULL;
}

static int read_release(struct release_reader *reader,
                        const struct nzd_layout *layout, const char *path,
                        struct nzd_err *err)
{
    struct release_version *version;
    struct nzd_view *place;
    const char **name;
    uint32_t index = 0;
    int code = version_of(reader, layout->version, &index, err);

    if (code < 0)
        return release_blame(reader, path, code, err);
    version = &reader->versions[index];
    place = place_of(version, layout->rest, &name);
    if (!place)
        return 0;
    code = keep_text(reader, path, place, err);
    if (code == 0 && name) {
        *name = release_intern(reader, layout->rest);
        if (!*name)
            code = nzd_err_memory(err);
    }
    return code;
}

/* "13.1.5 0.1.0" */
static int read_start_erl(struct release_reader *reader, const char *path,
                          struct nzd_err *err)
{
    struct nzd_view text = {NULL, 0};
    const char *erts, *version;
    size_t erts_size, version_size;
    int code = keep_text(reader, path, &text, err);

    if (code < 0 || !text.data)
        return code;
    erts = (const char *)text.data + strspn((const char *)text.data, " \t\r\n");
    erts_size = strcspn(erts, " \t\r\n");
    version = erts + erts_size + strspn(erts + erts_size, " \t\r\n");
    version_size = strcspn(version, " \t\r\n");
    if (erts_size == 0 || version_size == 0)
        return release_blame(
            reader, path,
            nzd_err_set(err, NZD_EBUNDLE, "not \"ERTS-VERSION VERSION\""), err);
    reader->start_erts =
        release_intern_view(reader, nzd_view_of(erts, erts_size));
    reader->start_version =
        release_intern_view(reader, nzd_view_of(version, version_size));
    if (!reader->start_erts || !reader->start_version)
        return nzd_err_memory(err);
    return 0;
}

static int read_hooks(struct release_reader *reader, const char *path,
                      struct nzd_err *err)
{
    struct nzd_view text = {NULL, 0};
    char *copy;
    int code = keep_text(reader, path, &text, err);

    if (code < 0 || !text.data)
        return code;
    copy =
        nzd_arena_text(&reader->out->arena, (const char *)text.data, text.size);
    if (!copy)
        return nzd_err_memory(err);
    reader->out->hooks = nzd_view_of(copy, text.size);
    return 0;
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
        return read_application(reader, &layout, entry->path, err);
    case NZD_LAYOUT_PRIV:
        return read_priv(reader, &layout, entry, err);
    case NZD_LAYOUT_RELEASE:
        return read_release(reader, &layout, entry->path, err);
    case NZD_LAYOUT_START_ERL:
        return read_start_erl(reader, entry->path, err);
    case NZD_LAYOUT_HOOKS:
        return read_hooks(reader, entry->path, err);
    case NZD_LAYOUT_ERTS:
        if (!reader->erts_folder)
            reader->erts_folder = release_intern_view(reader, layout.version);
        return reader->erts_folder ? 0 : nzd_err_memory(err);
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
    nzd_arena_clear(&reader.kept);
    nzd_buf_clear(&reader.bytes);
    free(reader.folders);
    free(reader.versions);
    free(reader.module_from);
    free(reader.priv_from);
    free(reader.interned);
    return code;
}

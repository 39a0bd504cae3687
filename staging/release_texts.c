/* SPDX-License-Identifier: Apache-2.0 */
#include "appup.h"
#include "limits.h"
#include "release.h"

#include <string.h>

/* Of all versions and applications together; a release of 50 applications
 * has 0.3 MB. */
#define KEPT_TEXT_BYTES (16u << 20)

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

static bool is_spec(const struct nzd_term *spec, const char *app)
{
    return nzd_term_is_tagged(spec, "application", 3) &&
           nzd_term_is_atom(nzd_term_at(spec, 1), app) &&
           nzd_term_at(spec, 2)->kind == NZD_TERM_LIST;
}

/* The only term of the current file, copied. */
static int parse_one(struct release_reader *reader, const struct nzd_term **out,
                     struct nzd_err *err)
{
    struct nzd_arena scratch = {0};
    const struct nzd_term *terms = NULL;
    int code =
        nzd_term_parse(nzd_buf_view(&reader->bytes), &scratch, &terms, err);

    if (code == 0 && nzd_term_length(terms) != 1)
        code = nzd_err_set(err, NZD_EBUNDLE, "not one term");
    if (code == 0) {
        *out = release_copy_term(nzd_term_at(terms, 0), &reader->out->arena);
        if (!*out)
            code = nzd_err_memory(err);
    }
    nzd_arena_clear(&scratch);
    return code;
}

static int parse_spec(struct release_reader *reader,
                      struct release_folder *folder, struct nzd_err *err)
{
    const struct nzd_term *spec = NULL;
    int code = parse_one(reader, &spec, err);

    if (code == 0 && !is_spec(spec, folder->app))
        code =
            nzd_err_set(err, NZD_EBUNDLE,
                        "not one {application, %s, [...]} term", folder->app);
    if (code == 0)
        folder->spec = spec;
    return code;
}

static int parse_appup(struct release_reader *reader,
                       struct release_folder *folder, struct nzd_err *err)
{
    const struct nzd_term *appup = NULL;
    int code = parse_one(reader, &appup, err);

    if (code == 0 && !nzd_appup_is(appup))
        code = nzd_err_set(err, NZD_EBUNDLE,
                           "not one {Version, [...], [...]} term");
    if (code == 0)
        folder->appup = appup;
    return code;
}

typedef int parse_fn(struct release_reader *reader,
                     struct release_folder *folder, struct nzd_err *err);

/* A file of the application's own name. */
static int read_own(struct release_reader *reader,
                    const struct nzd_layout *layout, const char *path,
                    const char *suffix, parse_fn *parse, struct nzd_err *err)
{
    struct nzd_view text;
    uint32_t from = RELEASE_NONE;
    int code = release_folder_of(reader, layout, &from, err);

    if (code < 0)
        return release_blame(reader, path, code, err);
    /* Some ebin folders hold a second .app, which no one asks for. */
    if (strlen(layout->rest) != layout->app.size + strlen(suffix) ||
        memcmp(layout->rest, layout->app.data, layout->app.size) != 0)
        return 0;
    code = keep_text(reader, path, &text, err);
    if (code < 0)
        return code;
    code = parse(reader, &reader->folders[from], err);
    return release_blame(reader, path, code, err);
}

int release_read_application(struct release_reader *reader,
                             const struct nzd_layout *layout, const char *path,
                             struct nzd_err *err)
{
    return read_own(reader, layout, path, ".app", parse_spec, err);
}

int release_read_appup(struct release_reader *reader,
                       const struct nzd_layout *layout, const char *path,
                       struct nzd_err *err)
{
    return read_own(reader, layout, path, ".appup", parse_appup, err);
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
    if (is_named(file, "relup"))
        return &version->relup;
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

int release_read_file(struct release_reader *reader,
                      const struct nzd_layout *layout, const char *path,
                      struct nzd_err *err)
{
    struct release_version *version;
    struct nzd_view *place;
    const char **name;
    uint32_t index = 0;
    int code = release_version_of(reader, layout->version, &index, err);

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
int release_read_start_erl(struct release_reader *reader, const char *path,
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

int release_read_hooks(struct release_reader *reader, const char *path,
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

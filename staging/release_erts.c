/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"
#include "release.h"
#include "spool.h"

#include <string.h>

/*
 * The emulator of a release and the programs around it, erts-VSN/bin. Read
 * only where the version is not the node's; each program must be whole, as
 * nothing would start without it.
 */

/* A VM that lacks one of these does not start. */
static const char *const needed[] = {"bin/beam.smp", "bin/erlexec",
                                     "bin/erl_child_setup"};

static bool is_wanted(const struct release_reader *reader,
                      const struct nzd_layout *layout,
                      const struct nzd_source_entry *entry)
{
    const struct nzd_inventory *known = reader->options->known;

    if (strncmp(layout->rest, "bin/", 4) != 0 ||
        entry->size > NZD_LIMIT_PRIV_BYTES ||
        reader->spooled + entry->size > NZD_LIMIT_PRIV_SPOOL)
        return false;
    return !known ||
           !nzd_view_equal(nzd_view_text(known->erts), layout->version);
}

static int check_program(struct release_reader *reader, const char *path,
                         struct nzd_err *err)
{
    struct nzd_elf elf;
    struct nzd_err why = NZD_ERR_INIT;
    int code = nzd_elf_read(nzd_buf_view(&reader->bytes), &elf, &why);

    if (code == NZD_EBUNDLE) {
        if (err)
            *err = why;
        return code;
    }
    if (code == 0 && strcmp(path, needed[0]) == 0)
        memcpy(reader->out->machine, elf.machine, sizeof(elf.machine));
    return 0;
}

static int spool(struct release_reader *reader, struct nzd_file *file,
                 struct nzd_err *err)
{
    struct nzd_view view = nzd_buf_view(&reader->bytes);
    int code;

    file->md5 = file->content = nzd_digest_of(view);
    file->size = view.size;
    reader->spooled += view.size;
    if (!reader->options->spool)
        return 0;
    code = nzd_spool_append(reader->options->spool, view, &file->spool_offset,
                            err);
    file->spooled = code == 0;
    return code;
}

static int read_file(struct release_reader *reader,
                     const struct nzd_layout *layout, const char *version,
                     struct nzd_err *err)
{
    struct nzd_file *file;
    int code = nzd_source_read(reader->source, NZD_LIMIT_PRIV_BYTES,
                               &reader->bytes, err);

    if (code == 0)
        code = check_program(reader, layout->rest, err);
    if (code < 0)
        return code;
    file = nzd_inventory_add_runtime(reader->out);
    if (!file)
        return nzd_err_memory(err);
    file->app = version;
    file->path = release_intern(reader, layout->rest);
    file->executable = true;
    return file->path ? spool(reader, file, err) : nzd_err_memory(err);
}

int release_read_erts(struct release_reader *reader,
                      const struct nzd_layout *layout,
                      const struct nzd_source_entry *entry, struct nzd_err *err)
{
    const char *version = release_intern_view(reader, layout->version);

    if (!version)
        return nzd_err_memory(err);
    if (!reader->erts_folder)
        reader->erts_folder = version;
    if (!is_wanted(reader, layout, entry))
        return 0;
    return release_blame(reader, entry->path,
                         read_file(reader, layout, version, err), err);
}

/* --- which of them counts --- */

static void drop_others(struct nzd_inventory *out)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < out->runtime_count; i++)
        if (strcmp(out->runtime[i].app, out->erts) == 0)
            out->runtime[kept++] = out->runtime[i];
    out->runtime_count = kept;
}

static bool has(const struct nzd_inventory *out, const char *path)
{
    for (uint32_t i = 0; i < out->runtime_count; i++)
        if (strcmp(out->runtime[i].path, path) == 0)
            return true;
    return false;
}

int release_choose_erts(struct release_reader *reader, struct nzd_err *err)
{
    struct nzd_inventory *out = reader->out;
    const char *lack = NULL;

    drop_others(out);
    for (size_t i = 0; i < sizeof(needed) / sizeof(*needed) && !lack; i++)
        if (!has(out, needed[i]))
            lack = needed[i];
    if (!lack)
        return 0;
    out->erts_lack = out->runtime_count
                         ? nzd_arena_printf(&out->arena, "erts-%s/ lacks %s",
                                            out->erts, lack)
                         : "releases/start_erl.data";
    return out->erts_lack ? 0 : nzd_err_memory(err);
}

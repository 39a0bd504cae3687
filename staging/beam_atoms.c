/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_atoms.h"

#include "limits.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

static int atoms_refuse(struct nzd_err *err, const char *what)
{
    return nzd_chunk_refuse(err, NZD_CHUNK_ATOMS, what);
}

/* Before OTP 28 each length is one byte; a negative number of atoms says
 * that it is a compact term. */
static struct nzd_view atom_read(struct nzd_reader *reader, bool compact)
{
    enum nzd_compact_tag tag = NZD_COMPACT_U;
    uint64_t size =
        compact ? nzd_read_compact(reader, &tag) : nzd_read_u8(reader);

    if (tag != NZD_COMPACT_U || size > reader->left)
        reader->failed = true;
    return nzd_read_bytes(reader, reader->failed ? 0 : (size_t)size);
}

int nzd_atoms_read(struct nzd_view chunk, bool all, struct nzd_atoms *atoms,
                   struct nzd_err *err)
{
    struct nzd_reader reader;
    uint32_t count;

    nzd_reader_init(&reader, chunk);
    count = nzd_read_u32(&reader);
    atoms->compact = count > INT32_MAX;
    if (atoms->compact)
        count = 0 - count;
    if (count == 0 || count > NZD_LIMIT_BEAM_ATOMS || count > reader.left)
        return atoms_refuse(err, "a wrong number of atoms");
    atoms->count = all ? count : 1;
    atoms->views = calloc(atoms->count, sizeof(*atoms->views));
    atoms->names = calloc(atoms->count, sizeof(const char *));
    if (!atoms->views || !atoms->names)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < atoms->count && !reader.failed; i++)
        atoms->views[i] = atom_read(&reader, atoms->compact);
    if (reader.failed)
        return atoms_refuse(err, "cut short");
    if (all && reader.left > 0)
        return atoms_refuse(err, "bytes after its end");
    return 0;
}

static int name_make(struct nzd_atoms *atoms, struct nzd_view view,
                     const char **out, struct nzd_err *err)
{
    size_t count;

    if (!nzd_utf8_count(view, &count) || count > NZD_LIMIT_ATOM_CHARS ||
        (view.size > 0 && memchr(view.data, 0, view.size)))
        return atoms_refuse(err, "an atom that is no name");
    *out = nzd_arena_text(atoms->arena, (const char *)view.data, view.size);
    return *out ? 0 : nzd_err_memory(err);
}

int nzd_atoms_name(struct nzd_atoms *atoms, uint64_t index,
                   enum nzd_chunk chunk, const char **out, struct nzd_err *err)
{
    int rc = 0;

    if (index == 0 || index > atoms->count)
        return nzd_chunk_refuse(err, chunk, "an atom that is not there");
    index--;
    if (!atoms->names[index])
        rc = name_make(atoms, atoms->views[index], &atoms->names[index], err);
    *out = atoms->names[index];
    return rc;
}

void nzd_atoms_clear(struct nzd_atoms *atoms)
{
    free(atoms->views);
    free(atoms->names);
}

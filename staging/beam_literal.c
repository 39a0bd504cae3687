/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_literal.h"

#include "inflate.h"
#include "limits.h"
#include "term_tags.h"

#include <stdlib.h>
#include <string.h>

struct nzd_literals {
    struct nzd_arena arena;
    struct nzd_buf table;
    struct nzd_view *views;
    uint32_t count;
    struct nzd_beam_function *found; /* by the last question */
    uint32_t found_count;
};

static int refuse(struct nzd_err *err, const char *what)
{
    return nzd_chunk_refuse(err, NZD_CHUNK_LITERALS, what);
}

void nzd_literals_close(struct nzd_literals *literals)
{
    if (!literals)
        return;
    nzd_arena_clear(&literals->arena);
    nzd_buf_clear(&literals->table);
    free(literals->views);
    free(literals);
}

/* A size of zero says that what follows is not deflated. */
static int table_read(struct nzd_view chunk, struct nzd_buf *table,
                      struct nzd_err *err)
{
    struct nzd_reader reader;
    uint32_t size;

    nzd_reader_init(&reader, chunk);
    size = nzd_read_u32(&reader);
    if (reader.failed || size > NZD_LIMIT_MODULE_BYTES)
        return refuse(err, "a wrong size");
    if (size == 0)
        nzd_buf_bytes(table, reader.data, reader.left);
    else if (nzd_inflate(nzd_view_of(reader.data, reader.left), size, table,
                         err))
        return refuse(err, "cannot be inflated");
    return table->failed ? nzd_err_memory(err) : 0;
}

static int entries_read(struct nzd_literals *literals, struct nzd_err *err)
{
    struct nzd_reader reader;

    nzd_reader_init(&reader, nzd_buf_view(&literals->table));
    literals->count = nzd_read_u32(&reader);
    if (reader.failed || literals->count > reader.left)
        return refuse(err, "a wrong number of entries");
    literals->views = calloc(literals->count + 1u, sizeof(struct nzd_view));
    if (!literals->views)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < literals->count; i++)
        literals->views[i] = nzd_read_block(&reader, reader.left);
    return reader.failed ? refuse(err, "cut short") : 0;
}

int nzd_literals_open(struct nzd_view chunk, struct nzd_literals **out,
                      struct nzd_err *err)
{
    struct nzd_literals *literals = calloc(1, sizeof(*literals));
    int rc = 0;

    *out = NULL;
    if (!literals)
        return nzd_err_memory(err);
    if (chunk.size > 0)
        rc = table_read(chunk, &literals->table, err);
    if (rc == 0 && chunk.size > 0)
        rc = entries_read(literals, err);
    if (rc)
        nzd_literals_close(literals);
    else
        *out = literals;
    return rc;
}

uint32_t nzd_literals_count(const struct nzd_literals *literals)
{
    return literals->count;
}

/* --- funs --------------------------------------------------------------- */

static const char *atom_read(struct nzd_reader *reader, struct nzd_arena *arena)
{
    uint8_t tag = nzd_read_u8(reader);
    size_t size = 0;
    struct nzd_view name;

    if (tag == NZD_TAG_SMALL_ATOM_UTF8)
        size = nzd_read_u8(reader);
    else if (tag == NZD_TAG_ATOM_UTF8 || tag == NZD_TAG_ATOM_LATIN1)
        size = nzd_read_u16(reader);
    else
        reader->failed = true;
    name = nzd_read_bytes(reader, size);
    return nzd_arena_text(arena, (const char *)name.data, name.size);
}

static int take_fun(struct nzd_literals *literals, struct nzd_view bytes,
                    struct nzd_err *err)
{
    struct nzd_beam_function fun;
    struct nzd_reader reader;

    nzd_reader_init(&reader, bytes);
    if (nzd_read_u8(&reader) != NZD_TAG_EXPORT)
        return 0;
    fun.module = atom_read(&reader, &literals->arena);
    fun.name = atom_read(&reader, &literals->arena);
    if (nzd_read_u8(&reader) != NZD_TAG_SMALL_INTEGER)
        reader.failed = true;
    fun.arity = nzd_read_u8(&reader);
    if (reader.failed)
        return refuse(err, "a fun that does not hold");
    if (!fun.module || !fun.name)
        return nzd_err_memory(err);
    literals->found[literals->found_count++] = fun;
    return 0;
}

static uint32_t count_funs(const struct nzd_term *term)
{
    uint32_t count = term->kind == NZD_TERM_OTHER;

    if (term->kind != NZD_TERM_TUPLE && term->kind != NZD_TERM_LIST &&
        term->kind != NZD_TERM_MAP)
        return count;
    for (uint32_t i = 0; i < term->count; i++)
        count += count_funs(term->children[i]);
    if (term->kind == NZD_TERM_LIST && term->tail)
        count += count_funs(term->tail);
    return count;
}

static int take_funs(struct nzd_literals *literals, const struct nzd_term *term,
                     struct nzd_err *err)
{
    int rc = 0;

    if (term->kind == NZD_TERM_OTHER)
        return take_fun(literals, term->text, err);
    if (term->kind != NZD_TERM_TUPLE && term->kind != NZD_TERM_LIST &&
        term->kind != NZD_TERM_MAP)
        return 0;
    for (uint32_t i = 0; rc == 0 && i < term->count; i++)
        rc = take_funs(literals, term->children[i], err);
    if (rc == 0 && term->kind == NZD_TERM_LIST && term->tail)
        rc = take_funs(literals, term->tail, err);
    return rc;
}

int nzd_literals_term(struct nzd_literals *literals, uint64_t index,
                      struct nzd_arena *arena, const struct nzd_term **out,
                      struct nzd_err *err)
{
    *out = NULL;
    if (index >= literals->count || literals->views[index].size == 0)
        return 0;
    return nzd_term_decode(literals->views[index], arena, out, err);
}

int nzd_literals_funs(struct nzd_literals *literals, uint32_t index,
                      const struct nzd_beam_function **funs, uint32_t *count,
                      struct nzd_err *err)
{
    struct nzd_arena terms = {0};
    const struct nzd_term *term = NULL;
    struct nzd_view view = {0};
    int rc;

    *count = 0;
    if (index < literals->count)
        view = literals->views[index];
    /* No byte that a fun begins with, no fun. */
    if (view.size == 0 || !memchr(view.data, NZD_TAG_EXPORT, view.size))
        return 0;
    rc = nzd_term_decode(view, &terms, &term, err);
    if (rc == 0) {
        literals->found_count = 0;
        literals->found =
            nzd_arena_alloc(&literals->arena,
                            (count_funs(term) + 1) * sizeof(*literals->found));
        rc = literals->found ? take_funs(literals, term, err)
                             : nzd_err_memory(err);
    }
    if (rc == 0) {
        *funs = literals->found;
        *count = literals->found_count;
    }
    nzd_arena_clear(&terms);
    return rc;
}

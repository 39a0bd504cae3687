/* SPDX-License-Identifier: Apache-2.0 */
#include "beam.h"

#include "beam_atoms.h"
#include "beam_code.h"
#include "beam_literal.h"
#include "inflate.h"
#include "limits.h"
#include "term_build.h"

#include <string.h>

#define MOST_ARITY    255
#define FUNCTION_SIZE 12 /* bytes in ExpT and ImpT */
#define LAMBDA_SIZE   24 /* bytes in FunT */

/* --- tables: a count, then entries of a fixed size --- */

struct table {
    struct nzd_reader reader;
    uint32_t count;
    void *entries;
};

static int table_begin(struct nzd_view chunk, enum nzd_chunk id,
                       size_t size_in_file, size_t size, struct table *table,
                       struct nzd_arena *arena, struct nzd_err *err)
{
    nzd_reader_init(&table->reader, chunk);
    table->count = nzd_read_u32(&table->reader);
    if (table->count > NZD_LIMIT_BEAM_ENTRIES ||
        table->reader.left != table->count * size_in_file)
        return nzd_chunk_refuse(err, id, "a wrong number of entries");
    table->entries = nzd_arena_alloc(arena, table->count * size);
    return table->entries ? 0 : nzd_err_memory(err);
}

/* An import is two atoms and an arity, an export an atom, an arity and a
 * label. */
static int function_read(struct nzd_reader *reader, enum nzd_chunk id,
                         struct nzd_atoms *atoms,
                         struct nzd_beam_function *function,
                         struct nzd_err *err)
{
    bool import = id == NZD_CHUNK_IMPORTS;
    int rc = import ? nzd_atoms_name(atoms, nzd_read_u32(reader), id,
                                     &function->module, err)
                    : 0;

    if (rc == 0)
        rc = nzd_atoms_name(atoms, nzd_read_u32(reader), id, &function->name,
                            err);
    function->arity = nzd_read_u32(reader);
    if (!import)
        (void)nzd_read_u32(reader);
    if (rc == 0 && function->arity > MOST_ARITY)
        rc = nzd_chunk_refuse(err, id, "too high an arity");
    return rc;
}

static int functions_read(struct nzd_view chunk, enum nzd_chunk id,
                          struct nzd_atoms *atoms, struct table *table,
                          struct nzd_err *err)
{
    struct nzd_beam_function *functions;
    int rc = table_begin(chunk, id, FUNCTION_SIZE, sizeof(*functions), table,
                         atoms->arena, err);

    functions = table->entries;
    for (uint32_t i = 0; rc == 0 && i < table->count; i++)
        rc = function_read(&table->reader, id, atoms, &functions[i], err);
    return rc;
}

static int lambda_read(struct nzd_reader *reader, struct nzd_atoms *atoms,
                       struct nzd_beam_lambda *lambda, struct nzd_err *err)
{
    uint32_t name = nzd_read_u32(reader);
    uint32_t arity = nzd_read_u32(reader);

    (void)nzd_read_u32(reader); /* its label */
    lambda->index = nzd_read_u32(reader);
    lambda->free_count = nzd_read_u32(reader);
    lambda->old_uniq = nzd_read_u32(reader);
    if (arity > MOST_ARITY || lambda->free_count > arity)
        return nzd_chunk_refuse(err, NZD_CHUNK_LAMBDAS, "too high an arity");
    lambda->arity = arity - lambda->free_count;
    return nzd_atoms_name(atoms, name, NZD_CHUNK_LAMBDAS, &lambda->name, err);
}

static int lambdas_read(struct nzd_view chunk, struct nzd_atoms *atoms,
                        struct nzd_beam *beam, struct nzd_err *err)
{
    struct nzd_beam_lambda *lambdas;
    struct table table;
    int rc;

    if (chunk.size == 0)
        return 0;
    rc = table_begin(chunk, NZD_CHUNK_LAMBDAS, LAMBDA_SIZE, sizeof(*lambdas),
                     &table, atoms->arena, err);
    if (rc)
        return rc;
    lambdas = table.entries;
    for (uint32_t i = 0; rc == 0 && i < table.count; i++)
        rc = lambda_read(&table.reader, atoms, &lambdas[i], err);
    beam->lambdas = lambdas;
    beam->lambda_count = table.count;
    return rc;
}

/* --- terms --- */

static int attributes_read(struct nzd_view chunk, struct nzd_arena *arena,
                           struct nzd_beam *beam, struct nzd_err *err)
{
    const char *copy;

    beam->attributes = nzd_term_nil();
    if (chunk.size > 0) {
        copy = nzd_arena_text(arena, (const char *)chunk.data, chunk.size);
        if (!copy)
            return nzd_err_memory(err);
        if (nzd_term_decode(nzd_view_of(copy, chunk.size), arena,
                            &beam->attributes, err))
            return nzd_err_prefix(err, "chunk Attr");
    }
    if (beam->attributes->kind != NZD_TERM_LIST)
        return nzd_chunk_refuse(err, NZD_CHUNK_ATTRIBUTES, "not a list");
    beam->attrs = nzd_term_digest(beam->attributes);
    return nzd_digest_is_zero(&beam->attrs) ? nzd_err_memory(err) : 0;
}

static int compiler_read(struct nzd_view chunk, struct nzd_arena *arena,
                         struct nzd_beam *beam, struct nzd_err *err)
{
    struct nzd_arena terms = {0};
    const struct nzd_term *info;
    int rc = 0;

    beam->compiler = "";
    if (chunk.size == 0)
        return 0;
    if (nzd_term_decode(chunk, &terms, &info, err))
        rc = nzd_err_prefix(err, "chunk CInf");
    else
        beam->compiler = nzd_term_text(nzd_term_get(info, "version"), arena);
    if (!beam->compiler)
        beam->compiler = "";
    nzd_arena_clear(&terms);
    return rc;
}

/* --- the module --- */

bool nzd_beam_exports(const struct nzd_beam *beam, const char *name,
                      uint32_t arity)
{
    for (uint32_t i = 0; i < beam->export_count; i++) {
        if (beam->exports[i].arity == arity &&
            strcmp(beam->exports[i].name, name) == 0)
            return true;
    }
    return false;
}

static bool imports(const struct nzd_beam *beam, const char *module,
                    const char *name, uint32_t arity)
{
    for (uint32_t i = 0; i < beam->import_count; i++) {
        const struct nzd_beam_function *import = &beam->imports[i];

        if (import->arity == arity && strcmp(import->name, name) == 0 &&
            strcmp(import->module, module) == 0)
            return true;
    }
    return false;
}

/*
 * Where an instruction of a newer VM hides whether there is an on_load, a
 * module that loads a NIF is taken to have one: they nearly all do, and what
 * is planned for an on_load is the more careful way.
 */
static int on_load_read(struct nzd_view code, struct nzd_beam *beam,
                        struct nzd_err *err)
{
    enum nzd_on_load found;
    int rc = nzd_code_on_load(code, &found, err);

    if (rc)
        return rc;
    beam->has_on_load = found == NZD_ON_LOAD_FOUND ||
                        (found == NZD_ON_LOAD_UNKNOWN && beam->loads_nif) ||
                        nzd_term_get(beam->attributes, "on_load") != NULL;
    return 0;
}

static int copy_function(const struct nzd_beam_function *from,
                         struct nzd_arena *arena, struct nzd_beam_function *to,
                         struct nzd_err *err)
{
    to->module = nzd_arena_text(arena, from->module, strlen(from->module));
    to->name = nzd_arena_text(arena, from->name, strlen(from->name));
    to->arity = from->arity;
    return to->module && to->name ? 0 : nzd_err_memory(err);
}

struct funs {
    struct nzd_beam_function *items;
    uint32_t count;
    uint32_t capacity;
};

static bool funs_grow(struct funs *funs, uint32_t count,
                      struct nzd_arena *arena)
{
    uint32_t capacity = 2 * (funs->capacity + count);
    struct nzd_beam_function *items;

    if (funs->count + count <= funs->capacity)
        return true;
    items = nzd_arena_alloc(arena, capacity * sizeof(*items));
    if (!items)
        return false;
    if (funs->count > 0)
        memcpy(items, funs->items, funs->count * sizeof(*items));
    funs->items = items;
    funs->capacity = capacity;
    return true;
}

static int funs_add(struct funs *funs, const struct nzd_beam_function *more,
                    uint32_t count, struct nzd_arena *arena,
                    struct nzd_err *err)
{
    int rc = funs_grow(funs, count, arena) ? 0 : nzd_err_memory(err);

    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = copy_function(&more[i], arena, &funs->items[funs->count++], err);
    return rc;
}

static int funs_read(struct nzd_view chunk, struct nzd_arena *arena,
                     struct nzd_beam *beam, struct nzd_err *err)
{
    struct funs funs = {NULL, 0, 0};
    struct nzd_literals *literals;
    int rc = nzd_literals_open(chunk, &literals, err);
    uint32_t literal_count = rc ? 0 : nzd_literals_count(literals);

    for (uint32_t i = 0; rc == 0 && i < literal_count; i++) {
        const struct nzd_beam_function *more = NULL;
        uint32_t count = 0;

        rc = nzd_literals_funs(literals, i, &more, &count, err);
        if (rc == 0 && count > 0)
            rc = funs_add(&funs, more, count, arena, err);
    }
    nzd_literals_close(literals);
    beam->funs = funs.items;
    beam->fun_count = funs.count;
    return rc;
}

static int calls_read(const struct nzd_chunks *chunks, struct nzd_atoms *atoms,
                      struct nzd_beam *beam, struct nzd_err *err)
{
    struct table table;
    int rc = functions_read(chunks->view[NZD_CHUNK_EXPORTS], NZD_CHUNK_EXPORTS,
                            atoms, &table, err);

    if (rc)
        return rc;
    beam->exports = table.entries;
    beam->export_count = table.count;
    rc = functions_read(chunks->view[NZD_CHUNK_IMPORTS], NZD_CHUNK_IMPORTS,
                        atoms, &table, err);
    if (rc)
        return rc;
    beam->imports = table.entries;
    beam->import_count = table.count;
    beam->loads_nif = imports(beam, "erlang", "load_nif", 2);
    beam->has_code_change = nzd_beam_exports(beam, "code_change", 3) ||
                            nzd_beam_exports(beam, "code_change", 4) ||
                            nzd_beam_exports(beam, "system_code_change", 4);
    rc = funs_read(chunks->view[NZD_CHUNK_LITERALS], atoms->arena, beam, err);
    if (rc)
        return rc;
    return on_load_read(chunks->view[NZD_CHUNK_CODE], beam, err);
}

static int module_read(const struct nzd_chunks *chunks, unsigned what,
                       struct nzd_atoms *atoms, struct nzd_beam *beam,
                       struct nzd_err *err)
{
    bool calls = what & (NZD_BEAM_CALLS | NZD_BEAM_FUNS);
    int rc =
        what & NZD_BEAM_AGAIN ? 0 : nzd_chunks_md5(chunks, &beam->md5, err);

    if (rc == 0)
        rc = nzd_atoms_read(chunks->view[NZD_CHUNK_ATOMS], calls, atoms, err);
    if (rc == 0)
        rc = nzd_atoms_name(atoms, 1, NZD_CHUNK_ATOMS, &beam->module, err);
    if (rc == 0)
        rc = attributes_read(chunks->view[NZD_CHUNK_ATTRIBUTES], atoms->arena,
                             beam, err);
    if (rc == 0)
        rc = compiler_read(chunks->view[NZD_CHUNK_COMPILER], atoms->arena, beam,
                           err);
    if (rc == 0 && (what & NZD_BEAM_CALLS))
        rc = calls_read(chunks, atoms, beam, err);
    if (rc == 0 && (what & NZD_BEAM_FUNS))
        rc = lambdas_read(chunks->view[NZD_CHUNK_LAMBDAS], atoms, beam, err);
    return rc;
}

static bool is_gzip(struct nzd_view view)
{
    return view.size >= 2 && view.data[0] == 0x1f && view.data[1] == 0x8b;
}

bool nzd_beam_looks_like(struct nzd_view view)
{
    return is_gzip(view) ||
           (view.size >= 4 && memcmp(view.data, "FOR1", 4) == 0);
}

int nzd_beam_plain(struct nzd_view view, struct nzd_buf *inflated,
                   struct nzd_view *out, struct nzd_err *err)
{
    if (view.size > NZD_LIMIT_MODULE_BYTES)
        return nzd_err_set(err, NZD_EBUNDLE, "BEAM file: too long");
    *out = view;
    if (!is_gzip(view))
        return 0;
    if (nzd_inflate(view, NZD_LIMIT_MODULE_BYTES, inflated, err))
        return nzd_err_prefix(err, "BEAM file");
    *out = nzd_buf_view(inflated);
    return 0;
}

/* They lie in `inflated` where the file is gzipped. */
static int chunks_of(struct nzd_view file, struct nzd_buf *inflated,
                     struct nzd_chunks *out, struct nzd_err *err)
{
    int rc = nzd_beam_plain(file, inflated, &file, err);

    return rc ? rc : nzd_chunks_read(file, out, err);
}

int nzd_beam_md5(struct nzd_view view, struct nzd_digest *out,
                 struct nzd_err *err)
{
    struct nzd_buf inflated = {0};
    struct nzd_chunks chunks;
    int rc = chunks_of(view, &inflated, &chunks, err);

    if (rc == 0)
        rc = nzd_chunks_md5(&chunks, out, err);
    nzd_buf_clear(&inflated);
    return rc;
}

int nzd_beam_read(struct nzd_view view, unsigned what, struct nzd_arena *arena,
                  struct nzd_beam *out, struct nzd_err *err)
{
    struct nzd_beam beam = {0};
    struct nzd_atoms atoms = {.arena = arena};
    struct nzd_buf inflated = {0};
    struct nzd_chunks chunks;
    int rc = chunks_of(view, &inflated, &chunks, err);

    if (rc == 0)
        rc = module_read(&chunks, what, &atoms, &beam, err);
    if (rc == 0)
        *out = beam;
    nzd_atoms_clear(&atoms);
    nzd_buf_clear(&inflated);
    return rc;
}

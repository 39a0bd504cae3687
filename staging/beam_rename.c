/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_rename.h"

#include "beam.h"
#include "beam_atoms.h"
#include "beam_code.h"
#include "limits.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

#define IMPORT_SIZE   12 /* bytes of an entry of ImpT */
#define EXPORT_SIZE   12 /* of ExpT and LocT */
#define LAMBDA_SIZE   24 /* of FunT */
#define MOST_ARITY    255
#define NAME_MOST     255
#define COMPACT_SHORT 16   /* values of one byte are below */
#define COMPACT_MID   2048 /* of two bytes */

/* The atoms of one module, as it has them and as it is to have them. */
struct names {
    const struct nzd_rename *rename;
    struct nzd_atoms atoms;
    /* Of each atom which new one stands for it where it is called; 0: none. */
    uint32_t *called;
    struct nzd_buf added; /* entries behind the last */
    uint32_t added_count;
    uint32_t own;        /* the first atom's old name */
    uint32_t guard;      /* the module that dynamic calls lead to */
    uint32_t guard_name; /* its function; an import for each arity, behind */
    uint32_t imports;    /* those that the module has */
    uint32_t guard_count;
    /* Of each arity its number among them; 0: none. */
    uint32_t guards[MOST_ARITY + 1];
    uint32_t module_info; /* 0: it has no such atom */
};

static int refuse(struct nzd_err *err, const char *why)
{
    return nzd_err_set(err, NZD_EREFUSED, "cannot be renamed: %s", why);
}

/* --- compact terms ------------------------------------------------------ */

static void put_compact(struct nzd_buf *out, enum nzd_compact_tag tag,
                        uint32_t value)
{
    if (value < COMPACT_SHORT) {
        nzd_buf_u8(out, (uint8_t)(value << 4 | tag));
    } else if (value < COMPACT_MID) {
        nzd_buf_u8(out, (uint8_t)((value >> 3 & 0xe0) | 8 | tag));
        nzd_buf_u8(out, (uint8_t)value);
    } else if (value < 1u << 15) {
        nzd_buf_u8(out, (uint8_t)(24 | tag));
        nzd_buf_u16(out, (uint16_t)value);
    } else { /* three bytes, the highest bit is a sign */
        nzd_buf_u8(out, (uint8_t)(1 << 5 | 24 | tag));
        nzd_buf_u8(out, (uint8_t)(value >> 16));
        nzd_buf_u16(out, (uint16_t)value);
    }
}

/* --- atoms -------------------------------------------------------------- */

static int names_read(struct nzd_view chunk, struct names *names,
                      struct nzd_err *err)
{
    struct nzd_atoms *atoms = &names->atoms;
    int rc = nzd_atoms_read(chunk, true, atoms, err);

    if (rc)
        return rc;
    names->called = calloc(atoms->count, sizeof(*names->called));
    if (!names->called)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < atoms->count; i++) {
        if (nzd_view_equal(atoms->views[i], nzd_view_text("module_info")))
            names->module_info = i + 1;
    }
    return 0;
}

static int compare(const void *key, const void *entry)
{
    const struct nzd_view *view = key;
    const char *name = *(const char *const *)entry;
    size_t size = strlen(name);
    size_t least = view->size < size ? view->size : size;
    int order = memcmp(view->data, name, least);

    return order ? order : (view->size > size) - (view->size < size);
}

static bool is_of_set(const struct nzd_rename *rename, struct nzd_view name)
{
    return name.size > 0 && bsearch(&name, rename->modules, rename->count,
                                    sizeof(*rename->modules), compare) != NULL;
}

/* Appends one entry of AtU8. */
static int put_atom(struct nzd_buf *out, bool compact, const char *prefix,
                    struct nzd_view name, struct nzd_err *err)
{
    size_t size = strlen(prefix) + name.size;
    size_t count = 0;

    if (!nzd_utf8_count(name, &count) ||
        count + strlen(prefix) > NZD_LIMIT_ATOM_CHARS ||
        (!compact && size > NAME_MOST))
        return refuse(err, "its name grows too long");
    if (compact)
        put_compact(out, NZD_COMPACT_U, (uint32_t)size);
    else
        nzd_buf_u8(out, (uint8_t)size);
    nzd_buf_text(out, prefix);
    nzd_buf_bytes(out, name.data, name.size);
    return 0;
}

static int add_atom(struct names *names, const char *prefix,
                    struct nzd_view name, uint32_t *index, struct nzd_err *err)
{
    int rc = put_atom(&names->added, names->atoms.compact, prefix, name, err);

    *index = names->atoms.count + ++names->added_count;
    return rc;
}

static int put_atoms(const struct names *names, struct nzd_buf *out,
                     struct nzd_err *err)
{
    uint32_t count = names->atoms.count + names->added_count;
    int rc;

    if (count > NZD_LIMIT_BEAM_ATOMS)
        return refuse(err, "too many atoms");
    nzd_buf_u32(out, names->atoms.compact ? 0 - count : count);
    rc = put_atom(out, names->atoms.compact, names->rename->prefix,
                  names->atoms.views[0], err);
    for (uint32_t i = 1; rc == 0 && i < names->atoms.count; i++)
        rc =
            put_atom(out, names->atoms.compact, "", names->atoms.views[i], err);
    nzd_buf_bytes(out, names->added.data, names->added.size);
    return rc;
}

/* A function may be called as its module is. */
static uint32_t as_data(const struct names *names, uint32_t atom)
{
    return atom == 1 ? names->own : atom;
}

/* --- imports ------------------------------------------------------------ */

/* The atom that stands for this one where it is called. */
static int called_as(struct names *names, uint32_t atom, uint32_t *out,
                     struct nzd_err *err)
{
    struct nzd_view name;
    int rc = 0;

    if (atom == 0 || atom > names->atoms.count)
        return nzd_chunk_refuse(err, NZD_CHUNK_IMPORTS,
                                "an atom that is not there");
    name = names->atoms.views[atom - 1];
    *out = atom;
    if (atom == 1 || !is_of_set(names->rename, name))
        return 0;
    if (names->called[atom - 1] == 0)
        rc = add_atom(names, names->rename->prefix, name,
                      &names->called[atom - 1], err);
    *out = names->called[atom - 1];
    return rc;
}

static bool is_named(const struct names *names, uint32_t atom, const char *name)
{
    return atom > 0 && atom <= names->atoms.count &&
           nzd_view_equal(names->atoms.views[atom - 1], nzd_view_text(name));
}

static int put_import(struct nzd_reader *reader, struct names *names,
                      struct nzd_buf *out, struct nzd_err *err)
{
    uint32_t module = nzd_read_u32(reader);
    uint32_t function = nzd_read_u32(reader);
    uint32_t arity = nzd_read_u32(reader);
    uint32_t called = names->guard;
    int rc = 0;

    if (!(arity == 3 && is_named(names, module, "erlang") &&
          is_named(names, function, "apply")))
        rc = called_as(names, module, &called, err);
    nzd_buf_u32(out, called);
    nzd_buf_u32(out, as_data(names, function));
    nzd_buf_u32(out, arity);
    return rc;
}

/* Those of the guard come last. */
static int put_imports(struct nzd_view chunk, struct names *names,
                       struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = 0;

    nzd_reader_init(&reader, chunk);
    (void)nzd_read_u32(&reader);
    nzd_buf_u32(out, names->imports + names->guard_count);
    for (uint32_t i = 0; rc == 0 && i < names->imports; i++)
        rc = put_import(&reader, names, out, err);
    for (uint32_t i = 0; i < names->guard_count; i++) {
        uint32_t arity = 0;

        while (names->guards[arity] != i + 1)
            arity++;
        nzd_buf_u32(out, names->guard);
        nzd_buf_u32(out, names->guard_name);
        nzd_buf_u32(out, arity);
    }
    return rc;
}

/* Before anything is written: how many imports there are, and who guards. */
static int imports_begin(struct nzd_view chunk, struct names *names,
                         struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = add_atom(names, "", nzd_view_text(NZD_RENAME_GUARD),
                      &names->guard_name, err);

    if (rc == 0)
        rc = add_atom(names, names->rename->prefix, nzd_view_text(""),
                      &names->guard, err);
    if (rc)
        return rc;
    nzd_reader_init(&reader, chunk);
    names->imports = nzd_read_u32(&reader);
    if (names->imports > NZD_LIMIT_BEAM_ENTRIES ||
        reader.left != names->imports * IMPORT_SIZE)
        return nzd_chunk_refuse(err, NZD_CHUNK_IMPORTS,
                                "a wrong number of entries");
    return 0;
}

/* --- instructions ------------------------------------------------------- */

/* What tells of the function that the instructions belong to. */
struct place {
    bool info; /* module_info, which is asked about the module that it is in */
};

static bool keeps_name(const struct names *names, struct place *place,
                       const struct nzd_code_token *token)
{
    if (token->op == NZD_OP_FUNC_INFO && token->index == 1)
        place->info =
            names->module_info != 0 && token->value == names->module_info;
    return place->info || (token->op == NZD_OP_FUNC_INFO && token->index == 0);
}

/* The guard's import of an arity; made when it is first asked for. */
static uint32_t guard_of(struct names *names, uint32_t arity)
{
    if (!names->guards[arity])
        names->guards[arity] = ++names->guard_count;
    return names->imports + names->guards[arity] - 1;
}

/* apply calls what stands behind its arguments: module and function become
 * arguments of the guard. True where the token is written. */
static bool put_guarded(const struct nzd_code_token *token, struct names *names,
                        struct nzd_buf *out)
{
    uint32_t arity = (uint32_t)token->value + 2;

    if (token->op != NZD_OP_APPLY && token->op != NZD_OP_APPLY_LAST)
        return false;
    if (token->begins) {
        nzd_buf_u8(out, token->op == NZD_OP_APPLY ? NZD_OP_CALL_EXT
                                                  : NZD_OP_CALL_EXT_LAST);
        return true;
    }
    if (token->index > 0)
        return false;
    if (arity < 2 || arity > MOST_ARITY)
        arity = MOST_ARITY;
    put_compact(out, NZD_COMPACT_U, arity);
    put_compact(out, NZD_COMPACT_U, guard_of(names, arity));
    return true;
}

static int put_code(struct nzd_view chunk, struct names *names,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct place place = {.info = false};
    struct nzd_code_token token;
    struct nzd_instructions code;
    int rc = nzd_code_open(chunk, &code, err);

    if (rc)
        return rc;
    nzd_buf_bytes(out, code.head.data, code.head.size);
    while ((rc = nzd_code_next(&code, &token, err)) == 1) {
        if (put_guarded(&token, names, out))
            continue;
        if (!token.begins && !keeps_name(names, &place, &token) &&
            token.tag == NZD_COMPACT_A && token.value == 1)
            put_compact(out, NZD_COMPACT_A, names->own);
        else
            nzd_buf_bytes(out, token.bytes.data, token.bytes.size);
    }
    if (rc == 0 && code.unknown)
        return refuse(err, "an instruction of a newer VM");
    nzd_buf_bytes(out, code.reader.data, code.reader.left);
    return rc;
}

/* --- the file ----------------------------------------------------------- */

static void put_chunk(struct nzd_buf *out, const char *id, struct nzd_view body)
{
    static const uint8_t zeros[3];

    nzd_buf_bytes(out, id, 4);
    nzd_buf_block(out, body);
    nzd_buf_bytes(out, zeros, (4 - body.size % 4) % 4);
}

static bool is_one_of(struct nzd_view id, const char *const *names,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(id.data, names[i], 4) == 0)
            return true;
    }
    return false;
}

/* ExpT, LocT, FunT: entries that begin with the atom of a function. */
static int put_functions(struct nzd_view body, size_t entry,
                         const struct names *names, struct nzd_buf *out,
                         struct nzd_err *err)
{
    struct nzd_reader reader;
    uint32_t count;

    nzd_reader_init(&reader, body);
    count = nzd_read_u32(&reader);
    if (count > NZD_LIMIT_BEAM_ENTRIES || reader.left != count * entry)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "a table of functions: a wrong number of entries");
    nzd_buf_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        struct nzd_view rest;

        nzd_buf_u32(out, as_data(names, nzd_read_u32(&reader)));
        rest = nzd_read_bytes(&reader, entry - 4);
        nzd_buf_bytes(out, rest.data, rest.size);
    }
    return 0;
}

static int put_other(struct nzd_view id, struct nzd_view body,
                     const struct names *names, struct nzd_buf *out,
                     struct nzd_err *err)
{
    static const char *const left_out[] = {"AtU8", "ImpT", "Code", "Dbgi",
                                           "Docs", "CInf", "ExCk", "Abst"};
    static const char *const of_functions[] = {"ExpT", "LocT", "FunT"};
    struct nzd_buf table = {0};
    int rc = 0;

    if (is_one_of(id, left_out, sizeof(left_out) / sizeof(left_out[0])))
        return 0;
    if (is_one_of(id, of_functions, 3)) {
        bool lambdas = memcmp(id.data, "FunT", 4) == 0;

        rc = put_functions(body, lambdas ? LAMBDA_SIZE : EXPORT_SIZE, names,
                           &table, err);
        body = nzd_buf_view(&table);
    }
    if (rc == 0)
        put_chunk(out, (const char *)id.data, body);
    if (rc == 0 && table.failed)
        rc = nzd_err_memory(err);
    nzd_buf_clear(&table);
    return rc;
}

/* All other chunks, but for those nobody loads. */
static int put_rest(struct nzd_view file, const struct names *names,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_reader reader;
    int rc = 0;

    nzd_reader_init(&reader, file);
    (void)nzd_read_bytes(&reader, 12);
    while (rc == 0 && reader.left > 0 && !reader.failed) {
        struct nzd_view id = nzd_read_bytes(&reader, 4);
        struct nzd_view body = nzd_read_block(&reader, reader.left);

        (void)nzd_read_bytes(&reader, (4 - body.size % 4) % 4);
        if (!reader.failed)
            rc = put_other(id, body, names, out, err);
    }
    return rc;
}

static int put_tables(const struct nzd_chunks *chunks, struct names *names,
                      struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_buf imports = {0}, code = {0}, atoms = {0};
    int rc = imports_begin(chunks->view[NZD_CHUNK_IMPORTS], names, err);

    if (rc == 0)
        rc = put_code(chunks->view[NZD_CHUNK_CODE], names, &code, err);
    if (rc == 0)
        rc = put_imports(chunks->view[NZD_CHUNK_IMPORTS], names, &imports, err);
    if (rc == 0)
        rc = put_atoms(names, &atoms, err);
    if (rc == 0) {
        put_chunk(out, "AtU8", nzd_buf_view(&atoms));
        put_chunk(out, "Code", nzd_buf_view(&code));
        put_chunk(out, "ImpT", nzd_buf_view(&imports));
    }
    if (rc == 0 && (imports.failed || code.failed || atoms.failed))
        rc = nzd_err_memory(err);
    nzd_buf_clear(&imports);
    nzd_buf_clear(&code);
    nzd_buf_clear(&atoms);
    return rc;
}

static int put_module(struct nzd_view file, const struct nzd_chunks *chunks,
                      struct names *names, struct nzd_buf *out,
                      struct nzd_err *err)
{
    struct nzd_buf body = {0};
    int rc = names_read(chunks->view[NZD_CHUNK_ATOMS], names, err);

    if (rc == 0 && !is_of_set(names->rename, names->atoms.views[0]))
        rc = refuse(err, "it is not one of those");
    if (rc == 0)
        rc = add_atom(names, "", names->atoms.views[0], &names->own, err);
    nzd_buf_text(&body, "BEAM");
    if (rc == 0)
        rc = put_tables(chunks, names, &body, err);
    if (rc == 0)
        rc = put_rest(file, names, &body, err);
    if (rc == 0) {
        nzd_buf_text(out, "FOR1");
        nzd_buf_block(out, nzd_buf_view(&body));
    }
    if (rc == 0 && (body.failed || names->added.failed || out->failed))
        rc = nzd_err_memory(err);
    nzd_buf_clear(&body);
    return rc;
}

int nzd_beam_rename(struct nzd_view file, const struct nzd_rename *rename,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct names names = {.rename = rename};
    struct nzd_buf inflated = {0};
    struct nzd_chunks chunks;
    int rc = nzd_beam_plain(file, &inflated, &file, err);

    if (rc == 0)
        rc = nzd_chunks_read(file, &chunks, err);
    if (rc == 0)
        rc = put_module(file, &chunks, &names, out, err);
    nzd_buf_clear(&names.added);
    nzd_atoms_clear(&names.atoms);
    free(names.called);
    nzd_buf_clear(&inflated);
    return rc;
}

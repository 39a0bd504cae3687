/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_struct.h"

#include "beam.h"
#include "beam_atoms.h"
#include "beam_code.h"
#include "beam_literal.h"

#include <stdlib.h>
#include <string.h>

#define FUNCTION "__struct__"
#define NONE     UINT64_MAX

struct search {
    struct nzd_atoms atoms;
    const char *module;
    const char *function; /* that the instructions are of */
    uint64_t literal;     /* the first one in FUNCTION/0, or NONE */
    bool inside;
};

static int look(struct search *search, const struct nzd_code_token *token,
                struct nzd_err *err)
{
    if (token->begins)
        return 0;
    if (token->op == NZD_OP_FUNC_INFO && token->index == 1)
        return nzd_atoms_name(&search->atoms, token->value, NZD_CHUNK_CODE,
                              &search->function, err);
    if (token->op == NZD_OP_FUNC_INFO && token->index == 2)
        search->inside = token->value == 0 && search->function &&
                         strcmp(search->function, FUNCTION) == 0;
    else if (search->inside && token->literal && search->literal == NONE)
        search->literal = token->value;
    return 0;
}

static int find_literal(struct search *search, struct nzd_view code,
                        struct nzd_err *err)
{
    struct nzd_instructions instructions;
    struct nzd_code_token token;
    int more = nzd_code_open(code, &instructions, err);
    if (more < 0)
        return more;
    while ((more = nzd_code_next(&instructions, &token, err)) > 0) {
        int code_of = look(search, &token, err);
        if (code_of || search->literal != NONE)
            return code_of;
    }
    return more;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of a map with this module's name under its own key. */
static int take_keys(const struct nzd_term *map, const char *module,
                     struct nzd_arena *arena, struct nzd_beam_struct *out,
                     struct nzd_err *err)
{
    if (map->kind != NZD_TERM_MAP ||
        !nzd_term_is_atom(nzd_term_get(map, FUNCTION), module))
        return 0;
    out->keys = nzd_arena_alloc(arena, (map->count / 2 + 1u) * sizeof(char *));
    if (!out->keys)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i + 1 < map->count; i += 2) {
        const struct nzd_term *key = map->children[i];
        if (key->kind != NZD_TERM_ATOM || nzd_term_is_atom(key, FUNCTION))
            continue;
        const char *name =
            nzd_arena_text(arena, (const char *)key->text.data, key->text.size);
        if (!name)
            return nzd_err_memory(err);
        out->keys[out->count++] = name;
    }
    qsort(out->keys, out->count, sizeof *out->keys, by_name);
    out->found = true;
    return 0;
}

static int read_literal(struct nzd_view chunk, const struct search *search,
                        struct nzd_arena *arena, struct nzd_beam_struct *out,
                        struct nzd_err *err)
{
    struct nzd_literals *literals = NULL;
    struct nzd_arena terms = {0};
    const struct nzd_term *term = NULL;
    int code = nzd_literals_open(chunk, &literals, err);
    if (!code)
        code = nzd_literals_term(literals, search->literal, &terms, &term, err);
    if (!code && term)
        code = take_keys(term, search->module, arena, out, err);
    nzd_arena_clear(&terms);
    nzd_literals_close(literals);
    return code;
}

static int read_chunks(const struct nzd_chunks *chunks, struct nzd_arena *arena,
                       struct nzd_beam_struct *out, struct nzd_err *err)
{
    struct nzd_arena names = {0};
    struct search search = {.atoms = {.arena = &names}, .literal = NONE};
    int code =
        nzd_atoms_read(chunks->view[NZD_CHUNK_ATOMS], true, &search.atoms, err);
    if (!code)
        code = nzd_atoms_name(&search.atoms, 1, NZD_CHUNK_ATOMS, &search.module,
                              err);
    if (!code)
        code = find_literal(&search, chunks->view[NZD_CHUNK_CODE], err);
    if (!code && search.literal != NONE)
        code = read_literal(chunks->view[NZD_CHUNK_LITERALS], &search, arena,
                            out, err);
    nzd_atoms_clear(&search.atoms);
    nzd_arena_clear(&names);
    return code;
}

int nzd_beam_struct_read(struct nzd_view file, struct nzd_arena *arena,
                         struct nzd_beam_struct *out, struct nzd_err *err)
{
    struct nzd_buf inflated = {0};
    struct nzd_chunks chunks;
    struct nzd_view plain;
    memset(out, 0, sizeof *out);
    int code = nzd_beam_plain(file, &inflated, &plain, err);
    if (!code)
        code = nzd_chunks_read(plain, &chunks, err);
    if (!code)
        code = read_chunks(&chunks, arena, out, err);
    nzd_buf_clear(&inflated);
    return code;
}

bool nzd_beam_struct_has(const struct nzd_beam_struct *keys, const char *key)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->keys[i], key) == 0)
            return true;
    return false;
}

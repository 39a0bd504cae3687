/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_reach_internal.h"

#include "beam_atoms.h"
#include "beam_code.h"

#include <stdlib.h>
#include <string.h>

/* More is not followed: looking for a function is linear. */
#define MOST_FUNCTIONS 20000u
#define MOST_EDGES     1000000u

void nzd_reach_module_free(struct nzd_reach_module *module)
{
    if (!module)
        return;
    nzd_literals_close(module->literals);
    nzd_arena_clear(&module->arena);
    free(module->functions);
    free(module->edges);
    free(module);
}

void *nzd_reach_grown(void *items, uint32_t count, uint32_t *capacity,
                      size_t size)
{
    uint32_t wanted = *capacity ? 2 * *capacity : 64;
    void *more;

    if (count < *capacity)
        return items;
    more = realloc(items, wanted * size);
    if (more)
        *capacity = wanted;
    return more;
}

/* --- edges of one module ------------------------------------------------ */

static int add_edge(struct nzd_reach_module *module,
                    enum nzd_reach_edge_kind kind, uint64_t target,
                    struct nzd_err *err)
{
    struct nzd_reach_edge *edges =
        nzd_reach_grown(module->edges, module->edge_count,
                        &module->edge_capacity, sizeof(*edges));

    if (!edges)
        return nzd_err_memory(err);
    module->edges = edges;
    edges[module->edge_count++] = (struct nzd_reach_edge){
        kind, target > UINT32_MAX ? UINT32_MAX : (uint32_t)target};
    return 0;
}

static int add_function(struct nzd_reach_module *module, struct nzd_err *err)
{
    struct nzd_reach_function *functions =
        nzd_reach_grown(module->functions, module->function_count,
                        &module->function_capacity, sizeof(*functions));

    if (!functions)
        return nzd_err_memory(err);
    module->functions = functions;
    functions[module->function_count++] = (struct nzd_reach_function){
        .name = "", .first = module->edge_count, .end = module->edge_count};
    return 0;
}

/* func_info names the function that follows, the next label is its entry. */
static int take_place(struct nzd_reach_module *module,
                      const struct nzd_code_token *token,
                      struct nzd_atoms *atoms, struct nzd_err *err)
{
    struct nzd_reach_function *function;
    int rc = 0;

    if (token->op == NZD_OP_FUNC_INFO && token->index == 0)
        return add_function(module, err);
    if (module->function_count == 0)
        return 0;
    function = &module->functions[module->function_count - 1];
    if (token->op == NZD_OP_FUNC_INFO && token->index == 1)
        rc = nzd_atoms_name(atoms, token->value, NZD_CHUNK_CODE,
                            &function->name, err);
    else if (token->op == NZD_OP_FUNC_INFO)
        function->arity = (uint32_t)token->value;
    else if (token->op == NZD_OP_LABEL && function->label == 0)
        function->label = (uint32_t)token->value;
    return rc;
}

/* Which operand of an instruction names what is called, and as what. */
static bool callee(const struct nzd_code_token *token,
                   enum nzd_reach_edge_kind *kind)
{
    static const struct {
        uint8_t op, index;
        enum nzd_reach_edge_kind kind;
    } rows[] = {
        {NZD_OP_CALL, 1, NZD_EDGE_LOCAL},
        {NZD_OP_CALL_LAST, 1, NZD_EDGE_LOCAL},
        {NZD_OP_CALL_ONLY, 1, NZD_EDGE_LOCAL},
        {NZD_OP_CALL_EXT, 1, NZD_EDGE_IMPORT},
        {NZD_OP_CALL_EXT_LAST, 1, NZD_EDGE_IMPORT},
        {NZD_OP_CALL_EXT_ONLY, 1, NZD_EDGE_IMPORT},
        {NZD_OP_BIF0, 0, NZD_EDGE_IMPORT},
        {NZD_OP_BIF1, 1, NZD_EDGE_IMPORT},
        {NZD_OP_BIF2, 1, NZD_EDGE_IMPORT},
        {NZD_OP_GC_BIF1, 2, NZD_EDGE_IMPORT},
        {NZD_OP_GC_BIF2, 2, NZD_EDGE_IMPORT},
        {NZD_OP_GC_BIF3, 2, NZD_EDGE_IMPORT},
        {NZD_OP_MAKE_FUN2, 0, NZD_EDGE_LAMBDA},
        {NZD_OP_MAKE_FUN3, 0, NZD_EDGE_LAMBDA},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (token->op != rows[i].op || token->index != rows[i].index)
            continue;
        *kind = rows[i].kind;
        return true;
    }
    return false;
}

/* What an instruction does whatever its operands are. */
static bool act(uint8_t op, enum nzd_reach_edge_kind *kind)
{
    switch (op) {
    case NZD_OP_SEND:
    case NZD_OP_REMOVE_MESSAGE:
    case NZD_OP_LOOP_REC:
    case NZD_OP_WAIT:
    case NZD_OP_WAIT_TIMEOUT:
        *kind = NZD_EDGE_MESSAGE;
        return true;
    case NZD_OP_APPLY:
    case NZD_OP_APPLY_LAST:
        *kind = NZD_EDGE_DYNAMIC;
        return true;
    case NZD_OP_CALL_FUN:
    case NZD_OP_CALL_FUN2:
        *kind = NZD_EDGE_FUN;
        return true;
    default:
        return false;
    }
}

static int take_token(struct nzd_reach_module *module,
                      const struct nzd_code_token *token,
                      struct nzd_atoms *atoms, struct nzd_err *err)
{
    enum nzd_reach_edge_kind kind;
    int rc = 0;

    if (token->begins)
        rc = act(token->op, &kind) ? add_edge(module, kind, 0, err) : 0;
    else if (token->op == NZD_OP_FUNC_INFO || token->op == NZD_OP_LABEL)
        rc = take_place(module, token, atoms, err);
    else if (token->literal)
        rc = add_edge(module, NZD_EDGE_LITERAL, token->value, err);
    else if (callee(token, &kind))
        rc = add_edge(module, kind, token->value, err);
    if (module->function_count)
        module->functions[module->function_count - 1].end = module->edge_count;
    return rc;
}

static int code_read(struct nzd_view chunk, struct nzd_reach_module *module,
                     struct nzd_atoms *atoms, struct nzd_err *err)
{
    struct nzd_instructions code;
    struct nzd_code_token token;
    int rc = nzd_code_open(chunk, &code, err);

    if (rc)
        return rc;
    while ((rc = nzd_code_next(&code, &token, err)) == 1) {
        rc = take_token(module, &token, atoms, err);
        if (rc)
            return rc;
        if (module->function_count > MOST_FUNCTIONS ||
            module->edge_count > MOST_EDGES) {
            module->missing = true;
            return 0;
        }
    }
    module->missing = code.unknown;
    return rc;
}

int nzd_reach_module_read(struct nzd_view file, struct nzd_reach_module *module,
                          struct nzd_err *err)
{
    struct nzd_buf inflated = {0};
    struct nzd_atoms atoms = {.arena = &module->arena};
    struct nzd_chunks chunks;
    int rc = nzd_beam_read(file, NZD_BEAM_CALLS | NZD_BEAM_FUNS, &module->arena,
                           &module->beam, err);

    module->name = module->beam.module;
    module->native = module->beam.loads_nif || module->beam.has_on_load;
    if (rc == 0)
        rc = nzd_beam_plain(file, &inflated, &file, err);
    if (rc == 0)
        rc = nzd_chunks_read(file, &chunks, err);
    if (rc == 0)
        rc = nzd_atoms_read(chunks.view[NZD_CHUNK_ATOMS], true, &atoms, err);
    if (rc == 0)
        rc = nzd_literals_open(chunks.view[NZD_CHUNK_LITERALS],
                               &module->literals, err);
    if (rc == 0)
        rc = code_read(chunks.view[NZD_CHUNK_CODE], module, &atoms, err);
    nzd_atoms_clear(&atoms);
    nzd_buf_clear(&inflated);
    return rc;
}

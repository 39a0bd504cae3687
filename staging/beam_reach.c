/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_reach.h"

#include "beam.h"
#include "beam_atoms.h"
#include "beam_code.h"
#include "beam_literal.h"
#include "beam_pure.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More is not followed: looking for a function is linear. */
#define MOST_FUNCTIONS 20000u
#define MOST_EDGES     1000000u

enum edge_kind {
    EDGE_LOCAL,   /* a label */
    EDGE_IMPORT,  /* index of an import */
    EDGE_LAMBDA,  /* index of a lambda */
    EDGE_LITERAL, /* index of a literal */
    EDGE_FUN,     /* calls a fun */
    EDGE_DYNAMIC, /* calls a module that it holds in a register */
    EDGE_MESSAGE  /* sends or waits for one */
};

struct edge {
    enum edge_kind kind;
    uint32_t target;
};

struct function {
    const char *name;
    uint32_t arity;
    uint32_t label;      /* behind func_info's: where calls lead; 0: none yet */
    uint32_t first, end; /* of the module's edges */
    uint64_t seen;       /* the run that came here last */
};

struct module {
    struct module *next;
    struct nzd_arena arena;
    const char *name;
    bool missing;
    bool native; /* loads a NIF: its code says nothing */
    bool of_set;
    bool used;
    uint64_t seen;
    struct nzd_beam beam;
    struct nzd_literals *literals;
    struct function *functions;
    uint32_t function_count, function_capacity;
    struct edge *edges;
    uint32_t edge_count, edge_capacity;
};

struct place {
    struct module *module;
    struct function *function;
};

struct nzd_reach {
    struct module *modules;
    uint64_t run;
    struct place *todo;
    uint32_t count, capacity;
};

/* --- modules ------------------------------------------------------------ */

static void module_free(struct module *module)
{
    if (!module)
        return;
    nzd_literals_close(module->literals);
    nzd_arena_clear(&module->arena);
    free(module->functions);
    free(module->edges);
    free(module);
}

int nzd_reach_open(struct nzd_reach **out, struct nzd_err *err)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : nzd_err_memory(err);
}

void nzd_reach_close(struct nzd_reach *reach)
{
    if (!reach)
        return;
    while (reach->modules) {
        struct module *module = reach->modules;

        reach->modules = module->next;
        module_free(module);
    }
    free(reach->todo);
    free(reach);
}

static struct module *find(const struct nzd_reach *reach, const char *name)
{
    struct module *module = reach->modules;

    while (module && strcmp(module->name, name) != 0)
        module = module->next;
    return module;
}

bool nzd_reach_used(const struct nzd_reach *reach, const char *module)
{
    const struct module *found = find(reach, module);

    return found && found->of_set && found->used;
}

static void *grown(void *items, uint32_t count, uint32_t *capacity, size_t size)
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

static int add_edge(struct module *module, enum edge_kind kind, uint64_t target,
                    struct nzd_err *err)
{
    struct edge *edges = grown(module->edges, module->edge_count,
                               &module->edge_capacity, sizeof(*edges));

    if (!edges)
        return nzd_err_memory(err);
    module->edges = edges;
    edges[module->edge_count++] = (struct edge){
        kind, target > UINT32_MAX ? UINT32_MAX : (uint32_t)target};
    return 0;
}

static int add_function(struct module *module, struct nzd_err *err)
{
    struct function *functions =
        grown(module->functions, module->function_count,
              &module->function_capacity, sizeof(*functions));

    if (!functions)
        return nzd_err_memory(err);
    module->functions = functions;
    functions[module->function_count++] = (struct function){
        .name = "", .first = module->edge_count, .end = module->edge_count};
    return 0;
}

/* func_info names the function that follows, the next label is its entry. */
static int take_place(struct module *module, const struct nzd_code_token *token,
                      struct nzd_atoms *atoms, struct nzd_err *err)
{
    struct function *function;
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
static bool callee(const struct nzd_code_token *token, enum edge_kind *kind)
{
    static const struct {
        uint8_t op, index;
        enum edge_kind kind;
    } rows[] = {
        {NZD_OP_CALL, 1, EDGE_LOCAL},
        {NZD_OP_CALL_LAST, 1, EDGE_LOCAL},
        {NZD_OP_CALL_ONLY, 1, EDGE_LOCAL},
        {NZD_OP_CALL_EXT, 1, EDGE_IMPORT},
        {NZD_OP_CALL_EXT_LAST, 1, EDGE_IMPORT},
        {NZD_OP_CALL_EXT_ONLY, 1, EDGE_IMPORT},
        {NZD_OP_BIF0, 0, EDGE_IMPORT},
        {NZD_OP_BIF1, 1, EDGE_IMPORT},
        {NZD_OP_BIF2, 1, EDGE_IMPORT},
        {NZD_OP_GC_BIF1, 2, EDGE_IMPORT},
        {NZD_OP_GC_BIF2, 2, EDGE_IMPORT},
        {NZD_OP_GC_BIF3, 2, EDGE_IMPORT},
        {NZD_OP_MAKE_FUN2, 0, EDGE_LAMBDA},
        {NZD_OP_MAKE_FUN3, 0, EDGE_LAMBDA},
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
static bool act(uint8_t op, enum edge_kind *kind)
{
    switch (op) {
    case NZD_OP_SEND:
    case NZD_OP_REMOVE_MESSAGE:
    case NZD_OP_LOOP_REC:
    case NZD_OP_WAIT:
    case NZD_OP_WAIT_TIMEOUT:
        *kind = EDGE_MESSAGE;
        return true;
    case NZD_OP_APPLY:
    case NZD_OP_APPLY_LAST:
        *kind = EDGE_DYNAMIC;
        return true;
    case NZD_OP_CALL_FUN:
    case NZD_OP_CALL_FUN2:
        *kind = EDGE_FUN;
        return true;
    default:
        return false;
    }
}

static int take_token(struct module *module, const struct nzd_code_token *token,
                      struct nzd_atoms *atoms, struct nzd_err *err)
{
    enum edge_kind kind;
    int rc = 0;

    if (token->begins)
        rc = act(token->op, &kind) ? add_edge(module, kind, 0, err) : 0;
    else if (token->op == NZD_OP_FUNC_INFO || token->op == NZD_OP_LABEL)
        rc = take_place(module, token, atoms, err);
    else if (token->literal)
        rc = add_edge(module, EDGE_LITERAL, token->value, err);
    else if (callee(token, &kind))
        rc = add_edge(module, kind, token->value, err);
    if (module->function_count)
        module->functions[module->function_count - 1].end = module->edge_count;
    return rc;
}

static int code_read(struct nzd_view chunk, struct module *module,
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

static int module_read(struct nzd_view file, struct module *module,
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

int nzd_reach_add(struct nzd_reach *reach, struct nzd_view file, bool of_set,
                  struct nzd_err *err)
{
    struct module *module = calloc(1, sizeof(*module));
    int rc;

    if (!module)
        return nzd_err_memory(err);
    module->of_set = of_set;
    rc = module_read(file, module, err);
    if (rc || find(reach, module->name)) {
        module_free(module);
        return rc;
    }
    module->next = reach->modules;
    reach->modules = module;
    return 0;
}

int nzd_reach_add_missing(struct nzd_reach *reach, const char *name,
                          struct nzd_err *err)
{
    struct module *module;

    if (find(reach, name))
        return 0;
    module = calloc(1, sizeof(*module));
    if (module)
        module->name = nzd_arena_text(&module->arena, name, strlen(name));
    if (!module || !module->name) {
        module_free(module);
        return nzd_err_memory(err);
    }
    module->missing = true;
    module->next = reach->modules;
    reach->modules = module;
    return 0;
}

/* --- following ---------------------------------------------------------- */

static int visit(struct nzd_reach *reach, struct module *module,
                 struct function *function, struct nzd_err *err)
{
    struct place *todo;

    if (function->seen == reach->run)
        return 0;
    todo = grown(reach->todo, reach->count, &reach->capacity, sizeof(*todo));
    if (!todo)
        return nzd_err_memory(err);
    reach->todo = todo;
    function->seen = reach->run;
    module->seen = reach->run;
    todo[reach->count++] = (struct place){module, function};
    return 0;
}

static struct function *named(struct module *module, const char *name,
                              uint32_t arity)
{
    for (uint32_t i = 0; i < module->function_count; i++) {
        struct function *function = &module->functions[i];

        if (function->arity == arity && strcmp(function->name, name) == 0)
            return function;
    }
    return NULL;
}

static struct function *labelled(struct module *module, uint32_t label)
{
    uint32_t low = 0, high = module->function_count;

    /* The compiler counts labels up. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (module->functions[middle].label < label)
            low = middle + 1;
        else
            high = middle;
    }
    return low < module->function_count && module->functions[low].label == label
               ? &module->functions[low]
               : NULL;
}

/* The kind that ends the run; what is not followed is an effect of `place`. */
static enum nzd_reach_kind effect(const struct place *place, const char *what,
                                  struct nzd_reach_end *out)
{
    out->kind = NZD_REACH_EFFECT;
    snprintf(out->why, sizeof(out->why), "%s, by %s:%s/%" PRIu32, what,
             place->module->name, place->function->name,
             place->function->arity);
    return out->kind;
}

static enum nzd_reach_kind call_effect(const struct place *place,
                                       const char *lead,
                                       const struct nzd_beam_function *called,
                                       struct nzd_reach_end *out)
{
    char what[400];

    snprintf(what, sizeof(what), "%s%s:%s/%" PRIu32, lead, called->module,
             called->name, called->arity);
    return effect(place, what, out);
}

/* A call of another module's function. */
static int follow_call(struct nzd_reach *reach, const struct place *place,
                       const struct nzd_beam_function *called,
                       struct nzd_reach_end *out, struct nzd_err *err)
{
    struct module *module = find(reach, called->module);
    enum nzd_purity purity =
        nzd_beam_purity(called->module, called->name, called->arity);
    struct function *function;

    if (purity == NZD_PURE_LIBRARY)
        out->calls_funs = true;
    if (purity == NZD_PURE_BIF || purity == NZD_PURE_LIBRARY)
        return 0;
    if (purity == NZD_IMPURE) {
        call_effect(place, "", called, out);
        return 0;
    }
    if (!module) {
        out->kind = NZD_REACH_WANTS;
        out->module = called->module;
        return 0;
    }
    if (module->missing || module->native) {
        call_effect(place, module->native ? "native code of " : "code of ",
                    called, out);
        return 0;
    }
    function = named(module, called->name, called->arity);
    /* One that is not there raises undef, which changes nothing. */
    return function ? visit(reach, module, function, err) : 0;
}

static int follow_literal(struct nzd_reach *reach, const struct place *place,
                          uint32_t index, struct nzd_reach_end *out,
                          struct nzd_err *err)
{
    const struct nzd_beam_function *funs = NULL;
    uint32_t count = 0;
    int rc =
        nzd_literals_funs(place->module->literals, index, &funs, &count, err);

    for (uint32_t i = 0; rc == 0 && out->kind == NZD_REACH_PURE && i < count;
         i++) {
        const struct module *module = find(reach, funs[i].module);

        if (module && module->of_set)
            call_effect(place, "fun ", &funs[i], out);
        else
            rc = follow_call(reach, place, &funs[i], out, err);
    }
    return rc;
}

static int follow(struct nzd_reach *reach, const struct place *place,
                  const struct edge *edge, struct nzd_reach_end *out,
                  struct nzd_err *err)
{
    struct module *module = place->module;
    const struct nzd_beam *beam = &module->beam;
    struct function *local = NULL;

    switch (edge->kind) {
    case EDGE_LOCAL:
        local = labelled(module, edge->target);
        break;
    case EDGE_IMPORT:
        if (edge->target < beam->import_count)
            return follow_call(reach, place, &beam->imports[edge->target], out,
                               err);
        break;
    case EDGE_LAMBDA:
        if (edge->target < beam->lambda_count)
            local = named(module, beam->lambdas[edge->target].name,
                          beam->lambdas[edge->target].arity +
                              beam->lambdas[edge->target].free_count);
        break;
    case EDGE_LITERAL:
        return follow_literal(reach, place, edge->target, out, err);
    case EDGE_FUN:
        out->calls_funs = true;
        return 0;
    case EDGE_DYNAMIC:
        effect(place, "a call of a module that only shows when it runs", out);
        return 0;
    case EDGE_MESSAGE:
        effect(place, "a message", out);
        return 0;
    }
    if (!local)
        effect(place, "a call that leads nowhere", out);
    return local ? visit(reach, module, local, err) : 0;
}

static void mark_used(struct nzd_reach *reach)
{
    for (struct module *module = reach->modules; module; module = module->next)
        module->used = module->used || module->seen == reach->run;
}

int nzd_reach_from(struct nzd_reach *reach, const char *module,
                   const char *function, uint32_t arity,
                   struct nzd_reach_end *out, struct nzd_err *err)
{
    struct module *home = find(reach, module);
    struct function *start = home ? named(home, function, arity) : NULL;
    int rc = 0;

    memset(out, 0, sizeof(*out));
    out->kind = start ? NZD_REACH_PURE : NZD_REACH_ABSENT;
    if (home && (home->missing || home->native)) {
        out->kind = NZD_REACH_EFFECT;
        snprintf(out->why, sizeof(out->why), "%s of %s",
                 home->native ? "native code" : "code that cannot be followed",
                 module);
    }
    reach->run++;
    reach->count = 0;
    if (out->kind == NZD_REACH_PURE)
        rc = visit(reach, home, start, err);
    while (rc == 0 && reach->count > 0 && out->kind == NZD_REACH_PURE) {
        struct place place = reach->todo[--reach->count];

        for (uint32_t i = place.function->first;
             rc == 0 && out->kind == NZD_REACH_PURE && i < place.function->end;
             i++)
            rc = follow(reach, &place, &place.module->edges[i], out, err);
    }
    if (rc == 0 && out->kind == NZD_REACH_PURE)
        mark_used(reach);
    return rc;
}

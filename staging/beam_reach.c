/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_reach.h"

#include "beam_pure.h"
#include "beam_reach_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
    struct nzd_reach_module *module;
    struct nzd_reach_function *function;
};

struct nzd_reach {
    struct nzd_reach_module *modules;
    uint64_t run;
    struct place *todo;
    uint32_t count, capacity;
};

/* --- modules ------------------------------------------------------------ */

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
        struct nzd_reach_module *module = reach->modules;

        reach->modules = module->next;
        nzd_reach_module_free(module);
    }
    free(reach->todo);
    free(reach);
}

static struct nzd_reach_module *find(const struct nzd_reach *reach,
                                     const char *name)
{
    struct nzd_reach_module *module = reach->modules;

    while (module && strcmp(module->name, name) != 0)
        module = module->next;
    return module;
}

bool nzd_reach_used(const struct nzd_reach *reach, const char *module)
{
    const struct nzd_reach_module *found = find(reach, module);

    return found && found->of_set && found->used;
}

int nzd_reach_add(struct nzd_reach *reach, struct nzd_view file, bool of_set,
                  struct nzd_err *err)
{
    struct nzd_reach_module *module = calloc(1, sizeof(*module));
    int rc;

    if (!module)
        return nzd_err_memory(err);
    module->of_set = of_set;
    rc = nzd_reach_module_read(file, module, err);
    if (rc || find(reach, module->name)) {
        nzd_reach_module_free(module);
        return rc;
    }
    module->next = reach->modules;
    reach->modules = module;
    return 0;
}

int nzd_reach_add_missing(struct nzd_reach *reach, const char *name,
                          struct nzd_err *err)
{
    struct nzd_reach_module *module;

    if (find(reach, name))
        return 0;
    module = calloc(1, sizeof(*module));
    if (module)
        module->name = nzd_arena_text(&module->arena, name, strlen(name));
    if (!module || !module->name) {
        nzd_reach_module_free(module);
        return nzd_err_memory(err);
    }
    module->missing = true;
    module->next = reach->modules;
    reach->modules = module;
    return 0;
}

/* --- following ---------------------------------------------------------- */

static int visit(struct nzd_reach *reach, struct nzd_reach_module *module,
                 struct nzd_reach_function *function, struct nzd_err *err)
{
    struct place *todo;

    if (function->seen == reach->run)
        return 0;
    todo = nzd_reach_grown(reach->todo, reach->count, &reach->capacity,
                           sizeof(*todo));
    if (!todo)
        return nzd_err_memory(err);
    reach->todo = todo;
    function->seen = reach->run;
    module->seen = reach->run;
    todo[reach->count++] = (struct place){module, function};
    return 0;
}

static struct nzd_reach_function *named(struct nzd_reach_module *module,
                                        const char *name, uint32_t arity)
{
    for (uint32_t i = 0; i < module->function_count; i++) {
        struct nzd_reach_function *function = &module->functions[i];

        if (function->arity == arity && strcmp(function->name, name) == 0)
            return function;
    }
    return NULL;
}

static struct nzd_reach_function *labelled(struct nzd_reach_module *module,
                                           uint32_t label)
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

/* What a renamed module does not come to. */
static bool is_apply(const struct nzd_beam_function *called)
{
    return called->arity == 3 && strcmp(called->name, "apply") == 0 &&
           strcmp(called->module, "erlang") == 0;
}

/* A call of another module's function. */
static int follow_call(struct nzd_reach *reach, const struct place *place,
                       const struct nzd_beam_function *called,
                       struct nzd_reach_end *out, struct nzd_err *err)
{
    struct nzd_reach_module *module = find(reach, called->module);
    enum nzd_purity purity =
        nzd_beam_purity(called->module, called->name, called->arity);
    struct nzd_reach_function *function;

    if (place->module->of_set && is_apply(called))
        return 0;
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
    /* What is not renamed calls what is to be replaced. */
    if (module->of_set && !place->module->of_set) {
        call_effect(place, "the present code of ", called, out);
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
        const struct nzd_reach_module *module = find(reach, funs[i].module);

        if (module && module->of_set)
            call_effect(place, "fun ", &funs[i], out);
        else
            rc = follow_call(reach, place, &funs[i], out, err);
    }
    return rc;
}

static int follow(struct nzd_reach *reach, const struct place *place,
                  const struct nzd_reach_edge *edge, struct nzd_reach_end *out,
                  struct nzd_err *err)
{
    struct nzd_reach_module *module = place->module;
    const struct nzd_beam *beam = &module->beam;
    struct nzd_reach_function *local = NULL;

    switch (edge->kind) {
    case NZD_EDGE_LOCAL:
        local = labelled(module, edge->target);
        break;
    case NZD_EDGE_IMPORT:
        if (edge->target < beam->import_count)
            return follow_call(reach, place, &beam->imports[edge->target], out,
                               err);
        break;
    case NZD_EDGE_LAMBDA:
        if (edge->target < beam->lambda_count)
            local = named(module, beam->lambdas[edge->target].name,
                          beam->lambdas[edge->target].arity +
                              beam->lambdas[edge->target].free_count);
        break;
    case NZD_EDGE_LITERAL:
        return follow_literal(reach, place, edge->target, out, err);
    case NZD_EDGE_FUN:
        out->calls_funs = true;
        return 0;
    case NZD_EDGE_DYNAMIC:
        if (module->of_set)
            return 0;
        effect(place, "a call of a module that only shows when it runs", out);
        return 0;
    case NZD_EDGE_MESSAGE:
        effect(place, "a message", out);
        return 0;
    }
    if (!local)
        effect(place, "a call that leads nowhere", out);
    return local ? visit(reach, module, local, err) : 0;
}

static void mark_used(struct nzd_reach *reach)
{
    for (struct nzd_reach_module *module = reach->modules; module;
         module = module->next)
        module->used = module->used || module->seen == reach->run;
}

int nzd_reach_from(struct nzd_reach *reach, const char *module,
                   const char *function, uint32_t arity,
                   struct nzd_reach_end *out, struct nzd_err *err)
{
    struct nzd_reach_module *home = find(reach, module);
    struct nzd_reach_function *start =
        home ? named(home, function, arity) : NULL;
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

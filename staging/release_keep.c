/* SPDX-License-Identifier: Apache-2.0 */
#include "release.h"

#include <stdlib.h>
#include <string.h>

/* What of a file outlives the file: interned names and copies. */

const char *release_intern_view(struct release_reader *reader,
                                struct nzd_view view)
{
    reader->names.arena = &reader->out->arena;
    return nzd_names_view(&reader->names, view);
}

const char *release_intern(struct release_reader *reader, const char *text)
{
    return release_intern_view(reader, nzd_view_text(text));
}

static bool copy_children(const struct nzd_term *term, struct nzd_term *copy,
                          struct nzd_arena *arena)
{
    copy->children = NULL;
    if (term->count > 0) {
        copy->children =
            nzd_arena_alloc(arena, term->count * sizeof(struct nzd_term *));
        if (!copy->children)
            return false;
    }
    for (uint32_t i = 0; i < term->count; i++) {
        copy->children[i] = release_copy_term(term->children[i], arena);
        if (!copy->children[i])
            return false;
    }
    if (term->kind != NZD_TERM_LIST || !term->tail)
        return true;
    copy->tail = release_copy_term(term->tail, arena);
    return copy->tail != NULL;
}

const struct nzd_term *release_copy_term(const struct nzd_term *term,
                                         struct nzd_arena *arena)
{
    struct nzd_term *copy = nzd_arena_alloc(arena, sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *term;
    switch (term->kind) {
    case NZD_TERM_INTEGER:
    case NZD_TERM_FLOAT:
        return copy;
    case NZD_TERM_TUPLE:
    case NZD_TERM_LIST:
    case NZD_TERM_MAP:
        return copy_children(term, copy, arena) ? copy : NULL;
    case NZD_TERM_ATOM:
    case NZD_TERM_BIG:
    case NZD_TERM_BINARY:
    case NZD_TERM_STRING:
    case NZD_TERM_OTHER:
        break;
    }
    copy->text.data = (const uint8_t *)nzd_arena_text(
        arena, (const char *)term->text.data, term->text.size);
    return copy->text.data ? copy : NULL;
}

/* --- beams --- */

static bool keep_functions(struct release_reader *reader,
                           const struct nzd_beam_function **items,
                           uint32_t count)
{
    struct nzd_beam_function *copy;

    if (count == 0) {
        *items = NULL;
        return true;
    }
    copy = nzd_arena_alloc(&reader->out->arena, count * sizeof(*copy));
    if (!copy)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct nzd_beam_function *item = &(*items)[i];

        copy[i].arity = item->arity;
        copy[i].name = release_intern(reader, item->name);
        if (item->module)
            copy[i].module = release_intern(reader, item->module);
        if (!copy[i].name || (item->module && !copy[i].module))
            return false;
    }
    *items = copy;
    return true;
}

static bool keep_lambdas(struct release_reader *reader, struct nzd_beam *beam)
{
    struct nzd_beam_lambda *copy;

    if (beam->lambda_count == 0)
        return true;
    copy = nzd_arena_alloc(&reader->out->arena,
                           beam->lambda_count * sizeof(*copy));
    if (!copy)
        return false;
    for (uint32_t i = 0; i < beam->lambda_count; i++) {
        copy[i] = beam->lambdas[i];
        copy[i].name = release_intern(reader, beam->lambdas[i].name);
        if (!copy[i].name)
            return false;
    }
    beam->lambdas = copy;
    return true;
}

const struct nzd_beam *release_keep_beam(struct release_reader *reader,
                                         const struct nzd_beam *beam)
{
    struct nzd_arena *arena = &reader->out->arena;
    struct nzd_beam *copy = nzd_arena_alloc(arena, sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *beam;
    copy->module = release_intern(reader, beam->module);
    copy->compiler = release_intern(reader, beam->compiler);
    if (beam->attributes)
        copy->attributes = release_copy_term(beam->attributes, arena);
    if (!copy->module || !copy->compiler ||
        (beam->attributes && !copy->attributes) ||
        !keep_functions(reader, &copy->exports, copy->export_count) ||
        !keep_functions(reader, &copy->imports, copy->import_count) ||
        !keep_lambdas(reader, copy))
        return NULL;
    return copy;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"
#include "term.h"
#include "term_build.h"
#include "term_scan.h"
#include "utf8.h"

#include <string.h>

/* What is open while parsing: the children so far of all containers. */
struct parser {
    struct nzd_scan scan;
    struct nzd_arena *arena;
    struct nzd_buf open; /* pointers to terms */
    struct nzd_term_atoms atoms;
    uint32_t nodes;
    uint32_t depth;
};

static const struct nzd_term *parse(struct parser *parser);

static const struct nzd_term *refuse(struct parser *parser, const char *what)
{
    nzd_scan_refuse(&parser->scan, what);
    return NULL;
}

/* What a constructor gave; NULL is no memory. */
static const struct nzd_term *made(struct parser *parser,
                                   const struct nzd_term *term)
{
    if (!term)
        (void)nzd_err_memory(parser->scan.err);
    return term;
}

/* --- sequences --- */

static bool push(struct parser *parser, const struct nzd_term *term)
{
    if (!term)
        return false;
    nzd_buf_bytes(&parser->open, &term, sizeof(const struct nzd_term *));
    if (parser->open.failed)
        (void)nzd_err_memory(parser->scan.err);
    return !parser->open.failed;
}

/* Takes what was pushed since `base` into the arena. */
static const struct nzd_term **pop(struct parser *parser, size_t base,
                                   uint32_t *count)
{
    size_t size = parser->open.size - base;
    const struct nzd_term **children = nzd_arena_alloc(parser->arena, size);

    if (!children)
        (void)nzd_err_memory(parser->scan.err);
    else if (size > 0)
        memcpy(children, parser->open.data + base, size);
    parser->open.size = base;
    *count = (uint32_t)(size / sizeof(const struct nzd_term *));
    return children;
}

/* Terms, or pairs around `=>`, with commas between them. */
static bool parse_sequence(struct parser *parser, bool pairs)
{
    do {
        if (!push(parser, parse(parser)))
            return false;
        if (!pairs)
            continue;
        if (!nzd_scan_sign(&parser->scan, "=>")) {
            nzd_scan_refuse(&parser->scan, "expected =>");
            return false;
        }
        if (!push(parser, parse(parser)))
            return false;
    } while (nzd_scan_sign(&parser->scan, ","));
    return true;
}

static const struct nzd_term *parse_tuple(struct parser *parser)
{
    size_t base = parser->open.size;
    const struct nzd_term **children;
    uint32_t count;

    if (!nzd_scan_sign(&parser->scan, "}")) {
        if (!parse_sequence(parser, false))
            return NULL;
        if (!nzd_scan_sign(&parser->scan, "}"))
            return refuse(parser, "expected , or }");
    }
    children = pop(parser, base, &count);
    if (!children)
        return NULL;
    return made(parser, nzd_term_new_tuple(parser->arena, children, count));
}

static const struct nzd_term *parse_list(struct parser *parser)
{
    size_t base = parser->open.size;
    const struct nzd_term **children;
    const struct nzd_term *tail = NULL;
    uint32_t count;

    if (nzd_scan_sign(&parser->scan, "]"))
        return nzd_term_nil();
    if (!parse_sequence(parser, false))
        return NULL;
    if (nzd_scan_sign(&parser->scan, "|")) {
        tail = parse(parser);
        if (!tail)
            return NULL;
        parser->nodes += nzd_term_list_length(tail);
    }
    if (!nzd_scan_sign(&parser->scan, "]"))
        return refuse(parser, "expected , or ]");
    if (parser->nodes > NZD_LIMIT_TERM_NODES)
        return refuse(parser, "too many terms");
    children = pop(parser, base, &count);
    if (!children)
        return NULL;
    return made(parser,
                nzd_term_new_list(parser->arena, children, count, tail));
}

static const struct nzd_term *parse_map(struct parser *parser)
{
    size_t base = parser->open.size;
    const struct nzd_term **children;
    const struct nzd_term *term;
    uint32_t count;
    bool repeated;

    if (!nzd_scan_sign(&parser->scan, "}")) {
        if (!parse_sequence(parser, true))
            return NULL;
        if (!nzd_scan_sign(&parser->scan, "}"))
            return refuse(parser, "expected , or }");
    }
    children = pop(parser, base, &count);
    if (!children)
        return NULL;
    term = nzd_term_new_map(parser->arena, children, count / 2, &repeated);
    if (repeated)
        return refuse(parser, "a map with a key twice");
    return made(parser, term);
}

/* --- atoms, strings, numbers --- */

static const struct nzd_term *parse_atom(struct parser *parser)
{
    struct nzd_view name;
    size_t count;

    if (!nzd_scan_atom(&parser->scan, &name))
        return NULL;
    if (!nzd_utf8_count(name, &count) || count > NZD_LIMIT_ATOM_CHARS)
        return refuse(parser, "too long an atom");
    return made(parser, nzd_term_new_atom(parser->arena, &parser->atoms, name));
}

static const struct nzd_term *parse_number(struct parser *parser)
{
    struct nzd_number number;
    struct nzd_term *term;

    if (!nzd_scan_number(&parser->scan, &number))
        return NULL;
    if (!number.is_real)
        return made(parser,
                    nzd_term_new_big(parser->arena, number.negative,
                                     nzd_view_of(number.little, number.size)));
    term = nzd_term_new(parser->arena, NZD_TERM_FLOAT);
    if (term)
        term->real = number.real;
    return made(parser, term);
}

/* Characters beyond Latin-1 make it a list of integers. */
static const struct nzd_term *wide_string(struct parser *parser)
{
    size_t base = parser->open.size;
    const struct nzd_term **children;
    uint32_t character;
    uint32_t count;

    while (nzd_scan_next_character(&parser->scan, &character)) {
        if (++parser->nodes > NZD_LIMIT_TERM_NODES)
            return refuse(parser, "too many terms");
        if (!push(parser,
                  made(parser, nzd_term_new_integer(parser->arena, character))))
            return NULL;
    }
    children = pop(parser, base, &count);
    if (!children)
        return NULL;
    return made(parser,
                nzd_term_new_list(parser->arena, children, count, NULL));
}

static const struct nzd_term *parse_string(struct parser *parser)
{
    const struct nzd_term *term;
    struct nzd_buf latin1 = {0};
    uint32_t character;

    if (!nzd_scan_string(&parser->scan))
        return NULL;
    if (parser->scan.highest > 255)
        return wide_string(parser);
    while (nzd_scan_next_character(&parser->scan, &character))
        nzd_buf_u8(&latin1, (uint8_t)character);
    if (latin1.size == 0)
        return nzd_term_nil();
    term = latin1.failed ? NULL
                         : nzd_term_new_text(parser->arena, NZD_TERM_STRING,
                                             nzd_buf_view(&latin1));
    nzd_buf_clear(&latin1);
    return made(parser, term);
}

static const struct nzd_term *
new_binary(struct parser *parser, const struct nzd_buf *bytes, uint8_t bits)
{
    char *copy =
        nzd_arena_text(parser->arena, (const char *)bytes->data, bytes->size);
    struct nzd_term *term = nzd_term_new(parser->arena, NZD_TERM_BINARY);

    if (!copy || !term || bytes->failed)
        return made(parser, NULL);
    term->text = nzd_view_of(copy, bytes->size);
    term->bits = bits;
    return term;
}

static const struct nzd_term *parse_binary(struct parser *parser)
{
    struct nzd_buf bytes = {0};
    const struct nzd_term *term = NULL;
    uint8_t bits;

    if (nzd_scan_binary(&parser->scan, &bytes, &bits))
        term = new_binary(parser, &bytes, bits);
    nzd_buf_clear(&bytes);
    return term;
}

/* ~"..." and ~b"..." are binaries, ~s"..." is a string (OTP 27). */
static const struct nzd_term *parse_sigil(struct parser *parser)
{
    struct nzd_buf bytes = {0};
    const struct nzd_term *term = NULL;
    uint32_t character;

    if (nzd_scan_word(&parser->scan, "s"))
        return parse_string(parser);
    (void)nzd_scan_word(&parser->scan, "b");
    if (!nzd_scan_string(&parser->scan))
        return NULL;
    while (nzd_scan_next_character(&parser->scan, &character)) {
        uint8_t utf8[4];

        nzd_buf_bytes(&bytes, utf8, nzd_utf8_put(utf8, character));
    }
    term = new_binary(parser, &bytes, 0);
    nzd_buf_clear(&bytes);
    return term;
}

/* `fun Module:Function/Arity`, the word `fun` being read. */
static const struct nzd_term *parse_fun(struct parser *parser)
{
    const struct nzd_term *module = parse_atom(parser);
    const struct nzd_term *function;
    const struct nzd_term *arity;

    if (!module)
        return NULL;
    if (!nzd_scan_sign(&parser->scan, ":"))
        return refuse(parser, "expected fun Module:Function/Arity");
    function = parse_atom(parser);
    if (!function)
        return NULL;
    if (!nzd_scan_sign(&parser->scan, "/"))
        return refuse(parser, "expected fun Module:Function/Arity");
    arity = parse_number(parser);
    if (!arity)
        return NULL;
    if (arity->kind != NZD_TERM_INTEGER || arity->integer < 0 ||
        arity->integer > 255)
        return refuse(parser, "not an arity");
    return made(parser, nzd_term_new_export(parser->arena, module, function,
                                            (uint8_t)arity->integer));
}

/* --- any term --- */

static const struct nzd_term *parse_open(struct parser *parser)
{
    struct nzd_scan *scan = &parser->scan;

    if (nzd_scan_sign(scan, "{"))
        return parse_tuple(parser);
    if (nzd_scan_sign(scan, "["))
        return parse_list(parser);
    if (nzd_scan_sign(scan, "<<"))
        return parse_binary(parser);
    if (nzd_scan_sign(scan, "~"))
        return parse_sigil(parser);
    if (!nzd_scan_sign(scan, "#"))
        return refuse(parser, "not a term");
    if (!nzd_scan_sign(scan, "{"))
        return refuse(parser, "expected #{");
    return parse_map(parser);
}

static const struct nzd_term *parse(struct parser *parser)
{
    struct nzd_scan *scan = &parser->scan;
    const struct nzd_term *term;

    if (++parser->nodes > NZD_LIMIT_TERM_NODES)
        return refuse(parser, "too many terms");
    switch (nzd_scan_kind(scan)) {
    case NZD_SCAN_ATOM:
        if (nzd_scan_word(scan, "fun"))
            return parse_fun(parser);
        return parse_atom(parser);
    case NZD_SCAN_STRING:
        return parse_string(parser);
    case NZD_SCAN_NUMBER:
        return parse_number(parser);
    case NZD_SCAN_VARIABLE:
        return refuse(parser, "a variable is not a term");
    case NZD_SCAN_END:
        return refuse(parser, "cut short");
    default:
        if (parser->depth >= NZD_LIMIT_TERM_DEPTH)
            return refuse(parser, "nested too deep");
        parser->depth++;
        term = parse_open(parser);
        parser->depth--;
        return term;
    }
}

static const struct nzd_term *parse_all(struct parser *parser)
{
    const struct nzd_term **children;
    uint32_t count;

    while (nzd_scan_kind(&parser->scan) != NZD_SCAN_END) {
        if (!push(parser, parse(parser)))
            return NULL;
        if (!nzd_scan_dot(&parser->scan))
            return refuse(parser, "expected a dot after the term");
    }
    children = pop(parser, 0, &count);
    if (!children)
        return NULL;
    return made(parser,
                nzd_term_new_list(parser->arena, children, count, NULL));
}

int nzd_term_parse(struct nzd_view text, struct nzd_arena *arena,
                   const struct nzd_term **out, struct nzd_err *err)
{
    struct parser parser = {.arena = arena};
    const struct nzd_term *term = NULL;

    if (nzd_scan_begin(&parser.scan, text, err) == 0)
        term = parse_all(&parser);
    nzd_scan_end(&parser.scan);
    nzd_buf_clear(&parser.open);
    if (!term)
        return nzd_err_set(err, NZD_EBUNDLE, "not Erlang terms");
    *out = term;
    return 0;
}

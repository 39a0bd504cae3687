/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/beam.h"
#include "../staging/limits.h"
#include "facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ALL (NZD_BEAM_CALLS | NZD_BEAM_FUNS)

struct chunk {
    const char *id;
    const char *bytes;
    size_t size;
};

#define BYTES(text) text, sizeof(text) - 1

/* Module m exports f/0, whose code is: label 1, func_info, label 2, return. */
static const struct chunk plain[] = {
    {"AtU8", BYTES("\0\0\0\3\1m\1f\4load")},
    {"Code", BYTES("\0\0\0\20\0\0\0\0\0\0\0\xb8\0\0\0\3\0\0\0\1"
                   "\1\20\2\22\42\0\1\40\23\3")},
    {"StrT", BYTES("")},
    {"ImpT", BYTES("\0\0\0\0")},
    {"ExpT", BYTES("\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\2")},
    {"LocT", BYTES("what nobody reads")},
};
#define PLAIN_COUNT (sizeof(plain) / sizeof(plain[0]))

static void add_chunk(struct nzd_buf *buf, const struct chunk *chunk)
{
    nzd_buf_text(buf, chunk->id);
    nzd_buf_u32(buf, (uint32_t)chunk->size);
    nzd_buf_bytes(buf, chunk->bytes, chunk->size);
    while (buf->size % 4 != 0)
        nzd_buf_u8(buf, 0);
}

static void set_size(struct nzd_buf *buf)
{
    uint32_t size = (uint32_t)buf->size - 8;

    for (unsigned i = 0; i < 4; i++)
        buf->data[4 + i] = (uint8_t)(size >> (24 - 8 * i));
}

/* `plain` with one chunk in another's place, or besides; NULL bytes drop it. */
static struct nzd_view file_with(struct facts *fixture,
                                 const struct chunk *other)
{
    struct nzd_buf *buf = &fixture->buf;
    bool placed = false;

    nzd_buf_reset(buf);
    nzd_buf_bytes(buf, "FOR1\0\0\0\0BEAM", 12);
    for (size_t i = 0; i < PLAIN_COUNT; i++) {
        bool here = other && strcmp(plain[i].id, other->id) == 0;

        placed |= here;
        if (!here)
            add_chunk(buf, &plain[i]);
        else if (other->bytes)
            add_chunk(buf, other);
    }
    if (other && !placed)
        add_chunk(buf, other);
    set_size(buf);
    return nzd_buf_view(buf);
}

static struct nzd_beam read_with(struct facts *fixture, const char *id,
                                 const char *bytes, size_t size)
{
    struct chunk chunk = {id, bytes, size};
    struct nzd_beam beam;

    if (nzd_beam_read(file_with(fixture, id ? &chunk : NULL), ALL,
                      &fixture->arena, &beam, &fixture->err))
        fail_msg("%s", fixture->err.message);
    return beam;
}

static void plain_file(void **state)
{
    struct facts *fixture = *state;
    struct nzd_beam beam = read_with(fixture, NULL, NULL, 0);
    struct nzd_beam less;

    assert_string_equal(beam.module, "m");
    assert_int_equal(beam.export_count, 1);
    assert_true(nzd_beam_exports(&beam, "f", 0));
    assert_false(nzd_beam_exports(&beam, "f", 1));
    assert_int_equal(nzd_term_length(beam.attributes), 0);
    assert_string_equal(beam.compiler, "");
    assert_false(beam.has_on_load || beam.loads_nif || beam.has_code_change);
    assert_int_equal(nzd_beam_read(file_with(fixture, NULL), 0, &fixture->arena,
                                   &less, &fixture->err),
                     0);
    assert_int_equal(less.export_count, 0);
    assert_null(less.exports);
    assert_true(nzd_digest_equal(&less.md5, &beam.md5));
}

/* Of what does not count as code nothing changes the md5, of what does
 * everything. */
static void md5_is_of_the_code(void **state)
{
    struct facts *fixture = *state;
    struct nzd_digest md5 = read_with(fixture, NULL, NULL, 0).md5;
    struct nzd_digest funs =
        read_with(fixture, "FunT",
                  BYTES("\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\1"
                        "\1\2\3\4"))
            .md5;
    struct nzd_beam beam;

    beam = read_with(fixture, "LocT", BYTES("other"));
    assert_true(nzd_digest_equal(&md5, &beam.md5));
    beam = read_with(fixture, "Attr", BYTES("\x83j"));
    assert_true(nzd_digest_equal(&md5, &beam.md5));
    beam = read_with(fixture, "StrT", BYTES("x"));
    assert_false(nzd_digest_equal(&md5, &beam.md5));
    beam = read_with(fixture, "Meta", BYTES("\x83j"));
    assert_false(nzd_digest_equal(&md5, &beam.md5));
    beam = read_with(fixture, "FunT",
                     BYTES("\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\1"
                           "\5\6\7\x8"));
    assert_true(nzd_digest_equal(&funs, &beam.md5));
    assert_int_equal(beam.lambda_count, 1);
    assert_int_equal(beam.lambdas[0].arity, 0);
    assert_int_equal(beam.lambdas[0].free_count, 1);
    assert_int_equal(beam.lambdas[0].old_uniq, 0x05060708);
}

/* OTP 28: the number of atoms is negative, lengths are compact terms. */
static void long_atoms(void **state)
{
    struct facts *fixture = *state;
    struct nzd_buf chunk = {0};
    struct nzd_beam beam;

    nzd_buf_bytes(&chunk, "\xff\xff\xff\xfd\20m\20f\x28\x04", 10);
    for (int i = 0; i < 130; i++)
        nzd_buf_text(&chunk, "\xc3\xa9");
    beam = read_with(fixture, "AtU8", (char *)chunk.data, chunk.size);
    nzd_buf_clear(&chunk);
    assert_string_equal(beam.module, "m");
    assert_true(nzd_beam_exports(&beam, "f", 0));
}

/* --- on_load --- */

#define CODE(instructions)                                                     \
    BYTES("\0\0\0\20\0\0\0\0\0\0\0\xb8\0\0\0\3\0\0\0\1"                        \
          "\1\20\2\22\42\0\1\40" instructions)
static void on_load_is_an_instruction(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        bool expected;
    } cases[] = {
        {CODE("\x95\23\3"), true},
        {CODE("\23\3"), false},
        {CODE("\23\3\x95"), false},                     /* behind the end */
        {CODE("\1\x95\23\3"), false},                   /* label 9 */
        {CODE("\x40\x19\x00\x95\3\3"), false},          /* 149 as an integer */
        {CODE("\x40\x19\x00\x95\3\x95\3"), true},       /* and one after it */
        {CODE("\xa4\3\x17\x20\x95\x95\3"), false},      /* in a list */
        {CODE("\xa4\3\x17\x20\x95\x95\x95\3"), true},   /* behind it */
        {CODE("\x40\x47\x95\3\3"), false},              /* a literal */
        {CODE("\x40\x57\x95\x95\3\3"), false},          /* a typed register */
        {CODE("\20\x37\x20\0\x95\x10\x95\0\3"), false}, /* an allocation */
        {CODE("\x40\x37\x10\0\x95\3\3"), false},
        {CODE("\xb8\0\0\0\x95\x95\3"), true}, /* debug_line/4 */
        {CODE("\xb9\x95\3"), false},          /* not known to us */
        {CODE("\x40\x77\x95\3\3"), false},    /* nor this operand */
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nzd_beam beam =
            read_with(fixture, "Code", cases[i].bytes, cases[i].size);

        if (beam.has_on_load != cases[i].expected)
            fail_msg("case %zu: %d", i, beam.has_on_load);
    }
}

/* Then, and only then, loading a NIF decides. */
static void unknown_code_with_a_nif(void **state)
{
    static const char atoms[] = "\0\0\0\4\1m\1f\6erlang\10load_nif";
    static const char imports[] = "\0\0\0\1\0\0\0\3\0\0\0\4\0\0\0\2";
    static const char *const code[] = {"\x95", "\xb9", "\23"};
    struct facts *fixture = *state;

    for (size_t i = 0; i < 3; i++) {
        struct nzd_buf *buf = &fixture->buf;
        struct nzd_beam beam;
        struct chunk chunks[] = {{"AtU8", BYTES(atoms)},
                                 {"Code", CODE("?\x95\3")},
                                 {"ImpT", BYTES(imports)},
                                 plain[4]};
        char *copy =
            nzd_arena_text(&fixture->arena, chunks[1].bytes, chunks[1].size);

        copy[chunks[1].size - 3] = code[i][0];
        copy[chunks[1].size - 2] = i == 2 ? '\3' : '\x95';
        chunks[1].bytes = copy;
        nzd_buf_reset(buf);
        nzd_buf_bytes(buf, "FOR1\0\0\0\0BEAM", 12);
        for (size_t k = 0; k < 4; k++)
            add_chunk(buf, &chunks[k]);
        set_size(buf);
        assert_int_equal(nzd_beam_read(nzd_buf_view(buf), ALL, &fixture->arena,
                                       &beam, &fixture->err),
                         0);
        assert_true(beam.loads_nif);
        assert_int_equal(beam.has_on_load, i < 2);
    }
}

/* --- damage --- */

static void damaged_chunks(void **state)
{
    static const struct {
        struct chunk chunk;
        const char *message;
    } cases[] = {
        {{"AtU8", NULL, 0}, "chunk AtU8: missing"},
        {{"Code", NULL, 0}, "chunk Code: missing"},
        {{"ImpT", NULL, 0}, "chunk ImpT: missing"},
        {{"ExpT", NULL, 0}, "chunk ExpT: missing"},
        {{"AtU8", BYTES("\0\0\0\0")}, "chunk AtU8: a wrong number of atoms"},
        {{"AtU8", BYTES("\0\0\0\4\1m\1f")}, "chunk AtU8: cut short"},
        {{"AtU8", BYTES("\0\x10\0\1\1m\1f")},
         "chunk AtU8: a wrong number of atoms"},
        {{"AtU8", BYTES("\0\0\0\2\1m\1fx")}, "chunk AtU8: bytes after its end"},
        {{"AtU8", BYTES("\0\0\0\2\1m\1\xff")},
         "chunk AtU8: an atom that is no name"},
        {{"AtU8", BYTES("\0\0\0\2\1m\2a\0")},
         "chunk AtU8: an atom that is no name"},
        {{"AtU8", BYTES("\xff\xff\xff\xff\21m")}, "chunk AtU8: cut short"},
        {{"ExpT", BYTES("\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0\2")},
         "chunk ExpT: a wrong number of entries"},
        {{"ExpT", BYTES("\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\2")},
         "chunk ExpT: an atom that is not there"},
        {{"ExpT", BYTES("\0\0\0\1\0\0\0\4\0\0\0\0\0\0\0\2")},
         "chunk ExpT: an atom that is not there"},
        {{"ExpT", BYTES("\0\0\0\1\0\0\0\2\0\0\1\0\0\0\0\2")},
         "chunk ExpT: too high an arity"},
        {{"ImpT", BYTES("\0\0\0\1\0\0\0\7\0\0\0\1\0\0\0\2")},
         "chunk ImpT: an atom that is not there"},
        {{"ImpT", BYTES("\xff\xff\xff\xff\0\0\0\1")},
         "chunk ImpT: a wrong number of entries"},
        {{"FunT", BYTES("\0\0\0\0\0")}, "chunk FunT: cut short"},
        {{"FunT", BYTES("\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1"
                        "\0\0\0\0")},
         "chunk FunT: too high an arity"},
        {{"Attr", BYTES("\x83w\1a")}, "chunk Attr: not a list"},
        {{"Attr", BYTES("\x83x")}, "chunk Attr: term: cut short at byte 2"},
        {{"CInf", BYTES("x")}, "chunk CInf: term: not an external term"},
        {{"Code", BYTES("\0\0\0\20\0\0\0\1\0\0\0\xb8\0\0\0\3\0\0\0\1\x95")},
         "chunk Code: unknown format"},
        {{"Code", BYTES("\0\0\1\0\0\0\0\0")}, "chunk Code: cut short"},
        {{"Code", CODE("\x40\x19\x00\x95")}, "chunk Code: cut short"},
        {{"Code", CODE("\x40\xf8\xf8\xf8\x95")}, "chunk Code: cut short"},
    };
    struct facts *fixture = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nzd_err err = NZD_ERR_INIT;
        struct nzd_beam beam;

        assert_int_equal(nzd_beam_read(file_with(fixture, &cases[i].chunk), ALL,
                                       &fixture->arena, &beam, &err),
                         NZD_EBUNDLE);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void assert_refused(struct facts *fixture, struct nzd_view view,
                           const char *message)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_beam beam;

    assert_int_equal(nzd_beam_read(view, ALL, &fixture->arena, &beam, &err),
                     NZD_EBUNDLE);
    assert_contains(err.message, message);
}

static void damaged_container(void **state)
{
    struct facts *fixture = *state;
    struct nzd_buf *buf = &fixture->buf;

    assert_refused(fixture, nzd_view_text(""), "not a BEAM file");
    assert_refused(fixture, nzd_view_text("#!/bin/sh"), "not a BEAM file");
    assert_refused(fixture, nzd_view_of("FOR1\0\0\0\4AIFF", 12),
                   "not a BEAM file");
    assert_refused(fixture, nzd_view_of("FOR1\0\0\0\5BEAM", 12),
                   "BEAM file: cut short");
    (void)file_with(fixture, NULL);
    nzd_buf_u8(buf, 0);
    assert_refused(fixture, nzd_buf_view(buf),
                   "BEAM file: bytes after its end");
    (void)file_with(fixture, NULL);
    add_chunk(buf, &plain[3]);
    set_size(buf);
    assert_refused(fixture, nzd_buf_view(buf), "chunk ImpT: occurs twice");
    assert_refused(fixture, nzd_view_of("\x1f\x8b\x08", 3), "compressed data");
    assert_false(nzd_beam_looks_like(nzd_view_text("#!/bin/sh")));
    assert_false(nzd_beam_looks_like(nzd_view_text("")));
}

/* A fixed block: a zero, then again and again 258 more of what stands one
 * byte before: 32 MB and some more from 200 KB. */
static void bombs_are_bounded(void **state)
{
    static const uint8_t header[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    struct facts *fixture = *state;
    struct nzd_buf *buf = &fixture->buf;
    uint64_t bits = 3 | (uint64_t)0x0c << 3; /* last, fixed; literal 0 */
    unsigned count = 11;

    nzd_buf_bytes(buf, header, sizeof(header));
    for (size_t size = 1; size <= NZD_LIMIT_MODULE_BYTES + 4096; size += 258) {
        bits |= (uint64_t)0xa3 << count; /* 258: 11000101 from its high end */
        count += 8 + 5;                  /* distance 1: five zeros */
        for (; count >= 8; count -= 8, bits >>= 8)
            nzd_buf_u8(buf, (uint8_t)bits);
    }
    assert_refused(fixture, nzd_buf_view(buf), "inflates to");
}

static void try_bytes(struct nzd_view view)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_beam beam;
    int rc = nzd_beam_read(view, ALL, &arena, &beam, &err);

    assert_true(rc == 0 || (rc == NZD_EBUNDLE && err.message[0]));
    if (rc == 0) {
        assert_true(strlen(beam.module) <= 4 * NZD_LIMIT_ATOM_CHARS);
        for (uint32_t i = 0; i < beam.import_count; i++)
            assert_true(beam.imports[i].module && beam.imports[i].name);
    }
    assert_true(arena.total < 64 * view.size + 4096);
    nzd_arena_clear(&arena);
}

static void damaged_anywhere(struct nzd_view view)
{
    for (size_t size = 0; size < view.size; size++) {
        uint8_t *copy = malloc(size ? size : 1);

        assert_non_null(copy);
        memcpy(copy, view.data, size);
        try_bytes(nzd_view_of(copy, size));
        free(copy);
    }
    for (size_t i = 0; i < 2 * view.size; i++) {
        uint8_t *copy = malloc(view.size);

        assert_non_null(copy);
        memcpy(copy, view.data, view.size);
        copy[i / 2] ^= (uint8_t)(1u << (i * 5 + i / 16) % 8);
        try_bytes(nzd_view_of(copy, view.size));
        free(copy);
    }
}

static void damaged_files(void **state)
{
    struct facts *fixture = *state;
    struct nzd_reader reader;
    struct nzd_view file;
    unsigned tried = 0;

    harness_write_file(harness_path(fixture->harness, "made.erl"), facts_made);
    (void)facts_run(fixture->harness, "beams");
    nzd_reader_init(&reader, facts_file(fixture->harness, "beams"));
    while (facts_block(&reader, &file)) {
        struct nzd_view next;

        (void)facts_block(&reader, &next);
        if (file.size > 8192)
            continue;
        damaged_anywhere(file);
        tried++;
    }
    assert_true(tried >= 3);
}

int main(void)
{
#define WITH_VM(test)                                                          \
    cmocka_unit_test_setup_teardown(test, facts_set_up_vm, facts_tear_down)
#define ALONE(test)                                                            \
    cmocka_unit_test_setup_teardown(test, facts_set_up, facts_tear_down)
    const struct CMUnitTest tests[] = {
        ALONE(plain_file),
        ALONE(md5_is_of_the_code),
        ALONE(long_atoms),
        ALONE(on_load_is_an_instruction),
        ALONE(unknown_code_with_a_nif),
        ALONE(damaged_chunks),
        ALONE(damaged_container),
        ALONE(bombs_are_bounded),
        WITH_VM(damaged_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/elf.h"

#include <elf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* This very program, and small files made by hand. */

struct fixture {
    struct nzd_buf own;
    struct nzd_elf elf;
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    FILE *file = fopen("/proc/self/exe", "rb");
    char bytes[4096];
    size_t size;

    assert_non_null(fixture);
    assert_non_null(file);
    while ((size = fread(bytes, 1, sizeof(bytes), file)) > 0)
        nzd_buf_bytes(&fixture->own, bytes, size);
    fclose(file);
    assert_false(fixture->own.failed);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    nzd_buf_clear(&fixture->own);
    free(fixture);
    return 0;
}

static int read_bytes(struct fixture *fixture, const void *data, size_t size)
{
    nzd_err_clear(&fixture->err);
    return nzd_elf_read(nzd_view_of(data, size), &fixture->elf, &fixture->err);
}

static void reads_a_program(void **state)
{
    struct fixture *fixture = *state;
    const uint8_t *own = fixture->own.data;

    assert_int_equal(read_bytes(fixture, own, fixture->own.size), 0);
    assert_memory_equal(fixture->elf.machine + 2, own + 18, 2);
    assert_int_equal(fixture->elf.machine[0],
                     sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32);
    assert_non_null(strstr(fixture->elf.interpreter, "/ld"));
}

static void knows_no_other_file(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(read_bytes(fixture, "#!/bin/sh\n", 10), NZD_ENOTFOUND);
    assert_int_equal(read_bytes(fixture, "", 0), NZD_ENOTFOUND);
    assert_int_equal(read_bytes(fixture, ELFMAG, 4), NZD_EBUNDLE);
}

/* Behind the end of the last segment lies only what nobody loads. */
static size_t end_of_segments(const struct nzd_buf *own)
{
    ElfW(Ehdr) file;
    ElfW(Phdr) segment;
    size_t end = 0;

    memcpy(&file, own->data, sizeof(file));
    for (size_t i = 0; i < file.e_phnum; i++) {
        memcpy(&segment, own->data + file.e_phoff + i * sizeof(segment),
               sizeof(segment));
        if (segment.p_offset + segment.p_filesz > end)
            end = segment.p_offset + segment.p_filesz;
    }
    return end;
}

static void refuses_what_was_cut_off(void **state)
{
    struct fixture *fixture = *state;
    size_t end = end_of_segments(&fixture->own);

    assert_in_range(end, 4096, fixture->own.size);
    assert_int_equal(read_bytes(fixture, fixture->own.data, end), 0);
    for (size_t size = 4; size < end; size += 1 + size / 9)
        assert_int_equal(read_bytes(fixture, fixture->own.data, size),
                         NZD_EBUNDLE);
    assert_int_equal(read_bytes(fixture, fixture->own.data, end - 1),
                     NZD_EBUNDLE);
    assert_string_equal(fixture->err.message,
                        "it ends before its last segment");
}

/* elf(5), class 32, of a big-endian machine: one segment of 8 bytes at 84. */
static void make_small(uint8_t out[92])
{
    memset(out, 0, 92);
    memcpy(out, ELFMAG, 4);
    out[EI_CLASS] = ELFCLASS32;
    out[EI_DATA] = ELFDATA2MSB;
    out[17] = ET_EXEC;
    out[19] = EM_PPC;
    out[31] = 52; /* e_phoff */
    out[43] = 32; /* e_phentsize */
    out[45] = 1;  /* e_phnum */
    out[55] = PT_LOAD;
    out[59] = 84; /* p_offset */
    out[71] = 8;  /* p_filesz */
}

static void reads_other_machines(void **state)
{
    struct fixture *fixture = *state;
    uint8_t small[92];

    make_small(small);
    assert_int_equal(read_bytes(fixture, small, 92), 0);
    assert_memory_equal(fixture->elf.machine, "\1\2\0\24", 4);
    assert_string_equal(fixture->elf.interpreter, "");
    assert_int_equal(read_bytes(fixture, small, 91), NZD_EBUNDLE);
    small[68] = 0xff; /* a size that goes round */
    assert_int_equal(read_bytes(fixture, small, 92), NZD_EBUNDLE);
    make_small(small);
    small[55] = PT_NOTE;
    assert_int_equal(read_bytes(fixture, small, 92), NZD_EBUNDLE);
    make_small(small);
    small[17] = ET_CORE;
    assert_int_equal(read_bytes(fixture, small, 92), NZD_EBUNDLE);
    assert_string_equal(fixture->err.message, "it is no program");
}

static void refuses_a_loader_without_a_name(void **state)
{
    struct fixture *fixture = *state;
    uint8_t small[92];

    make_small(small);
    small[55] = PT_INTERP;
    memcpy(small + 84, "/ld.so.1", 8);
    assert_int_equal(read_bytes(fixture, small, 92), NZD_EBUNDLE);
    assert_string_equal(fixture->err.message,
                        "it names no loader where it should");
    memcpy(small + 84, "/ld.so\0\0", 8);
    assert_int_equal(read_bytes(fixture, small, 92), NZD_EBUNDLE);
    assert_string_equal(fixture->err.message, "it holds nothing to be loaded");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(reads_a_program),
        TEST(knows_no_other_file),
        TEST(refuses_what_was_cut_off),
        TEST(reads_other_machines),
        TEST(refuses_a_loader_without_a_name),
    };
    return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}

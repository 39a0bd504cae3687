/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- errors --- */

static void test_first_error_wins(void **state)
{
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    assert_int_equal(nzd_err_set(&err, NZD_EBUNDLE, "file %d", 1), NZD_EBUNDLE);
    assert_int_equal(nzd_err_set(&err, NZD_ENODE, "other"), NZD_EBUNDLE);
    assert_int_equal(nzd_err_system(&err, NZD_ENODE, EIO, "x"), NZD_EBUNDLE);
    assert_string_equal(err.message, "file 1");
    assert_int_equal(err.sys, 0);
    assert_int_equal(nzd_err_prefix(&err, "apply %s", "a"), NZD_EBUNDLE);
    assert_string_equal(err.message, "apply a: file 1");
    nzd_err_next(&err, "first");
    nzd_err_next(&err, "second");
    assert_string_equal(err.next, "first");
    nzd_err_clear(&err);
    assert_int_equal(err.code, NZD_OK);
    assert_int_equal(nzd_err_prefix(&err, "nothing failed"), NZD_OK);
    assert_string_equal(err.message, "");
    assert_int_equal(nzd_err_set(NULL, NZD_EBUSY, "x"), NZD_EBUSY);
}

static void test_error_of_the_system(void **state)
{
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    nzd_err_system(&err, NZD_EJOURNAL, ENOENT, "open %s", "f");
    assert_string_equal(err.message, "open f: No such file or directory");
    assert_int_equal(err.sys, ENOENT);
    nzd_err_clear(&err);
    assert_int_equal(nzd_err_memory(&err), NZD_EINTERNAL);
    assert_int_equal(err.sys, ENOMEM);
}

static void test_long_errors_are_cut(void **state)
{
    struct nzd_err err = NZD_ERR_INIT;
    char text[2 * NZD_ERR_MESSAGE];
    size_t length;

    (void)state;
    for (size_t i = 0; i + 3 < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 4);
    nzd_err_set(&err, NZD_EUSAGE, "%s", text);
    length = strlen(err.message);
    assert_in_range(length, NZD_ERR_MESSAGE - 4, NZD_ERR_MESSAGE - 1);
    assert_int_equal(length % 3, 0);
    nzd_err_prefix(&err, "ab");
    assert_memory_equal(err.message, "ab: \xe2\x82\xac", 7);
    length = strlen(err.message);
    assert_true(length < NZD_ERR_MESSAGE && (length - 4) % 3 == 0);
    nzd_err_clear(&err);
    nzd_err_system(&err, NZD_EUSAGE, EIO, "%s", text);
    assert_true(strlen(err.message) < NZD_ERR_MESSAGE);
}

static void test_exit_statuses(void **state)
{
    (void)state;
    assert_int_equal(nzd_err_exit(NZD_OK), 0);
    assert_int_equal(nzd_err_exit(NZD_EROLLEDBACK), 6);
    assert_int_equal(nzd_err_exit(NZD_EUNSETTLED), 10);
    assert_int_equal(nzd_err_exit(NZD_ENOTFOUND), 1);
    assert_int_equal(nzd_err_exit(NZD_ELOST), 4);
    assert_int_equal(nzd_err_exit(-99), 1);
    assert_int_equal(nzd_err_exit(99), 1);
    assert_string_equal(nzd_err_name(NZD_EREFUSED), "refused");
}

/* --- the reader --- */

static void test_reads(void **state)
{
    static const uint8_t data[] = {1, 0, 2, 0, 0, 0, 3, 0, 0,   0,   0,
                                   0, 0, 0, 4, 0, 0, 0, 2, 'a', 'b', 9};
    struct nzd_reader reader;
    struct nzd_view view;

    (void)state;
    nzd_reader_init(&reader, nzd_view_of(data, sizeof(data)));
    assert_int_equal(nzd_read_u8(&reader), 1);
    assert_int_equal(nzd_read_u16(&reader), 2);
    assert_int_equal(nzd_read_u32(&reader), 3);
    assert_int_equal(nzd_read_u64(&reader), 4);
    view = nzd_read_block(&reader, 2);
    assert_true(nzd_view_equal(view, nzd_view_text("ab")));
    assert_false(nzd_reader_done(&reader));
    assert_int_equal(nzd_read_u8(&reader), 9);
    assert_true(nzd_reader_done(&reader));
}

static void test_reading_past_the_end(void **state)
{
    static const uint8_t data[] = {1, 2, 3};
    struct nzd_reader reader;

    (void)state;
    nzd_reader_init(&reader, nzd_view_of(data, sizeof(data)));
    assert_int_equal(nzd_read_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(nzd_read_u8(&reader), 0);
    assert_int_equal(reader.left, 3);
    assert_int_equal(nzd_read_bytes(&reader, 0).size, 0);
    assert_false(nzd_reader_done(&reader));
}

static void test_blocks_past_their_limit(void **state)
{
    static const uint8_t data[] = {0, 0, 0, 2, 'a', 'b'};
    static const uint8_t lies[] = {0xff, 0xff, 0xff, 0xff, 'a'};
    struct nzd_reader reader;

    (void)state;
    nzd_reader_init(&reader, nzd_view_of(data, sizeof(data)));
    assert_int_equal(nzd_read_block(&reader, 1).size, 0);
    assert_true(reader.failed);
    nzd_reader_init(&reader, nzd_view_of(lies, sizeof(lies)));
    assert_int_equal(nzd_read_block(&reader, UINT32_MAX).size, 0);
    assert_true(reader.failed);
    nzd_reader_init(&reader, nzd_view_of(NULL, 0));
    assert_true(nzd_reader_done(&reader));
    assert_int_equal(nzd_read_bytes(&reader, SIZE_MAX).size, 0);
    assert_true(reader.failed);
}

static void test_views(void **state)
{
    (void)state;
    assert_true(nzd_view_equal(nzd_view_of(NULL, 0), nzd_view_text("")));
    assert_true(nzd_view_equal(nzd_view_text(NULL), nzd_view_text("")));
    assert_false(nzd_view_equal(nzd_view_text("a"), nzd_view_text("ab")));
    assert_false(nzd_view_equal(nzd_view_text("a"), nzd_view_text("b")));
}

/* --- the buffer --- */

static void test_buffer(void **state)
{
    struct nzd_buf buf = {0};
    struct nzd_reader reader;
    uint8_t *to;

    (void)state;
    nzd_buf_u8(&buf, 1);
    nzd_buf_u16(&buf, 0x0203);
    nzd_buf_u32(&buf, 0x04050607);
    nzd_buf_u64(&buf, 0x08090a0b0c0d0e0f);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(buf.data[i], i + 1);
    nzd_buf_reset(&buf);
    nzd_buf_block(&buf, nzd_view_text("xyz"));
    nzd_reader_init(&reader, nzd_buf_view(&buf));
    assert_int_equal(nzd_read_block(&reader, 3).size, 3);
    assert_true(nzd_reader_done(&reader));
    nzd_buf_reset(&buf);
    nzd_buf_text(&buf, "a");
    nzd_buf_printf(&buf, "%0500d", 7);
    assert_int_equal(buf.size, 501);
    assert_int_equal(strlen(nzd_buf_string(&buf)), 501);
    assert_int_equal(buf.size, 501);
    to = nzd_buf_reserve(&buf, 10);
    assert_ptr_equal(to, buf.data + 501);
    assert_int_equal(buf.size, 501);
    nzd_buf_clear(&buf);
    assert_null(buf.data);
    assert_string_equal(nzd_buf_string(&buf), "");
    nzd_buf_clear(&buf);
}

static void test_failed_buffer(void **state)
{
    struct nzd_buf buf = {0};

    (void)state;
    nzd_buf_u8(&buf, 1);
    assert_null(nzd_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    nzd_buf_u8(&buf, 2);
    nzd_buf_text(&buf, "x");
    assert_int_equal(buf.size, 1);
    assert_string_equal(nzd_buf_string(&buf), "");
    nzd_buf_reset(&buf);
    nzd_buf_text(&buf, "x");
    assert_string_equal(nzd_buf_string(&buf), "x");
    nzd_buf_clear(&buf);
}

/* --- the arena --- */

static void test_arena(void **state)
{
    struct nzd_arena arena = {0};
    char *first = nzd_arena_text(&arena, "first", 5);
    size_t *numbers;
    char *large;
    char *after;

    (void)state;
    numbers = nzd_arena_alloc(&arena, 3 * sizeof(*numbers));
    assert_int_equal((uintptr_t)numbers % _Alignof(max_align_t), 0);
    assert_int_equal(numbers[2], 0);
    large = nzd_arena_alloc(&arena, 1 << 20);
    memset(large, 'x', 1 << 20);
    after = nzd_arena_printf(&arena, "%s %d", "after", 1);
    /* Room left in the first chunk is not lost to a large one. */
    assert_in_range((uintptr_t)after, (uintptr_t)first,
                    (uintptr_t)first + 8192);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(*(char *)nzd_arena_alloc(&arena, 10), 0);
    assert_string_equal(first, "first");
    assert_string_equal(after, "after 1");
    assert_null(nzd_arena_alloc(&arena, SIZE_MAX));
    assert_null(nzd_arena_text(&arena, "x", SIZE_MAX));
    assert_non_null(nzd_arena_alloc(&arena, 0));
    assert_true(arena.total > (1 << 20) + 50000);
    nzd_arena_clear(&arena);
    assert_int_equal(arena.total, 0);
}

/* --- hex, files --- */

static void test_hex(void **state)
{
    static const uint8_t data[] = {0x00, 0x9a, 0xff};
    uint8_t back[3];
    char text[7];

    (void)state;
    nzd_hex(text, data, 3);
    assert_string_equal(text, "009aff");
    assert_true(nzd_unhex(back, 3, "009AFf"));
    assert_memory_equal(back, data, 3);
    assert_false(nzd_unhex(back, 3, "009aff0"));
    assert_false(nzd_unhex(back, 3, "009af"));
    assert_false(nzd_unhex(back, 3, "009afg"));
    assert_false(nzd_unhex(back, 3, ""));
}

static void test_files(void **state)
{
    FILE *file = tmpfile();
    char text[8] = "";
    int fd;

    (void)state;
    assert_non_null(file);
    fd = fileno(file);
    assert_int_equal(nzd_write_all(fd, "abcdef", 6), 0);
    assert_int_equal(nzd_pread_all(fd, text, 3, 2), 0);
    assert_string_equal(text, "cde");
    errno = 0;
    assert_int_equal(nzd_pread_all(fd, text, 3, 4), -1);
    assert_int_equal(errno, EIO);
    fclose(file);
    assert_int_equal(nzd_write_all(-1, "x", 1), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_error_of_the_system),
        cmocka_unit_test(test_long_errors_are_cut),
        cmocka_unit_test(test_exit_statuses),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_reading_past_the_end),
        cmocka_unit_test(test_blocks_past_their_limit),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_failed_buffer),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}

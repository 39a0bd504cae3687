/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/spool.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct tree tree;
    struct nzd_spool *spool;
    struct nzd_buf bytes;
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    tree_open(&fixture->tree);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    nzd_spool_close(fixture->spool);
    nzd_buf_clear(&fixture->bytes);
    tree_close(&fixture->tree);
    free(fixture);
    return 0;
}

static void open_spool(struct fixture *fixture, uint64_t limit)
{
    assert_int_equal(nzd_spool_open(fixture->tree.root, limit, &fixture->spool,
                                    &fixture->err),
                     0);
}

static uint64_t append(struct fixture *fixture, const char *text)
{
    uint64_t offset = 0;

    assert_int_equal(nzd_spool_append(fixture->spool, nzd_view_text(text),
                                      &offset, &fixture->err),
                     0);
    return offset;
}

static void expect(struct fixture *fixture, uint64_t offset, const char *text)
{
    struct nzd_digest digest = nzd_digest_of(nzd_view_text(text));

    assert_int_equal(nzd_spool_read(fixture->spool, offset, strlen(text),
                                    &digest, &fixture->bytes, &fixture->err),
                     0);
    assert_string_equal(nzd_buf_string(&fixture->bytes), text);
}

/* Passing the limit moves what was there to disk, unseen by the reader. */
static void gives_back_what_was_put_in(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first, second, third;

    open_spool(fixture, 10);
    first = append(fixture, "hello");
    second = append(fixture, "world");
    expect(fixture, first, "hello");
    third = append(fixture, "past the limit");
    expect(fixture, first, "hello");
    expect(fixture, second, "world");
    expect(fixture, third, "past the limit");
    assert_int_equal(nzd_spool_size(fixture->spool), 24);
    tree_run(&fixture->tree, "test -z \"$(ls -A)\"");
}

static void keeps_what_never_fits_memory(void **state)
{
    struct fixture *fixture = *state;

    open_spool(fixture, 0);
    expect(fixture, append(fixture, "all on disk"), "all on disk");
}

static void gives_nothing_for_no_bytes(void **state)
{
    struct fixture *fixture = *state;

    open_spool(fixture, 10);
    expect(fixture, append(fixture, ""), "");
}

static void refuses_what_is_not_in_it(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_digest wrong = nzd_digest_of(nzd_view_text("hellp"));

    open_spool(fixture, 10);
    append(fixture, "hello");
    assert_int_equal(
        nzd_spool_read(fixture->spool, 0, 6, NULL, &fixture->bytes, NULL),
        NZD_EINTERNAL);
    assert_int_equal(nzd_spool_read(fixture->spool, UINT64_MAX, 2, NULL,
                                    &fixture->bytes, NULL),
                     NZD_EINTERNAL);
    assert_int_equal(nzd_spool_read(fixture->spool, 1, UINT64_MAX, NULL,
                                    &fixture->bytes, NULL),
                     NZD_EINTERNAL);
    assert_int_equal(
        nzd_spool_read(fixture->spool, 0, 5, &wrong, &fixture->bytes, NULL),
        NZD_EINTERNAL);
    expect(fixture, 0, "hello");
}

static void says_when_the_disk_has_no_room(void **state)
{
    struct fixture *fixture = *state;
    uint64_t offset;

    assert_int_equal(
        nzd_spool_open("/nonexistent", 4, &fixture->spool, &fixture->err), 0);
    assert_int_equal(nzd_spool_append(fixture->spool, nzd_view_text("hello"),
                                      &offset, &fixture->err),
                     NZD_EREFUSED);
    assert_non_null(strstr(fixture->err.message, "/nonexistent"));
    nzd_err_clear(&fixture->err);
    expect(fixture, append(fixture, "four"), "four");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(gives_back_what_was_put_in),
        TEST(keeps_what_never_fits_memory),
        TEST(gives_nothing_for_no_bytes),
        TEST(refuses_what_is_not_in_it),
        TEST(says_when_the_disk_has_no_room),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/digest.h"
#include "../staging/limits.h"
#include "../staging/listing.h"
#include "../staging/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void each_is_kept_once(void **state)
{
    struct nzd_arena arena = {0};
    struct nzd_names names = {.arena = &arena};
    const char *kept[3000];
    char name[32];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "%.*s%u", (int)(i % 20),
                 "abcdefghijklmnopqrst", i);
        kept[i] = nzd_names_view(&names, nzd_view_text(name));
        assert_string_equal(kept[i], name);
    }
    assert_int_equal(names.count, 3000);
    for (unsigned i = 0; i < 3000; i++)
        assert_ptr_equal(nzd_names_view(&names, nzd_view_text(kept[i])),
                         kept[i]);
    assert_string_equal(nzd_names_view(&names, nzd_view_text("")), "");
    nzd_names_clear(&names);
    nzd_arena_clear(&arena);
}

static unsigned longest_run(const struct nzd_names *names)
{
    unsigned longest = 0;
    unsigned run = 0;

    for (uint32_t i = 0; i < names->size; i++) {
        run = names->table[i] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* Chosen so that a hash without a key, which anybody can reckon with, has
 * them all in one place. */
static void none_meet_by_design(void **state)
{
    struct nzd_arena arena = {0};
    struct nzd_names names = {.arena = &arena};
    struct nzd_names others = {.arena = &arena};
    char name[32];

    (void)state;
    for (unsigned i = 0; names.count < 1000; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        if ((nzd_checksum_of(nzd_view_text(name)) & 1023) == 0)
            assert_non_null(nzd_names_view(&names, nzd_view_text(name)));
    }
    assert_int_equal(names.size, 4096);
    assert_in_range(longest_run(&names), 1, 100);
    assert_non_null(nzd_names_view(&others, nzd_view_text("f")));
    assert_memory_not_equal(names.key, others.key, sizeof(names.key));
    nzd_names_clear(&names);
    nzd_names_clear(&others);
    nzd_arena_clear(&arena);
}

static void an_arena_that_is_full(void **state)
{
    struct nzd_arena arena = {.most = 4096};

    (void)state;
    assert_non_null(nzd_arena_alloc(&arena, 4000));
    assert_null(nzd_arena_alloc(&arena, 100));
    assert_true(arena.refused);
    assert_null(nzd_arena_alloc(&arena, SIZE_MAX - 64));
    assert_non_null(nzd_arena_alloc(&arena, 90));
    assert_int_equal(arena.total, 4096);
    nzd_arena_clear(&arena);
}

static void put_tuples(struct nzd_buf *record, uint32_t count)
{
    nzd_buf_u32(record, 6 + 2 * count + 1);
    nzd_buf_u8(record, 131);
    nzd_buf_u8(record, 108);
    nzd_buf_u32(record, count);
    for (uint32_t i = 0; i < count; i++)
        nzd_buf_u16(record, 104 << 8);
    nzd_buf_u8(record, 106);
}

/* Two bytes of an answer have the one who hears it take dozens. */
static void a_record_that_swells(void **state)
{
    struct nzd_inventory out;
    struct nzd_listing_reader reader = {.out = &out};
    struct nzd_buf record = {0};
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    nzd_inventory_init(&out);
    nzd_buf_block(&record, nzd_view_text("app"));
    nzd_buf_block(&record, nzd_view_text("1.0"));
    put_tuples(&record, 2500000);
    put_tuples(&record, 2500000);
    nzd_buf_u8(&record, 0);
    assert_int_equal(nzd_listing_decode(&reader, NZD_LISTING_APP,
                                        nzd_buf_view(&record), &err),
                     NZD_EBUNDLE);
    assert_string_equal(err.message, "its size does not hold");
    assert_true(out.arena.total <= 256u << 20);
    nzd_listing_clear(&reader);
    nzd_inventory_clear(&out);
    nzd_buf_clear(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_kept_once),
        cmocka_unit_test(none_meet_by_design),
        cmocka_unit_test(an_arena_that_is_full),
        cmocka_unit_test(a_record_that_swells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

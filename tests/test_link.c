/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/interrupt.h"
#include "../staging/term.h"
#include "echo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* {TAG, N} with N an integer or, when negative, nothing: {TAG}. */
static void put_request(struct echo *fixture, const char *tag, int64_t n)
{
    struct nzd_buf *out = &fixture->request;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, n < 0 ? 1 : 2);
    nzd_etf_atom(out, tag);
    if (n >= 0)
        nzd_etf_integer(out, n);
}

static void talks_to_the_agent(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);

    echo_open(fixture);
    assert_string_equal(nzd_link_node(fixture->link), beam_node_name(node));
    assert_echo(fixture, 7);
    assert_echo(fixture, 1ll << 40);
    assert_eval(node, "nodes()", "[]");
    assert_eval(node, "length(nodes(hidden))", "1");
    assert_false(nzd_link_is_dead(fixture->link));
}

static void what_goes_to_an_earlier_link_is_dropped(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    struct nzd_buf *out = &fixture->request;
    const char *name;

    echo_open(fixture);
    name = beam_node_eval(node, "nodes(hidden)");
    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 2);
    nzd_etf_atom(out, "keep");
    nzd_link_put_self(fixture->link, out);
    echo_ask(fixture);
    assert_answer(fixture, "keep", 1);
    echo_close(fixture, node);
    echo_open(fixture);
    assert_eval(node, "nodes(hidden)", name);
    beam_node_eval(node, "nzd_test_late ! now");
    beam_node_wait_for(node, "whereis(nzd_test_late)", "undefined", 5000);
    assert_echo(fixture, 2);
}

static void carries_large_messages(void **state)
{
    struct echo *fixture = *state;
    const size_t size = 32u << 20;
    struct nzd_buf big = {0};
    const struct nzd_term *term;

    echo_start(fixture, 0);
    echo_open(fixture);
    nzd_etf_version(&big);
    nzd_etf_tuple(&big, 2);
    nzd_etf_atom(&big, "size");
    nzd_buf_u8(&big, 109);
    nzd_buf_u32(&big, (uint32_t)size);
    assert_non_null(nzd_buf_reserve(&big, size));
    memset(big.data + big.size, 3, size);
    big.size += size;
    assert_int_equal(nzd_link_send(fixture->link, nzd_buf_view(&big),
                                   10 * SECOND, &fixture->err),
                     0);
    assert_answer(fixture, "size", (int64_t)size);
    nzd_buf_clear(&big);
    put_request(fixture, "make", (int64_t)size);
    echo_ask(fixture);
    term = echo_answer(fixture);
    assert_true(nzd_term_is_tagged(term, "made", 2));
    assert_int_equal(nzd_term_at(term, 1)->text.size, size);
    assert_int_equal(nzd_term_at(term, 1)->text.data[size - 1], 7);
}

static void a_stopped_node_ends_every_wait(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    uint64_t begin;

    echo_open(fixture);
    echo_freeze(fixture, node);
    put_request(fixture, "count", 1);
    echo_ask(fixture);
    begin = nzd_clock_us();
    assert_int_equal(nzd_link_receive(fixture->link, SECOND / 5,
                                      &fixture->reply, &fixture->err),
                     NZD_ETIMEOUT);
    nzd_err_clear(&fixture->err);
    assert_int_equal(
        nzd_link_wait(fixture->link, -1, SECOND / 5, &fixture->err), 0);
    assert_true(nzd_clock_us() - begin < 2 * SECOND);
    beam_node_thaw(node);
    assert_answer(fixture, "count", 1);
    echo_freeze(fixture, node);
    fixture->options.timeout_us = SECOND / 2;
    begin = nzd_clock_us();
    assert_refused(fixture, NZD_ENODE, "does not answer: is it stopped");
    assert_true(nzd_clock_us() - begin < 2 * SECOND);
    fixture->options.timeout_us = 0;
    beam_node_thaw(node);
    echo_open(fixture);
    assert_echo(fixture, 2);
}

static void a_stopped_node_ends_a_large_send(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    struct nzd_buf big = {0};
    uint64_t begin = 0;

    echo_open(fixture);
    echo_freeze(fixture, node);
    assert_non_null(nzd_buf_reserve(&big, 32u << 20));
    big.size = 32u << 20;
    memset(big.data, 106, big.size);
    begin = nzd_clock_us();
    assert_int_equal(nzd_link_send(fixture->link, nzd_buf_view(&big),
                                   SECOND / 2, &fixture->err),
                     NZD_ELOST);
    assert_true(nzd_clock_us() - begin < 3 * SECOND);
    assert_true(nzd_link_is_dead(fixture->link));
    nzd_buf_clear(&big);
    beam_node_thaw(node);
}

static void ticks_keep_the_link(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 2);
    uint64_t end;

    echo_open(fixture);
    assert_int_equal(
        nzd_link_wait(fixture->link, -1, 4 * SECOND, &fixture->err), 0);
    assert_echo(fixture, 1);
    assert_int_equal(
        nzd_link_tend(fixture->link, -1, 3 * SECOND, &fixture->err), 0);
    assert_echo(fixture, 2);
    /* And it is the waiting that keeps it. */
    beam_node_wait_for(node, "nodes(hidden)", "[]", 8000);
    end = nzd_clock_deadline(SECOND);
    while (nzd_clock_left(end) > 0 && !nzd_link_is_dead(fixture->link))
        (void)nzd_link_wait(fixture->link, -1, SECOND / 10, &fixture->err);
    assert_true(nzd_link_is_dead(fixture->link));
    assert_int_equal(fixture->err.code, NZD_ELOST);
}

static void a_killed_node_is_lost(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);

    echo_open(fixture);
    beam_node_kill(node);
    assert_int_equal(
        nzd_link_wait(fixture->link, -1, 5 * SECOND, &fixture->err), NZD_ELOST);
    assert_true(nzd_link_is_dead(fixture->link));
    nzd_err_clear(&fixture->err);
    assert_int_equal(
        nzd_link_receive(fixture->link, SECOND, &fixture->reply, &fixture->err),
        NZD_ELOST);
    nzd_err_clear(&fixture->err);
    put_request(fixture, "count", 1);
    assert_int_equal(nzd_link_send(fixture->link,
                                   nzd_buf_view(&fixture->request), SECOND,
                                   &fixture->err),
                     NZD_ELOST);
    beam_node_start_again(node);
    echo_open(fixture);
    assert_echo(fixture, 3);
}

static void waits_for_a_descriptor_and_for_messages(void **state)
{
    struct echo *fixture = *state;
    int ends[2];

    echo_start(fixture, 0);
    echo_open(fixture);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        nzd_link_wait(fixture->link, ends[0], SECOND / 10, &fixture->err), 0);
    put_request(fixture, "count", 3);
    echo_ask(fixture);
    assert_int_equal(
        nzd_link_wait(fixture->link, ends[0], 5 * SECOND, &fixture->err),
        NZD_LINK_MESSAGE);
    /* Messages do not end the other wait, and are not lost in it. */
    assert_int_equal(
        nzd_link_tend(fixture->link, ends[0], SECOND / 10, &fixture->err), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(
        nzd_link_tend(fixture->link, ends[0], 5 * SECOND, &fixture->err),
        NZD_LINK_FD);
    assert_int_equal(
        nzd_link_wait(fixture->link, ends[0], 5 * SECOND, &fixture->err),
        NZD_LINK_FD | NZD_LINK_MESSAGE);
    for (int i = 1; i <= 3; i++)
        assert_answer(fixture, "count", i);
    close(ends[0]);
    close(ends[1]);
}

static void survives_links_and_monitors(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);

    echo_open(fixture);
    put_request(fixture, "link_and_unlink", -1);
    echo_ask(fixture);
    assert_true(nzd_term_is_tagged(echo_answer(fixture), "unlinked", 3));
    assert_echo(fixture, 1);
    /* A message to a name of ours, and calls to servers we do not have. */
    beam_node_eval(node, "[{nzd, N} ! hello || N <- nodes(hidden)]");
    beam_node_eval(node, "[catch gen_server:call({rex, N}, hello, 100) "
                         "|| N <- nodes(hidden)]");
    assert_echo(fixture, 2);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, echo_set_up, echo_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(talks_to_the_agent),
        TEST(what_goes_to_an_earlier_link_is_dropped),
        TEST(carries_large_messages),
        TEST(a_stopped_node_ends_every_wait),
        TEST(a_stopped_node_ends_a_large_send),
        TEST(ticks_keep_the_link),
        TEST(a_killed_node_is_lost),
        TEST(waits_for_a_descriptor_and_for_messages),
        TEST(survives_links_and_monitors),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}

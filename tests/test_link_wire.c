/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/interrupt.h"
#include "../engine/link.h"
#include "../engine/link_control.h"
#include "../engine/link_wire.h"
#include "../staging/term.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    int peer;
    struct nzd_wire wire;
    struct nzd_buf out;
    struct nzd_err err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int ends[2];

    nzd_interrupt_install();
    if (!fixture)
        return -1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                     0);
    fixture->peer = ends[1];
    nzd_wire_init(&fixture->wire, ends[0]);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    close(fixture->wire.fd);
    if (fixture->peer >= 0)
        close(fixture->peer);
    nzd_wire_clear(&fixture->wire);
    nzd_buf_clear(&fixture->out);
    free(fixture);
    return 0;
}

/* --- what a node would send --- */

static void put_pid(struct nzd_buf *out, uint8_t number)
{
    nzd_buf_u8(out, 88);
    nzd_etf_atom(out, "nzd_1@host");
    nzd_buf_u32(out, number);
    nzd_buf_u32(out, 0);
    nzd_buf_u32(out, 77);
}

/* A message without its length: op, then pids for its arguments. */
static void put_control(struct nzd_buf *out, uint8_t op, unsigned arguments)
{
    nzd_buf_u8(out, 112);
    nzd_etf_version(out);
    nzd_etf_tuple(out, arguments + 1);
    nzd_etf_integer(out, op);
    for (unsigned i = 0; i < arguments; i++)
        put_pid(out, (uint8_t)(i + 1));
}

static void put_payload(struct nzd_buf *out, const char *text)
{
    nzd_etf_version(out);
    nzd_etf_atom(out, text);
}

static void give(struct fixture *fixture, const void *data, size_t size)
{
    assert_int_equal(write(fixture->peer, data, size), size);
}

static void give_message(struct fixture *fixture, const struct nzd_buf *message)
{
    struct nzd_buf whole = {0};

    assert_false(message->failed);
    nzd_buf_block(&whole, nzd_buf_view(message));
    give(fixture, whole.data, whole.size);
    nzd_buf_clear(&whole);
}

static void give_send(struct fixture *fixture, const char *text)
{
    struct nzd_buf message = {0};

    put_control(&message, NZD_CONTROL_SEND, 2);
    put_payload(&message, text);
    give_message(fixture, &message);
    nzd_buf_clear(&message);
}

static int receive(struct fixture *fixture, uint64_t ms)
{
    nzd_err_clear(&fixture->err);
    return nzd_wire_receive(&fixture->wire, nzd_clock_deadline(ms * 1000),
                            &fixture->out, &fixture->err);
}

static void assert_received(struct fixture *fixture, const char *text)
{
    struct nzd_buf expected = {0};

    assert_int_equal(receive(fixture, 1000), 0);
    put_payload(&expected, text);
    assert_true(
        nzd_view_equal(nzd_buf_view(&expected), nzd_buf_view(&fixture->out)));
    nzd_buf_clear(&expected);
}

static void assert_lost(struct fixture *fixture, const char *why)
{
    assert_int_equal(receive(fixture, 1000), NZD_ELOST);
    assert_non_null(strstr(fixture->err.message, why));
    assert_true(fixture->wire.dead);
}

static void gives_messages_in_order(void **state)
{
    struct fixture *fixture = *state;

    give_send(fixture, "one");
    give_send(fixture, "two");
    assert_received(fixture, "one");
    assert_received(fixture, "two");
    assert_int_equal(receive(fixture, 0), NZD_ETIMEOUT);
    assert_false(fixture->wire.dead);
}

static void takes_every_kind_of_send(void **state)
{
    static const struct {
        uint8_t op;
        unsigned arguments;
    } kinds[] = {{2, 2}, {12, 3}, {22, 2}, {23, 3}};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct nzd_buf message = {0};

        put_control(&message, kinds[i].op, kinds[i].arguments);
        put_payload(&message, "it");
        give_message(fixture, &message);
        assert_received(fixture, "it");
        nzd_buf_clear(&message);
    }
}

/* Links, exits, monitors, messages to names, and what is not known. */
static void ignores_what_is_for_nobody(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t ops[] = {1, 3, 4, 6, 8, 19, 20, 21, 36, 99};

    for (size_t i = 0; i < sizeof(ops); i++) {
        struct nzd_buf message = {0};

        put_control(&message, ops[i], 3);
        give_message(fixture, &message);
        nzd_buf_clear(&message);
    }
    give_send(fixture, "after");
    assert_received(fixture, "after");
}

static void keeps_half_a_message_over_a_time_limit(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf message = {0};
    struct nzd_buf whole = {0};

    put_control(&message, NZD_CONTROL_SEND, 2);
    put_payload(&message, "slow");
    nzd_buf_block(&whole, nzd_buf_view(&message));
    for (size_t i = 0; i + 1 < whole.size; i++) {
        give(fixture, whole.data + i, 1);
        assert_int_equal(receive(fixture, 0), NZD_ETIMEOUT);
    }
    give(fixture, whole.data + whole.size - 1, 1);
    assert_received(fixture, "slow");
    nzd_buf_clear(&message);
    nzd_buf_clear(&whole);
}

static void answers_ticks(void **state)
{
    struct fixture *fixture = *state;
    uint8_t answer[64];

    give(fixture, "\0\0\0\0\0\0\0\0", 8);
    give_send(fixture, "behind");
    assert_received(fixture, "behind");
    assert_int_equal(nzd_wire_wait(&fixture->wire, -1, true,
                                   nzd_clock_deadline(10000), &fixture->err),
                     0);
    assert_int_equal(read(fixture->peer, answer, sizeof(answer)), 8);
    assert_memory_equal(answer, "\0\0\0\0\0\0\0\0", 8);
}

static void acknowledges_an_unlink(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf message = {0};
    struct nzd_control control;
    uint8_t answer[256];
    ssize_t size;

    put_control(&message, NZD_CONTROL_UNLINK_ID, 3);
    give_message(fixture, &message);
    assert_int_equal(receive(fixture, 10), NZD_ETIMEOUT);
    size = read(fixture->peer, answer, sizeof(answer));
    assert_true(size > 4);
    assert_true(
        nzd_control_read(nzd_view_of(answer + 4, (size_t)size - 4), &control));
    assert_int_equal(answer[3], size - 4);
    assert_int_equal(control.op, NZD_CONTROL_UNLINK_ID_ACK);
    assert_int_equal(control.count, 3);
    assert_int_equal(control.payload.size, 0);
    /* {Id, From, To} went in as pids 1, 2, 3; it comes back as 1, 3, 2. */
    assert_int_equal(control.arguments[0].data[16], 1);
    assert_int_equal(control.arguments[1].data[16], 3);
    assert_int_equal(control.arguments[2].data[16], 2);
    nzd_buf_clear(&message);
}

static void refuses_what_is_too_large(void **state)
{
    struct fixture *fixture = *state;

    give_send(fixture, "fine");
    give(fixture, "\x10\x00\x00\x01", 4);
    assert_received(fixture, "fine");
    assert_lost(fixture, "too large");
}

/* The largest that may be announced takes no memory until it comes. */
static void trusts_no_announced_size(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, "\x10\x00\x00\x00pqrs", 8);
    assert_int_equal(receive(fixture, 0), NZD_ETIMEOUT);
    assert_true(fixture->wire.in.capacity <= 131072);
}

static void refuses_garbage(void **state)
{
    struct fixture *fixture = *state;

    give(fixture, "\0\0\0\6GET / ", 10);
    assert_lost(fixture, "not a distribution message");
}

static void tells_that_the_node_has_gone(void **state)
{
    struct fixture *fixture = *state;

    give_send(fixture, "last");
    close(fixture->peer);
    fixture->peer = -1;
    assert_received(fixture, "last");
    assert_lost(fixture, "closed");
    nzd_err_clear(&fixture->err);
    assert_int_equal(nzd_wire_wait(&fixture->wire, -1, true,
                                   nzd_clock_deadline(1000000), &fixture->err),
                     NZD_ELOST);
}

/* Every prefix of a message, and every byte of it changed: no crash, and
 * either a message, nothing, or a lost wire. */
static void survives_damage(void **state)
{
    struct nzd_buf message = {0};

    put_control(&message, 23, 3);
    put_payload(&message, "payload");
    for (size_t i = 0; i < message.size; i++)
        for (int value = 0; value < 256; value++) {
            struct nzd_control control;
            uint8_t *copy = malloc(message.size);

            assert_non_null(copy);
            memcpy(copy, message.data, message.size);
            copy[i] = (uint8_t)value;
            if (nzd_control_read(nzd_view_of(copy, message.size), &control))
                assert_true(control.payload.size < message.size);
            free(copy);
        }
    for (size_t size = 0; size < message.size; size++) {
        struct nzd_control control;
        uint8_t *copy = malloc(size + 1);

        assert_non_null(copy);
        memcpy(copy, message.data, size);
        if (nzd_control_read(nzd_view_of(copy, size), &control))
            assert_true(control.payload.size < size);
        free(copy);
    }
    nzd_buf_clear(&message);
    (void)state;
}

static bool reads(const void *term, size_t size)
{
    struct nzd_buf message = {0};
    struct nzd_control control;
    bool read;

    nzd_buf_bytes(&message, "\x70\x83\x68\x02\x61\x02", 6);
    nzd_buf_bytes(&message, term, size);
    nzd_buf_u8(&message, 131);
    read = nzd_control_read(nzd_buf_view(&message), &control) &&
           control.payload.size == 1 && control.arguments[0].size == size;
    nzd_buf_clear(&message);
    return read;
}

#define READS(literal) reads(literal, sizeof(literal) - 1)

static void walks_every_kind_of_term(void **state)
{
    assert_true(READS("\x61\x05"));
    assert_true(READS("\x62\xff\xff\xff\xff"));
    assert_true(READS("\x46\1\2\3\4\5\6\7\x08"));
    assert_true(READS("\x6a"));
    assert_true(READS("\x6b\0\2ab"));
    assert_true(READS("\x6c\0\0\0\2\x6a\x6a\x6a"));
    assert_true(READS("\x6d\0\0\0\2ab"));
    assert_true(READS("\x4d\0\0\0\1\3\xa0"));
    assert_true(READS("\x6e\2\0ab"));
    assert_true(READS("\x6f\0\0\0\2\0ab"));
    assert_true(READS("\x69\0\0\0\2\x6a\x6a"));
    assert_true(READS("\x74\0\0\0\1\x6a\x61\1"));
    assert_true(READS("\x64\0\1a"));
    assert_true(READS("\x77\1a"));
    assert_true(READS("\x5a\0\1\x77\1nCCCCIIII"));
    assert_true(READS("\x72\0\1\x77\1nCIIII"));
    assert_true(READS("\x78\x77\1nIIIIIIIICCCC"));
    assert_true(READS("\x70\0\0\0\6ab"));
    assert_true(READS("\x71\x77\1m\x77\1f\x61\1"));
    assert_false(READS("\x70\0\0\0\3"));
    assert_false(READS("\x6c\xff\xff\xff\xff\x6a"));
    assert_false(READS("\x6d\xff\xff\xff\xff"));
    assert_false(READS("\x51"));
    (void)state;
}

/* Both directions full at once must not stop each other. */
static void sends_while_much_comes_in(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = 8u << 20;
    struct nzd_buf message = {0};
    struct nzd_buf term = {0};
    pid_t child;
    int status;

    nzd_etf_version(&term);
    assert_non_null(nzd_buf_reserve(&term, size));
    memset(term.data + term.size, 7, size);
    term.size += size;
    put_control(&message, NZD_CONTROL_SEND, 2);
    child = fork();
    if (child == 0) {
        struct nzd_wire wire;
        struct nzd_buf in = {0};
        uint64_t deadline = nzd_clock_deadline(10000000);
        int code;

        nzd_wire_init(&wire, fixture->peer);
        code = nzd_wire_send(&wire,
                             nzd_view_of(message.data + 1, message.size - 1),
                             nzd_buf_view(&term), deadline, NULL);
        if (code == 0)
            code = nzd_wire_receive(&wire, deadline, &in, NULL);
        _exit(code == 0 && in.size == term.size ? 0 : 1);
    }
    close(fixture->peer);
    fixture->peer = -1;
    assert_int_equal(
        nzd_wire_send(
            &fixture->wire, nzd_view_of(message.data + 1, message.size - 1),
            nzd_buf_view(&term), nzd_clock_deadline(10000000), &fixture->err),
        0);
    assert_int_equal(receive(fixture, 10000), 0);
    assert_int_equal(fixture->out.size, term.size);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    nzd_buf_clear(&message);
    nzd_buf_clear(&term);
}

static void gives_up_on_a_peer_that_takes_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf term = {0};
    uint64_t begin = nzd_clock_us();

    assert_non_null(nzd_buf_reserve(&term, 4u << 20));
    memset(term.data, 0, 4u << 20);
    term.size = 4u << 20;
    assert_int_equal(nzd_wire_send(&fixture->wire, nzd_view_text("x"),
                                   nzd_buf_view(&term),
                                   nzd_clock_deadline(200000), &fixture->err),
                     NZD_ELOST);
    assert_true(nzd_clock_us() - begin < 2000000);
    assert_true(fixture->wire.dead);
    nzd_buf_clear(&term);
}

static void a_signal_ends_a_wait(void **state)
{
    struct fixture *fixture = *state;
    struct itimerval timer = {.it_value = {.tv_usec = 100000}};
    struct sigaction before;
    uint64_t begin = nzd_clock_us();

    /* A timer's signal, so that it arrives while the wait sleeps. */
    sigaction(SIGTERM, NULL, &before);
    sigaction(SIGALRM, &before, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_int_equal(nzd_wire_wait(&fixture->wire, -1, true,
                                   nzd_clock_deadline(5000000), &fixture->err),
                     0);
    assert_true(nzd_clock_us() - begin < 2000000);
    assert_int_equal(nzd_interrupt_pending(), SIGALRM);
    /* Still pending: only a look. */
    assert_int_equal(nzd_wire_wait(&fixture->wire, -1, true,
                                   nzd_clock_deadline(5000000), &fixture->err),
                     0);
    assert_true(nzd_clock_us() - begin < 2000000);
    nzd_interrupt_clear();
    raise(SIGTERM);
    assert_int_equal(nzd_interrupt_pending(), 0);
    begin = nzd_clock_us();
    assert_int_equal(nzd_wire_wait(&fixture->wire, -1, true,
                                   nzd_clock_deadline(100000), &fixture->err),
                     0);
    assert_true(nzd_clock_us() - begin >= 100000);
    signal(SIGALRM, SIG_DFL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_messages_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(takes_every_kind_of_send, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(ignores_what_is_for_nobody, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keeps_half_a_message_over_a_time_limit,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(answers_ticks, setup, teardown),
        cmocka_unit_test_setup_teardown(acknowledges_an_unlink, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_large, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(trusts_no_announced_size, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(refuses_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_that_the_node_has_gone, setup,
                                        teardown),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(walks_every_kind_of_term),
        cmocka_unit_test_setup_teardown(sends_while_much_comes_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gives_up_on_a_peer_that_takes_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_ends_a_wait, setup, teardown),
    };

    return cmocka_run_group_tests_name("link_wire", tests, NULL, NULL);
}

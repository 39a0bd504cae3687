/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/dial.h"
#include "../engine/host.h"
#include "../engine/interrupt.h"
#include "../engine/link.h"
#include "../staging/term.h"
#include "beam_node.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000u

struct fixture {
    struct harness *harness;
    struct nzd_buf beams[2];
    struct nzd_link_module agent[2]; /* nzd_test_echo is the agent; and one
                                        that it does not call */
    struct nzd_buf request;
    struct nzd_buf reply;
    struct nzd_arena arena;
    struct nzd_link_options options;
    struct nzd_link *link;
    struct nzd_err err;
};

static void read_module(struct fixture *fixture, unsigned at, const char *name)
{
    const char *folder = getenv("NZD_TEST_BEAM");
    char path[4096];
    FILE *file;
    int byte;

    (void)snprintf(path, sizeof(path), "%s/%s.beam",
                   folder ? folder : "build/tests/beam", name);
    file = fopen(path, "rb");
    if (!file)
        harness_fail("%s is not built: make tests", path);
    while ((byte = fgetc(file)) != EOF)
        nzd_buf_u8(&fixture->beams[at], (uint8_t)byte);
    (void)fclose(file);
    fixture->agent[at].name = name;
    fixture->agent[at].beam = nzd_buf_view(&fixture->beams[at]);
}

static void read_agent(struct fixture *fixture)
{
    read_module(fixture, 0, "nzd_test_echo");
    read_module(fixture, 1, "nzd_test_hook");
    fixture->options.agent = fixture->agent;
    fixture->options.agent_count = 2;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    nzd_interrupt_install();
    fixture->harness = harness_open();
    read_agent(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    nzd_link_close(fixture->link);
    harness_close(fixture->harness);
    nzd_buf_clear(&fixture->beams[0]);
    nzd_buf_clear(&fixture->beams[1]);
    nzd_buf_clear(&fixture->request);
    nzd_buf_clear(&fixture->reply);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

/* The harness' nodes share one cookie. */
static void aim(struct fixture *fixture, const char *node)
{
    static char cookie[256];
    const char *text = harness_read_file(fixture->harness,
                                         harness_cookie_file(fixture->harness));

    (void)snprintf(cookie, sizeof(cookie), "%.*s", (int)strcspn(text, "\n"),
                   text);
    fixture->options.node = node;
    fixture->options.cookie = cookie;
}

static int try_open(struct fixture *fixture)
{
    nzd_link_close(fixture->link);
    fixture->link = NULL;
    nzd_err_clear(&fixture->err);
    return nzd_link_open(&fixture->options, &fixture->link, &fixture->err);
}

static void open_link(struct fixture *fixture)
{
    int code = try_open(fixture);

    if (code != 0)
        harness_fail("%s", fixture->err.message);
}

static struct beam_node *start(struct fixture *fixture, int net_ticktime)
{
    struct beam_node_options options = {.name = "link",
                                        .net_ticktime = net_ticktime};
    struct beam_node *node = beam_node_start(fixture->harness, &options);

    aim(fixture, beam_node_name(node));
    return node;
}

/* Signals take a moment to stop all threads of a VM. */
static void freeze(struct fixture *fixture, struct beam_node *node)
{
    const char *path = harness_text(fixture->harness, "/proc/%d/stat",
                                    (int)beam_node_pid(node));
    struct nzd_buf text = {0};

    beam_node_freeze(node);
    for (int i = 0; i < 400; i++) {
        if (nzd_host_read(path, 4096, &text) == 0 &&
            strstr(nzd_buf_string(&text), ") T "))
            break;
        process_sleep_ms(5);
    }
    nzd_buf_clear(&text);
}

/* --- talking to the agent --- */

static void ask(struct fixture *fixture)
{
    int code = nzd_link_send(fixture->link, nzd_buf_view(&fixture->request),
                             5 * SECOND, &fixture->err);

    if (code != 0)
        harness_fail("%s", fixture->err.message);
}

static const struct nzd_term *answer(struct fixture *fixture)
{
    const struct nzd_term *term;

    nzd_arena_clear(&fixture->arena);
    if (nzd_link_receive(fixture->link, 10 * SECOND, &fixture->reply,
                         &fixture->err) != 0 ||
        nzd_term_decode(nzd_buf_view(&fixture->reply), &fixture->arena, &term,
                        &fixture->err) != 0)
        harness_fail("%s", fixture->err.message);
    return term;
}

/* {TAG, N} with N an integer or, when negative, nothing: {TAG}. */
static void put_request(struct fixture *fixture, const char *tag, int64_t n)
{
    struct nzd_buf *out = &fixture->request;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, n < 0 ? 1 : 2);
    nzd_etf_atom(out, tag);
    if (n >= 0)
        nzd_etf_integer(out, n);
}

static void assert_answer(struct fixture *fixture, const char *tag,
                          int64_t number)
{
    const struct nzd_term *term = answer(fixture);
    int64_t value = -1;

    assert_true(nzd_term_is_tagged(term, tag, 2));
    assert_true(nzd_term_integer(nzd_term_at(term, 1), &value));
    assert_int_equal(value, number);
}

static void assert_echo(struct fixture *fixture, int64_t number)
{
    struct nzd_buf *out = &fixture->request;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 3);
    nzd_etf_atom(out, "echo");
    nzd_link_put_self(fixture->link, out);
    nzd_etf_integer(out, number);
    ask(fixture);
    assert_answer(fixture, "echo", number);
}

static void assert_refused(struct fixture *fixture, int code, const char *why)
{
    assert_int_equal(try_open(fixture), code);
    assert_int_equal(fixture->err.code, code);
    assert_contains(fixture->err.message, why);
    assert_null(fixture->link);
}

/* --- tests --- */

static void talks_to_the_agent(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);

    open_link(fixture);
    assert_string_equal(nzd_link_node(fixture->link), beam_node_name(node));
    assert_echo(fixture, 7);
    assert_echo(fixture, 1ll << 40);
    assert_eval(node, "nodes()", "[]");
    assert_eval(node, "length(nodes(hidden))", "1");
    assert_false(nzd_link_is_dead(fixture->link));
}

static void opens_again_and_again(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    const char *agent;

    open_link(fixture);
    agent = beam_node_eval(node, "whereis(nzd)");
    for (int i = 0; i < 20; i++) {
        open_link(fixture);
        assert_echo(fixture, i);
    }
    assert_string_equal(beam_node_eval(node, "whereis(nzd)"), agent);
    nzd_link_close(fixture->link);
    fixture->link = NULL;
    beam_node_wait_for(node, "nodes(hidden)", "[]", 5000);
}

/* Two at a time: the second becomes the agent's client. */
static void two_links_have_two_names(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    struct nzd_link *first;

    open_link(fixture);
    first = fixture->link;
    fixture->link = NULL;
    open_link(fixture);
    assert_eval(node, "length(nodes(hidden))", "2");
    assert_echo(fixture, 1);
    nzd_link_close(first);
}

/* Its name can be given again; nodes/1 forgets it before. */
static void close_link(struct fixture *fixture, struct beam_node *node)
{
    nzd_link_close(fixture->link);
    fixture->link = NULL;
    beam_node_wait_for(node, "ets:info(sys_dist, size)", "0", 5000);
}

/* A name for each link would be an atom for each, until the node has no room
 * for more. */
static void links_leave_no_atoms(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    const char *atoms = "erlang:system_info(atom_count)", *before;

    open_link(fixture);
    close_link(fixture, node);
    before = beam_node_eval(node, "%s", atoms);
    for (int i = 0; i < 20; i++) {
        open_link(fixture);
        close_link(fixture, node);
    }
    assert_eval(node, atoms, before);
}

static void what_goes_to_an_earlier_link_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    struct nzd_buf *out = &fixture->request;
    const char *name;

    open_link(fixture);
    name = beam_node_eval(node, "nodes(hidden)");
    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 2);
    nzd_etf_atom(out, "keep");
    nzd_link_put_self(fixture->link, out);
    ask(fixture);
    assert_answer(fixture, "keep", 1);
    close_link(fixture, node);
    open_link(fixture);
    assert_eval(node, "nodes(hidden)", name);
    beam_node_eval(node, "nzd_test_late ! now");
    beam_node_wait_for(node, "whereis(nzd_test_late)", "undefined", 5000);
    assert_echo(fixture, 2);
}

static void carries_large_messages(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = 32u << 20;
    struct nzd_buf big = {0};
    const struct nzd_term *term;

    start(fixture, 0);
    open_link(fixture);
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
    ask(fixture);
    term = answer(fixture);
    assert_true(nzd_term_is_tagged(term, "made", 2));
    assert_int_equal(nzd_term_at(term, 1)->text.size, size);
    assert_int_equal(nzd_term_at(term, 1)->text.data[size - 1], 7);
}

static void names_the_cause(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    const char *right = fixture->options.cookie;
    char port[16];

    fixture->options.cookie = "wrong";
    fixture->options.cookie_from = "/some/file";
    assert_refused(fixture, NZD_ENODE, "refuses our cookie (/some/file)");
    assert_contains(fixture->err.next, "--cookie-file");
    assert_null(strstr(fixture->err.message, "wrong"));
    fixture->options.cookie = right;
    fixture->options.node = "nobody@localhost";
    assert_refused(fixture, NZD_ENODE, "does not know nobody");
    fixture->options.node = "nobody";
    assert_refused(fixture, NZD_EUSAGE, "NAME@HOST");
    fixture->options.node = "@localhost";
    assert_refused(fixture, NZD_EUSAGE, "NAME@HOST");
    fixture->options.node = beam_node_name(node);
    (void)snprintf(port, sizeof(port), "%s", getenv("ERL_EPMD_PORT"));
    setenv("ERL_EPMD_PORT", "1", 1);
    assert_refused(fixture, NZD_ENODE, "epmd: nothing listens on 127.0.0.1");
    setenv("ERL_EPMD_PORT", port, 1);
    open_link(fixture);
}

static void goes_to_a_port_and_checks_who_answers(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    char name[256];

    (void)snprintf(name, sizeof(name), "%s", beam_node_name(node));
    *strchr(name, '@') = '\0';
    assert_int_equal(nzd_dial_epmd(loopback, name, nzd_clock_deadline(SECOND),
                                   &fixture->options.port, &fixture->err),
                     0);
    open_link(fixture);
    assert_echo(fixture, 1);
    fixture->options.node = "other@localhost";
    assert_refused(fixture, NZD_ENODE, "in place of other@localhost");
    fixture->options.port = 1;
    assert_refused(fixture, NZD_ENODE, "nothing listens on 127.0.0.1 port 1");
}

static void reaches_a_node_of_a_long_name(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"long@127.0.0.1",
                                        "long@localhost.localdomain"};

    for (size_t i = 0; i < 2; i++) {
        const char *const argv[] = {"erl", "-noinput", "-name", names[i], NULL};
        const char *home = harness_text(fixture->harness, "HOME=%s",
                                        harness_dir(fixture->harness));
        const char *const environment[] = {home, NULL};
        struct process_command command = {.argv = argv,
                                          .environment = environment};
        pid_t pid = process_spawn(&command);
        double begin = process_now_ms();

        assert_true(pid > 0);
        aim(fixture, names[i]);
        while (try_open(fixture) != 0 && process_now_ms() - begin < 15000)
            process_sleep_ms(50);
        if (!fixture->link)
            harness_fail("%s", fixture->err.message);
        assert_string_equal(nzd_link_node(fixture->link), names[i]);
        assert_echo(fixture, 5);
        process_kill(pid);
    }
}

static void a_stopped_node_ends_every_wait(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    uint64_t begin;

    open_link(fixture);
    freeze(fixture, node);
    put_request(fixture, "count", 1);
    ask(fixture);
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
    freeze(fixture, node);
    fixture->options.timeout_us = SECOND / 2;
    begin = nzd_clock_us();
    assert_refused(fixture, NZD_ENODE, "does not answer: is it stopped");
    assert_true(nzd_clock_us() - begin < 2 * SECOND);
    fixture->options.timeout_us = 0;
    beam_node_thaw(node);
    open_link(fixture);
    assert_echo(fixture, 2);
}

static void a_stopped_node_ends_a_large_send(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    struct nzd_buf big = {0};
    uint64_t begin = 0;

    open_link(fixture);
    freeze(fixture, node);
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
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 2);
    uint64_t end;

    open_link(fixture);
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
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);

    open_link(fixture);
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
    open_link(fixture);
    assert_echo(fixture, 3);
}

static void waits_for_a_descriptor_and_for_messages(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];

    start(fixture, 0);
    open_link(fixture);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        nzd_link_wait(fixture->link, ends[0], SECOND / 10, &fixture->err), 0);
    put_request(fixture, "count", 3);
    ask(fixture);
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
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);

    open_link(fixture);
    put_request(fixture, "link_and_unlink", -1);
    ask(fixture);
    assert_true(nzd_term_is_tagged(answer(fixture), "unlinked", 3));
    assert_echo(fixture, 1);
    /* A message to a name of ours, and calls to servers we do not have. */
    beam_node_eval(node, "[{nzd, N} ! hello || N <- nodes(hidden)]");
    beam_node_eval(node, "[catch gen_server:call({rex, N}, hello, 100) "
                         "|| N <- nodes(hidden)]");
    assert_echo(fixture, 2);
}

static void tells_of_a_busy_agent(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf *out = &fixture->request;

    start(fixture, 0);
    open_link(fixture);
    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 2);
    nzd_etf_atom(out, "busy");
    nzd_etf_string(out, "transaction 7 is open");
    ask(fixture);
    (void)answer(fixture);
    assert_refused(fixture, NZD_EBUSY, "transaction 7 is open");
}

static void tells_of_a_module_that_does_not_load(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);

    fixture->agent[1].beam = nzd_view_text("this is no BEAM file");
    assert_refused(fixture, NZD_ENODE, "badfile");
    assert_eval(node, "erlang:module_loaded(nzd_test_echo)", "false");
}

/* What is there is not loaded again: it could not be a third time. */
static void completes_an_agent_that_lacks_modules(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    static const char *const lost[] = {"nzd_test_hook", "nzd_test_echo"};
    const char *both = "[erlang:module_loaded(M) || M <- [nzd_test_echo, "
                       "nzd_test_hook]]";

    open_link(fixture);
    for (unsigned i = 0; i < 4; i++) {
        const char *name = lost[i % 2];

        beam_node_eval(node, "begin code:delete(%s), code:purge(%s) end", name,
                       name);
        open_link(fixture);
        assert_echo(fixture, (int)i);
        assert_eval(node, both, "[true,true]");
        assert_eval(node, "erlang:check_old_code(nzd_test_hook)", "false");
    }
}

static void tells_that_it_is_not_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);

    assert_eval(node, "net_kernel:allow(['someone@localhost'])", "ok");
    assert_refused(fixture, NZD_ENODE, "allows only certain nodes");
}

static void a_signal_ends_opening(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node *node = start(fixture, 0);
    struct itimerval timer = {.it_value = {.tv_usec = 200000}};
    struct sigaction action;
    uint64_t begin;

    sigaction(SIGTERM, NULL, &action);
    sigaction(SIGALRM, &action, NULL);
    freeze(fixture, node);
    begin = nzd_clock_us();
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_refused(fixture, NZD_EREFUSED, "interrupted");
    assert_true(nzd_clock_us() - begin < 2 * SECOND);
    nzd_interrupt_clear();
    signal(SIGALRM, SIG_DFL);
    beam_node_thaw(node);
    open_link(fixture);
}

/* What listens there says nothing, something else, or ends at once. */
static void survives_what_is_no_node(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *words;
        size_t size;
        const char *why;
    } talks[] = {
        {"", 0, "does not speak"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "does not"},
        {"\0\3sok\0\1N", 8, "does not speak"},
        {"\0\3sok\xff\xff"
         "Nxxxxxxxxxxxxxxxxxxxxxxx",
         31, "does not"},
        {"\0\14snot_allowed", 14, "allows only"},
    };

    fixture->options.node = "fake@localhost";
    fixture->options.cookie = "c";
    fixture->options.timeout_us = SECOND / 2;
    for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(at);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        pid_t child;

        assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
        assert_int_equal(listen(fd, 4), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
        child = fork();
        if (child == 0) {
            int peer = accept(fd, NULL, NULL);
            char in[256];

            (void)!write(peer, talks[i].words, talks[i].size);
            (void)!read(peer, in, sizeof(in));
            shutdown(peer, SHUT_WR);
            (void)!read(peer, in, sizeof(in));
            _exit(0);
        }
        fixture->options.port = ntohs(at.sin_port);
        assert_refused(fixture, NZD_ENODE, talks[i].why);
        close(fd);
        kill(child, SIGKILL);
        process_wait(child, 1000, NULL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(talks_to_the_agent),
        TEST(opens_again_and_again),
        TEST(two_links_have_two_names),
        TEST(links_leave_no_atoms),
        TEST(what_goes_to_an_earlier_link_is_dropped),
        TEST(carries_large_messages),
        TEST(names_the_cause),
        TEST(goes_to_a_port_and_checks_who_answers),
        TEST(reaches_a_node_of_a_long_name),
        TEST(a_stopped_node_ends_every_wait),
        TEST(a_stopped_node_ends_a_large_send),
        TEST(ticks_keep_the_link),
        TEST(a_killed_node_is_lost),
        TEST(waits_for_a_descriptor_and_for_messages),
        TEST(survives_links_and_monitors),
        TEST(tells_of_a_busy_agent),
        TEST(tells_of_a_module_that_does_not_load),
        TEST(completes_an_agent_that_lacks_modules),
        TEST(tells_that_it_is_not_allowed),
        TEST(a_signal_ends_opening),
        TEST(survives_what_is_no_node),
    };

    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}

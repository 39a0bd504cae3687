/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/dial.h"
#include "../engine/interrupt.h"
#include "../staging/term.h"
#include "echo.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static void opens_again_and_again(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    const char *agent;

    echo_open(fixture);
    agent = beam_node_eval(node, "whereis(nzd)");
    for (int i = 0; i < 20; i++) {
        echo_open(fixture);
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
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    struct nzd_link *first;

    echo_open(fixture);
    first = fixture->link;
    fixture->link = NULL;
    echo_open(fixture);
    assert_eval(node, "length(nodes(hidden))", "2");
    assert_echo(fixture, 1);
    nzd_link_close(first);
}

/* A name for each link would be an atom for each, until the node has no room
 * for more. */
static void links_leave_no_atoms(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    const char *atoms = "erlang:system_info(atom_count)", *before;

    echo_open(fixture);
    echo_close(fixture, node);
    before = beam_node_eval(node, "%s", atoms);
    for (int i = 0; i < 20; i++) {
        echo_open(fixture);
        echo_close(fixture, node);
    }
    assert_eval(node, atoms, before);
}

static void names_the_cause(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
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
    echo_open(fixture);
}

static void goes_to_a_port_and_checks_who_answers(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
    char name[256];

    (void)snprintf(name, sizeof(name), "%s", beam_node_name(node));
    *strchr(name, '@') = '\0';
    assert_int_equal(nzd_dial_epmd(loopback, name, nzd_clock_deadline(SECOND),
                                   &fixture->options.port, &fixture->err),
                     0);
    echo_open(fixture);
    assert_echo(fixture, 1);
    fixture->options.node = "other@localhost";
    assert_refused(fixture, NZD_ENODE, "in place of other@localhost");
    fixture->options.port = 1;
    assert_refused(fixture, NZD_ENODE, "nothing listens on 127.0.0.1 port 1");
}

static void reaches_a_node_of_a_long_name(void **state)
{
    struct echo *fixture = *state;
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
        echo_aim(fixture, names[i]);
        while (echo_try_open(fixture) != 0 && process_now_ms() - begin < 15000)
            process_sleep_ms(50);
        if (!fixture->link)
            harness_fail("%s", fixture->err.message);
        assert_string_equal(nzd_link_node(fixture->link), names[i]);
        assert_echo(fixture, 5);
        process_kill(pid);
    }
}

static void tells_of_a_busy_agent(void **state)
{
    struct echo *fixture = *state;
    struct nzd_buf *out = &fixture->request;

    echo_start(fixture, 0);
    echo_open(fixture);
    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 2);
    nzd_etf_atom(out, "busy");
    nzd_etf_string(out, "transaction 7 is open");
    echo_ask(fixture);
    (void)echo_answer(fixture);
    assert_refused(fixture, NZD_EBUSY, "transaction 7 is open");
}

static void tells_of_a_module_that_does_not_load(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);

    fixture->agent[1].beam = nzd_view_text("this is no BEAM file");
    assert_refused(fixture, NZD_ENODE, "badfile");
    assert_eval(node, "erlang:module_loaded(nzd_test_echo)", "false");
}

/* What is there is not loaded again: it could not be a third time. */
static void completes_an_agent_that_lacks_modules(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    static const char *const lost[] = {"nzd_test_hook", "nzd_test_echo"};
    const char *both = "[erlang:module_loaded(M) || M <- [nzd_test_echo, "
                       "nzd_test_hook]]";

    echo_open(fixture);
    for (unsigned i = 0; i < 4; i++) {
        const char *name = lost[i % 2];

        beam_node_eval(node, "begin code:delete(%s), code:purge(%s) end", name,
                       name);
        echo_open(fixture);
        assert_echo(fixture, (int)i);
        assert_eval(node, both, "[true,true]");
        assert_eval(node, "erlang:check_old_code(nzd_test_hook)", "false");
    }
}

static void tells_that_it_is_not_allowed(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);

    assert_eval(node, "net_kernel:allow(['someone@localhost'])", "ok");
    assert_refused(fixture, NZD_ENODE, "allows only certain nodes");
}

static void a_signal_ends_opening(void **state)
{
    struct echo *fixture = *state;
    struct beam_node *node = echo_start(fixture, 0);
    struct itimerval timer = {.it_value = {.tv_usec = 200000}};
    struct sigaction action;
    uint64_t begin;

    sigaction(SIGTERM, NULL, &action);
    sigaction(SIGALRM, &action, NULL);
    echo_freeze(fixture, node);
    begin = nzd_clock_us();
    setitimer(ITIMER_REAL, &timer, NULL);
    assert_refused(fixture, NZD_EREFUSED, "interrupted");
    assert_true(nzd_clock_us() - begin < 2 * SECOND);
    nzd_interrupt_clear();
    signal(SIGALRM, SIG_DFL);
    beam_node_thaw(node);
    echo_open(fixture);
}

/* What listens there says nothing, something else, or ends at once. */
static void survives_what_is_no_node(void **state)
{
    struct echo *fixture = *state;
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

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, echo_set_up, echo_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(opens_again_and_again),
        TEST(two_links_have_two_names),
        TEST(links_leave_no_atoms),
        TEST(names_the_cause),
        TEST(goes_to_a_port_and_checks_who_answers),
        TEST(reaches_a_node_of_a_long_name),
        TEST(tells_of_a_busy_agent),
        TEST(tells_of_a_module_that_does_not_load),
        TEST(completes_an_agent_that_lacks_modules),
        TEST(tells_that_it_is_not_allowed),
        TEST(a_signal_ends_opening),
        TEST(survives_what_is_no_node),
    };

    return cmocka_run_group_tests_name("link_open", tests, NULL, NULL);
}

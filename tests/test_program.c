/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/host.h"
#include "../engine/interrupt.h"
#include "../engine/program.h"
#include "beam_node.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND 1000000u

struct fixture {
    struct harness *harness;
    struct nzd_program program;
    struct nzd_program_result result;
    struct nzd_err err;
    const char *argv[4];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    nzd_interrupt_install();
    fixture->harness = harness_open();
    fixture->program = (struct nzd_program){
        .argv = fixture->argv, .timeout_us = 10 * SECOND, .output_max = 4096};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    nzd_buf_clear(&fixture->result.output);
    harness_close(fixture->harness);
    free(fixture);
    return 0;
}

static void run_argv(struct fixture *fixture)
{
    nzd_buf_clear(&fixture->result.output);
    if (nzd_program_run(&fixture->program, NULL, &fixture->result,
                        &fixture->err) != 0)
        harness_fail("%s", fixture->err.message);
}

static void run_shell(struct fixture *fixture, const char *script)
{
    fixture->argv[0] = "sh";
    fixture->argv[1] = "-c";
    fixture->argv[2] = script;
    run_argv(fixture);
}

static const char *output(struct fixture *fixture)
{
    return nzd_buf_string(&fixture->result.output);
}

static void assert_end(struct fixture *fixture, enum nzd_program_end end,
                       int status)
{
    assert_int_equal(fixture->result.end, end);
    assert_int_equal(fixture->result.status, status);
}

/* A file that a program would write to when it lived on. */
static const char *mark(struct fixture *fixture)
{
    return harness_path(fixture->harness, "mark");
}

static void assert_no_mark_after(struct fixture *fixture, double ms)
{
    process_sleep_ms(ms);
    assert_int_equal(access(mark(fixture), F_OK), -1);
}

/* --- tests --- */

static void gives_status_and_output(void **state)
{
    struct fixture *fixture = *state;

    run_shell(fixture, "echo out; echo err >&2; exit 7");
    assert_end(fixture, NZD_PROGRAM_EXITED, 7);
    assert_string_equal(output(fixture), "out\nerr\n");
    assert_false(fixture->result.cut);
    assert_true(fixture->result.took_us < 5 * SECOND);
    run_shell(fixture, "true");
    assert_end(fixture, NZD_PROGRAM_EXITED, 0);
    assert_string_equal(output(fixture), "");
    run_shell(fixture, "kill -SEGV $$");
    assert_end(fixture, NZD_PROGRAM_SIGNALLED, SIGSEGV);
}

static void tells_what_does_not_start(void **state)
{
    struct fixture *fixture = *state;

    fixture->argv[0] = "/nowhere/program";
    run_argv(fixture);
    assert_end(fixture, NZD_PROGRAM_NOT_STARTED, ENOENT);
    fixture->argv[0] = "no-such-program-anywhere";
    run_argv(fixture);
    assert_end(fixture, NZD_PROGRAM_NOT_STARTED, ENOENT);
    fixture->argv[0] = "/etc/passwd";
    run_argv(fixture);
    assert_end(fixture, NZD_PROGRAM_NOT_STARTED, EACCES);
    assert_string_equal(output(fixture), "");
    run_shell(fixture, "exit 127");
    assert_end(fixture, NZD_PROGRAM_EXITED, 127);
}

static void adds_to_the_environment(void **state)
{
    struct fixture *fixture = *state;
    static const char *const added[] = {"NZD_A=1", "NZD_OURS=theirs", NULL};

    setenv("NZD_OURS", "ours", 1);
    setenv("NZD_KEPT", "kept", 1);
    fixture->program.environment = added;
    run_shell(fixture, "echo $NZD_A $NZD_OURS $NZD_KEPT; "
                       "env | grep -c ^NZD_OURS=");
    assert_string_equal(output(fixture), "1 theirs kept\n1\n");
}

static void passes_on_nothing_of_ours(void **state)
{
    struct fixture *fixture = *state;
    int fd = open("/dev/zero", O_RDONLY);
    int high = fcntl(fd, F_DUPFD, 200);

    assert_true(fd >= 0 && high >= 200);
    run_shell(fixture, "readlink /proc/self/fd/0; ls /proc/$$/fd; :");
    assert_string_equal(output(fixture), "/dev/null\n0\n1\n2\n");
    run_shell(fixture, "sed -n 's/^Sig\\(Ign\\|Blk\\):.//p' "
                       "/proc/$$/status | tr '\\n' ' '");
    /* Signals 32 and 33 are the C library's: it lets nobody set them. */
    unsigned long long blocked = 1, ignored = 1;
    assert_int_equal(sscanf(output(fixture), "%llx %llx", &blocked, &ignored),
                     2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored & ~0x180000000ull, 0);
    close(fd);
    close(high);
}

static void bounds_the_output(void **state)
{
    struct fixture *fixture = *state;

    run_shell(fixture, "yes | head -c 10000000; exit 3");
    assert_end(fixture, NZD_PROGRAM_EXITED, 3);
    assert_int_equal(fixture->result.output.size, 4096);
    assert_true(fixture->result.cut);
    fixture->program.timeout_us = SECOND / 2;
    run_shell(fixture, "exec yes");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_TIMED_OUT);
    assert_int_equal(fixture->result.output.size, 4096);
    assert_true(fixture->result.took_us < 2 * SECOND);
    fixture->program.output_max = 0;
    run_shell(fixture, "echo x");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_EXITED);
    assert_true(fixture->result.cut);
}

static void ends_at_the_time_limit(void **state)
{
    struct fixture *fixture = *state;

    fixture->program.timeout_us = SECOND / 5;
    run_shell(fixture, "echo begun; sleep 60");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_TIMED_OUT);
    assert_string_equal(output(fixture), "begun\n");
    assert_true(fixture->result.took_us >= SECOND / 5);
    assert_true(fixture->result.took_us < SECOND / 2);
}

/* TERM first, then 500 ms, then KILL. */
static void ends_what_ignores_term(void **state)
{
    struct fixture *fixture = *state;

    fixture->program.timeout_us = SECOND / 5;
    run_shell(fixture, "trap 'echo term' TERM; while :; do sleep 0.02; done");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_TIMED_OUT);
    assert_contains(output(fixture), "term");
    assert_true(fixture->result.took_us >= SECOND * 7 / 10);
    assert_true(fixture->result.took_us < 2 * SECOND);
    fixture->program.environment = (const char *const[]){
        harness_text(fixture->harness, "MARK=%s", mark(fixture)), NULL};
    run_shell(fixture, "trap '' TERM HUP INT; (sleep 1.5; touch $MARK) & "
                       "sleep 60 & wait; wait; wait");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_TIMED_OUT);
    assert_no_mark_after(fixture, 1500);
}

/* A child in the same group that needs its grace gets it, though the leader
 * is gone at once. */
static void gives_the_group_its_time(void **state)
{
    struct fixture *fixture = *state;

    fixture->program.timeout_us = SECOND / 5;
    run_shell(fixture, "(trap 'sleep 0.2; echo tidy; exit' TERM; "
                       "while :; do sleep 0.02; done) & wait");
    assert_int_equal(fixture->result.end, NZD_PROGRAM_TIMED_OUT);
    assert_contains(output(fixture), "tidy\n");
}

/* Grandchildren that hold the pipe do not hold us, and do not live on. */
static void leaves_no_grandchildren(void **state)
{
    struct fixture *fixture = *state;

    fixture->program.environment = (const char *const[]){
        harness_text(fixture->harness, "MARK=%s", mark(fixture)), NULL};
    run_shell(fixture, "(sleep 1; touch $MARK; sleep 60) & echo left");
    assert_end(fixture, NZD_PROGRAM_EXITED, 0);
    assert_string_equal(output(fixture), "left\n");
    assert_true(fixture->result.took_us < SECOND / 2);
    run_shell(fixture, "setsid sh -c 'sleep 1; touch $MARK' & "
                       "setsid setsid sh -c '(sleep 1; touch $MARK) & "
                       "sleep 60' & sleep 0.1; echo left");
    assert_end(fixture, NZD_PROGRAM_EXITED, 0);
    assert_true(fixture->result.took_us < SECOND);
    assert_no_mark_after(fixture, 1500);
}

static void a_signal_ends_it(void **state)
{
    struct fixture *fixture = *state;
    struct itimerval timer = {.it_value = {.tv_usec = 200000}};
    struct sigaction action;

    sigaction(SIGTERM, NULL, &action);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    run_shell(fixture, "sleep 60");
    assert_end(fixture, NZD_PROGRAM_INTERRUPTED, 0);
    assert_true(fixture->result.took_us < SECOND);
    run_shell(fixture, "echo never");
    assert_end(fixture, NZD_PROGRAM_INTERRUPTED, 0);
    assert_string_equal(output(fixture), "");
    nzd_interrupt_clear();
    signal(SIGALRM, SIG_DFL);
    run_shell(fixture, "echo again");
    assert_end(fixture, NZD_PROGRAM_EXITED, 0);
}

/* What kill -9 of nzd leaves: nothing. */
static void dies_with_us(void **state)
{
    struct fixture *fixture = *state;
    pid_t child;

    fixture->program.environment = (const char *const[]){
        harness_text(fixture->harness, "MARK=%s", mark(fixture)), NULL};
    child = fork();
    if (child == 0) {
        run_shell(fixture,
                  "trap '' TERM; setsid sh -c 'sleep 1; touch $MARK' & "
                  "(sleep 1; touch $MARK) & sleep 1; touch $MARK; sleep 60");
        _exit(0);
    }
    process_sleep_ms(300);
    kill(child, SIGKILL);
    assert_true(process_wait(child, 1000, NULL));
    assert_no_mark_after(fixture, 1500);
}

static pid_t child_of(pid_t parent)
{
    char path[64];
    struct nzd_buf text = {0};
    pid_t child;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent,
                   parent);
    (void)nzd_host_read(path, 4096, &text);
    child = (pid_t)strtol(nzd_buf_string(&text), NULL, 10);
    nzd_buf_clear(&text);
    return child;
}

static void outlives_its_supervisors_death(void **state)
{
    struct fixture *fixture = *state;
    pid_t self = getpid();
    pid_t killer = fork();

    if (killer == 0) {
        pid_t supervisor = 0;

        for (int i = 0; i < 100 && supervisor == 0; i++) {
            char path[64];
            struct nzd_buf text = {0};
            char *next;

            process_sleep_ms(20);
            (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
                           self, self);
            (void)nzd_host_read(path, 4096, &text);
            for (const char *at = nzd_buf_string(&text); *at; at = next) {
                pid_t pid = (pid_t)strtol(at, &next, 10);

                if (next == at)
                    break;
                if (pid > 0 && pid != getpid() && child_of(pid) > 0)
                    supervisor = pid;
            }
            nzd_buf_clear(&text);
        }
        kill(supervisor, SIGKILL);
        _exit(0);
    }
    run_shell(fixture, "sleep 20");
    assert_end(fixture, NZD_PROGRAM_SIGNALLED, SIGKILL);
    assert_true(fixture->result.took_us < 5 * SECOND);
    (void)process_wait(killer, 5000, NULL);
}

/* --- with a link --- */

static void open_link(struct fixture *fixture, struct beam_node *node,
                      struct nzd_link **link)
{
    const char *folder = getenv("NZD_TEST_BEAM");
    const char *path = harness_text(fixture->harness, "%s/nzd_test_echo.beam",
                                    folder ? folder : "build/tests/beam");
    const char *cookie = harness_read_file(
        fixture->harness, harness_cookie_file(fixture->harness));
    struct nzd_buf beam = {0};
    struct nzd_link_options options = {
        .node = beam_node_name(node),
        .cookie = harness_text(fixture->harness, "%.*s",
                               (int)strcspn(cookie, "\n"), cookie),
        .agent_count = 1,
    };

    if (nzd_host_read(path, 1u << 20, &beam) != 0)
        harness_fail("%s is not built: make tests", path);
    struct nzd_link_module agent = {"nzd_test_echo", nzd_buf_view(&beam)};
    options.agent = &agent;
    if (nzd_link_open(&options, link, &fixture->err) != 0)
        harness_fail("%s", fixture->err.message);
    nzd_buf_clear(&beam);
}

static void answers_ticks_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node_options options = {.name = "hook", .net_ticktime = 2};
    struct beam_node *node = beam_node_start(fixture->harness, &options);
    struct nzd_link *link;

    open_link(fixture, node, &link);
    fixture->argv[0] = "sleep";
    fixture->argv[1] = "4";
    assert_int_equal(nzd_program_run(&fixture->program, link, &fixture->result,
                                     &fixture->err),
                     0);
    assert_end(fixture, NZD_PROGRAM_EXITED, 0);
    assert_int_equal(nzd_link_wait(link, -1, 10000, &fixture->err), 0);
    assert_eval(node, "length(nodes(hidden))", "1");
    nzd_link_close(link);
}

static void ends_when_the_node_is_lost(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node_options options = {.name = "hook"};
    struct beam_node *node = beam_node_start(fixture->harness, &options);
    struct nzd_link *link;
    const char *script;

    open_link(fixture, node, &link);
    script = harness_text(fixture->harness, "sleep 0.2; kill -9 %d; sleep 60",
                          (int)beam_node_pid(node));
    fixture->argv[0] = "sh";
    fixture->argv[1] = "-c";
    fixture->argv[2] = script;
    assert_int_equal(nzd_program_run(&fixture->program, link, &fixture->result,
                                     &fixture->err),
                     NZD_ELOST);
    assert_true(fixture->result.took_us < 3 * SECOND);
    assert_null(fixture->result.output.data);
    nzd_link_close(link);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gives_status_and_output),
        TEST(tells_what_does_not_start),
        TEST(adds_to_the_environment),
        TEST(passes_on_nothing_of_ours),
        TEST(bounds_the_output),
        TEST(ends_at_the_time_limit),
        TEST(ends_what_ignores_term),
        TEST(gives_the_group_its_time),
        TEST(leaves_no_grandchildren),
        TEST(a_signal_ends_it),
        TEST(dies_with_us),
        TEST(outlives_its_supervisors_death),
        TEST(answers_ticks_meanwhile),
        TEST(ends_when_the_node_is_lost),
    };

    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void recovers(struct moves *moves, const char *before)
{
    struct harness_run run =
        harness_nzd(moves->harness, moves->node, "recover", NULL);
    assert_status(run, 0);
    moves_runs(moves, 1);
    assert_eval(moves->node, COUNTS, before);
}

/* In the middle of a code_change the agent, or nzd, is killed. That the agent
 * was is heard of: nobody waits for as long as it might have taken. */
static void the_agent_is_killed(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    moves_in_code_change(moves, "moves_machine",
                         "moves_do:clear(), exit(whereis(nzd), kill), "
                         "timer:sleep(100)");
    struct harness_run run = moves_apply(moves, "--timeout", "100s", "-q");
    assert_status(run, 6);
    recovers(moves, before);
}

/* The others are not held up by it; when it comes back it finds its state. */
static void the_agent_is_killed_while_one_hangs(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    moves_in_code_change(moves, "moves_machine",
                         "moves_do:clear(), exit(whereis(nzd), kill), "
                         "receive go_on -> error(no) end");
    struct harness_run run = moves_apply(moves, "--timeout", "500ms", "-q");
    assert_int_not_equal(run.status, 0);
    run = harness_nzd(moves->harness, moves->node, "recover", NULL);
    assert_status(run, 0);
    assert_eval(moves->node,
                "{element(1, gen_server:call(moves_srv, value)), "
                "lists:usort([V || {V, _} <- moves_do:all(value)])}",
                "{1,[1]}");
    beam_node_eval(moves->node, "moves_machine ! go_on");
    recovers(moves, before);
}

static void agent_and_guard_are_killed(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    moves_in_code_change(moves, "moves_machine",
                         "moves_do:clear(), process_flag(priority, max), "
                         "[exit(P, kill) || P <- processes(), "
                         "{current_function, {_, guard_loop, _}} <- "
                         "[process_info(P, current_function)]], "
                         "exit(whereis(nzd), kill), timer:sleep(100)");
    struct harness_run run = moves_apply(moves, "--timeout", "500ms", "-q");
    assert_int_not_equal(run.status, 0);
    recovers(moves, before);
}

static void nzd_is_killed(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    moves_in_code_change(moves, "moves_machine",
                         "os:cmd(\"kill -9 \" ++ os:getenv(\"NZD_TEST_PID\", "
                         "\"none\")), timer:sleep(50)");
    struct harness_job *job = harness_begin(
        moves->harness,
        harness_argv(moves->harness, moves->node, "apply", "--retry", "-q",
                     harness_fixture(moves->harness, "moves-2"), "--config",
                     moves->config, NULL),
        NULL);
    beam_node_eval(moves->node, "os:putenv(\"NZD_TEST_PID\", \"%d\")",
                   (int)harness_job_pid(job));
    struct harness_run run = harness_end(moves->harness, job, 20000);
    assert_status(run, 137);
    moves_forget(moves);
    recovers(moves, before);
}

/* nzd, or the whole link, is gone while they are suspended, and around it. */
static void nzd_is_killed_at_points(void **state)
{
    struct moves *moves = *state;
    const char *given = getenv("NZD_POINTS");
    const char *nzd = given ? given : "build/points/nzd";
    const char *before = beam_node_eval(moves->node, COUNTS);
    const char *log = harness_path(moves->harness, "points");
    const char *const environment[] = {
        harness_text(moves->harness, "NZD_POINT_LOG=%s", log), NULL};
    const char *const *argv =
        harness_argv(moves->harness, moves->node, "apply", "--retry", "-q",
                     harness_fixture(moves->harness, "moves-2"), "--config",
                     moves->config, NULL);
    ((const char **)(uintptr_t)argv)[0] = nzd;
    struct harness_run run = harness_run(moves->harness, argv, environment);
    assert_status(run, 0);
    moves_down(moves);
    const char *passed = harness_read_file(moves->harness, log);
    const char *mark = strstr(passed, " while processes are suspended");
    assert_non_null(mark);
    while (mark > passed && mark[-1] != '\n')
        mark--;
    int middle = atoi(mark);
    for (int at = middle - 1; at <= middle + 1; at++) {
        const char *const kill_at[] = {
            harness_text(moves->harness, "NZD_POINT_AT=%d", at), NULL};
        run = harness_run(moves->harness, argv, kill_at);
        assert_status(run, 137);
        recovers(moves, before);
    }
}

/* Nobody confirms it: the agent alone takes the states down again. */
static void a_trial_ends(void **state)
{
    struct moves *moves = *state;
    const char *before = beam_node_eval(moves->node, COUNTS);
    struct harness_run run = moves_apply(moves, "--confirm", "1s", "-q");
    assert_status(run, 0);
    assert_eval(moves->node, "element(1, gen_server:call(moves_srv, value))",
                "2");
    beam_node_wait_for(moves->node,
                       "element(1, gen_server:call(moves_srv, value))", "1",
                       10000);
    run = harness_nzd(moves->harness, moves->node, "recover", "--wait", "20s",
                      NULL);
    assert_status(run, 0);
    moves_runs(moves, 1);
    assert_eval(moves->node, COUNTS, before);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_agent_is_killed),
        TEST(the_agent_is_killed_while_one_hangs),
        TEST(agent_and_guard_are_killed),
        TEST(nzd_is_killed),
        TEST(nzd_is_killed_at_points),
        TEST(a_trial_ends),
    };

    return cmocka_run_group_tests_name("migrate, killed", tests, moves_set_up,
                                       moves_tear_down);
}

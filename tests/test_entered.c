/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Processes that do not show what they run: that hibernate, or came into the
 * loop of gen_server and gen_statem by enter_loop, out of another module. They
 * are found, migrate, and go on as they were.
 */

#define SERVERS  "[entered_srv, sleeping_srv, child_srv]"
#define MACHINES "[entered_machine, sleeping_machine, child_machine]"
#define SLEEPERS "[sleeping_srv, sleeping_machine, child_srv, child_machine]"
/* Whenever they have nothing to do. */
#define TIMED "[sleeping_srv, sleeping_machine]"

static int setup(void **state)
{
    struct scene *scene = scene_open();
    struct beam_node_options options = {.name = "entered"};
    scene->node = beam_node_start(scene->harness, &options);
    beam_node_eval(
        scene->node,
        "[Elixir] = filelib:wildcard(\"%s/lib/elixir-*/ebin\"), "
        "true = code:add_pathz(Elixir), true = code:add_patha(\"%s\"), "
        "ok = application:start(moves), "
        "[{module, M} = code:ensure_loaded(M) || M <- [moves_do, moves_event, "
        "moves_loop, moves_machine, moves_srv]], ok",
        harness_fixture(scene->harness, "greeter-0.1.0"),
        harness_fixture(scene->harness, "moves-1/lib/moves-1.0.0/ebin"));
    const char *beam = getenv("NZD_TEST_BEAM");
    beam_node_eval(scene->node, "nzd_test_ctl:load(\"%s/nzd_test_enter\")",
                   beam ? beam : "build/tests/beam");
    *state = scene;
    return 0;
}

static void asleep(struct scene *scene, const char *names, const char *as)
{
    beam_node_wait_for(
        scene->node,
        harness_text(scene->harness,
                     "lists:usort([process_info(whereis(N), current_function) "
                     "=:= {current_function, {erlang, hibernate, 3}} || N <- "
                     "%s])",
                     names),
        as, 3000);
}

static void run(struct scene *scene, int version)
{
    struct harness_run run =
        version == 2 ? harness_nzd(scene->harness, scene->node, "apply", "-q",
                                   harness_fixture(scene->harness, "moves-2"),
                                   "--config", scene->config, NULL)
                     : harness_nzd(scene->harness, scene->node, "rollback",
                                   "-q", "--config", scene->config, NULL);
    assert_status(run, 0);
}

/* Each answers out of this version, with what it had counted. */
static void answer(struct scene *scene, int version, int count)
{
    const char *text =
        harness_text(scene->harness, "{[%d],[%d]}", version, count);
    beam_node_check(
        scene->node,
        "{lists:usort([V || N <- " SERVERS ", {V, _} <- "
        "[gen_server:call(N, value)]]), lists:usort([C || N <- " SERVERS
        ", {_, C} <- [gen_server:call(N, value)]])}",
        text, __FILE__, __LINE__);
    beam_node_check(
        scene->node,
        "lists:usort([element(1, gen_statem:call(N, push)) || N <- " MACHINES
        "])",
        harness_text(scene->harness, "[%d]", version), __FILE__, __LINE__);
    beam_node_wait_unsuspended(scene->node);
}

static void all_migrate_and_go_on(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node, "nzd_test_enter:start_all()");
    asleep(scene, SLEEPERS, "[true]");
    struct harness_run plan =
        harness_nzd(scene->harness, scene->node, "plan",
                    harness_fixture(scene->harness, "moves-2"), NULL);
    assert_status(plan, 0);
    /* With those that the application has itself: a pool without servers. */
    assert_matches(plan.out, "migrate +moves_srv .*4 processes run it");
    assert_matches(plan.out, "migrate +moves_machine .*[34] processes run it");
    for (int i = 0; i < 2; i++) {
        run(scene, 2);
        /* They hibernate again, as long as nobody has called them. */
        asleep(scene, i ? TIMED : SLEEPERS, "[true]");
        answer(scene, 2, 7);
        asleep(scene, TIMED, "[true]");
        run(scene, 1);
        answer(scene, 1, 7);
    }
}

/* Its module has a code_change, which it does not run. */
static void an_agent_that_hibernates_is_left_alone(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node,
                   "{ok, P} = nzd_test_enter:agent(), register(agent, P)");
    asleep(scene, "[agent]", "[true]");
    run(scene, 2);
    assert_eval(scene->node, "sys:get_state(agent)", "{mine}");
    run(scene, 1);
    assert_eval(scene->node, "sys:get_state(agent)", "{mine}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_migrate_and_go_on),
        cmocka_unit_test(an_agent_that_hibernates_is_left_alone),
    };
    return cmocka_run_group_tests_name("entered", tests, setup, scene_teardown);
}

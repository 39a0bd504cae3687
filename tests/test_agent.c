/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What the agent does where something is wrong in its node: it crashes, ends in
 * the middle of a word, or is answered by nobody.
 */
struct stage {
    struct harness *harness;
    struct beam_node *node;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct stage *stage = harness_alloc(harness, sizeof *stage);
    struct beam_node_options options = {.name = "agent"};
    const char *beam = getenv("NZD_TEST_BEAM");
    stage->harness = harness;
    stage->node = beam_node_start(harness, &options);
    beam_node_eval(stage->node,
                   "[nzd_test_ctl:load(\"%s/\" ++ M) || "
                   "M <- [\"nzd_test_agent\", \"nzd_test_modes\"]]",
                   beam ? beam : "build/tests/beam");
    struct harness_run run = harness_nzd(harness, stage->node, "status", NULL);
    assert_status(run, 0);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    harness_close(stage->harness);
    return 0;
}

/* At once, behind 0, 100 and 200 ms: five at most. It is there behind that. */
static void one_that_crashes_again_waits(void **state)
{
    struct stage *stage = *state;
    int count =
        atoi(beam_node_eval(stage->node, "nzd_test_agent:crash_for(600)"));
    assert_in_range(count, 3, 5);
    struct harness_run run =
        harness_nzd(stage->harness, stage->node, "status", NULL);
    assert_status(run, 0);
}

static void one_that_ends_between_two_words_leaves_nobody(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:first_word()", "{runs,[]}");
}

static void one_that_was_late_stays_suspended(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:late_twice()",
                "{suspended,{runs,[]}}");
}

static void one_that_was_late_for_an_agent_that_ended_stays_so(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:late_for_two(asking)",
                "{suspended,{runs,[]}}");
    assert_eval(stage->node, "nzd_test_agent:late_for_two(given_up)",
                "{suspended,{runs,[]}}");
}

static void one_that_is_left_is_not_let_go_by_one_that_ends(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:left_and_late()",
                "{suspended,[{'$nzd_kept',state}]}");
}

static void one_that_hangs_leaves_the_others_what_they_are(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:left_with_one_that_hangs(other)",
                "{[hung],{runs,1}}");
    assert_eval(stage->node, "nzd_test_agent:left_with_one_that_hangs(going)",
                "{[],{runs,1}}");
}

static void one_that_ends_while_a_mode_is_asked_for_loses_no_state(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:left_aside()", "{{runs,0},[]}");
}

static void one_that_ends_resumes_nobody_of_somebody_else(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:left_of_somebody()",
                "{{suspended,[]},{runs,[]}}");
}

static void to_look_for_them_takes_no_time_from_them(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_agent:suspended_within(100)",
                "{ok,{runs,[]}}");
}

/* Its code takes no state but one of the version below. */
static void one_that_is_put_back_has_its_callback_mode(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "nzd_test_modes:put_back()", "{[],2,[]}");
}

static void nobody_is_waited_for_without_an_end(void **state)
{
    struct stage *stage = *state;
    assert_eval(stage->node, "element(1, nzd_test_agent:tell_while_busy(200))",
                "error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_crashes_again_waits),
        cmocka_unit_test(one_that_ends_between_two_words_leaves_nobody),
        cmocka_unit_test(one_that_was_late_stays_suspended),
        cmocka_unit_test(one_that_was_late_for_an_agent_that_ended_stays_so),
        cmocka_unit_test(one_that_is_left_is_not_let_go_by_one_that_ends),
        cmocka_unit_test(one_that_hangs_leaves_the_others_what_they_are),
        cmocka_unit_test(
            one_that_ends_while_a_mode_is_asked_for_loses_no_state),
        cmocka_unit_test(one_that_ends_resumes_nobody_of_somebody_else),
        cmocka_unit_test(to_look_for_them_takes_no_time_from_them),
        cmocka_unit_test(one_that_is_put_back_has_its_callback_mode),
        cmocka_unit_test(nobody_is_waited_for_without_an_end),
    };
    return cmocka_run_group_tests_name("agent", tests, setup, teardown);
}

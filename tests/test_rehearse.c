/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Rehearsals of what fixture rehearsal's versions do in their code_change, on
 * one node that runs version 1; all of its modules change but rehearsal_same.
 * Processes one, two and three of rehearsal_srv hold those counts.
 */

#define SOON_MS 10000
#define SHADOWS                                                                \
    "[M || M <- erlang:loaded(), "                                             \
    "lists:prefix(\"nzd_shadow\", atom_to_list(M))]"
#define KNOWN                                                                  \
    "[M || {M, _} <- code:all_loaded(), "                                      \
    "lists:prefix(\"nzd_shadow\", atom_to_list(M))]"
/* What nobody may have touched. */
#define REAL                                                                   \
    "{[M:module_info(md5) || M <- [rehearsal_srv, rehearsal_util, "            \
    "rehearsal_same]], [rehearsal_srv:state(P) || P <- [one, two, three]], "   \
    "[erlang:check_old_code(M) || M <- [rehearsal_srv, rehearsal_util]], "     \
    "ets:tab2list(rehearsal_notes), whereis(nzd_rehearsal)}"

static int setup(void **state)
{
    struct scene *scene = scene_open();
    struct beam_node_options options = {.name = "stage"};
    scene->node = beam_node_start(scene->harness, &options);
    beam_node_eval(
        scene->node,
        "true = code:add_patha(\"%s\"), ok = application:load(rehearsal), "
        "[{module, M} = code:load_file(M) || M <- [rehearsal_event, "
        "rehearsal_loop, rehearsal_machine, rehearsal_same, rehearsal_srv, "
        "rehearsal_util]], "
        "Self = self(), "
        "spawn(fun() -> ets:new(rehearsal_notes, [named_table, public]), "
        "[rehearsal_srv:start(N, C) || {N, C} <- [{one, 1}, {two, 2}, "
        "{three, 3}]], rehearsal_event:start(), rehearsal_loop:start(), "
        "rehearsal_machine:start(5), Self ! done, timer:sleep(infinity) end), "
        "receive done -> ok end",
        harness_fixture(scene->harness,
                        "rehearsal-1/lib/rehearsal-1.0.0/ebin"));
    *state = scene;
    return 0;
}

static const char *fixture(struct scene *scene, int version)
{
    return harness_fixture(
        scene->harness, harness_text(scene->harness, "rehearsal-%d", version));
}

#define plan(scene, version, ...)                                              \
    harness_nzd((scene)->harness, (scene)->node, "plan",                       \
                fixture((scene), (version)), "--config", (scene)->config,      \
                __VA_ARGS__, NULL)

static const char *real(struct scene *scene)
{
    return beam_node_eval(scene->node, REAL);
}

/* Nothing of a rehearsal is left, and nothing else is another than before. */
static void untouched(struct scene *scene, const char *before)
{
    assert_eval(scene->node, SHADOWS, "[]");
    assert_eval(scene->node, KNOWN, "[]");
    assert_string_equal(real(scene), before);
}

/* Exit 5, with this; and nothing was touched, nor is a secret told. */
static struct harness_run refused(struct scene *scene, int version,
                                  const char *why)
{
    const char *before = real(scene);
    struct harness_run run = plan(scene, version, "--rehearse");
    assert_status(run, 5);
    assert_contains(run.err, why);
    assert_contains(run.err, "nothing was touched");
    assert_lacks(run.err, "s3cret");
    assert_lacks(run.out, "s3cret");
    untouched(scene, before);
    return run;
}

static const char *const others[] = {"rehearsal_event", "rehearsal_loop",
                                     "rehearsal_machine"};
#define OTHERS 3u

/* What the JSON tells of a module. */
static json_t *part(json_t *answer, const char *module)
{
    json_t *each;
    size_t i;
    json_array_foreach(json_object_get(answer, "rehearsal"), i, each)
    {
        if (!strcmp(answer_text(each, "module"), module))
            return each;
    }
    harness_fail("%s is not rehearsed", module);
}

static void a_good_one_is_told(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_run run = plan(scene, 2, "--rehearse");
    assert_status(run, 0);
    assert_matches(run.out,
                   "^  rehearse +rehearsal_srv: 3 processes, ok in [0-9.]+ ");
    untouched(scene, before);
    run = plan(scene, 2, "--rehearse", "--json");
    assert_status(run, 0);
    json_t *answer = answer_object(scene->harness, run.out);
    assert_int_equal(answer_number(part(answer, "rehearsal_srv"), "ok"), 3);
    for (unsigned i = 0; i < OTHERS; i++)
        assert_int_equal(answer_number(part(answer, others[i]), "ok"), 1);
    run = plan(scene, 2, NULL);
    assert_lacks(run.out, "  rehearse ");
}

static void a_crash_refuses(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = refused(scene, 3,
                                     " two error: function_clause, at "
                                     "rehearsal_srv:less/1 line ");
    assert_matches(run.err, "code_change of <0\\.[0-9]+\\.0> two");
    assert_contains(run.err, ", from rehearsal_srv:code_change/3 line ");
    assert_contains(run.err,
                    "its state is #{'__struct__' => rehearsal_srv, count => "
                    "integer, list => list(20) of integer, tag => atom, token "
                    "=> binary(6)}");
    assert_contains(run.out, "FAILED in");
    run = plan(scene, 3, "--rehearse", "--json");
    assert_status(run, 5);
    json_t *answer = answer_object(scene->harness, run.out);
    json_t *server = part(answer, "rehearsal_srv");
    assert_int_equal(answer_number(server, "ok"), 2);
    assert_string_equal(answer_text(server, "notes.0.name"), "two");
}

/* Of each kind of process one that fails in a way of its own. */
static void each_kind_is_played(void **state)
{
    static const char *const whys[] = {"error: badarg", "throw: never",
                                       "returned {error, integer}"};
    static const char *const shapes[] = {"list(2) of {seen, atom}",
                                         "{count, integer}", "{idle, integer}"};
    struct scene *scene = *state;
    struct harness_run run = plan(scene, 7, "--rehearse", "--json");
    assert_status(run, 5);
    assert_lacks(run.out, "s3cret");
    json_t *answer = answer_object(scene->harness, run.out);
    assert_string_equal(
        answer_text(part(answer, "rehearsal_srv"), "notes.0.why"),
        "returned {error, {no_way_from, binary(6)}}");
    for (unsigned i = 0; i < OTHERS; i++) {
        json_t *other = part(answer, others[i]);
        assert_string_equal(answer_text(other, "notes.0.name"), others[i]);
        assert_string_equal(answer_text(other, "notes.0.why"), whys[i]);
        assert_string_equal(answer_text(other, "notes.0.state"), shapes[i]);
    }
}

static void one_that_loops_is_ended(void **state)
{
    struct harness_run run = refused(*state, 4,
                                     "did not return within 2000 ms, at "
                                     "rehearsal_srv:code_change/3");
    if (run.ms > 12000)
        harness_fail("it took %.0f ms", run.ms);
}

static void one_that_eats_memory_is_ended(void **state)
{
    refused(*state, 5, "took more than 128 MB of memory");
    refused(*state, 8, "took more than 128 MB of memory");
}

static void effects_are_not_rehearsed(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_run run = plan(scene, 6, "--rehearse");
    assert_status(run, 0);
    assert_contains(run.out,
                    "rehearsal_srv: 3 processes, not tried: code_change may "
                    "come to ets:insert/2, by rehearsal_same:note/1");
    untouched(scene, before);
}

/* It would lead to the code that is to be replaced. */
static void a_call_by_name_ends_it(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_run run = plan(scene, 9, "--rehearse");
    assert_status(run, 0);
    assert_contains(run.out, "rehearsal_srv: 3 processes, none was tried");
    assert_contains(run.out, " one code_change came to a call of "
                             "rehearsal_util:grown/1 by its name");
    untouched(scene, before);
}

static void who_does_not_answer_is_named(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node, "rehearsal_srv:stay(two, 1500)");
    struct harness_run run = plan(scene, 2, "--rehearse");
    assert_status(run, 0);
    assert_contains(run.out, "rehearsal_srv: 3 processes, 2 of them ok in ");
    assert_matches(run.out, "not tried: <0\\.[0-9]+\\.0> two it did not tell "
                            "its state within 1000 ms");
    assert_eval(scene->node, "maps:get(count, rehearsal_srv:state(two))", "2");
}

static void states_that_are_left_out_are_named(void **state)
{
    struct scene *scene = *state;
    beam_node_eval(scene->node,
                   "[sys:replace_state(P, fun(S) -> S#{more => M} end) || "
                   "{P, M} <- [{two, fun() -> ok end}, "
                   "{three, lists:seq(1, 3000000)}]], ok");
    struct harness_run run = plan(scene, 2, "--rehearse");
    assert_status(run, 0);
    assert_contains(run.out, "rehearsal_srv: 3 processes, 1 of them ok in ");
    assert_contains(run.out, " two its state holds funs, which code_change may "
                             "call");
    assert_contains(run.out, " three its state may be too large to be copied");
    beam_node_eval(scene->node,
                   "[begin sys:replace_state(P, fun(S) -> maps:remove(more, S) "
                   "end), garbage_collect(whereis(P)) end || "
                   "P <- [two, three]], ok");
}

/* Its player stands still: neither time nor the load of this machine ends it.
 */
#define HELD                                                                   \
    "S = self(), spawn(fun() -> true = erlang:suspend_process(P), "            \
    "S ! held, timer:sleep(infinity) end), receive held -> ok end"

/* A rehearsal is begun, and as soon as its code is there `act` is done, before
 * anything else gets a turn: by itself it ends after two seconds. K is its
 * keeper, P its player. */
static struct harness_job *begin(struct scene *scene, const char *command,
                                 const char *act)
{
    struct harness_job *job = harness_begin(
        scene->harness,
        harness_argv(scene->harness, scene->node, command, fixture(scene, 4),
                     "--rehearse", "--config", scene->config, NULL),
        NULL);
    beam_node_eval(scene->node,
                   "Wait = fun(Again, Left) when Left > 0 -> "
                   "case {" SHADOWS ", whereis(nzd_rehearsal)} of "
                   "{[_ | _], K} when is_pid(K) -> "
                   "{links, [P]} = process_info(K, links), %s; "
                   "_ -> timer:sleep(1), Again(Again, Left - 1) end end, "
                   "Wait(Wait, %d)",
                   act, SOON_MS);
    return job;
}

static void gone(struct scene *scene, const char *before)
{
    beam_node_wait_for(scene->node, SHADOWS, "[]", SOON_MS);
    beam_node_wait_for(scene->node, "whereis(nzd_rehearsal)", "undefined",
                       SOON_MS);
    untouched(scene, before);
}

static void a_killed_nzd_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_job *job = begin(scene, "plan", HELD);
    struct harness_run run = plan(scene, 2, "--rehearse");
    assert_status(run, 5);
    assert_contains(run.err, "another rehearsal goes on");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, SOON_MS);
    gone(scene, before);
}

static void a_signal_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_job *job = begin(scene, "apply", HELD);
    kill(harness_job_pid(job), SIGINT);
    struct harness_run run = harness_end(scene->harness, job, SOON_MS);
    assert_status(run, 5);
    gone(scene, before);
}

/* Whichever of its processes is killed. */
static void a_killed_agent_leaves_nothing(void **state)
{
    static const char *const killed[] = {"exit(whereis(nzd), kill)",
                                         "exit(K, kill)", "exit(P, kill)"};
    struct scene *scene = *state;
    const char *before = real(scene);
    for (unsigned i = 0; i < 3; i++) {
        struct harness_job *job = begin(scene, "plan", killed[i]);
        gone(scene, before);
        kill(harness_job_pid(job), SIGKILL);
        harness_end(scene->harness, job, SOON_MS);
    }
}

/* Keeper and player at once: the next agent finds it. */
static void what_was_left_goes_with_the_next(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_job *job = begin(scene, "plan",
                                    "[erlang:suspend_process(Each) || Each <- "
                                    "[K, P]], [exit(Each, kill) || Each <- "
                                    "[K, P]]");
    kill(harness_job_pid(job), SIGKILL);
    harness_end(scene->harness, job, SOON_MS);
    beam_node_eval(scene->node, "exit(whereis(nzd), kill)");
    gone(scene, before);
}

static int64_t atoms(struct scene *scene)
{
    return strtoll(
        beam_node_eval(scene->node, "erlang:system_info(atom_count)"), NULL,
        10);
}

/* Each nzd has a name of its own, rehearsal or not. */
static void atoms_do_not_grow(void **state)
{
    struct scene *scene = *state;
    int64_t plain = -atoms(scene), rehearsed;
    for (int i = 0; i < 10; i++)
        plan(scene, 2, NULL);
    plain += atoms(scene);
    rehearsed = -atoms(scene);
    for (int i = 0; i < 50; i++)
        plan(scene, 2, "--rehearse");
    rehearsed += atoms(scene);
    if (rehearsed > 5 * plain + 2)
        harness_fail("%ld atoms by 50 rehearsals, %ld by 10 plans",
                     (long)rehearsed, (long)plain);
}

static void apply_rehearses_first(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_run run =
        harness_nzd(scene->harness, scene->node, "apply", fixture(scene, 3),
                    "--rehearse", "--config", scene->config, NULL);
    assert_status(run, 5);
    assert_contains(run.err, "rehearsal of rehearsal_srv: code_change of ");
    untouched(scene, before);
    assert_int_equal(json_array_size(answer_txns(scene->harness, scene->node)),
                     0);
    run = harness_nzd(scene->harness, scene->node, "apply", fixture(scene, 2),
                      "--rehearse", "--config", scene->config, NULL);
    assert_status(run, 0);
    assert_matches(run.err,
                   "^rehearse +rehearsal_srv: 3 processes, ok in [0-9.]+ ");
    assert_eval(scene->node, "rehearsal_util:version()", "2");
    run =
        harness_nzd(scene->harness, scene->node, "journal", "show", "1", NULL);
    assert_matches(run.out, "rehearse +rehearsal_srv: 3 processes, ok in ");
    assert_eval(scene->node, SHADOWS, "[]");
    /* Back again it is the code that is about to go. */
    run = plan(scene, 1, "--rehearse");
    assert_status(run, 5);
    assert_contains(run.err, "rehearsal_event error: function_clause, at "
                             "rehearsal_event:code_change/3");
    assert_contains(run.out, "rehearsal_srv: 3 processes, ok in ");
}

/* Behind it version 2 runs: of its code_change only that of rehearsal_srv knows
 * the way back. */
static void rollback_rehearses_the_way_back(void **state)
{
    struct scene *scene = *state;
    const char *before = real(scene);
    struct harness_run run =
        harness_nzd(scene->harness, scene->node, "rollback", "--rehearse",
                    "--config", scene->config, NULL);
    assert_status(run, 5);
    assert_matches(run.err, "rehearsal of rehearsal_event: code_change of "
                            "<[0-9.]+> rehearsal_event error: "
                            "function_clause, at rehearsal_event:code_change");
    assert_contains(run.err, "nothing was touched");
    untouched(scene, before);
    beam_node_eval(scene->node,
                   "[begin R = monitor(process, N), exit(whereis(N), kill), "
                   "receive {'DOWN', R, _, _, _} -> ok end end || N <- "
                   "[rehearsal_event, rehearsal_loop, rehearsal_machine]]");
    run = harness_nzd(scene->harness, scene->node, "rollback", "--rehearse",
                      "--accept-gap", "--config", scene->config, NULL);
    assert_status(run, 0);
    assert_matches(run.err,
                   "^rehearse +rehearsal_srv: 3 processes, ok in [0-9.]+ ");
    assert_eval(scene->node,
                "erlang:function_exported(rehearsal_util, grown, 1)", "false");
    assert_eval(scene->node, SHADOWS, "[]");
    run =
        harness_nzd(scene->harness, scene->node, "journal", "show", "2", NULL);
    assert_matches(run.out, "rehearse +rehearsal_srv: 3 processes, ok in ");
}

static void a_restart_plays_nothing(void **state)
{
    struct scene *scene = *state;
    struct harness_run run =
        harness_nzd(scene->harness, scene->node, "apply", fixture(scene, 3),
                    "--rehearse", "--dry-run", "--min", "restart-vm", "--max",
                    "restart-vm", "--config", scene->config, NULL);
    assert_contains(run.err,
                    "nothing is rehearsed: restart-vm converts no states");
    assert_lacks(run.err, "code_change of");
}

static void two_releases_hold_no_states(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = plan(scene, 2, fixture(scene, 1), "--rehearse");
    assert_status(run, 2);
    assert_contains(run.err, "--rehearse needs a node");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_is_told),
        cmocka_unit_test(a_crash_refuses),
        cmocka_unit_test(each_kind_is_played),
        cmocka_unit_test(one_that_loops_is_ended),
        cmocka_unit_test(one_that_eats_memory_is_ended),
        cmocka_unit_test(effects_are_not_rehearsed),
        cmocka_unit_test(a_call_by_name_ends_it),
        cmocka_unit_test(who_does_not_answer_is_named),
        cmocka_unit_test(states_that_are_left_out_are_named),
        cmocka_unit_test(a_killed_nzd_leaves_nothing),
        cmocka_unit_test(a_signal_leaves_nothing),
        cmocka_unit_test(a_killed_agent_leaves_nothing),
        cmocka_unit_test(what_was_left_goes_with_the_next),
        cmocka_unit_test(atoms_do_not_grow),
        cmocka_unit_test(a_restart_plays_nothing),
        cmocka_unit_test(two_releases_hold_no_states),
        cmocka_unit_test(apply_rehearses_first),
        cmocka_unit_test(rollback_rehearses_the_way_back),
    };
    return cmocka_run_group_tests(tests, setup, scene_teardown);
}

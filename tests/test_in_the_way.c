/* SPDX-License-Identifier: Apache-2.0 */
#include "in_the_way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What a careless hand does: the same code again, and who is in it stays. */
static void reload(struct way *way, const char *module, int version)
{
    const char *folder = harness_fixture(
        way->harness, harness_text(way->harness, "way-%d/lib/way-%d.0.0/ebin",
                                   version, version));
    beam_node_eval(way->node,
                   "{ok, B} = file:read_file(\"%s/%s.beam\"), "
                   "{module, _} = code:load_binary(%s, code:which(%s), B)",
                   folder, module, module, module);
}

static void no_transaction(struct way *way)
{
    assert_int_equal(json_array_size(answer_txns(way->harness, way->node)), 0);
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    while ((text = strstr(text, part)) != NULL) {
        n++;
        text += strlen(part);
    }
    return n;
}

/* --- lingering --- */

static void lingering_is_named(void **state)
{
    struct way *way = *state;
    const char *pid = way_begin(way, "left", "way_hold:wait()");
    const char *who = harness_text(way->harness, "%s left", pid);
    reload(way, "way_hold", 1);

    struct harness_run run = way_plan(way, 2, "--verbose");
    assert_status(run, 0);
    assert_contains(run.out, harness_text(way->harness,
                                          "in the way   %s is in old code, "
                                          "way_hold:wait/0\n",
                                          who));
    assert_int_equal(count(run.out, "in the way"), 1);
    run = way_plan(way, 2, "--json");
    json_t *process =
        answer_get(answer_object(way->harness, run.out), "processes.0");
    assert_string_equal(answer_text(process, "kind"), "lingering");
    assert_string_equal(answer_text(process, "pid"), pid);
    assert_string_equal(answer_text(process, "mfa"), "way_hold:wait/0");

    run = way_apply(way, 2, "--drain", "300ms");
    way_refused(way, run, 1);
    assert_true(run.ms >= 300);
    assert_contains(run.err, harness_text(way->harness,
                                          "drain      waiting for %s to leave "
                                          "way_hold",
                                          pid));
    assert_contains(run.err, harness_text(way->harness,
                                          "%s is still in old code, "
                                          "way_hold:wait/0 after 300 ms\n",
                                          who));
    assert_contains(run.err, harness_text(way->harness, "--kill %s", pid));
    way_alive(way, "left", true);
    way_old_code(way, "way_hold", true);
    no_transaction(way);
}

static void lingering_leaves_in_time(void **state)
{
    struct way *way = *state;
    way_begin(way, "left", "way_hold:wait()");
    reload(way, "way_hold", 1);
    struct harness_job *job =
        harness_begin(way->harness,
                      harness_argv(way->harness, way->node, "apply",
                                   way_fixture(way, 2), "--drain", "30s", NULL),
                      NULL);
    for (int i = 0; i < 500; i++) {
        if (strstr(harness_job_err(way->harness, job), "drain "))
            break;
        process_sleep_ms(10);
    }
    assert_contains(harness_job_err(way->harness, job), "waiting for <");
    way_runs(way, 1);
    beam_node_eval(way->node, "left ! stop");
    struct harness_run run = harness_end(way->harness, job, 20000);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: way 2.0.0 runs on");
    assert_lacks(run.err, "ended ");
    way_runs(way, 2);
    answer_settled(way->harness, way->node);
}

/* Each word ends the one process it means, and nobody else. */
static void kill_by_each_word(void **state)
{
    struct way *way = *state;
    static const char *const words[] = {NULL, "left", "way_hold", "all"};
    unsigned n = sizeof words / sizeof words[0];
    way_begin(way, "elsewhere", "way_same:deep()");
    reload(way, "way_same", 1);
    beam_node_eval(way->node, "{ok, _} = way_srv:start()");
    way_begin(way, "leftover", "receive stop -> ok end");
    for (unsigned i = 0; i < n; i++) {
        int old = i % 2 ? 2 : 1;
        const char *pid = way_begin(way, "left", "way_hold:wait()");
        reload(way, "way_hold", old);
        struct harness_run run = way_apply(way, 3 - old, "--drain", "0ms",
                                           "--kill", words[i] ? words[i] : pid);
        assert_status(run, 0);
        const char *who = harness_text(way->harness, "%s left in ", pid);
        way_event(way, i + 1, "may end", who);
        way_event(way, i + 1, "ended", who);
        assert_int_equal(count(run.err, "may end "), 1);
        assert_int_equal(count(run.err, "ended "), 1);
        assert_contains(run.err,
                        harness_text(way->harness, "ended      %s", who));
        way_alive(way, "left", false);
        way_alive(way, "elsewhere", true);
        way_alive(way, "leftover", true);
        way_alive(way, "way_srv", true);
        way_old_code(way, "way_same", true);
        way_runs(way, 3 - old);
        beam_node_wait_for(way->node, "erlang:check_old_code(way_hold)",
                           "false", 5000);
    }
    beam_node_eval(way->node, "elsewhere ! stop, code:soft_purge(way_same)");
    answer_settled(way->harness, way->node);
}

/* Nobody is ended before armed. */
static void killed_only_after_armed(void **state)
{
    struct way *way = *state;
    way_begin(way, "left", "way_hold:wait()");
    reload(way, "way_hold", 1);
    harness_write_file(way->config,
                       WAY_HOOK("lives", "pre", "way_same:alive", "\"left\"")
                           WAY_HOOK("no", "pre", "way_same:no", ""));
    struct harness_run run = way_apply(way, 2, "--kill", "all");
    assert_status(run, 5);
    assert_contains(run.err, "hook no returned false");
    assert_contains(run.err, "may end ");
    assert_lacks(run.err, "ended ");
    way_alive(way, "left", true);
    way_runs(way, 1);
    assert_txn(way->harness, way->node, 1, "aborted");

    harness_write_file(way->config,
                       WAY_HOOK("lives", "pre", "way_same:alive", "\"left\""));
    run = way_apply(way, 2, "--kill", "all");
    assert_status(run, 0);
    way_alive(way, "left", false);
    assert_txn(way->harness, way->node, 2, "committed");
    answer_settled(way->harness, way->node);
}

/* One of two is named: the other still blocks, and neither is ended. */
static void kill_of_another_is_not_enough(void **state)
{
    struct way *way = *state;
    way_begin(way, "left", "way_hold:wait()");
    const char *pid = way_begin(way, "right", "way_hold:wait()");
    reload(way, "way_hold", 1);
    struct harness_run run =
        way_apply(way, 2, "--drain", "0ms", "--kill", "left");
    way_refused(way, run, 1);
    assert_contains(run.err, harness_text(way->harness,
                                          "%s right is still in old code, "
                                          "way_hold:wait/0 after 0.0 ms\n",
                                          pid));
    way_alive(way, "left", true);
    way_alive(way, "right", true);
    no_transaction(way);
}

/* --- resident --- */

static void residents_are_named(void **state)
{
    struct way *way = *state;
    const char *wait = way_begin(way, "waits", "way_hold:wait()");
    const char *spin = way_begin(way, "spins", "way_hold:spin()");
    const char *deep =
        way_begin(way, "deep", "way_hold:run(fun way_same:deep/0)");
    /* Not in the way: has been there and left, is in what does not change. */
    way_begin(way, "visitor", "way_hold:version(), receive stop -> ok end");
    way_begin(way, "elsewhere", "way_same:deep()");

    struct harness_run run = way_plan(way, 2, "--verbose");
    assert_status(run, 0);
    assert_contains(run.out,
                    harness_text(way->harness,
                                 "%s waits stays in way_hold:wait/0\n", wait));
    assert_contains(run.out,
                    harness_text(way->harness,
                                 "%s spins stays in way_hold:spin/0\n", spin));
    assert_contains(
        run.out,
        harness_text(way->harness, "%s deep stays in way_hold:run/1\n", deep));
    assert_int_equal(count(run.out, "in the way"), 3);

    run = way_apply(way, 2, "--drain", "300ms");
    way_refused(way, run, 1);
    assert_true(run.ms >= 300);
    assert_matches(run.err, "(waits is still in way_hold:wait/0|spins is still "
                            "in way_hold:spin/0|deep is still in "
                            "way_hold:run/1) after 300 ms \\(and 2 others\\)");
    way_old_code(way, "way_hold", false);
    no_transaction(way);

    beam_node_eval(way->node, "[P ! stop || P <- [waits, spins, deep]]");
    run = way_apply(way, 2, "--quiet");
    assert_status(run, 0);
    way_runs(way, 2);
    answer_settled(way->harness, way->node);
}

static void a_loop_of_counter_is_named(void **state)
{
    struct way *way = *state;
    struct beam_node_options options = {
        .release = harness_fixture(way->harness, "counter-0.1.0"),
        .name = "counter"};
    struct beam_node *node = beam_node_start(way->harness, &options);
    beam_node_eval(node, "counter_feed:start(10)");
    const char *pid =
        beam_node_eval(node, "{nzd_text, pid_to_list(whereis(counter_feed))}");
    struct harness_run run =
        harness_nzd(way->harness, node, "apply",
                    harness_fixture(way->harness, "counter-0.2.0"), "--drain",
                    "300ms", NULL);
    assert_status(run, 5);
    assert_contains(run.err,
                    harness_text(way->harness,
                                 "%s counter_feed is still in "
                                 "counter_http:stream/3 after 300 ms\n",
                                 pid));
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    assert_eval(node, "counter_feed:stop()", "normal");
    run = harness_nzd(way->harness, node, "apply",
                      harness_fixture(way->harness, "counter-0.2.0"), NULL);
    assert_status(run, 0);
    assert_eval(node, "counter_srv:call()", "{\"0.2.0\",2}");
    answer_settled(way->harness, node);
}

/* A server that never rests, and hardly ever is outside of its callbacks, is
 * not one that stays. */
static void busy_is_not_resident(void **state)
{
    struct way *way = *state;
    beam_node_eval(way->node, "{ok, _} = way_srv:start()");
    struct beam_load *load =
        beam_load_start(way->node, 4, 0, "way_srv", "work", "[50000]");
    beam_load_wait(load, 5);
    struct harness_run run = way_apply(way, 2, "--drain", "2s");
    assert_status(run, 0);
    beam_load_wait(load, 5);
    struct beam_load_result result = beam_load_stop(load);
    assert_int_equal(result.undef + result.fail + result.killed, 0);
    assert_matches(result.results, "\\{2,[0-9]+\\}");
    way_alive(way, "way_srv", true);
    way_runs(way, 2);
    answer_settled(way->harness, way->node);
}

/* Nor are those who wait in it for a moment, again and again. */
static void who_comes_and_goes_is_not_resident(void **state)
{
    struct way *way = *state;
    beam_node_eval(way->node,
                   "Wait = fun() -> receive after 10 -> ok end end, "
                   "Visit = fun V(N) -> _ = way_hold:run(Wait), V(N + 1) end, "
                   "[register(list_to_atom(\"visitor\" ++ integer_to_list(I)), "
                   "spawn(fun() -> Visit(I) end)) || I <- lists:seq(1, 20)]");
    struct harness_run run = way_apply(way, 2, "--drain", "2s");
    assert_status(run, 0);
    way_alive(way, "visitor1", true);
    way_alive(way, "visitor20", true);
    way_runs(way, 2);
    answer_settled(way->harness, way->node);
}

#define real(test)                                                             \
    cmocka_unit_test_setup_teardown(test, way_set_up, way_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(lingering_is_named),
        real(lingering_leaves_in_time),
        real(kill_by_each_word),
        real(killed_only_after_armed),
        real(kill_of_another_is_not_enough),
        real(residents_are_named),
        real(a_loop_of_counter_is_named),
        real(busy_is_not_resident),
        real(who_comes_and_goes_is_not_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

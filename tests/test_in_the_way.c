/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * Processes and closures that stand in the way of a reload. A bare node runs
 * fixture way-1: way_hold and way_srv change with way-2, way_same does not.
 */
struct way {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
};

static int setup(void **state)
{
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    struct harness *harness = harness_open();
    struct way *way = harness_alloc(harness, sizeof *way);
    struct beam_node_options options = {.name = "way", .arguments = arguments};
    way->harness = harness;
    way->config = harness_path(harness, "nzd.conf");
    harness_write_file(way->config, "");
    way->node = beam_node_start(harness, &options);
    beam_node_eval(way->node,
                   "true = code:add_patha(\"%s\"), ok = application:load(way), "
                   "[{module, M} = code:load_file(M) || "
                   "M <- [way_hold, way_same, way_srv]]",
                   harness_fixture(harness, "way-1/lib/way-1.0.0/ebin"));
    *state = way;
    return 0;
}

static int teardown(void **state)
{
    struct way *way = *state;
    harness_close(way->harness);
    return 0;
}

/* --- words --- */

static const char *fixture(struct way *way, int version)
{
    return harness_fixture(way->harness,
                           harness_text(way->harness, "way-%d", version));
}

#define apply(way, version, ...)                                               \
    harness_nzd((way)->harness, (way)->node, "apply",                          \
                fixture((way), (version)), "--config", (way)->config,          \
                __VA_ARGS__, NULL)
#define plan(way, version, ...)                                                \
    harness_nzd((way)->harness, (way)->node, "plan",                           \
                fixture((way), (version)), __VA_ARGS__, NULL)

/* A registered process, and its pid as nzd prints it. */
static const char *begin(struct way *way, const char *name, const char *body)
{
    return beam_node_eval(way->node,
                          "P = spawn(fun() -> %s end), true = register(%s, P), "
                          "timer:sleep(20), {nzd_text, pid_to_list(P)}",
                          body, name);
}

static void alive(struct way *way, const char *name, bool expected)
{
    beam_node_check(way->node,
                    harness_text(way->harness, "is_pid(whereis(%s))", name),
                    expected ? "true" : "false", __FILE__, __LINE__);
}

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

static void runs(struct way *way, int version)
{
    const char *expected =
        harness_text(way->harness, "{%d,%d}", version, version);
    assert_eval(way->node, "{way_hold:version(), way_srv:version()}", expected);
}

static void old_code(struct way *way, const char *module, bool expected)
{
    beam_node_check(
        way->node,
        harness_text(way->harness, "erlang:check_old_code(%s)", module),
        expected ? "true" : "false", __FILE__, __LINE__);
}

static void no_transaction(struct way *way)
{
    assert_int_equal(json_array_size(answer_txns(way->harness, way->node)), 0);
}

/* The event with this label, whose text must hold `part`. */
static void event(struct way *way, unsigned id, const char *label,
                  const char *part)
{
    json_t *txn = answer_txn(way->harness, way->node, id);
    json_t *each;
    size_t i;
    json_array_foreach(json_object_get(txn, "events"), i, each)
    {
        if (!strcmp(answer_text(each, "label"), label) &&
            strstr(answer_text(each, "text"), part))
            return;
    }
    harness_fail("no %s of %s in %s", label, part, json_dumps(txn, 0));
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

/* Refused, and nothing at all was done. */
static void refused(struct way *way, struct harness_run run, int version)
{
    assert_status(run, 5);
    assert_contains(run.err, "untouched  nothing was touched, no process was "
                             "ended");
    runs(way, version);
}

/* --- lingering --- */

static void lingering_is_named(void **state)
{
    struct way *way = *state;
    const char *pid = begin(way, "left", "way_hold:wait()");
    const char *who = harness_text(way->harness, "%s left", pid);
    reload(way, "way_hold", 1);

    struct harness_run run = plan(way, 2, "--verbose");
    assert_status(run, 0);
    assert_contains(run.out, harness_text(way->harness,
                                          "in the way   %s is in old code, "
                                          "way_hold:wait/0\n",
                                          who));
    assert_int_equal(count(run.out, "in the way"), 1);
    run = plan(way, 2, "--json");
    json_t *process =
        answer_get(answer_object(way->harness, run.out), "processes.0");
    assert_string_equal(answer_text(process, "kind"), "lingering");
    assert_string_equal(answer_text(process, "pid"), pid);
    assert_string_equal(answer_text(process, "mfa"), "way_hold:wait/0");

    run = apply(way, 2, "--drain", "300ms");
    refused(way, run, 1);
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
    alive(way, "left", true);
    old_code(way, "way_hold", true);
    no_transaction(way);
}

static void lingering_leaves_in_time(void **state)
{
    struct way *way = *state;
    begin(way, "left", "way_hold:wait()");
    reload(way, "way_hold", 1);
    struct harness_job *job =
        harness_begin(way->harness,
                      harness_argv(way->harness, way->node, "apply",
                                   fixture(way, 2), "--drain", "30s", NULL),
                      NULL);
    for (int i = 0; i < 500; i++) {
        if (strstr(harness_job_err(way->harness, job), "drain "))
            break;
        process_sleep_ms(10);
    }
    assert_contains(harness_job_err(way->harness, job), "waiting for <");
    runs(way, 1);
    beam_node_eval(way->node, "left ! stop");
    struct harness_run run = harness_end(way->harness, job, 20000);
    assert_status(run, 0);
    assert_contains(run.out, "committed 1: way 2.0.0 runs on");
    assert_lacks(run.err, "ended ");
    runs(way, 2);
    answer_settled(way->harness, way->node);
}

/* Each word ends the one process it means, and nobody else. */
static void kill_by_each_word(void **state)
{
    struct way *way = *state;
    static const char *const words[] = {NULL, "left", "way_hold", "all"};
    unsigned n = sizeof words / sizeof words[0];
    begin(way, "elsewhere", "way_same:deep()");
    reload(way, "way_same", 1);
    beam_node_eval(way->node, "{ok, _} = way_srv:start()");
    begin(way, "leftover", "receive stop -> ok end");
    for (unsigned i = 0; i < n; i++) {
        int old = i % 2 ? 2 : 1;
        const char *pid = begin(way, "left", "way_hold:wait()");
        reload(way, "way_hold", old);
        struct harness_run run = apply(way, 3 - old, "--drain", "0ms", "--kill",
                                       words[i] ? words[i] : pid);
        assert_status(run, 0);
        const char *who = harness_text(way->harness, "%s left in ", pid);
        event(way, i + 1, "may end", who);
        event(way, i + 1, "ended", who);
        assert_int_equal(count(run.err, "may end "), 1);
        assert_int_equal(count(run.err, "ended "), 1);
        assert_contains(run.err,
                        harness_text(way->harness, "ended      %s", who));
        alive(way, "left", false);
        alive(way, "elsewhere", true);
        alive(way, "leftover", true);
        alive(way, "way_srv", true);
        old_code(way, "way_same", true);
        runs(way, 3 - old);
        beam_node_wait_for(way->node, "erlang:check_old_code(way_hold)",
                           "false", 5000);
    }
    beam_node_eval(way->node, "elsewhere ! stop, code:soft_purge(way_same)");
    answer_settled(way->harness, way->node);
}

#define HOOK(name, phase, call, args)                                          \
    "hook \"" name "\" {\n phase = " phase "\n call = \"" call                 \
    "\"\n args = {" args "}\n timeout = 5s\n}\n"

/* Nobody is ended before armed. */
static void killed_only_after_armed(void **state)
{
    struct way *way = *state;
    begin(way, "left", "way_hold:wait()");
    reload(way, "way_hold", 1);
    harness_write_file(way->config,
                       HOOK("lives", "pre", "way_same:alive", "\"left\"")
                           HOOK("no", "pre", "way_same:no", ""));
    struct harness_run run = apply(way, 2, "--kill", "all");
    assert_status(run, 5);
    assert_contains(run.err, "hook no returned false");
    assert_contains(run.err, "may end ");
    assert_lacks(run.err, "ended ");
    alive(way, "left", true);
    runs(way, 1);
    assert_txn(way->harness, way->node, 1, "aborted");

    harness_write_file(way->config,
                       HOOK("lives", "pre", "way_same:alive", "\"left\""));
    run = apply(way, 2, "--kill", "all");
    assert_status(run, 0);
    alive(way, "left", false);
    assert_txn(way->harness, way->node, 2, "committed");
    answer_settled(way->harness, way->node);
}

/* One of two is named: the other still blocks, and neither is ended. */
static void kill_of_another_is_not_enough(void **state)
{
    struct way *way = *state;
    begin(way, "left", "way_hold:wait()");
    const char *pid = begin(way, "right", "way_hold:wait()");
    reload(way, "way_hold", 1);
    struct harness_run run = apply(way, 2, "--drain", "0ms", "--kill", "left");
    refused(way, run, 1);
    assert_contains(run.err, harness_text(way->harness,
                                          "%s right is still in old code, "
                                          "way_hold:wait/0 after 0.0 ms\n",
                                          pid));
    alive(way, "left", true);
    alive(way, "right", true);
    no_transaction(way);
}

/* --- resident --- */

static void residents_are_named(void **state)
{
    struct way *way = *state;
    const char *wait = begin(way, "waits", "way_hold:wait()");
    const char *spin = begin(way, "spins", "way_hold:spin()");
    const char *deep = begin(way, "deep", "way_hold:run(fun way_same:deep/0)");
    /* Not in the way: has been there and left, is in what does not change. */
    begin(way, "visitor", "way_hold:version(), receive stop -> ok end");
    begin(way, "elsewhere", "way_same:deep()");

    struct harness_run run = plan(way, 2, "--verbose");
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

    run = apply(way, 2, "--drain", "300ms");
    refused(way, run, 1);
    assert_true(run.ms >= 300);
    assert_matches(run.err, "(waits is still in way_hold:wait/0|spins is still "
                            "in way_hold:spin/0|deep is still in "
                            "way_hold:run/1) after 300 ms \\(and 2 others\\)");
    old_code(way, "way_hold", false);
    no_transaction(way);

    beam_node_eval(way->node, "[P ! stop || P <- [waits, spins, deep]]");
    run = apply(way, 2, "--quiet");
    assert_status(run, 0);
    runs(way, 2);
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
    struct harness_run run = apply(way, 2, "--drain", "2s");
    assert_status(run, 0);
    beam_load_wait(load, 5);
    struct beam_load_result result = beam_load_stop(load);
    assert_int_equal(result.undef + result.fail + result.killed, 0);
    assert_matches(result.results, "\\{2,[0-9]+\\}");
    alive(way, "way_srv", true);
    runs(way, 2);
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
    struct harness_run run = apply(way, 2, "--drain", "2s");
    assert_status(run, 0);
    alive(way, "visitor1", true);
    alive(way, "visitor20", true);
    runs(way, 2);
    answer_settled(way->harness, way->node);
}

/* --- closures --- */

/* A process outside of way_hold that holds one of its funs. */
static void hold(struct way *way, const char *name, const char *fun)
{
    begin(way, name, harness_text(way->harness, "way_same:hold(%s)", fun));
}

static void answers(struct way *way, const char *name, const char *expected)
{
    beam_node_check(way->node,
                    harness_text(way->harness,
                                 "P = whereis(%s), P ! {call, self(), 37}, "
                                 "receive {P, X} -> X end",
                                 name),
                    expected, __FILE__, __LINE__);
}

static void closures_keep_their_code(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    hold(way, "two", "way_hold:adder(6)");
    /* Of the current code: nothing is in the way. */
    struct harness_run run = plan(way, 2, "--quiet");
    assert_lacks(run.out, "in the way");
    run = apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);

    /* The purger has had its time, and left the code where it is. */
    process_sleep_ms(1500);
    old_code(way, "way_hold", true);
    old_code(way, "way_srv", false);
    answers(way, "one", "{1,42}");
    answers(way, "two", "{1,43}");
    run = harness_nzd(way->harness, way->node, "status", NULL);
    assert_status(run, 0);
    assert_matches(run.out, "^old code   .*way_hold|^old code   .*1 module");

    run = apply(way, 1, "--drain", "300ms");
    refused(way, run, 2);
    assert_contains(run.err, "2 closures of old code of way_hold "
                             "(-adder/1-fun-0-) are still held after 300 ms");
    run = plan(way, 1, "--quiet");
    assert_contains(run.out, "in the way   2 closures of old code of way_hold "
                             "(-adder/1-fun-0-)");
    answers(way, "one", "{1,42}");
    assert_int_equal(json_array_size(answer_txns(way->harness, way->node)), 1);

    /* One ends, the other forgets: what it forgot is garbage on its heap, and
     * nobody is refused for that. */
    beam_node_eval(way->node, "exit(whereis(one), kill), two ! drop");
    run = apply(way, 1, "--drain", "1s");
    assert_status(run, 0);
    alive(way, "two", true);
    runs(way, 1);
    answer_settled(way->harness, way->node);
}

/* Released, and nobody asks: the code goes by itself. */
static void released_code_goes_by_itself(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    struct harness_run run = apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    beam_node_eval(way->node, "one ! drop");
    beam_node_wait_for(way->node, "erlang:check_old_code(way_hold)", "false",
                       5000);
    alive(way, "one", true);
    answer_settled(way->harness, way->node);
}

/* A fun without anything in it holds its code no less. */
static void a_plain_closure_counts(void **state)
{
    struct way *way = *state;
    begin(way, "one",
          "F = way_hold:plain(), receive {call, P, _} -> P ! {self(), F()}, "
          "receive stop -> F() end end");
    struct harness_run run = apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    process_sleep_ms(1000);
    old_code(way, "way_hold", true);
    run = apply(way, 1, "--drain", "0ms");
    refused(way, run, 2);
    assert_contains(run.err, "of old code of way_hold (-plain/0-fun-0-)");
    answers(way, "one", "1");
    beam_node_eval(way->node, "exit(whereis(one), kill)");
    run = apply(way, 1, "--drain", "5s");
    assert_status(run, 0);
    answer_settled(way->harness, way->node);
}

/* The operator's word gives the closures up; no process ends of it. */
static void kill_gives_closures_up(void **state)
{
    struct way *way = *state;
    hold(way, "one", "way_hold:adder(5)");
    struct harness_run run = apply(way, 2, "--drain", "0ms");
    assert_status(run, 0);
    run = apply(way, 1, "--drain", "0ms", "--kill", "one");
    refused(way, run, 2);
    run = apply(way, 1, "--drain", "0ms", "--kill", "way_hold");
    assert_status(run, 0);
    assert_lacks(run.err, "ended ");
    alive(way, "one", true);
    runs(way, 1);
}

/* --- who blocks an undo --- */

#define FAILS HOOK("selftest", "post", "way_same:no", "")

static void resident_is_ended_for_the_undo(void **state)
{
    struct way *way = *state;
    const char *pid = begin(way, "left", "way_hold:wait()");
    begin(way, "elsewhere", "way_same:deep()");
    harness_write_file(way->config, FAILS);
    struct harness_run run = apply(way, 2, "--kill", "left");
    assert_status(run, 6);
    assert_contains(run.out, "rolled back 1: way 1.0.0 runs on");
    assert_contains(run.err, harness_text(way->harness,
                                          "ended      %s left in way_hold:"
                                          "wait/0, by --kill",
                                          pid));
    alive(way, "left", false);
    alive(way, "elsewhere", true);
    runs(way, 1);
    assert_txn(way->harness, way->node, 1, "rolled_back");
    event(way, 1, "ended", pid);
    answer_settled(way->harness, way->node);
}

/* Allowed is not needed: the load itself ends nobody. */
static void resident_outlives_a_commit(void **state)
{
    struct way *way = *state;
    begin(way, "left", "way_hold:wait()");
    struct harness_run run = apply(way, 2, "--kill", "left");
    assert_status(run, 0);
    assert_contains(run.err, "may end ");
    assert_lacks(run.err, "ended ");
    alive(way, "left", true);
    beam_node_eval(way->node, "left ! stop");
    answer_settled(way->harness, way->node);
}

/* It came after the last look, and the operator's word is of another: the undo
 * waits, for the next nzd if need be. */
static void a_blocked_undo_is_finished_later(void **state)
{
    struct way *way = *state;
    const char *pid = begin(way, "left", "way_hold:wait()");
    harness_write_file(
        way->config, HOOK("enter", "pre", "way_same:enter", "\"late\"") FAILS);
    struct harness_run run = apply(way, 2, "--kill", "left");
    assert_status(run, 10);
    assert_contains(run.err, "the undo is blocked: ");
    assert_contains(run.err, " late is in old code of way_hold");
    assert_contains(run.err, "next nzd command");
    assert_txn(way->harness, way->node, 1, "undoing");
    assert_txn(way->harness, way->node, 1, "undoing");
    event(way, 1, "ended", pid);
    event(way, 1, "blocked", " late is in old code of way_hold");
    alive(way, "left", false);

    /* Not in between: all of the new code still runs. */
    runs(way, 2);
    run = harness_nzd(way->harness, way->node, "status", "--check", NULL);
    assert_status(run, 10);

    beam_node_eval(way->node, "late ! stop");
    run = harness_nzd(way->harness, way->node, "recover", NULL);
    assert_status(run, 0);
    assert_txn(way->harness, way->node, 1, "rolled_back");
    event(way, 1, "ended", pid);
    runs(way, 1);
    harness_write_file(way->config, "");
    run = apply(way, 2, "--retry");
    assert_status(run, 0);
    assert_txn(way->harness, way->node, 2, "committed");
    answer_settled(way->harness, way->node);
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

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
        real(closures_keep_their_code),
        real(released_code_goes_by_itself),
        real(a_plain_closure_counts),
        real(kill_gives_closures_up),
        real(resident_is_ended_for_the_undo),
        real(resident_outlives_a_commit),
        real(a_blocked_undo_is_finished_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

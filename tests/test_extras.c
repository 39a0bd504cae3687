/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What an appup hands to code_change as Extra, where no bundle is there any
 * more: by a later rollback, there again, and by who settles one that was
 * killed. One node runs fixture moves; moves_srv notes what it was handed.
 */
#define UP   "{going,<<117,112>>}" /* "up" */
#define DOWN "[#{is => down}]"

struct moves {
    struct harness *harness;
    struct beam_node *node;
    const char *config;
    const char *bundle;
    const char *older;
};

static const char *make_bundle(struct harness *harness)
{
    const char *bundle = harness_path(harness, "with-appup");
    harness_copy(harness, harness_fixture(harness, "moves-2"), bundle);
    harness_write_file(
        harness_text(harness, "%s/lib/moves-2.0.0/ebin/moves.appup", bundle),
        "{\"2.0.0\", [{<<\"1\\\\..*\">>, [{update, moves_srv, {advanced, " UP
        "}}]}],\n [{\"1.0.0\", [{update, moves_srv, {advanced, " DOWN
        "}}]}]}.\n");
    return bundle;
}

/* Its appup speaks of a later version: what it says does not count. */
static const char *make_older(struct harness *harness)
{
    const char *bundle = harness_path(harness, "older");
    harness_copy(harness, harness_fixture(harness, "moves-1"), bundle);
    harness_write_file(
        harness_text(harness, "%s/lib/moves-1.0.0/ebin/moves.appup", bundle),
        "{\"1.0.0\", [{<<\".*\">>, [{update, moves_srv, {advanced, wrong}}]}],"
        " [{<<\".*\">>, [{update, moves_srv, {advanced, wrong}}]}]}.\n");
    return bundle;
}

static int group_setup(void **state)
{
    struct harness *harness = harness_open();
    struct moves *moves = harness_alloc(harness, sizeof *moves);
    struct beam_node_options options = {.name = "extras"};
    moves->harness = harness;
    moves->config = harness_path(harness, "nzd.conf");
    moves->bundle = make_bundle(harness);
    moves->older = make_older(harness);
    harness_write_file(moves->config, "");
    moves->node = beam_node_start(harness, &options);
    beam_node_eval(moves->node,
                   "true = code:add_patha(\"%s\"), "
                   "ok = application:start(moves), "
                   "[{module, M} = code:ensure_loaded(M) || M <- [moves_do, "
                   "moves_event, moves_loop, moves_machine, moves_srv]], ok",
                   harness_fixture(harness, "moves-1/lib/moves-1.0.0/ebin"));
    *state = moves;
    return 0;
}

static int group_teardown(void **state)
{
    struct moves *moves = *state;
    harness_close(moves->harness);
    return 0;
}

static const char *const *words(struct moves *moves, const char *command,
                                const char *more)
{
    return harness_argv(moves->harness, moves->node, command, "-q", "--config",
                        moves->config, more, NULL);
}

static const char *nzd_path(struct moves *moves)
{
    return words(moves, "status", NULL)[0];
}

static struct harness_run run(struct moves *moves, const char *command,
                              const char *more)
{
    return harness_run(moves->harness, words(moves, command, more), NULL);
}

/* Version 1 or 2 answers, and its code_change was last handed this. */
static void handed(struct moves *moves, int version, const char *extra)
{
    const char *now = "{element(1, gen_server:call(moves_srv, value)), "
                      "persistent_term:get({moves_srv, extra})}";
    assert_string_equal(
        beam_node_eval(moves->node, "%s", now),
        beam_node_eval(moves->node, "{%d, %s}", version, extra));
    beam_node_wait_unsuspended(moves->node);
}

static void leads(struct moves *moves, const char *command, const char *more,
                  int version, const char *extra)
{
    struct harness_run done = run(moves, command, more);
    assert_status(done, 0);
    handed(moves, version, extra);
}

static void forget(struct moves *moves)
{
    beam_node_eval(moves->node, "persistent_term:put({moves_srv, extra}, no)");
}

static void a_rollback_hands_over_what_the_bundle_said(void **state)
{
    struct moves *moves = *state;
    leads(moves, "apply", moves->bundle, 2, UP);
    leads(moves, "rollback", NULL, 1, DOWN);
    /* And there again, where no bundle was ever read for it. */
    leads(moves, "rollback", "--to=1", 2, UP);
    leads(moves, "rollback", "--to=0", 1, DOWN);
}

/* An older bundle knows nothing of the version that runs, which tells of the
 * way down itself: out of the journal, which it came by. */
static void an_older_bundle_is_told_by_what_runs(void **state)
{
    struct moves *moves = *state;
    struct harness_run done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    leads(moves, "apply", moves->older, 1, DOWN);
    /* And up again what it said for that way. */
    leads(moves, "rollback", NULL, 2, UP);
    done = run(moves, "rollback", "--to=0");
    assert_status(done, 0);
}

/* The same where the node was started with it: out of its own .appup. */
static void a_base_tells_of_the_way_down(void **state)
{
    (void)state;
    struct harness *harness = harness_open();
    struct beam_node_options options = {.name = "extras2"};
    struct moves moves = {.harness = harness,
                          .config = harness_path(harness, "nzd.conf"),
                          .bundle = make_bundle(harness),
                          .older = make_older(harness)};
    harness_write_file(moves.config, "");
    moves.node = beam_node_start(harness, &options);
    beam_node_eval(moves.node,
                   "true = code:add_patha(\"%s/lib/moves-2.0.0/ebin\"), "
                   "ok = application:start(moves), "
                   "[{module, M} = code:ensure_loaded(M) || M <- [moves_do, "
                   "moves_event, moves_loop, moves_machine, moves_srv]], ok",
                   moves.bundle);
    struct harness_run done = run(&moves, "apply", moves.older);
    assert_status(done, 0);
    handed(&moves, 1, DOWN);
    done = run(&moves, "rollback", NULL);
    assert_status(done, 0);
    handed(&moves, 2, UP);
    harness_close(harness);
}

/* The one that has nothing to say does not inherit it. */
static void another_bundle_hands_over_nothing(void **state)
{
    struct moves *moves = *state;
    struct harness_run done =
        run(moves, "apply", harness_fixture(moves->harness, "moves-2"));
    assert_status(done, 0);
    handed(moves, 2, "[]");
    done = run(moves, "rollback", NULL);
    assert_status(done, 0);
    handed(moves, 1, "[]");
}

/* A rollback that ends at any of its points: who settles it hands over what is
 * right for the way it goes, out of the journal alone. */
static void one_that_is_killed_is_settled_with_it(void **state)
{
    struct moves *moves = *state;
    const char *given = getenv("NZD_POINTS");
    const char *log = harness_path(moves->harness, "points");
    struct harness_run done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    const char *const *argv = words(moves, "rollback", NULL);
    ((const char **)(uintptr_t)argv)[0] = given ? given : "build/points/nzd";
    const char *const logging[] = {
        harness_text(moves->harness, "NZD_POINT_LOG=%s", log), NULL};
    done = harness_run(moves->harness, argv, logging);
    assert_status(done, 0);
    handed(moves, 1, DOWN);
    const char *passed = harness_read_file(moves->harness, log);
    const char *mark = strstr(passed, " while processes are suspended");
    assert_non_null(mark);
    while (mark > passed && mark[-1] != '\n')
        mark--;
    int middle = atoi(mark);
    for (int at = middle; at <= middle + 1; at++) {
        done = run(moves, "apply", moves->bundle);
        assert_status(done, 0);
        forget(moves);
        const char *const kill_at[] = {
            harness_text(moves->harness, "NZD_POINT_AT=%d", at), NULL};
        done = harness_run(moves->harness, argv, kill_at);
        assert_status(done, 137);
        beam_node_wait_for(moves->node,
                           "element(1, gen_server:call(moves_srv, value))", "2",
                           5000);
        leads(moves, "recover", NULL, 2, UP);
        leads(moves, "rollback", NULL, 1, DOWN);
    }
}

/* The agent is killed with its guard while code_change runs, before anything is
 * loaded: it has forgotten, and is told again. The supervisor of those it had
 * suspended changes, too. */
static void an_agent_that_has_forgotten_is_told(void **state)
{
    struct moves *moves = *state;
    struct harness_run done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    beam_node_eval(moves->node,
                   "moves_do:set(moves_event, fun(_) -> moves_do:clear(), "
                   "process_flag(priority, max), "
                   "[exit(P, kill) || P <- processes(), "
                   "{current_function, {_, guard_loop, _}} <- "
                   "[process_info(P, current_function)]], "
                   "exit(whereis(nzd), kill), timer:sleep(100) end)");
    forget(moves);
    /* On a busy machine it may not come so far within half a second. */
    for (int tries = 0; tries < 10; tries++) {
        done = run(moves, "rollback", "--timeout=500ms");
        assert_int_not_equal(done.status, 0);
        if (strcmp(beam_node_eval(moves->node, "persistent_term:get({moves_do, "
                                               "moves_event}, none)"),
                   "none") == 0)
            break;
    }
    done = run(moves, "recover", NULL);
    assert_status(done, 0);
    beam_node_wait_unsuspended(moves->node);
    assert_eval(moves->node, "element(1, gen_server:call(moves_srv, value))",
                "2");
    leads(moves, "rollback", NULL, 1, DOWN);
}

/* A bundle whose `module` has another attribute, and takes its own states. */
static const char *make_next(struct moves *moves, const char *module)
{
    const char *next = harness_path(moves->harness, module);
    harness_copy(moves->harness, moves->bundle, next);
    beam_node_eval(
        moves->node,
        "File = \"%s/lib/moves-2.0.0/ebin/%s.beam\", "
        "{ok, {_, [{abstract_code, {_, [A, B | Forms]}}]}} = "
        "beam_lib:chunks(File, [abstract_code]), "
        "{ok, Tokens, _} = erl_scan:string(\"code_change(2, S, _) -> {ok, S}."
        "\"), {ok, {_, _, _, _, [Clause]}} = erl_parse:parse_form(Tokens), "
        "More = [case F of {function, L, code_change, 3, Cs} -> {function, L, "
        "code_change, 3, [Clause | Cs]}; _ -> F end || F <- Forms], "
        "{ok, _, Bin} = compile:forms([A, B, {attribute, 2, next, yes} | More],"
        " [debug_info]), ok = file:write_file(File, Bin)",
        next, module);
    return next;
}

/* Over two transactions of which one changed it; then over two that both did,
 * for which there is no instruction. */
static void over_two_transactions_at_once(void **state)
{
    struct moves *moves = *state;
    struct harness_run done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    done = run(moves, "apply", make_next(moves, "moves_do"));
    assert_status(done, 0);
    done = run(moves, "rollback", "--to=0");
    assert_status(done, 0);
    assert_lacks(done.err, "as Extra");
    handed(moves, 1, DOWN);
    done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    done = run(moves, "apply", make_next(moves, "moves_srv"));
    assert_status(done, 0);
    done = run(moves, "rollback", "--to=0");
    assert_status(done, 0);
    assert_contains(done.err, "code_change of moves_srv is handed [] as Extra");
    handed(moves, 1, "[]");
}

/* The row is like any other to those who prove and carry the journal. */
static void the_journal_holds_and_travels(void **state)
{
    struct moves *moves = *state;
    const char *lines = harness_path(moves->harness, "lines");
    const char *other = harness_path(moves->harness, "other");
    struct harness_run done = run(moves, "apply", moves->bundle);
    assert_status(done, 0);
    done = harness_nzd(moves->harness, moves->node, "journal", "verify", NULL);
    assert_status(done, 0);
    done = harness_nzd(moves->harness, moves->node, "journal", "export", lines,
                       NULL);
    assert_status(done, 0);
    const char *const argv[] = {nzd_path(moves), "journal", "import", lines,
                                "--journal",     other,     NULL};
    done = harness_run(moves->harness, argv, NULL);
    assert_status(done, 0);
    const char *const back[] = {nzd_path(moves),
                                "rollback",
                                "-q",
                                "--config",
                                moves->config,
                                "--node",
                                beam_node_name(moves->node),
                                "--cookie-file",
                                harness_path(moves->harness, ".erlang.cookie"),
                                "--journal",
                                other,
                                NULL};
    done = harness_run(moves->harness, back, NULL);
    assert_status(done, 0);
    handed(moves, 1, DOWN);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rollback_hands_over_what_the_bundle_said),
        TEST(another_bundle_hands_over_nothing),
        TEST(over_two_transactions_at_once),
        TEST(one_that_is_killed_is_settled_with_it),
        TEST(an_agent_that_has_forgotten_is_told),
        TEST(an_older_bundle_is_told_by_what_runs),
        TEST(the_journal_holds_and_travels),
        TEST(a_base_tells_of_the_way_down),
    };

    return cmocka_run_group_tests_name("extras", tests, group_setup,
                                       group_teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd is killed at each of its points while configuration, an application, a
 * file of priv and code change together: all of it is old then, or all of it is
 * new.
 */
#include "sweep.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE 3u

/* What tells old from new: a key that changed, one that is gone, one that is
 * new, the application and its start type, code, a file of priv. */
#define STATE                                                                  \
    "{application:get_env(counter, greeting), application:get_env(counter, "   \
    "limit), application:get_env(counter, fresh), "                            \
    "proplists:get_value(counter_extra, proplists:get_value(started, "         \
    "application:info())), lists:keymember(counter_extra, 1, "                 \
    "application:loaded_applications()), counter_text:version(), "             \
    "file:read_file(filename:join(code:priv_dir(counter), \"motd.txt\"))}"

static const char old_state[] =
    "{{ok,\"hello\"},{ok,100},undefined,undefined,"
    "false,\"0.1.0\",{ok,<<\"counted with care\\n\">>}}";
static const char new_state[] =
    "{{ok,\"good "
    "day\"},undefined,{ok,1},permanent,true,\"0.2.0\",{ok,<<\"new\\n\">>}}";

static struct operation forward = {"apply", NULL, {"apply"}, NULL, 0};
static const struct operation back = {
    "rollback",
    NULL,
    {"rollback", "--to", "0", "--max", "restart-app", "--wait", "20s"},
    NULL,
    0};

static int setup(void **state)
{
    sweep_setup(state);
    struct sweep *sweep = *state;
    const char *bundle = harness_path(sweep->harness, "bundle");
    harness_copy(sweep->harness,
                 harness_fixture(sweep->harness, "counter-0.2.0-app"), bundle);
    harness_write_file(harness_text(sweep->harness,
                                    "%s/releases/0.2.0-app/sys.config", bundle),
                       "[{counter, [{greeting, \"good day\"}, {fresh, 1}]}].");
    harness_write_file(harness_text(sweep->harness,
                                    "%s/lib/counter-0.2.0/priv/motd.txt",
                                    bundle),
                       "new\n");
    forward.words[1] = bundle;
    forward.words[2] = "--retry";
    /* The agent's own `nzd recover` may hold the journal for a moment. */
    forward.words[3] = "--wait";
    forward.words[4] = "20s";
    return 0;
}

static void must(struct sweep *sweep, const struct operation *operation)
{
    struct harness_run run = sweep_run(sweep, operation, 0, NULL);
    if (run.status != 5 || !strstr(run.err, "there is nothing to roll back"))
        assert_status(run, 0);
}

static void is(struct sweep *sweep, const char *wanted, const char *after)
{
    const char *found = beam_node_eval(sweep->node, STATE);
    if (strcmp(found, wanted) != 0)
        harness_fail("after %s it is %s, not %s", after, found, wanted);
}

static void whole(struct sweep *sweep, const char *after)
{
    sweep->tally->runs++;
    must(sweep, &sweep_recover);
    bool forth = strcmp(sweep_in_force(sweep), "0.2.0") == 0;
    is(sweep, forth ? new_state : old_state, after);
    beam_node_wait_for(sweep->node,
                       "[M || {M, _} <- code:all_loaded(), "
                       "erlang:check_old_code(M)]",
                       "[]", 20000);
    struct harness_run run =
        harness_nzd(sweep->harness, sweep->node, "status", "--check", NULL);
    assert_status(run, 0);
    run = harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL);
    assert_status(run, 0);
}

static void killed_at(struct sweep *sweep, const struct operation *operation,
                      const struct operation *before, unsigned at)
{
    must(sweep, before);
    is(sweep, operation == &forward ? old_state : new_state, "the way there");
    struct harness_run run = sweep_run(sweep, operation, at, NULL);
    assert_status(run, 128 + SIGKILL);
    whole(sweep,
          harness_text(sweep->harness, "nzd killed at point %u of %s, %s", at,
                       operation->name, sweep_point(sweep, at)));
}

static void sweep_kills(struct sweep *sweep, const char *row,
                        const struct operation *operation,
                        const struct operation *before)
{
    unsigned next = 0, at;
    sweep_begin(sweep, row);
    must(sweep, before);
    unsigned count = sweep_count_here(sweep, operation);
    while ((at = sweep_next(sweep, count, SAMPLE, &next)))
        killed_at(sweep, operation, before, at);
    sweep_end(sweep);
}

static void nzd_killed(void **state)
{
    struct sweep *sweep = *state;
    sweep_begin(sweep, "the way there");
    must(sweep, &forward);
    sweep_end(sweep);
    sweep_kills(sweep, "nzd killed in apply of configuration", &forward, &back);
    sweep_kills(sweep, "nzd killed in rollback of configuration", &back,
                &forward);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nzd_killed, setup, sweep_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

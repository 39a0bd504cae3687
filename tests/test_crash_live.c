/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What changes in a running node besides code: configuration, an application
 * more (and one less on the way back), files of priv; and an application that
 * starts anew. nzd, the agent, the VM or the link between them is ended at each
 * point: all of it is old then, or all of it is new.
 */
#include "lanes.h"
#include "sides.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 150000
#define PATIENT  "--wait=20s", "--max", "restart-app"

#define STARTED(app)                                                           \
    "proplists:get_value(" app ", proplists:get_value(started, "               \
    "application:info()))"
#define WELL "persistent_term:put(nzd_test_well, true)"
#define ILL  "persistent_term:put(nzd_test_well, false)"

/* Says no where the node says so; a new VM has not been told. */
static const char hook[] = "hook \"well\" {\n"
                           "  phase = post\n"
                           "  call = \"persistent_term:get\"\n"
                           "  args = {\"nzd_test_well\", \"true\"}\n"
                           "}\n";

static struct sides *open_sides(const char *release, const char *bundle,
                                const char *tells)
{
    struct sweep *sweep = sweep_open_bare();
    struct sides *sides = harness_alloc(sweep->harness, sizeof *sides);
    const struct beam_node_options options = {
        .release = harness_fixture(sweep->harness, release), .name = "live"};
    harness_write_file(sweep->config, hook);
    sweep->node = beam_node_start(sweep->harness, &options);
    beam_node_eval(sweep->node, WELL);
    *sides = (struct sides){
        .sweep = sweep,
        .tells = tells,
        .ways =
            {{"rollback", NULL, {"rollback", "--to=0", PATIENT}, NULL, 0},
             {"apply", NULL, {"apply", bundle, "--retry", PATIENT}, NULL, 0}},
        .limit_ms = LIMIT_MS,
    };
    return sides;
}

static int teardown(void **state)
{
    struct sides *sides = *state;
    harness_close(sides->sweep->harness);
    return 0;
}

/* --- configuration, an application, files of priv ------------------------- */

/* A key that changed, one that is gone, one that is new, the application and
 * its start type, code, a file of priv, the folder that it is in. */
#define LIVE                                                                   \
    "{application:get_env(counter, greeting), application:get_env(counter, "   \
    "limit), application:get_env(counter, fresh), " STARTED(                   \
        "counter_extra") ", lists:keymember(counter_extra, 1, "                \
                         "application:loaded_applications()), "                \
                         "counter_text:version(), element(2, "                 \
                         "application:get_key(counter, vsn)), "                \
                         "[element(2, "                                        \
                         "file:read_file(filename:join(code:priv_dir(counter)" \
                         ", F))) "                                             \
                         "|| F <- [\"motd.txt\", \"more.txt\"]]}"

static int setup_live(void **state)
{
    struct sides *sides = open_sides("counter-0.1.0", NULL, LIVE);
    struct harness *harness = sides->sweep->harness;
    const char *bundle = harness_path(harness, "bundle");
    harness_copy(harness, harness_fixture(harness, "counter-0.2.0-app"),
                 bundle);
    harness_write_file(
        harness_text(harness, "%s/releases/0.2.0-app/sys.config", bundle),
        "[{counter, [{greeting, \"good day\"}, {fresh, 1}]}].");
    harness_write_file(
        harness_text(harness, "%s/lib/counter-0.2.0/priv/motd.txt", bundle),
        "new\n");
    harness_write_file(
        harness_text(harness, "%s/lib/counter-0.2.0/priv/more.txt", bundle),
        "more\n");
    sides->ways[SIDES_NEW].words[1] = bundle;
    sides->values[SIDES_OLD] =
        "{{ok,\"hello\"},{ok,100},undefined,undefined,false,\"0.1.0\","
        "\"0.1.0\",[<<\"counted with care\\n\">>,enoent]}";
    sides->values[SIDES_NEW] =
        "{{ok,\"good day\"},undefined,{ok,1},permanent,true,\"0.2.0\","
        "\"0.2.0\",[<<\"new\\n\">>,<<\"more\\n\">>]}";
    *state = sides;
    return 0;
}

/* --- an application that starts anew -------------------------------------- */

/* It is there, and runs in the code that it was started in. */
#define ANEW                                                                   \
    "{gen_server:call(ck_srv, value), gen_server:call(ck_state, value), "      \
    "length(supervisor:which_children(ck_sup)), " STARTED("ck") "}"

static int setup_anew(void **state)
{
    struct sides *sides = open_sides("cookbook/base", NULL, ANEW);
    sides->ways[SIDES_NEW].words[1] =
        harness_fixture(sides->sweep->harness, "cookbook/app-restart");
    sides->values[SIDES_OLD] = "{{1,0},{1,7},5,permanent}";
    sides->values[SIDES_NEW] = "{{2,0},{1,7},5,permanent}";
    *state = sides;
    return 0;
}

/* --- rows ---------------------------------------------------------------- */

static struct sides_turn there(struct sides *sides, const char *name)
{
    struct sides_turn turn = {.operation = sides->ways[SIDES_NEW],
                              .from = SIDES_OLD};
    turn.operation.name = name;
    sides_limit(&turn, "--timeout=6s");
    return turn;
}

static struct sides_turn back(struct sides *sides, const char *name)
{
    struct sides_turn turn = {.operation = sides->ways[SIDES_OLD],
                              .from = SIDES_NEW};
    turn.operation.name = name;
    sides_limit(&turn, "--timeout=6s");
    return turn;
}

static struct sides_turn in_vain(struct sides *sides, const char *name)
{
    struct sides_turn turn = there(sides, name);
    turn.operation.status = 6;
    turn.arm = ILL;
    turn.disarm = WELL;
    return turn;
}

static struct sides_turn (*const turns[])(struct sides *, const char *) = {
    there, back, in_vain};
#define TURNS (unsigned)(sizeof turns / sizeof *turns)

/* In full side by side, since most of it is waiting; of a sample one. */
static void sweep(struct sides *sides, unsigned lane, enum sides_kind kind,
                  const char *const names[TURNS])
{
    for (unsigned i = 0; i < TURNS; i++) {
        if (!sweep_takes(sides->sweep, i, TURNS) || !lanes_take(lane + i))
            continue;
        const struct sides_turn turn = turns[i](sides, names[i]);
        sides_sweep(sides, kind, &turn);
    }
}

static void live(void **state, enum sides_kind kind)
{
    static const char *const names[] = {"apply of configuration",
                                        "rollback of configuration",
                                        "hook says no to configuration"};
    sweep(*state, 0, kind, names);
}

static void anew(void **state, enum sides_kind kind)
{
    static const char *const names[] = {"application anew",
                                        "application anew, back",
                                        "hook says no to one anew"};
    sweep(*state, TURNS, kind, names);
}

static void nzd_is_killed(void **state)
{
    live(state, SIDES_NZD);
}

static void the_agent_is_killed(void **state)
{
    live(state, SIDES_AGENT);
}

static void within_the_agent(void **state)
{
    live(state, SIDES_INSIDE);
}

static void the_vm_is_killed(void **state)
{
    live(state, SIDES_VM);
}

static void nzd_is_killed_anew(void **state)
{
    anew(state, SIDES_NZD);
}

static void the_agent_is_killed_anew(void **state)
{
    anew(state, SIDES_AGENT);
}

static void within_the_agent_anew(void **state)
{
    anew(state, SIDES_INSIDE);
}

static void the_vm_is_killed_anew(void **state)
{
    anew(state, SIDES_VM);
}

int main(void)
{
#define on_live(test)                                                          \
    cmocka_unit_test_setup_teardown(test, setup_live, teardown)
#define on_anew(test)                                                          \
    cmocka_unit_test_setup_teardown(test, setup_anew, teardown)
    const struct CMUnitTest tests[] = {
        on_live(nzd_is_killed),         on_live(the_agent_is_killed),
        on_live(within_the_agent),      on_live(the_vm_is_killed),
        on_anew(nzd_is_killed_anew),    on_anew(the_agent_is_killed_anew),
        on_anew(within_the_agent_anew), on_anew(the_vm_is_killed_anew),
    };
    cmocka_set_test_filter(getenv("NZD_CRASH_TESTS"));
    int status = lanes_run(2 * TURNS);
    if (status >= 0)
        return status;
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sides.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* How long what nzd started, or what it left to the agent, may take to end. */
#define AFTER_MS 20000
/* For a VM that was killed to be gone. */
#define ENDED_MS 5000
/* Of each point in full: points of its recovery. */
#define RECOVERIES 3u
/* A restarted agent makes so many calls of its own until its undo is made. */
#define NEXT_CALLS 40u

#define LEFT                                                                   \
    "{[M || M <- erlang:loaded(), lists:prefix(\"nzd_shadow\", "               \
    "atom_to_list(M))], whereis(nzd_rehearsal), [H || H <- "                   \
    "logger:get_handler_ids(), lists:prefix(\"nzd_agent\", "                   \
    "atom_to_list(H))], [M || {M, _} <- code:all_loaded(), "                   \
    "erlang:check_old_code(M)]}"
#define NOTHING_LEFT "{[],undefined,[],[]}"

/* --- what holds ---------------------------------------------------------- */

static enum sides_side other(enum sides_side side)
{
    return side == SIDES_OLD ? SIDES_NEW : SIDES_OLD;
}

static void is(struct sides *sides, enum sides_side side, const char *after)
{
    const char *found = beam_node_eval(sides->sweep->node, "%s", sides->tells);
    if (strcmp(found, sides->values[side]) != 0)
        harness_fail("after %s it is %s, not %s", after, found,
                     sides->values[side]);
}

static bool is_there(struct sides *sides, enum sides_side side)
{
    const char *found = beam_node_eval(sides->sweep->node, "%s", sides->tells);
    return strcmp(found, sides->values[side]) == 0;
}

static void must(struct sides *sides, int status, struct harness_run run,
                 const char *after)
{
    if (run.status != status)
        printf("after %s:\n%s", after, beam_node_log(sides->sweep->node));
    assert_status(run, status);
}

#define nzd(sides, ...)                                                        \
    harness_nzd((sides)->sweep->harness, (sides)->sweep->node, __VA_ARGS__,    \
                "--config", (sides)->sweep->config, NULL)

void sides_go(struct sides *sides, enum sides_side side)
{
    if (is_there(sides, side))
        return;
    must(sides, 0, sweep_run(sides->sweep, &sides->ways[side], 0, NULL),
         "nothing");
    is(sides, side, "the way there");
}

static void expect_no_nzd(struct sides *sides, const char *after)
{
    const char *mark = harness_text(sides->sweep->harness, "NZD_TEST_DIR=%s",
                                    harness_dir(sides->sweep->harness));
    double until = process_now_ms() + AFTER_MS;
    while (process_count_marked(mark, sides->sweep->nzd)) {
        if (process_now_ms() > until)
            harness_fail("after %s, a process of nzd is left", after);
        process_sleep_ms(5);
    }
}

static void settle(struct sides *sides, const char *after)
{
    sides->sweep->tally->runs++;
    must(sides, 0, sweep_run(sides->sweep, &sweep_recover, 0, NULL), after);
    expect_no_nzd(sides, after);
}

/* What the journal says of what was interrupted. */
static enum sides_side
in_force(struct sides *sides, const struct sides_turn *turn, const char *after)
{
    const char *state = claim_state(sides->sweep, sides->last + 1);
    if (strcmp(state, "committed") == 0)
        return other(turn->from);
    if (strcmp(state, "rolled_back") != 0 && strcmp(state, "aborted") != 0 &&
        strcmp(state, "none") != 0)
        harness_fail("after %s the journal says %s", after, state);
    return turn->from;
}

static void expect_whole(struct sides *sides, const char *after)
{
    beam_node_wait_unsuspended(sides->sweep->node);
    beam_node_wait_for(sides->sweep->node, LEFT, NOTHING_LEFT, AFTER_MS);
    must(sides, 0, nzd(sides, "status", "--check"), after);
    must(sides, 0, nzd(sides, "journal", "verify"), after);
}

static void disarm(struct sides *sides, const struct sides_turn *turn)
{
    if (turn->disarm)
        beam_node_eval(sides->sweep->node, "%s", turn->disarm);
}

void sides_check(struct sides *sides, const struct sides_turn *turn,
                 const char *after)
{
    disarm(sides, turn);
    settle(sides, after);
    is(sides, in_force(sides, turn, after), after);
    expect_whole(sides, after);
}

void sides_limit(struct sides_turn *turn, const char *timeout)
{
    const char **words = turn->operation.words;
    size_t option = strcspn(timeout, "=");
    while (*words && strncmp(*words, timeout, option) != 0)
        words++;
    *words = timeout;
}

/* --- one run ------------------------------------------------------------- */

/* Now and then there and back, too: what comes next works. */
static void prepare(struct sides *sides, const struct sides_turn *turn)
{
    struct sweep *sweep = sides->sweep;
    if (!turn->stays && sweep_choose(sweep, 4) == 0)
        sides_go(sides, other(turn->from));
    sides_go(sides, turn->from);
    sides->last = claim_last(sweep);
    if (turn->arm)
        beam_node_eval(sweep->node, "%s", turn->arm);
}

static unsigned count(struct sides *sides, const struct sides_turn *turn)
{
    /* With an agent: what it takes to bring it there is others' row. */
    nzd(sides, "status");
    prepare(sides, turn);
    unsigned points = sweep_count_here(sides->sweep, &turn->operation);
    disarm(sides, turn);
    sides->sweep->points = harness_read_file(
        sides->sweep->harness, harness_path(sides->sweep->harness, "points"));
    return points;
}

/* sweep_point() of the last count(): a recovery may have been counted since. */
static const char *point(struct sides *sides, unsigned at)
{
    const char *text = sides->sweep->points;
    for (unsigned i = 1; i < at && text; i++) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    text = text ? strchr(text, ' ') : NULL;
    return text ? harness_text(sides->sweep->harness, "%.*s",
                               (int)strcspn(text + 1, "\n"), text + 1)
                : "?";
}

static const char *story(struct sides *sides, const struct sides_turn *turn,
                         const char *what, unsigned at)
{
    return harness_text(sides->sweep->harness, "%s at point %u of %s, %s", what,
                        at, turn->operation.name, point(sides, at));
}

/* It was killed, or has come to its end and says what is true: the last points
 * of one run another one does not pass. */
static void expect_end(struct sides *sides, const struct sides_turn *turn,
                       struct harness_run run, bool killed, const char *after)
{
    if (!killed || run.status != 128 + SIGKILL)
        claim_check(sides->sweep, &turn->operation, sides->last, run,
                    sides->limit_ms, after);
}

/* --- nzd ----------------------------------------------------------------- */

static void kill_at(struct sides *sides, const struct sides_turn *turn,
                    unsigned at)
{
    prepare(sides, turn);
    struct harness_run run =
        sweep_run(sides->sweep, &turn->operation, at, NULL);
    disarm(sides, turn);
    expect_end(sides, turn, run, true, story(sides, turn, "nzd killed", at));
}

static void kill_in_recovery(struct sides *sides, const struct sides_turn *turn,
                             unsigned at)
{
    struct sweep *sweep = sides->sweep;
    kill_at(sides, turn, at);
    unsigned points = sweep_count_here(sweep, &sweep_recover);
    unsigned runs = sweep->full && points > RECOVERIES ? RECOVERIES : !!points;
    sides_check(sides, turn, story(sides, turn, "nzd killed", at));
    for (unsigned i = 0; i < runs; i++) {
        unsigned first = 1 + sweep_choose(sweep, points);
        kill_at(sides, turn, at);
        if (sweep_run(sweep, &sweep_recover, first, NULL).status != 0)
            sweep_run(sweep, &sweep_recover, 1 + sweep_choose(sweep, first),
                      NULL);
        sweep->tally->points++;
        sides_check(sides, turn,
                    harness_text(sweep->harness, "%s; its recovery at %u",
                                 story(sides, turn, "nzd killed", at), first));
    }
}

static void kill_nzds(struct sides *sides, const struct sides_turn *turn,
                      unsigned sample)
{
    unsigned next = 0, at;
    unsigned points = count(sides, turn);
    while ((at = sweep_next(sides->sweep, points, sample, &next)))
        kill_in_recovery(sides, turn, at);
}

/* --- what runs in the node ----------------------------------------------- */

#define GUARD                                                                  \
    "[exit(P, kill) || P <- processes(), {current_function, {_, guard_loop, "  \
    "_}} <- [process_info(P, current_function)]]"
#define AGENT "[exit(P, kill) || P <- [whereis(nzd)], is_pid(P)]"
/* So that the guard cannot start another one meanwhile. */
#define AT_ONCE(first, second)                                                 \
    "begin process_flag(priority, max), " first ", " second ", ok end"

static const struct {
    const char *name;
    const char *expression;
} victims[] = {
    {"agent killed", AGENT},
    {"agent and guard killed", AT_ONCE(GUARD, AGENT)},
    {"link cut", "[erlang:disconnect_node(N) || N <- nodes(hidden)]"},
    {"guard killed", GUARD},
};
#define VICTIMS (sizeof victims / sizeof *victims)

static void claims(struct sides *sides, const struct sides_turn *turn,
                   struct harness_run run, const char *after)
{
    expect_end(sides, turn, run, false, after);
    sides_check(sides, turn, after);
}

static void kill_agents(struct sides *sides, const struct sides_turn *turn,
                        unsigned sample)
{
    struct sweep *sweep = sides->sweep;
    unsigned next = 0, at, turns = sweep_choose(sweep, VICTIMS);
    unsigned points = count(sides, turn);
    while ((at = sweep_next(sweep, points, sample, &next))) {
        size_t who = turns++ % VICTIMS;
        prepare(sides, turn);
        bool held;
        struct harness_job *job =
            hold_begin(sweep, &turn->operation, at, &held);
        if (held)
            beam_node_eval(sweep->node, "%s", victims[who].expression);
        struct harness_run run = hold_release(sweep, job);
        claims(sides, turn, run, story(sides, turn, victims[who].name, at));
    }
}

/* --- at the agent's own points ------------------------------------------- */

/* In the order of `victims`. */
static const char *const inside[VICTIMS] = {"agent", "both", "link", "guard"};

/* And the agent, where there is none yet. */
static void load_reaper(struct sides *sides)
{
    nzd(sides, "status");
    const char *beam = getenv("NZD_TEST_BEAM");
    beam_node_eval(sides->sweep->node,
                   "erlang:module_loaded(nzd_test_reaper) orelse "
                   "nzd_test_ctl:load(\"%s/nzd_test_reaper\")",
                   beam ? beam : "build/tests/beam");
}

/* A list of texts as it is printed; each begins and ends with ". */
static const char *nth(struct sides *sides, const char *list, unsigned n)
{
    for (unsigned i = 1; list && (list = strchr(list, '"')); i++) {
        size_t length = strcspn(list + 1, "\"");
        if (i == n)
            return harness_text(sides->sweep->harness, "%.*s", (int)length,
                                list + 1);
        list += length + 2;
    }
    return NULL;
}

static unsigned count_inside(struct sides *sides, const struct sides_turn *turn,
                             const char **list)
{
    struct sweep *sweep = sides->sweep;
    unsigned points = 0;
    load_reaper(sides);
    prepare(sides, turn);
    beam_node_eval(sweep->node, "nzd_test_reaper:start()");
    must(sides, turn->operation.status,
         sweep_run(sweep, &turn->operation, 0, NULL), "nothing");
    *list = beam_node_eval(sweep->node, "nzd_test_reaper:stop()");
    disarm(sides, turn);
    while (nth(sides, *list, points + 1))
        points++;
    return points;
}

static void strike(struct sides *sides, const struct sides_turn *turn,
                   unsigned at, unsigned who, unsigned again, const char *name)
{
    struct sweep *sweep = sides->sweep;
    prepare(sides, turn);
    beam_node_eval(sweep->node, "nzd_test_reaper:start(%s, %u, %u)",
                   inside[who], at, again);
    /* It may wait for as long as all applications may take to start. */
    struct harness_run run =
        harness_end(sweep->harness,
                    harness_begin(sweep->harness,
                                  sweep_argv(sweep, &turn->operation), NULL),
                    sides->limit_ms);
    beam_node_eval(sweep->node, "nzd_test_reaper:stop()");
    claims(sides, turn, run,
           harness_text(sweep->harness, "%s behind %s (%u) of %s, again at %u",
                        victims[who].name, name, at, turn->operation.name,
                        again));
}

static void strike_all(struct sides *sides, const struct sides_turn *turn,
                       unsigned sample)
{
    struct sweep *sweep = sides->sweep;
    unsigned next = 0, at, turns = sweep_choose(sweep, VICTIMS);
    const char *list;
    unsigned points = count_inside(sides, turn, &list);
    while ((at = sweep_next(sweep, points, sample, &next))) {
        unsigned who = turns++ % VICTIMS;
        /* Where the link is cut the agent goes on. */
        unsigned again = who == 0 && sweep_choose(sweep, 2)
                             ? 1 + sweep_choose(sweep, NEXT_CALLS)
                             : 0;
        strike(sides, turn, at, who, again, nth(sides, list, at));
    }
}

void sides_strike(struct sides *sides, const struct sides_turn *turn,
                  const char *victim, const char *function)
{
    unsigned who = 0, at = 1;
    const char *list, *name;
    sweep_begin(sides->sweep,
                harness_text(sides->sweep->harness, "%s killed behind %s",
                             victim, function));
    count_inside(sides, turn, &list);
    while (strcmp(inside[who], victim) != 0)
        who++;
    while ((name = nth(sides, list, at)) && strcmp(name, function) != 0)
        at++;
    if (!name)
        harness_fail("%s does not call %s: %s", turn->operation.name, function,
                     list);
    sides->sweep->tally->points++;
    strike(sides, turn, at, who, 0, name);
    sweep_end(sides->sweep);
}

/* --- the VM -------------------------------------------------------------- */

/* It boots the base; a rollback to what is in force puts that in force. */
static void check_restarted(struct sides *sides, const struct sides_turn *turn,
                            const char *after)
{
    struct harness *harness = sides->sweep->harness;
    settle(sides, after);
    is(sides, SIDES_OLD, after);
    if (in_force(sides, turn, after) == SIDES_NEW) {
        const char *force =
            harness_text(harness, "%u", sweep_generation(sides->sweep));
        must(sides, 10, nzd(sides, "status", "--check"), after);
        must(sides, 0,
             nzd(sides, "rollback", "--to", force, "--max", "restart-app"),
             after);
        is(sides, SIDES_NEW, after);
    }
    expect_whole(sides, after);
}

/* False where what is in force was booted, or nobody was killed. */
static bool start_again(struct sides *sides)
{
    struct beam_node *node = sides->sweep->node;
    if (sides->supervised)
        beam_node_wait_for(node, "init:get_status()", "{started,started}",
                           AFTER_MS);
    if (sides->supervised || !beam_node_wait_end(node, ENDED_MS))
        return false;
    beam_node_start_again(node);
    if (sides->restarted)
        sides->restarted(sides);
    return true;
}

static void kill_vm(struct sides *sides, const struct sides_turn *turn,
                    unsigned at, bool both)
{
    struct sweep *sweep = sides->sweep;
    const char *after =
        story(sides, turn, both ? "VM and nzd killed" : "VM killed", at);
    prepare(sides, turn);
    const char *pid = beam_node_eval(sweep->node, "{nzd_text, os:getpid()}");
    struct harness_run run =
        sweep_run(sweep, &turn->operation, at,
                  harness_text(sweep->harness, "signal %s %d%s", pid, SIGKILL,
                               both ? ";kill" : ""));
    if (!sides->supervised)
        expect_end(sides, turn, run, both, after);
    if (start_again(sides))
        check_restarted(sides, turn, after);
    else
        sides_check(sides, turn, after);
}

static void kill_vms(struct sides *sides, const struct sides_turn *turn,
                     unsigned sample)
{
    unsigned next = 0, at, turns = sweep_choose(sides->sweep, 2);
    unsigned points = count(sides, turn);
    while ((at = sweep_next(sides->sweep, points, sample, &next)))
        kill_vm(sides, turn, at, turns++ % 2);
}

/* --- the network --------------------------------------------------------- */

/* Silence alone does not tell a node whose last words are stuck that the link
 * is lost; it is cut again then, by a reset, where the kernel can. */
static void cut_at(struct sides *sides, const struct sides_turn *turn,
                   unsigned at, enum network_cut how)
{
    struct sweep *sweep = sides->sweep;
    const char *after = story(sides, turn, "network cut", at);
    struct sides_turn own = *turn;
    bool held;
    sides_limit(&own, "--timeout=2s");
    prepare(sides, turn);
    struct harness_job *job = hold_begin(sweep, &own.operation, at, &held);
    if (held)
        network_cut(sides->network, how);
    hold_continue(job);
    struct harness_run run = harness_end(sweep->harness, job, sides->limit_ms);
    expect_end(sides, turn, run, false, after);
    network_heal(sides->network);
    network_reset(sides->network);
    sides_check(sides, turn, after);
}

static void cut_all(struct sides *sides, const struct sides_turn *turn,
                    unsigned sample)
{
    unsigned next = 0, at;
    unsigned points = count(sides, turn);
    while ((at = sweep_next(sides->sweep, points, sample, &next)))
        cut_at(sides, turn, at, at % 3);
}

/* --- rows ---------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*sweep)(struct sides *, const struct sides_turn *, unsigned sample);
    unsigned sample;
} kinds[SIDES_KINDS] = {
    [SIDES_NZD] = {"nzd killed", kill_nzds, 1},
    [SIDES_AGENT] = {"agent killed", kill_agents, 1},
    [SIDES_INSIDE] = {"within the agent", strike_all, 3},
    [SIDES_VM] = {"VM killed", kill_vms, 1},
    [SIDES_LINK] = {"network cut", cut_all, 1},
};

void sides_sweep(struct sides *sides, enum sides_kind kind,
                 const struct sides_turn *turn)
{
    sweep_begin(sides->sweep,
                harness_text(sides->sweep->harness, "%s, %s", kinds[kind].name,
                             turn->operation.name));
    kinds[kind].sweep(sides, turn, kinds[kind].sample);
    sweep_end(sides->sweep);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_SWEEP_H
#define NZD_TESTS_SWEEP_H

/*
 * What the crash proofs against a real node share: a node of counter, nzd
 * built with points (journal/point.h), the operations that are interrupted,
 * and everything that must hold after an interruption. The points are found
 * by counting; nothing here knows the steps.
 *
 * By itself a proof takes a sample; NZD_CRASH=full (`make crash`) takes all.
 * NZD_CRASH_SEED repeats a sample.
 */

#include "beam_node.h"
#include "tally.h"

struct sweep {
    struct harness *harness;
    struct beam_node *node;
    const char *nzd;    /* the build with points */
    const char *config; /* with a post hook that 0.3.0 fails */
    bool full;
    uint64_t random;
    unsigned drawn;      /* of sweep_takes() */
    const char *points;  /* the last ones counted, "N NAME" lines */
    struct tally *tally; /* of the proof that runs; sweep_begin() */
};

/* For cmocka: *state is a sweep whose node runs counter 0.1.0. */
int sweep_setup(void **state);
int sweep_teardown(void **state);
/* What sweep_setup() does; the node has these options. */
struct sweep *sweep_open(const struct beam_node_options *options);
/* The same without a node. */
struct sweep *sweep_open_bare(void);

/* Names the row that what follows counts for. */
void sweep_begin(struct sweep *sweep, const char *row);
void sweep_end(struct sweep *sweep);
/* 0 to below - 1, from the seed. */
unsigned sweep_choose(struct sweep *sweep, unsigned below);

/* Of `count` rows that resemble each other a sample takes one, by the seed, a
 * full sweep each. Asked for each `row` from 0 on. */
bool sweep_takes(struct sweep *sweep, unsigned row, unsigned count);

/* A command of nzd. */
struct operation {
    const char *name;
    const char *before; /* the version that runs before it */
    const char *words[8];
    const char *bundle; /* version that is added to the words, or NULL */
    int status;         /* uninterrupted */
};
extern const struct operation sweep_apply;    /* 0.1.0 -> 0.2.0 */
extern const struct operation sweep_rollback; /* 0.2.0 -> 0.1.0 */
extern const struct operation sweep_failing;  /* 0.2.0 -> 0.3.0 fails, 6 */
extern const struct operation sweep_recover;  /* waits for the lock */
extern const struct operation sweep_trial;    /* 0.1.0 -> 0.2.0, on trial */
extern const struct operation sweep_confirm;  /* of that */
extern const struct operation sweep_ended;    /* the rollback of that */

/* Its whole command line with the build that has points. */
const char *const *sweep_argv(struct sweep *sweep,
                              const struct operation *operation);
/* Runs it. At point `at`, from 1, NZD_POINT_DO is `what` ("kill" where it is
 * NULL); at 0 nothing happens. */
struct harness_run sweep_run(struct sweep *sweep,
                             const struct operation *operation, unsigned at,
                             const char *what);
/* The points of an uninterrupted run from the version before it, which is
 * brought about; the node is left behind it. */
unsigned sweep_count(struct sweep *sweep, const struct operation *operation);
/* How many it passes from where things are; sweep_point() keeps to those of
 * the last sweep_count(). */
unsigned sweep_count_here(struct sweep *sweep,
                          const struct operation *operation);
/* "before a request to the node", of the last count. */
const char *sweep_point(struct sweep *sweep, unsigned at);
/* The next of those to try: all of 1..count in full, else `sample` chosen
 * ones. `state` is 0 at first; returns 0 at the end. */
unsigned sweep_next(struct sweep *sweep, unsigned count, unsigned sample,
                    unsigned *state);

/* Has the node run this version by an apply that must succeed. */
void sweep_bring_to(struct sweep *sweep, const char *version);
/* As the operation finds it: the version before it, and 0.2.0 on trial where
 * it is of a trial: a confirmation, or a rollback that says not where to. */
void sweep_prepare(struct sweep *sweep, const struct operation *operation);
bool sweep_is_of_trial(const struct operation *operation);
/* The version that the journal says is in force. */
const char *sweep_in_force(struct sweep *sweep);
/* Its generation, 0 of the base. */
unsigned sweep_generation(struct sweep *sweep);
/* Whether the node runs exactly this version; waits for it a while. */
bool sweep_runs_exactly(struct sweep *sweep, const char *version);
/* Whether 0.2.0 or a later one runs on trial: exactly it, but for the module
 * that it removes, which goes with the commit. */
bool sweep_tries(struct sweep *sweep, const char *version);

/*
 * Counts a run, settles what it left, ends what is on trial then by a
 * confirmation or a rollback, and checks: the node runs exactly the
 * code that the journal names, by md5 and attributes of every module; the
 * journal is whole; nobody is suspended and no old code stays; no process of
 * nzd is left; the next apply and the next rollback work. What fails names
 * `after`.
 */
void sweep_verify(struct sweep *sweep, const char *after, ...)
    __attribute__((format(printf, 2, 3)));
/* The same without the next apply and rollback, for where one follows. */
void sweep_check(struct sweep *sweep, const char *after, ...)
    __attribute__((format(printf, 2, 3)));
/* The same where the VM has started anew: it runs the base, the journal may
 * name a generation, and a rollback to it puts that in force again. */
void sweep_verify_restarted(struct sweep *sweep, const char *after, ...)
    __attribute__((format(printf, 2, 3)));

#endif

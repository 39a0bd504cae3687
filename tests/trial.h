/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_TRIAL_H
#define NZD_TESTS_TRIAL_H

/*
 * A commit that is still to be confirmed, in a scene: how it begins, who
 * attends it, and what must hold when it was undone.
 */

#include "scene.h"

/* What is waited for, at most. */
#define TRIAL_SOON_MS 20000

/* `nzd apply --confirm LASTS`, which must succeed. */
struct harness_run trial_begin(struct scene *scene, const char *version,
                               const char *lasts);
/* The same of 0.2.0 by an nzd whose file and keeper are gone then: nobody
 * but the agent knows of it, and it can run no program. */
void trial_begin_alone(struct scene *scene, const char *lasts);
/* With these words besides. */
void trial_begin_alone_by(struct scene *scene, const char *lasts,
                          const char *const *more);

/* How many processes of nzd there are: keepers, and what they have run. */
unsigned trial_processes(struct scene *scene);
void trial_wait_alone(struct scene *scene);
/* The build that has points (journal/point.h). */
const char *trial_points_program(void);
/* The one that attends this scene's journal; 0: none. */
pid_t trial_keeper(struct scene *scene);
void trial_kill_keeper(struct scene *scene);
/* Until this one has no file open and nothing else of nzd runs: it first looks
 * into the journal, and a child of it before. */
void trial_wait_asleep(struct scene *scene, pid_t keeper);

void trial_wait_state(struct scene *scene, unsigned id, const char *state);
void trial_check_why(struct scene *scene, unsigned id, const char *why);
/* It is over: the base 0.1.0 runs, the journal says so and why, nobody attends
 * it any more, and the next apply goes. */
void trial_check_undone(struct scene *scene, unsigned id, const char *why);

#endif

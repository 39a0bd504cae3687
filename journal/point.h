/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_POINT_H
#define NZD_JOURNAL_POINT_H

/*
 * Points: the instants between two acts at which an interruption may leave a
 * trace, named where they are in the code. The crash sweep (`make crash`)
 * runs a build in which each point can end nzd or signal another process;
 * it finds them by counting, so a new step is swept without telling it. In
 * every other build a point is nothing.
 *
 * The build for the sweep (-DNZD_POINTS) reads from the environment:
 *
 *   NZD_POINT_LOG=FILE    appends a line "N NAME" for each point that is passed
 *   NZD_POINT_AT=N        at the N-th point, from 1, do what
 *   NZD_POINT_DO=...      says: "kill" (SIGKILL to nzd, the default),
 *                         "signal PID SIG" (then go on), "stop" (SIGSTOP to
 *                         nzd; who sends SIGCONT has it go on), several
 *                         divided by ';'
 *   NZD_POINT_ROLE=ROLE   only the processes that took this role count; else
 *                         only those that took none. Of one that took another
 *                         the programs that it starts count neither
 */

#ifdef NZD_POINTS
void nzd_point(const char *name);
/* A process that nzd has made, with a part of its own; it counts from 1. */
void nzd_point_role(const char *role);
#else
static inline void nzd_point(const char *name)
{
    (void)name;
}
static inline void nzd_point_role(const char *role)
{
    (void)role;
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LAUNCH_ERTS_H
#define NZD_ENGINE_LAUNCH_ERTS_H

/*
 * A command that starts the VM with another ERTS than the release's. erl and
 * erlexec are exchanged for that ERTS' erlexec. The start scripts compute the
 * path of their erlexec, and nothing that they take from outside changes it;
 * so /bin/sh reads them as they are, with `exec` an alias of a function that
 * exchanges the program they end in.
 */

#include "launch.h"

/* The environment variable by which the agent knows the base's ERTS:
 * "13.1.5 BINDIR", where BINDIR is that of the one in its place. */
#define NZD_LAUNCH_BASE_ERTS "NZD_BASE_ERTS"

/* argv in place of one that boots all else of the generation already; the
 * environment is changed. NZD_EREFUSED: a script that /bin/sh cannot read so,
 * or that has another process start the VM. */
int nzd_launch_with_erts(const struct nzd_launch *launch, const char *folder,
                         struct nzd_arena *arena, char *const argv[],
                         char *const **out, struct nzd_err *err);

/* A BINDIR that it has set. */
bool nzd_launch_is_erts(const char *folder);
/* Takes back what the environment of a VM has of it. */
void nzd_launch_forget_erts(void);

#endif

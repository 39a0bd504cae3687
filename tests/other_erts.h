/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_OTHER_ERTS_H
#define NZD_TESTS_OTHER_ERTS_H

/*
 * Another ERTS than this host's: the same under another version, which its
 * emulator has in the place of the own one. It really runs, and says so.
 */

#include "scene.h"

/* "/usr/lib/erlang/erts-13.1.5/bin" of this host. */
const char *other_erts_own(struct harness *harness);
/* "99.9.9", as long as this host's own: no byte of a program moves. */
const char *other_erts_version(struct harness *harness);
/* A copy of a fixture at `to`, a folder that is not there, with the other ERTS:
 * of its programs what a VM needs. */
void other_erts_release(struct harness *harness, const char *fixture,
                        const char *to);

#endif

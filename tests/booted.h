/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BOOTED_H
#define NZD_TESTS_BOOTED_H

/* A scene whose VM is started by `nzd boot --`, as erlinit would. */

#include "scene.h"

/* For cmocka: *state is a scene without a node, whose boots are tried twice. */
int booted_set_up(void **state);
/* What stands before the VM's command line. */
const char *const *booted_prefix(struct scene *scene);
/* Ends the scene's VM, and starts one this way. */
void booted_start(struct scene *scene);
/* Power off, power on: the same command line again. */
void booted_reboot(struct scene *scene);

/* The journal is on a disk that does not answer, and a boot waits a second for
 * it. Skips the case where no disk can hang. */
void booted_on_mute_disk(struct scene *scene);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BOOTED_H
#define NZD_TESTS_BOOTED_H

/* A scene whose VM is started by `nzd boot --`, as erlinit would. */

#include "scene.h"

/* What stands before the VM's command line. */
const char *const *booted_prefix(struct scene *scene);
/* Ends the scene's VM, and starts one this way. */
void booted_start(struct scene *scene);
/* Power off, power on: the same command line again. */
void booted_reboot(struct scene *scene);

#endif

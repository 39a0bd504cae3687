/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_SUPERVISED_H
#define NZD_TESTS_SUPERVISED_H

/*
 * A VM that `nzd boot` starts again whenever it has ended, as a supervisor of
 * the system does; the restart command of the configuration ends it.
 */

#include "scene.h"

/* What is to be put before the VM's command so that it is started this way; and
 * the words of a restart command, as the configuration has them, that end it:
 * the program `restart` in the harness' folder. */
const char *const *supervised_words(struct harness *harness, const char *nzd,
                                    const char *journal, const char *config);
const char *supervised_restart(struct harness *harness);

/* Ends the scene's VM, and starts counter 0.1.0 this way. `boot` and `more`
 * are sections of the configuration. */
void supervised_start(struct scene *scene, const char *boot, const char *more);
/* The process that runs now. */
pid_t supervised_pid(struct scene *scene);

#endif

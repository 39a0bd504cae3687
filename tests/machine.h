/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_MACHINE_H
#define NZD_TESTS_MACHINE_H

/*
 * A machine whose pid 1 is systemd, in namespaces and a control group of its
 * own (tests/machine.sh), with this host's programs: a release of counter in
 * /srv/counter, nzd in /usr/bin, and units, by which the release is started and
 * ended. Its scene's node is the VM of counter.service.
 *
 * What cannot be done fails the running test. Nothing of a machine outlives the
 * harness: no process, no mount, no control group.
 */

#include "scene.h"

struct machine {
    struct scene scene;
    const char *console; /* file: what systemd itself printed */
    const char *group;   /* folder of the control group */
    pid_t holder;
    pid_t init; /* systemd, as this host counts */
};

/* "" or why machines cannot be made here. */
const char *machine_lacks(struct harness *harness);

/* One that is up, with this version of counter, and the `bundles`, other
 * versions of it, in /srv/VERSION, NULL at the end; `units` are pairs of a path
 * below /etc/systemd/system and a text, NULL at the end. */
struct machine *machine_boot(struct harness *harness, const char *version,
                             const char *const *bundles,
                             const char *const (*units)[2]);
/* Where a path of the machine is on this host. */
const char *machine_path(struct machine *machine, const char *path);

/* A program in the machine, as root of it. */
struct harness_run machine_run(struct machine *machine,
                               const char *const *argv);
#define machine_nzd(machine, ...)                                              \
    machine_run((machine),                                                     \
                (const char *const[]){"/usr/bin/nzd", __VA_ARGS__, NULL})
/* Fails the test where systemctl does not exit 0. */
#define machine_systemctl(machine, ...)                                        \
    machine_must((machine),                                                    \
                 (const char *const[]){"systemctl", __VA_ARGS__, NULL})
struct harness_run machine_must(struct machine *machine,
                                const char *const *argv);

/* Waits until the VM that is the unit's main process answers, which was not
 * `before` (0: any); its pid there. */
int machine_wait_vm(struct machine *machine, const char *unit, int before);
/* What is in systemd's journal, and what systemd printed. */
const char *machine_log(struct machine *machine);

#endif

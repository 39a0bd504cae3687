/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_REVIVE_H
#define NZD_TESTS_REVIVE_H

/*
 * A state of the disk of /data that a power cut has left: what the journal in
 * it holds, and what a device runs that boots it.
 */

#include "device.h"
#include "disk.h"
#include "power.h"

struct revival {
    struct device *device; /* off between two of them */
    const char *image;     /* of the state */
    const char *mount;     /* where it is looked at */
};

/* The device's data is the image from now on. */
struct revival *revive_open(struct harness *harness, struct device *device);

/* Of the state that disk_cut() made last: its file system is mounted and its
 * journal looked at, power_look(). */
struct power_finding revive_look(struct revival *revival,
                                 const struct disk *disk);

/* The device boots the same state, as the cut has left it. */
void revive_boot(struct revival *revival, const struct disk *disk);
/* Every module of counter is this version's. */
bool revive_runs(struct revival *revival, const char *version);
/* And all others the base's; nzd says so too; the journal is whole and in its
 * place. What does not hold is in `why`. */
void revive_check(struct revival *revival, const char *version,
                  struct power_finding *finding);
/* The next apply works, and boots. */
void revive_go_on(struct revival *revival, struct power_finding *finding);
void revive_end(struct revival *revival);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_DEVICE_H
#define NZD_TESTS_DEVICE_H

/*
 * A device to boot, cut off from power and boot again: pid 1 of namespaces of
 * its own (tests/device/init.c, a stand-in for erlinit), a squashfs as the
 * root filesystem, an ext4 image as /data, and a VM that is started by
 * `nzd boot --`. Its scene's node is the VM that runs now.
 *
 * Fixtures are at the paths that they have on the host. What cannot be done
 * fails the running test; nothing outlives the harness.
 */

#include "scene.h"

struct device {
    struct scene scene;  /* node: after each boot another */
    const char *base;    /* image of the root filesystem */
    const char *data;    /* image of /data; NULL: there is none */
    const char *config;  /* /etc/nzd.conf; NULL: an empty one */
    const char *nzd;     /* of the bases that are set; NULL: the one tested */
    const char *marks;   /* file for the points that nzd passes; or NULL */
    bool read_only;      /* /data is mounted so */
    const char *console; /* file: what all printed since the first boot */
    pid_t holder;        /* of the namespaces, 0 while it is off */
    pid_t init;          /* pid 1 of the device, as the host counts */
};

/* NULL, or why devices cannot be made here. */
const char *device_lacks(void);

/* One that is off, with this version of counter as its base and an empty
 * filesystem for /data. */
struct device *device_new(struct harness *harness, const char *version);
/* The same with another nzd, as one that has points. */
struct device *device_new_with(struct harness *harness, const char *version,
                               const char *nzd);
/* Another root filesystem: as after an update of the firmware. */
void device_set_base(struct device *device, const char *version);
/* A folder on this host that becomes the filesystem of /data. */
void device_format_data(struct device *device);

/* Waits until the VM answers. */
void device_boot(struct device *device);
/* init:stop() and pid 1 comes to its end, within seconds; what pid 1 said
 * since it booted. */
const char *device_shut_down(struct device *device);
/* Everything ends at once; the kernel writes to /data what was not synced. */
void device_switch_off(struct device *device);
/* The same, and of /data is left what was synced. */
void device_cut_power(struct device *device);
/* shut_down, then boot. */
void device_reboot(struct device *device);

/* nzd in the device, with what the device's own configuration says. */
#define device_nzd(device, ...)                                                \
    device_run((device),                                                       \
               (const char *const[]){"/usr/bin/nzd", __VA_ARGS__, NULL})
struct harness_run device_run(struct device *device, const char *const *argv);
/* Where a path of the device is on the host, while it is on. */
const char *device_path(struct device *device, const char *path);
/* What the kernel log would hold of this boot. */
const char *device_kernel_log(struct device *device);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BOOT_STUB_H
#define NZD_TESTS_BOOT_STUB_H

/*
 * nzd boot around a command that it takes for a VM's, but that only tells how
 * it was started: what boots is seen in milliseconds. The release, its boot
 * script and the emulator's file are the real ones, so that a journal which a
 * node has made means the same here. With STUB_STAYS=SECONDS in its
 * environment it stays up as long; with STUB_TELLS it says what it was given
 * besides words, behind a line "traits".
 */

#include "harness.h"

struct boot_stub {
    struct harness *harness;
    const char *config;         /* of nzd boot: 100 tries, no keeper */
    const char *journal;        /* of nzd boot */
    const char *const *command; /* what nzd boot is to start */
    const char *whole;          /* boot_stub_learn() */
};

/* Over the release in this folder, version 0.1.0. */
struct boot_stub *boot_stub_make(struct harness *harness, const char *release);

struct boot_stub_run {
    struct harness_run run;
    unsigned times;         /* the command was started */
    bool overlay;           /* the last time, with the overlay's boot script */
    bool as_given;          /* the same, with its own words alone */
    const char *generation; /* NZD_BOOT */
    const char *root;       /* of the overlay that it names */
};

/* nzd boot with its options, around the command. */
const char *const *boot_stub_argv(struct boot_stub *stub, const char *nzd);
struct boot_stub_run boot_stub_start(struct boot_stub *stub,
                                     const char *const *argv,
                                     const char *const *environment,
                                     int limit_ms);

/* The overlay that `run` booted is generation 1 as it must be: each file is
 * compared with the bundle's, and others are held against it. */
void boot_stub_learn(struct boot_stub *stub, const struct boot_stub_run *run,
                     const char *bundle);

/*
 * What always holds: it was started once, within the limit, as it was given
 * with NZD_BOOT 0, or with an overlay of which every file is whole. Fails the
 * test and names `after` otherwise.
 */
void boot_stub_check(struct boot_stub *stub, const struct boot_stub_run *run,
                     int limit_ms, const char *after);
/* Whether this overlay is generation 1, all of it. */
bool boot_stub_is_whole(struct boot_stub *stub, const char *root);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_FUSE_H
#define NZD_TESTS_FUSE_H

/*
 * A folder of files that a test answers for: a FUSE mount, served by a child
 * process of the test program, seen by it and by whom it starts alone (it
 * gets a mount namespace of its own). What cannot be done fails the running
 * test. The mount goes with the harness, before what was made ahead of it;
 * whoever hangs there gets an error then.
 */

#include "harness.h"

#include <stdint.h>

/* Called in the serving process; 0 or an errno. Nothing is cached: each
 * write(2) and each block of a loop device comes here at once. */
struct fuse_file {
    const char *name;
    uint64_t size; /* bytes */
    int (*read)(void *context, uint64_t offset, void *data, uint32_t size);
    int (*write)(void *context, uint64_t offset, const void *data,
                 uint32_t size);
    int (*sync)(void *context);
};

struct fuse_folder {
    const struct fuse_file *files;
    unsigned count;
    void *context;
    /* Takes each question and gives no answer: who asks hangs in the kernel,
     * where not even SIGKILL ends it, as over a disk that has gone away. */
    bool mute;
};

/* NULL, or why there is no FUSE here. */
const char *fuse_lacks(void);
/* The path of the folder. `folder` and what it names are borrowed. */
const char *fuse_mount(struct harness *harness,
                       const struct fuse_folder *folder);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_DISK_H
#define NZD_TESTS_DISK_H

/*
 * A disk that remembers in which order it was written and flushed, and what
 * may be found on it after the power was cut. It is a file behind fuse.h that
 * a loop device is set up over: the kernel writes to it what it would write to
 * a partition, and a flush of the device arrives as a sync of the file.
 *
 * At cut `i` the entries before the i-th are over and the i-th is under way.
 * On disk for certain is what was written before a flush that is over. Of what
 * was written behind it each sector of 512 bytes may be there or not by
 * itself, in any order, as in a cache that is written back at will; of a
 * sector that was written twice either writing. Only the superblock of an ext4
 * is there as a whole or not: no file system can be mounted with half of it.
 *
 * What cannot be done fails the running test; it goes with the harness.
 */

#include "../journal/digest.h"
#include "harness.h"

struct disk;

/* Its content is at first that of the image, which is left as it is. */
struct disk *disk_open(struct harness *harness, const char *image);
/* The file to set a loop device up over. */
const char *disk_path(const struct disk *disk);
/* A file, what is written to it in one go is a mark among the entries. */
const char *disk_marks(const struct disk *disk);
void disk_mark(struct disk *disk, const char *text);

/* How many entries there are by now. */
size_t disk_count(struct disk *disk);
/* Of those that were counted: the text of a mark, else NULL. */
const char *disk_mark_at(const struct disk *disk, size_t at);
bool disk_is_flush(const struct disk *disk, size_t at);
/* Whether anything at this cut is not certain. */
bool disk_is_open(const struct disk *disk, size_t cut);

enum disk_keep {
    DISK_ALL, /* of what is not certain */
    DISK_NONE,
    DISK_RANDOM
};

struct disk_choice {
    enum disk_keep keep;
    uint64_t seed;    /* of a random one */
    size_t lies_from; /* from this entry on a flush does nothing; SIZE_MAX */
};

/* Makes a state; cuts that ascend are cheap. */
struct nzd_digest disk_cut(struct disk *disk, size_t cut,
                           struct disk_choice choice);
/* Writes the last one that was made to an image: a new file of that name, for
 * the kernel may not have let go of the old one. */
void disk_write(const struct disk *disk, const char *image);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_RECORDING_H
#define NZD_TESTS_RECORDING_H

/*
 * What tests/tools/record_writes.c writes and tests/replay.c reads: all that a
 * program did to the files below one folder, in order, one entry after the
 * other: this head, then the bytes of `name`, `other` and `data`.
 *
 * Set for the program that is recorded, absolute paths:
 *
 *   LD_PRELOAD=.../record_writes.so
 *   NZD_RECORD_BELOW=FOLDER
 *   NZD_RECORD_LOG=FILE      entries are appended to it
 *   NZD_RECORD_MARKS=FILE    what is written to it becomes a mark in the log;
 *                            it itself is not written
 *   NZD_RECORD_KILL_AT=N     SIGKILL right after the N-th entry but marks
 *   NZD_RECORD_NOSYNC=1      LMDB is used with MDB_NOSYNC
 *
 * An entry is there once the call has returned with success. A name is
 * relative to the folder, "" is the folder itself. A file is known by its
 * inode from the entry that made it on.
 */

#include <stdint.h>

enum recording_kind {
    RECORDING_MARK = 1,       /* data: a text */
    RECORDING_MAKE_DIRECTORY, /* name */
    RECORDING_CREATE,         /* name, inode */
    RECORDING_RENAME,         /* name, other: the new name */
    RECORDING_REMOVE,         /* name; a file or a directory */
    RECORDING_WRITE,          /* inode, offset, data */
    RECORDING_TRUNCATE,       /* inode, offset: the new size */
    RECORDING_LENGTHEN,       /* inode, offset: the size it has at least */
    RECORDING_SYNC_FILE,      /* inode */
    RECORDING_SYNC_DIRECTORY, /* name */
    RECORDING_MAP             /* inode: mapped shared, to be written */
};

struct recording_entry {
    uint32_t kind;
    uint32_t durable; /* of a write: O_SYNC or O_DSYNC, on disk by itself */
    uint64_t inode;
    uint64_t offset;
    uint32_t name_size;
    uint32_t other_size;
    uint64_t data_size;
};

#endif

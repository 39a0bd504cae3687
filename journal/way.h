/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_WAY_H
#define NZD_JOURNAL_WAY_H

/*
 * The way to a folder: the folders above it, and those that links on the way
 * lead through. Files are opened by name, one after the other: who may write
 * in a folder on the way may put another one there in between.
 */

#include <stdbool.h>
#include <stddef.h>

enum nzd_way {
    NZD_WAY_OURS,   /* nobody but root and this user changes it */
    NZD_WAY_THEIRS, /* a folder of another user leads there */
    NZD_WAY_OPEN,   /* a folder that its group or everybody may write */
};

/*
 * Of `path`, which need not be there; itself it is not looked at, but in a
 * folder as /tmp, where it must be root's or this user's. `where`: the folder
 * that is not ours, cut to `size` bytes. What cannot be looked at is ours: it
 * cannot be opened either.
 */
enum nzd_way nzd_way_look(const char *path, char *where, size_t size);

/* For root, who has more to lose than what lies there; others have said where
 * theirs is to be. */
bool nzd_way_counts(void);

#endif

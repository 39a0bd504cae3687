/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_REPLAY_H
#define NZD_TESTS_REPLAY_H

/*
 * What a power cut may leave of a recorded program (recording.h). At cut `i`
 * the entries before the i-th are over and the i-th is under way. On disk for
 * certain is then
 *
 *   - of a file what was written before a sync of it that is over, and what
 *     went through O_DSYNC and is over;
 *   - of a directory the entries made, renamed or removed before a sync of
 *     that very directory that is over. A sync of a file does not bring the
 *     name it has, nor that of a directory its own name in the one above.
 *
 * All else may be there or not: of a write each sector of 512 bytes by itself,
 * in any order; a length; of each directory the first so many changes. Bytes of
 * a sector that was lost where the file grew are zeros or anything; so is all
 * of a file that is mapped to be written.
 *
 * What cannot be done fails the running cmocka test.
 */

#include "../journal/digest.h"

#include <stdbool.h>

struct replay;

enum replay_keep {
    REPLAY_ALL,      /* of what is not certain */
    REPLAY_NONE,     /* of it */
    REPLAY_CONTENTS, /* what is in files, but no name */
    REPLAY_NAMES,    /* names, but nothing that is in files */
    REPLAY_RANDOM
};
#define REPLAY_FIXED 4u /* that are not random */

struct replay_choice {
    enum replay_keep keep;
    uint64_t seed; /* of a random one */
};

struct replay *replay_open(const char *log);
void replay_close(struct replay *replay);

size_t replay_count(const struct replay *replay);
/* The text of a mark; NULL of every other entry. */
const char *replay_mark(const struct replay *replay, size_t at);
bool replay_is_rename(const struct replay *replay, size_t at);
/* Whether anything is not certain at this cut. */
bool replay_is_open(const struct replay *replay, size_t cut);
/* How many files were mapped to be written, but lock.mdb. */
size_t replay_mapped(const struct replay *replay);

/* A folder in memory. Cuts that ascend are cheap. */
struct replay_image;
struct replay_image *replay_make(struct replay *replay, size_t cut,
                                 struct replay_choice choice);
void replay_free(struct replay_image *image);
struct nzd_digest replay_digest(const struct replay_image *image);
/* Makes the folder hold this and nothing else. */
void replay_write(const struct replay_image *image, const char *folder);

#endif

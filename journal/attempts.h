/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_ATTEMPTS_H
#define NZD_JOURNAL_ATTEMPTS_H

/*
 * How often the generation in force was booted without being found healthy:
 * the file `boot` beside the store, small and of a fixed size, so that
 * counting needs no room on a full disk and no store that can be read.
 *
 * On disk: two slots of NZD_ATTEMPTS_SLOT bytes, each a value (value.h) of a
 * sequence, the base, the generation, the last healthy one, the tries, and
 * whether it was ever healthy. The one that holds with the higher sequence
 * counts; the other one is written next. The sequence goes round, past 0.
 */

#include "digest.h"

#define NZD_ATTEMPTS_SLOT 4096 /* bytes: no sector is shared */

struct nzd_attempts {
    struct nzd_digest base;
    uint64_t generation;   /* 0: nothing was counted yet */
    uint64_t last_healthy; /* generation over this base; 0: the base */
    uint32_t tries;        /* since it was last healthy */
    bool healthy;          /* it was, once */
};

/* How many tries there are: more for one that was healthy once, since whoever
 * switches a device off and on again must not burn it. */
uint32_t nzd_attempts_limit(bool healthy, uint32_t tries);

/* Zeros where there is no file, or none of its slots holds: then nothing was
 * ever healthy. NZD_EJOURNAL: it cannot be read. */
int nzd_attempts_read(const char *directory, struct nzd_attempts *out,
                      struct nzd_err *err);
/*
 * Makes the file where it is not there, with all of its room: what needs none
 * of it later is done on a full disk, too. Due before a generation is put in
 * force. Durable when it returns 0; what is counted stays as it is.
 */
int nzd_attempts_reserve(const char *directory, struct nzd_err *err);
/* Durable when it returns 0. Made where it is not there. */
int nzd_attempts_write(const char *directory,
                       const struct nzd_attempts *attempts,
                       struct nzd_err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_FILE_SET_H
#define NZD_ENGINE_FILE_SET_H

/*
 * Files of a release by the names of their rows (journal/record.h), each with
 * one side of it: what is in force, what the base holds, what a generation
 * had. Sorted by name; the names are the set's own.
 */

#include "../journal/journal.h"

struct nzd_file_side {
    const char *name;
    struct nzd_digest md5;  /* zero: it is not there */
    struct nzd_digest blob; /* zero: its content is the base's own */
    uint64_t bytes;
    uint32_t flags; /* NZD_ROW_EXECUTABLE */
};

struct nzd_file_set {
    struct nzd_arena arena;
    struct nzd_file_side *items;
    uint32_t count;
    uint32_t capacity;
};

/* Puts it in the place of the one of its name. NZD_EINTERNAL without memory. */
int nzd_file_set_put(struct nzd_file_set *set, const struct nzd_file_side *side,
                     struct nzd_err *err);
const struct nzd_file_side *nzd_file_set_find(const struct nzd_file_set *set,
                                              const char *name);
void nzd_file_set_clear(struct nzd_file_set *set);

/* The sides of rows. */
struct nzd_file_side nzd_file_side_live(const struct nzd_live_row *row);
struct nzd_file_side nzd_file_side_base(const struct nzd_live_row *row);
struct nzd_file_side nzd_file_side_old(const struct nzd_module_row *row);
struct nzd_file_side nzd_file_side_new(const struct nzd_module_row *row);

/* All that is in force over the base; `of_base` (may be NULL) gets what the
 * base has of them. */
int nzd_file_set_read(struct nzd_journal *journal,
                      const struct nzd_digest *base,
                      struct nzd_file_set *in_force,
                      struct nzd_file_set *of_base, struct nzd_err *err);

#endif

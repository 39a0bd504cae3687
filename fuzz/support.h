/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_FUZZ_SUPPORT_H
#define NZD_FUZZ_SUPPORT_H

/*
 * What harnesses share: inputs that stand for several texts or files, and
 * readers that want a path. What is kept from one run to the next is a fixed
 * number of open files and one folder.
 */

#include "../journal/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run as a finding where it does not hold. */
static inline void fuzz_require(bool holds)
{
    if (!holds)
        abort();
}

/* The path of an anonymous file with this content, valid until the next call
 * with the same `slot` (0 to 3). */
const char *fuzz_file(unsigned slot, struct nzd_view content);

/* A folder, in memory where there is such a place; made once, and removed with
 * all that is in it when the program ends. */
const char *fuzz_folder(void);

/*
 * An input of several named parts, each behind a line "%%% NAME"; what stands
 * before the first is a part without a name. Parts are NUL-terminated copies.
 */
#define FUZZ_PARTS 64
struct fuzz_part {
    const char *name;
    struct nzd_view content;
};
struct fuzz_parts {
    struct nzd_arena arena;
    struct fuzz_part items[FUZZ_PARTS];
    unsigned count;
};
void fuzz_split(struct nzd_view input, struct fuzz_parts *out);
void fuzz_parts_clear(struct fuzz_parts *parts);
/* The first part of this name, or an empty text. */
const char *fuzz_part(const struct fuzz_parts *parts, const char *name);

/* The words of a text, ended by NULL: its lines, at most `limit`. */
char **fuzz_lines(struct nzd_arena *arena, const char *text, unsigned limit,
                  unsigned *count);

/* Appends a tar archive of the parts `first` to `end`, by their names. */
void fuzz_tar(const struct fuzz_parts *parts, unsigned first, unsigned end,
              struct nzd_buf *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_TREE_H
#define NZD_TESTS_TREE_H

/*
 * Folders and tarballs made by hand: a scratch folder, files in it, and tar
 * entries of any kind, also those that no tool writes. A function that cannot
 * do what it says fails the running cmocka test.
 */

#include <stddef.h>
#include <stdint.h>

struct tree {
    char root[64];
};

void tree_open(struct tree *tree);
void tree_close(struct tree *tree); /* removes the folder */
/* "ROOT/relative", in one of a few static buffers. */
const char *tree_path(const struct tree *tree, const char *relative);
/* Writes a file, making the folders above it. */
void tree_write(const struct tree *tree, const char *relative, const void *data,
                size_t size);
void tree_text(const struct tree *tree, const char *relative, const char *text);
/* The whole file, to be freed by the caller. */
uint8_t *tree_read(const struct tree *tree, const char *relative, size_t *size);
void tree_run(const struct tree *tree, const char *command); /* in ROOT */
/* Compiles the Erlang source text to "FOLDER/MODULE.beam". */
void tree_compile(const struct tree *tree, const char *folder,
                  const char *module, const char *source);

/* A tar archive in memory. */
struct tar {
    uint8_t *data;
    size_t size;
};

/* `type` as ustar has it: '0' a file, '1' a hard link, '2' a symbolic link,
 * '3' a device, '5' a folder. `link` may be NULL. */
void tar_entry(struct tar *tar, const char *name, char type, const char *link,
               const void *data, size_t size);
/* The same with a size that is not the data's. */
void tar_lie(struct tar *tar, const char *name, uint64_t claimed,
             const void *data, size_t size);
void tar_end(struct tar *tar); /* two records of zeros */
void tar_clear(struct tar *tar);

#endif

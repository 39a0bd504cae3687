/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_REPLAY_IMAGE_H
#define NZD_TESTS_REPLAY_IMAGE_H

/*
 * A folder in memory: names of directories and files, and the contents, which
 * may have no name. For replay.c.
 */

#include "replay.h"

#define REPLAY_DIRECTORY SIZE_MAX /* instead of a file's index */

struct replay_file {
    uint8_t *data;
    size_t size;
};

struct replay_image *replay_image_new(size_t files);
struct replay_image *replay_image_copy(const struct replay_image *image);

struct replay_file *replay_image_file(struct replay_image *image, size_t file);
/* Bytes between the end and `offset` become zeros. */
void replay_file_put(struct replay_file *file, uint64_t offset,
                     const uint8_t *data, size_t size);
void replay_file_resize(struct replay_file *file, uint64_t size);

/* A name that is there already is replaced; one that is not is no matter. */
void replay_image_add(struct replay_image *image, const char *name,
                      size_t file);
void replay_image_rename(struct replay_image *image, const char *name,
                         const char *other);
void replay_image_remove(struct replay_image *image, const char *name);

#endif

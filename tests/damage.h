/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_DAMAGE_H
#define NZD_TESTS_DAMAGE_H

/*
 * What disks, controllers and people do to a file of LMDB: bits, sectors and
 * pages that are wrong, old or gone. The same for the same seed.
 */

#include <stddef.h>
#include <stdint.h>

#define DAMAGE_SECTOR 512u
#define DAMAGE_PAGE   4096u /* of the machines we test on */

/* splitmix64; moves the seed on. */
uint64_t damage_draw(uint64_t *seed);
/* A text of that many bytes, malloc(); nothing packs it. */
char *damage_noise(size_t size, uint64_t seed);
/* One to four bits, half of them where LMDB keeps its own, at the head of a
 * page. */
void damage_flip(uint8_t *data, size_t size, uint64_t *seed);

struct damage_image {
    uint8_t *data; /* malloc() */
    size_t size;
};

/* The whole file; what cannot be read or written fails the running test. */
struct damage_image damage_read(const char *path);
void damage_write(const char *path, const struct damage_image *image);
struct damage_image damage_copy(const struct damage_image *image);

/* Damages it in one of several ways, perhaps with what stood there at an
 * earlier time; the way's name. Not empty; may change nothing. */
const char *damage_some(struct damage_image *image,
                        const struct damage_image *older, size_t older_count,
                        uint64_t *seed);

/* Makes LMDB take the older of the two headers, as a disk does that lost the
 * last write of one: the store goes back by one transaction. */
void damage_one_back(struct damage_image *image);

#endif

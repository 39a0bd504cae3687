/* SPDX-License-Identifier: Apache-2.0 */
#include "damage.h"

#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a header keeps its transaction's number: LMDB's MDB_meta, behind the
 * head of the page, in 64 bits. */
#define META_TXN 144u

uint64_t damage_draw(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

char *damage_noise(size_t size, uint64_t seed)
{
    char *text = calloc(1, size + 1);

    if (!text)
        harness_fail("no memory");
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('!' + damage_draw(&seed) % 90);
    return text;
}

void damage_flip(uint8_t *data, size_t size, uint64_t *seed)
{
    size_t count = 1 + damage_draw(seed) % 4;

    for (size_t i = 0; i < count; i++) {
        size_t at = damage_draw(seed) % size;

        if (damage_draw(seed) % 2)
            at = at / DAMAGE_PAGE * DAMAGE_PAGE + damage_draw(seed) % 64;
        if (at < size)
            data[at] ^= (uint8_t)(1u << damage_draw(seed) % 8);
    }
}

/* --- files --------------------------------------------------------------- */

static void *memory(size_t size)
{
    void *data = malloc(size ? size : 1);

    if (!data)
        abort();
    return data;
}

struct damage_image damage_read(const char *path)
{
    struct damage_image image = {0};
    FILE *file = fopen(path, "r");
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        harness_fail("read %s: %s", path, strerror(errno));
    rewind(file);
    image.size = (size_t)size;
    image.data = memory(image.size);
    if (fread(image.data, 1, image.size, file) != image.size)
        harness_fail("read %s: %s", path, strerror(errno));
    fclose(file);
    return image;
}

void damage_write(const char *path, const struct damage_image *image)
{
    FILE *file = fopen(path, "w");

    if (!file || fwrite(image->data, 1, image->size, file) != image->size ||
        fclose(file) != 0)
        harness_fail("write %s: %s", path, strerror(errno));
}

struct damage_image damage_copy(const struct damage_image *image)
{
    struct damage_image copy = {memory(image->size), image->size};

    memcpy(copy.data, image->data, image->size);
    return copy;
}

/* --- ways ---------------------------------------------------------------- */

/* A piece of `unit` bytes; the last one of the file may be shorter. */
struct piece {
    size_t at;
    size_t size;
};

static bool is_zero(const uint8_t *data, size_t size)
{
    size_t i = 0;

    while (i < size && data[i] == 0)
        i++;
    return i == size;
}

/* Mostly one that was ever written: room taken ahead is read by nobody. */
static struct piece piece(const struct damage_image *image, size_t unit,
                          uint64_t *seed)
{
    struct piece found = {0};

    for (unsigned tries = 0; tries < 8; tries++) {
        found.at = damage_draw(seed) % image->size / unit * unit;
        found.size = image->size - found.at;
        if (found.size > unit)
            found.size = unit;
        if (!is_zero(image->data + found.at, found.size))
            break;
    }
    return found;
}

static void noise(uint8_t *data, size_t size, uint64_t *seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)damage_draw(seed);
}

static void swap(struct damage_image *image, size_t unit, uint64_t *seed)
{
    struct piece a = piece(image, unit, seed), b = piece(image, unit, seed);
    size_t size = a.size < b.size ? a.size : b.size;
    uint8_t *kept = memory(size);

    memcpy(kept, image->data + a.at, size);
    memmove(image->data + a.at, image->data + b.at, size);
    memcpy(image->data + b.at, kept, size);
    free(kept);
}

static void copy_over(struct damage_image *image, size_t unit, uint64_t *seed)
{
    struct piece a = piece(image, unit, seed), b = piece(image, unit, seed);

    memmove(image->data + a.at, image->data + b.at,
            a.size < b.size ? a.size : b.size);
}

static void lengthen(struct damage_image *image, uint64_t *seed)
{
    size_t more = 1 + damage_draw(seed) % (4 * (size_t)DAMAGE_PAGE);
    uint8_t *data = realloc(image->data, image->size + more);

    if (!data)
        abort();
    memset(data + image->size, 0, more);
    if (damage_draw(seed) % 2)
        noise(data + image->size, more, seed);
    image->data = data;
    image->size += more;
}

/* What stood there before. */
static void age(struct damage_image *image, const struct damage_image *older,
                struct piece old)
{
    if (old.at + old.size <= older->size)
        memcpy(image->data + old.at, older->data + old.at, old.size);
}

static void shorten(struct damage_image *image, uint64_t *seed)
{
    image->size = 1 + damage_draw(seed) % (image->size - 1);
    if (damage_draw(seed) % 2 && image->size > DAMAGE_PAGE)
        image->size = image->size / DAMAGE_PAGE * DAMAGE_PAGE;
}

static void spoil(struct damage_image *image, size_t unit, bool zero,
                  uint64_t *seed)
{
    struct piece gone = piece(image, unit, seed);

    if (zero)
        memset(image->data + gone.at, 0, gone.size);
    else
        noise(image->data + gone.at, gone.size, seed);
}

const char *damage_some(struct damage_image *image,
                        const struct damage_image *older, size_t older_count,
                        uint64_t *seed)
{
    static const char *const names[] = {
        "bits",          "bits",           "bytes",
        "a zero sector", "a rubbish one",  "sectors swapped",
        "pages swapped", "a page doubled", "a zero page",
        "an old page",   "an old sector",  "cut off",
        "made longer",   "an old header",  "pages of an old file"};
    unsigned way =
        (unsigned)(damage_draw(seed) % (sizeof names / sizeof names[0]));
    const struct damage_image *old =
        &older[damage_draw(seed) % (older_count ? older_count : 1)];
    if (way <= 1)
        damage_flip(image->data, image->size, seed);
    else if (way == 2)
        spoil(image, 1 + damage_draw(seed) % 16, false, seed);
    else if (way <= 4)
        spoil(image, DAMAGE_SECTOR, way == 3, seed);
    else if (way <= 6)
        swap(image, way == 5 ? DAMAGE_SECTOR : DAMAGE_PAGE, seed);
    else if (way == 7)
        copy_over(image, DAMAGE_PAGE, seed);
    else if (way == 8)
        spoil(image, DAMAGE_PAGE, true, seed);
    else if (way <= 10)
        age(image, old,
            piece(image, way == 9 ? DAMAGE_PAGE : DAMAGE_SECTOR, seed));
    else if (way == 11)
        shorten(image, seed);
    else if (way == 12)
        lengthen(image, seed);
    else if (way == 13)
        age(image, old,
            (struct piece){damage_draw(seed) % 2 * DAMAGE_PAGE, DAMAGE_PAGE});
    else
        for (unsigned i = 0; i < 4; i++)
            age(image, old, piece(image, DAMAGE_PAGE, seed));
    return names[way];
}

void damage_one_back(struct damage_image *image)
{
    uint64_t numbers[2];
    uint8_t *headers[2] = {image->data, image->data + DAMAGE_PAGE};

    for (size_t i = 0; i < 2; i++)
        memcpy(&numbers[i], headers[i] + META_TXN, sizeof numbers[i]);
    size_t newer = numbers[1] > numbers[0];
    uint64_t before = numbers[!newer] - 1;
    memcpy(headers[newer] + 16, headers[!newer] + 16, DAMAGE_PAGE - 16);
    memcpy(headers[newer] + META_TXN, &before, sizeof before);
}

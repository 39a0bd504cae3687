/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LEAST 4096u

/* --- SipHash-1-3 (Aumasson, Bernstein), as hash tables have it ----------- */

static uint64_t rotated(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[2] = rotated(v[2], 32);
}

static void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
}

static uint64_t hash_of(const uint64_t key[2], struct nzd_view text)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)text.size << 56;
    uint64_t word;

    for (; text.size >= sizeof(word); text.size -= sizeof(word)) {
        memcpy(&word, text.data, sizeof(word));
        take(v, word);
        text.data += sizeof(word);
    }
    for (size_t i = 0; i < text.size; i++)
        last |= (uint64_t)text.data[i] << 8 * i;
    take(v, last);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the table ----------------------------------------------------------- */

/* At the very start of a machine there is no entropy yet, and no bundle. */
static void draw_key(struct nzd_names *names)
{
    struct timespec now = {0, 0};

    if (getrandom(names->key, sizeof(names->key), GRND_NONBLOCK) ==
        (ssize_t)sizeof(names->key))
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    names->key[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
    names->key[1] = (uint64_t)getpid() << 32 ^ (uintptr_t)names;
}

static const char **slot_of(const struct nzd_names *names, const char **table,
                            uint32_t size, struct nzd_view text)
{
    uint32_t i = (uint32_t)hash_of(names->key, text) & (size - 1);

    while (table[i] && !nzd_view_equal(nzd_view_text(table[i]), text))
        i = (i + 1) & (size - 1);
    return &table[i];
}

static bool grow(struct nzd_names *names)
{
    uint32_t size = names->size ? 2 * names->size : LEAST;
    const char **table;

    if (names->size >= 2 * NZD_LIMIT_NAMES) {
        names->refused = true;
        return false;
    }
    table = calloc(size, sizeof(*table));
    if (!table)
        return false;
    if (!names->size)
        draw_key(names);
    for (uint32_t i = 0; i < names->size; i++)
        if (names->table[i])
            *slot_of(names, table, size, nzd_view_text(names->table[i])) =
                names->table[i];
    free(names->table);
    names->table = table;
    names->size = size;
    return true;
}

const char *nzd_names_view(struct nzd_names *names, struct nzd_view view)
{
    const char **slot;

    if (2 * names->count >= names->size && !grow(names))
        return NULL;
    slot = slot_of(names, names->table, names->size, view);
    if (!*slot) {
        *slot =
            nzd_arena_text(names->arena, (const char *)view.data, view.size);
        names->count += *slot != NULL;
    }
    return *slot;
}

void nzd_names_clear(struct nzd_names *names)
{
    free(names->table);
    names->table = NULL;
    names->count = names->size = 0;
}

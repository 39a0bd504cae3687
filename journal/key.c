/* SPDX-License-Identifier: Apache-2.0 */
#include "key.h"

#include <string.h>

_Static_assert(2 * NZD_DIGEST_SIZE + NZD_KEY_NAME + 1 <= 511, "LMDB's bound");

static void add(struct nzd_key *key, const void *data, size_t size)
{
    memcpy(key->bytes + key->size, data, size);
    key->size = (uint16_t)(key->size + size);
}

static void add_number(struct nzd_key *key, uint64_t value, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    add(key, bytes, size);
}

static void add_name(struct nzd_key *key, const char *name)
{
    static const uint8_t cut = 0xFF;
    struct nzd_view view = nzd_view_text(name);
    struct nzd_digest digest;

    if (view.size <= NZD_KEY_NAME) {
        add(key, view.data, view.size);
        return;
    }
    digest = nzd_digest_of(view);
    add(key, view.data, NZD_KEY_NAME);
    add(key, &cut, 1);
    add(key, digest.bytes, sizeof(digest.bytes));
}

struct nzd_view nzd_key_view(const struct nzd_key *key)
{
    return nzd_view_of(key->bytes, key->size);
}

struct nzd_key nzd_key_txn(uint64_t id)
{
    struct nzd_key key = {.size = 0};

    add_number(&key, id, 8);
    return key;
}

struct nzd_key nzd_key_event(uint64_t id, uint32_t sequence)
{
    struct nzd_key key = nzd_key_txn(id);

    add_number(&key, sequence, 4);
    return key;
}

struct nzd_key nzd_key_module(uint64_t id, const char *module)
{
    struct nzd_key key = nzd_key_txn(id);

    add_name(&key, module);
    return key;
}

struct nzd_key nzd_key_live(const struct nzd_digest *base, const char *module)
{
    struct nzd_key key = {.size = 0};

    add(&key, base->bytes, sizeof(base->bytes));
    if (module)
        add_name(&key, module);
    return key;
}

uint64_t nzd_key_id(struct nzd_view key)
{
    struct nzd_reader reader;

    nzd_reader_init(&reader, key);
    return nzd_read_u64(&reader);
}

uint32_t nzd_key_sequence(struct nzd_view key)
{
    struct nzd_reader reader;
    uint32_t sequence;

    nzd_reader_init(&reader, key);
    (void)nzd_read_u64(&reader);
    sequence = nzd_read_u32(&reader);
    return nzd_reader_done(&reader) ? sequence : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <md5.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

_Static_assert(sizeof(XXH128_canonical_t) == NZD_DIGEST_SIZE, "XXH3-128");
_Static_assert(MD5_DIGEST_LENGTH == NZD_DIGEST_SIZE, "MD5");
_Static_assert(sizeof(MD5_CTX) <= sizeof(struct nzd_md5), "room for MD5_CTX");
_Static_assert(_Alignof(MD5_CTX) <= _Alignof(struct nzd_md5), "MD5_CTX");

static struct nzd_digest canonical(XXH128_hash_t hash)
{
    struct nzd_digest digest;
    XXH128_canonical_t bytes;

    XXH128_canonicalFromHash(&bytes, hash);
    memcpy(digest.bytes, bytes.digest, NZD_DIGEST_SIZE);
    return digest;
}

struct nzd_digest nzd_digest_of(struct nzd_view view)
{
    return canonical(XXH3_128bits(view.data, view.size));
}

uint64_t nzd_checksum_of(struct nzd_view view)
{
    return XXH3_64bits(view.data, view.size);
}

bool nzd_digest_equal(const struct nzd_digest *a, const struct nzd_digest *b)
{
    return memcmp(a->bytes, b->bytes, NZD_DIGEST_SIZE) == 0;
}

bool nzd_digest_is_zero(const struct nzd_digest *digest)
{
    static const struct nzd_digest zero;

    return nzd_digest_equal(digest, &zero);
}

void nzd_digest_hex(char *out, const struct nzd_digest *digest)
{
    nzd_hex(out, digest->bytes, NZD_DIGEST_SIZE);
}

/* XXH3_state_t wants 64-byte alignment: XXH3_createState() knows how. */
struct nzd_digester {
    XXH3_state_t *state;
};

struct nzd_digester *nzd_digester_begin(void)
{
    struct nzd_digester *digester = malloc(sizeof(*digester));

    if (!digester)
        return NULL;
    digester->state = XXH3_createState();
    if (!digester->state || XXH3_128bits_reset(digester->state) != XXH_OK) {
        XXH3_freeState(digester->state);
        free(digester);
        return NULL;
    }
    return digester;
}

void nzd_digester_add(struct nzd_digester *digester, struct nzd_view view)
{
    if (view.size > 0)
        (void)XXH3_128bits_update(digester->state, view.data, view.size);
}

struct nzd_digest nzd_digester_end(struct nzd_digester *digester)
{
    struct nzd_digest digest = canonical(XXH3_128bits_digest(digester->state));

    XXH3_freeState(digester->state);
    free(digester);
    return digest;
}

static MD5_CTX *context(struct nzd_md5 *md5)
{
    return (MD5_CTX *)(void *)md5->state;
}

void nzd_md5_init(struct nzd_md5 *md5)
{
    MD5Init(context(md5));
}

void nzd_md5_add(struct nzd_md5 *md5, struct nzd_view view)
{
    if (view.size > 0)
        MD5Update(context(md5), view.data, view.size);
}

struct nzd_digest nzd_md5_end(struct nzd_md5 *md5)
{
    struct nzd_digest digest;

    MD5Final(digest.bytes, context(md5));
    return digest;
}

struct nzd_digest nzd_md5_of(const struct nzd_view *views, size_t count)
{
    struct nzd_md5 md5 = {{0}};

    nzd_md5_init(&md5);
    for (size_t i = 0; i < count; i++)
        nzd_md5_add(&md5, views[i]);
    return nzd_md5_end(&md5);
}

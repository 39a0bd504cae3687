/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_DIGEST_H
#define NZD_JOURNAL_DIGEST_H

/*
 * Digests. XXH3 (xxHash 0.8) shows damage, not tampering; MD5 (libmd) is what
 * the VM itself uses to name the code of a module. Both are kept in the byte
 * order that prints as the field prints them (XXH128_canonicalFromHash).
 */

#include "bytes.h"

#define NZD_DIGEST_SIZE 16 /* XXH3-128 and MD5, bytes */
#define NZD_DIGEST_HEX  (2 * NZD_DIGEST_SIZE + 1)

struct nzd_digest {
    uint8_t bytes[NZD_DIGEST_SIZE];
};

struct nzd_digest nzd_digest_of(struct nzd_view view); /* XXH3-128 */
uint64_t nzd_checksum_of(struct nzd_view view);        /* XXH3-64 */
bool nzd_digest_equal(const struct nzd_digest *a, const struct nzd_digest *b);
bool nzd_digest_is_zero(const struct nzd_digest *digest);
/* All 32 digits into out[NZD_DIGEST_HEX]. */
void nzd_digest_hex(char *out, const struct nzd_digest *digest);

/* Incremental XXH3-128. begin() allocates, NULL without memory; end() frees. */
struct nzd_digester;
struct nzd_digester *nzd_digester_begin(void);
void nzd_digester_add(struct nzd_digester *digester, struct nzd_view view);
struct nzd_digest nzd_digester_end(struct nzd_digester *digester);

/* MD5 of the concatenated views. */
struct nzd_digest nzd_md5_of(const struct nzd_view *views, size_t count);

/* Incremental MD5, in the caller's memory. */
struct nzd_md5 {
    uint64_t state[16]; /* holds libmd's MD5_CTX, checked at compile time */
};
void nzd_md5_init(struct nzd_md5 *md5);
void nzd_md5_add(struct nzd_md5 *md5, struct nzd_view view);
struct nzd_digest nzd_md5_end(struct nzd_md5 *md5);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_KEY_H
#define NZD_JOURNAL_KEY_H

/*
 * The keys of the tables. Numbers are big-endian, so that keys sort as the
 * numbers do. A key holds at most 511 bytes and a module name up to 1020: one
 * longer than NZD_KEY_NAME is cut there and followed by 0xff, which no UTF-8
 * holds, and the XXH3-128 of the whole. Keys still sort by name, but for names
 * that only differ behind the cut. The row itself holds the whole name.
 */

#include "digest.h"

#define NZD_KEY_NAME 478 /* bytes of a module name kept in a key */

struct nzd_key {
    uint8_t bytes[511];
    uint16_t size;
};

struct nzd_view nzd_key_view(const struct nzd_key *key);
/* txn, and the prefix of a transaction's events and modules. */
struct nzd_key nzd_key_txn(uint64_t id);
struct nzd_key nzd_key_event(uint64_t id, uint32_t sequence);
struct nzd_key nzd_key_module(uint64_t id, const char *module);
/* live; with `module` NULL the prefix of a base. */
struct nzd_key nzd_key_live(const struct nzd_digest *base, const char *module);
/* The id that a key of txn, event or module begins with; 0 if it cannot. */
uint64_t nzd_key_id(struct nzd_view key);
/* The sequence of an event's key, 0 if it is none. */
uint32_t nzd_key_sequence(struct nzd_view key);

#endif

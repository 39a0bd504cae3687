/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_STORE_PAGES_H
#define NZD_JOURNAL_STORE_PAGES_H

/*
 * LMDB's file read without LMDB, every offset and number checked. LMDB itself
 * believes its pages: a damaged one that can still be read may tear others, or
 * memory, at the next write. Knows data version 1 (LMDB 0.9), in the word size
 * and byte order of this machine.
 *
 * Proved: both headers, each page of each tree once and where it says it is,
 * nodes inside their pages and apart, keys in order and between those above,
 * the counts of each table, values inside their pages, and free pages that
 * are free once and in no tree. Every page is read.
 */

#include "bytes.h"

/*
 * `file` is the whole file; `txn` the number of the transaction whose pages
 * are kept by a reader while this runs. NZD_OK, NZD_ENOTFOUND (no header of
 * that number: written over meanwhile) or NZD_EJOURNAL with what is wrong.
 */
int nzd_store_pages(struct nzd_view file, uint64_t txn, struct nzd_err *err);

/* The newest state, as the headers have it. */
struct nzd_store_heads {
    size_t page_size;
    uint64_t txn;
    uint64_t pages; /* from the file's begin on; what lies behind is unused */
};
/* `begin`: of the file, two pages at least. NZD_EJOURNAL, with what is wrong.
 */
int nzd_store_heads(struct nzd_view begin, struct nzd_store_heads *out,
                    struct nzd_err *err);

#endif

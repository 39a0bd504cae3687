/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_LISTING_H
#define NZD_STAGING_LISTING_H

/*
 * An inventory as records that go from one process to another of the same
 * nzd: each one application, module or file, lengths before contents, numbers
 * big-endian, terms in the external term format. What comes in is trusted no
 * more than a bundle: whoever wrote it may have been taken over by one.
 */

#include "inventory.h"
#include "names.h"

enum nzd_listing_kind {
    NZD_LISTING_RELEASE = 1, /* what is there once */
    NZD_LISTING_APP = 2,
    NZD_LISTING_MODULE = 3,
    NZD_LISTING_PRIV = 4,
    NZD_LISTING_RUNTIME = 5
};

/* The most one record may have; the texts of a release are the largest. */
#define NZD_LISTING_BYTES (64u << 20)

/* Takes one record; the view holds until it returns. 0, or a code. */
typedef int nzd_listing_emit(void *context, enum nzd_listing_kind kind,
                             struct nzd_view record, struct nzd_err *err);

/* Gives all of it. `brief`: only what a bundle's reader asks of the node's
 * (nzd_release_options.known): names, digests, the version of ERTS. */
int nzd_listing_encode(const struct nzd_inventory *inventory, bool brief,
                       nzd_listing_emit *emit, void *context,
                       struct nzd_err *err);

/* Initialised by zeros but for `out`, which nzd_inventory_init() made. */
struct nzd_listing_reader {
    struct nzd_inventory *out;
    struct nzd_names names;
    bool any_names; /* of what a node holds, whose names are of no files */
};

/*
 * Adds one record to reader->out; nzd_inventory_sort() is due at the end. Fails
 * NZD_EBUNDLE where it does not hold: lengths, counts and sizes over limits.h,
 * paths that are not clean, names of applications and versions that are no
 * names of folders, terms that are not what the field asks for. A module
 * marked as DETAILED has its beam; where bytes lie in the spool (spool_offset)
 * is as it was sent.
 */
int nzd_listing_decode(struct nzd_listing_reader *reader,
                       enum nzd_listing_kind kind, struct nzd_view record,
                       struct nzd_err *err);
/* Frees what reading took, not the inventory. */
void nzd_listing_clear(struct nzd_listing_reader *reader);

#endif

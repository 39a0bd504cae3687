/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BUNDLE_CHILD_H
#define NZD_ENGINE_BUNDLE_CHILD_H

/*
 * Bundles are read by a child process that can do nothing else: see
 * staging/confine.h. It decompresses, walks and parses; what comes back through
 * a pipe is the inventory (staging/listing.h) and the bytes that the plan
 * needs, which go into the spool here. All of that is checked as if the bundle
 * itself had written it: lengths, counts, names and paths against limits.h;
 * digests of bytes are made here. What an inventory says of code in them is the
 * child's word, and proved only in the node.
 *
 * The child is made at once, before nzd holds what a bundle must not have: the
 * cookie, the journal's pages, the link to the node. It reads ahead while nzd
 * asks the node, up to 8 MiB or to the files of an ERTS.
 */

#include "../staging/inventory.h"

struct nzd_bundle_child;

/* How long a bundle may take, in all and of the processor. */
#define NZD_BUNDLE_LIMIT_US    600000000u
#define NZD_BUNDLE_CPU_SECONDS 300u

/* Of the bundle `path`, which is opened here. NULL without memory; all other
 * failures are told by nzd_bundle_child_read(). */
struct nzd_bundle_child *nzd_bundle_child_start(const char *path);
/* Ends the child, too. */
void nzd_bundle_child_close(struct nzd_bundle_child *reader);

/*
 * nzd_release_read() of that bundle, once. `bytes` (may be NULL) is its size as
 * nzd_source_bytes() has it. Fails as that does (NZD_EBUNDLE also where there
 * is no such file), and:
 *   NZD_EBUNDLE   the child died (the signal is named), took too long, or
 *                 answered what does not hold
 *   NZD_EREFUSED  it could not be made; INT, TERM or HUP came; the spool is
 * full After a failure `out` is empty, and the child has ended.
 */
int nzd_bundle_child_read(struct nzd_bundle_child *reader,
                          const struct nzd_release_options *options,
                          uint64_t *bytes, struct nzd_inventory *out,
                          struct nzd_err *err);

/* What holds the children of this host, as NZD_CONFINED_ bits: one is made to
 * find out. `of_directory`: that of a directory. False: none can be made. */
bool nzd_bundle_child_confinement(bool of_directory, unsigned *out);

#endif

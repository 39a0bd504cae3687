/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BUNDLE_SAMPLE_H
#define NZD_TESTS_BUNDLE_SAMPLE_H

/*
 * Bundles that are read in a child: one sound one for all cases, a release's
 * lib/ with a module and files of priv, as the folder "r" and as the tarball
 * "r.tar.gz"; and for each case an inventory to read into. What fails in making
 * them fails the running test.
 */

#include "../engine/bundle_child_internal.h"
#include "../staging/spool.h"
#include "tree.h"

struct sample {
    struct tree tree;
    struct nzd_inventory out;
    struct nzd_spool *spool;
    struct nzd_err err;
    unsigned confined;
};

extern struct tree sample_bundle;

/* For the group. */
int sample_make(void **state);
int sample_remove(void **state);
/* For each case. */
int sample_set_up(void **state);
int sample_tear_down(void **state);
/* By a child; the code of its answer, which is in `out` and `err`. */
int sample_read_path(struct sample *f, const char *path);
/* One of the sample. */
int sample_read(struct sample *f, const char *name);
/* Into `spool`: the bytes that a bundle holds are kept from here on. */
void sample_open_spool(struct sample *f);

#endif

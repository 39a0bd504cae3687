/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_LAYOUT_H
#define NZD_TESTS_LAYOUT_H

/*
 * Releases of an application counter, laid out in a scratch folder from modules
 * that are compiled once, and read as a bundle is. What fails in making them
 * fails the running test.
 */

#include "../staging/inventory.h"
#include "tree.h"

/* Modules compiled once: "FOLDER/NAME.beam". */
extern struct tree layout_compiled;

struct layout {
    struct tree tree;
    struct nzd_inventory inventory;
    struct nzd_spool *spool;
    struct nzd_err err;
    unsigned progress;
    /* Of a bundle that is read before it is known what the node has. */
    bool late;
    unsigned settled;
    const struct nzd_inventory *known;
    struct nzd_release_options options;
};

/* For the group; and for each case. */
int layout_compile(void **state);
int layout_remove(void **state);
int layout_set_up(void **state);
int layout_tear_down(void **state);
/* A module of the group. */
void layout_put_beam(struct layout *fixture, const char *from, const char *to);
/* A boot script, of its text. */
void layout_put_boot(struct layout *fixture, const char *to, const char *text);
/* lib/counter-VERSION with two modules, of folder "one" or "two". */
void layout_put_lib(struct layout *fixture, const char *root,
                    const char *version, const char *from);
/* releases/VERSION. */
void layout_put_version(struct layout *fixture, const char *root,
                        const char *version);
/* Version 0.1.0, of both. */
void layout_put_release(struct layout *fixture, const char *root);
/* Into `inventory`; the code of it, which is in `err`. */
int layout_read_known(struct layout *fixture, const char *relative,
                      const struct nzd_inventory *known);
/* It is read; it is none, and the message says why. */
void expect_read(struct layout *fixture, const char *relative);
void expect_refused(struct layout *fixture, const char *relative,
                    const char *why);

#endif

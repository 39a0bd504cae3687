/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_REACH_H
#define NZD_STAGING_BEAM_REACH_H

/*
 * What a function may come to do, as its instructions tell: it and all that it
 * calls, in other modules too, are followed, down to functions that are known
 * (beam_pure.h). Every branch counts, taken or not; every fun that is made
 * counts as called, and so does every `fun M:F/A`. What cannot be followed
 * counts as an effect: a module that only shows when it is called, a message
 * that is sent or waited for, native code.
 *
 * Knows nothing of the node: whose code it wants, the caller fetches. A module
 * of the set is one that is to run under another name (beam_rename.h): a
 * `fun M:F/A` of it would lead to the wrong one, and its own calls of a module
 * that only shows when it is called lead nowhere. Code that is not of the set
 * and calls it would come to what it is to replace: that counts as an effect.
 */

#include "../journal/bytes.h"

struct nzd_reach;

int nzd_reach_open(struct nzd_reach **out, struct nzd_err *err);
void nzd_reach_close(struct nzd_reach *reach); /* NULL is fine */

/* The file is read here and not kept. Fails NZD_EBUNDLE where it does not hold.
 * One that is too much to follow is kept as one whose code is nowhere. */
int nzd_reach_add(struct nzd_reach *reach, struct nzd_view file, bool of_set,
                  struct nzd_err *err);
/* Its code is nowhere to be had, unless it was added: a call of it counts as an
 * effect. */
int nzd_reach_add_missing(struct nzd_reach *reach, const char *module,
                          struct nzd_err *err);

enum nzd_reach_kind {
    NZD_REACH_PURE,
    NZD_REACH_EFFECT,
    NZD_REACH_ABSENT, /* the function itself is not there */
    NZD_REACH_WANTS   /* the code of `module`, to tell: add it, ask again */
};

struct nzd_reach_end {
    enum nzd_reach_kind kind;
    const char *module; /* valid until close */
    bool calls_funs;    /* those of its arguments, too; only of PURE */
    char why[600];      /* of EFFECT: "ets:insert/2, by counter_db:put/2" */
};

int nzd_reach_from(struct nzd_reach *reach, const char *module,
                   const char *function, uint32_t arity,
                   struct nzd_reach_end *out, struct nzd_err *err);

/* Some function that was found PURE comes to this module of the set. */
bool nzd_reach_used(const struct nzd_reach *reach, const char *module);

#endif

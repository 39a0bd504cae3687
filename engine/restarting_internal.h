/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RESTARTING_INTERNAL_H
#define NZD_ENGINE_RESTARTING_INTERNAL_H

/* Inside the room of restarts: which VM answers now, and having another one
 * boot. */

#include "restarting.h"

struct nzd_going {
    struct nzd_settle *s;
    struct nzd_question q; /* the session of the VM that answers, its base */
    enum nzd_restart_way way;
    uint64_t down_us; /* when the restart was asked for */
};

enum nzd_found {
    NZD_FOUND_NONE,  /* nobody answers */
    NZD_FOUND_SAME,  /* the VM of the record */
    NZD_FOUND_OTHER, /* another one, and its boot script has come to its end */
    NZD_FOUND_SIGNAL /* nzd was told to stop */
};

/* Who answers within the limit; where `other`, the VM of the record is waited
 * out. g->q.node is its session. `err` says why nobody does. */
enum nzd_found nzd_restarting_find(struct nzd_going *g, bool other,
                                   uint64_t limit_us, struct nzd_err *err);

/* The session speaks for the transaction, with a new epoch. */
int nzd_restarting_speak(struct nzd_going *g, struct nzd_err *err);
/* Who answers now is the VM of the record. */
void nzd_restarting_take_vm(struct nzd_going *g);
/* The base that lies below what the VM has booted. */
int nzd_restarting_know_base(struct nzd_going *g, struct nzd_err *err);

/*
 * Has another boot begin, of the transaction's new side or of what was in
 * force before. 0: it has begun, as far as can be told. NZD_EREFUSED: it has
 * not, and the VM runs on.
 */
int nzd_restarting_act(struct nzd_going *g, bool forward, struct nzd_err *err);

#endif

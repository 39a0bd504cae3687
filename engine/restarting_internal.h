/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RESTARTING_INTERNAL_H
#define NZD_ENGINE_RESTARTING_INTERNAL_H

/* Inside the room of restarts: which VM answers now, having another one boot,
 * and its trial. */

#include "overlay.h"
#include "restarting.h"

struct nzd_going {
    struct nzd_settle *s;
    struct nzd_question q; /* the session of the VM that answers, its base */
    enum nzd_restart_way way;
    uint64_t down_us;       /* when the restart was asked for */
    struct nzd_err unheard; /* why hooks of its bundle cannot be run */
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
/* Whether what answers runs in the process of the record, and the transaction
 * has what a process is started with: vm.args, ERTS. Whatever such a one has
 * booted since, it is not back at the old side. */
bool nzd_restarting_in_its_process(const struct nzd_going *g);
/* Whether it has booted the transaction's new side. */
bool nzd_restarting_has_booted_it(const struct nzd_going *g);

/*
 * Has another boot begin, of the transaction's new side or of what was in
 * force before. 0: it has begun, as far as can be told. NZD_EREFUSED: it has
 * not, and the VM runs on.
 */
int nzd_restarting_act(struct nzd_going *g, bool forward, struct nzd_err *err);
/* Lays out what was in force before, so that `boot` (without ".boot") boots
 * it. What runs is left alone. */
int nzd_restarting_way_back(struct nzd_going *g, char boot[NZD_OVERLAY_PATH],
                            struct nzd_err *err);

/* Nothing was restarted, or what was before has booted: ROLLED_BACK. `why`
 * counts where the record has none. */
int nzd_restarting_roll_back(struct nzd_going *g, const char *why,
                             struct nzd_err *err);
/* The same behind a look at what the VM has booted instead. */
int nzd_restarting_proven_back(struct nzd_going *g, struct nzd_err *err);
/* Nobody can be asked. NZD_EUNSETTLED. */
int nzd_restarting_unsettled(struct nzd_going *g, const struct nzd_err *why,
                             struct nzd_err *err);

/*
 * Behind the validation, where a trial is wanted: what boots from now on is the
 * old side, the agent has the deadline, TRIAL. NZD_EJOURNAL: the move failed.
 * Any other failure: the target is not to stay.
 */
int nzd_restarting_try_out(struct nzd_going *g, struct nzd_err *err);
/*
 * Goes on from TRIAL as g->s->wish has it. 0: it is on trial still, or
 * committed, or rolled_back because the old side has booted. NZD_EROLLEDBACK:
 * it is over, for the reason in `err`, and the VM is to be restarted.
 * NZD_EUNSETTLED and others: it stays on trial.
 */
int nzd_restarting_on_trial(struct nzd_going *g, struct nzd_err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_STATE_H
#define NZD_JOURNAL_STATE_H

/*
 * The states of a transaction, the legal moves between them, and what each
 * means when it is found after an interruption. Pure: no I/O, no memory.
 *
 *   (none) -> armed -> committed
 *   (none) -> aborted                  refused after it had a number
 *   armed  -> restarting | trial | committed | undoing | reboot_pending
 *             | rolled_back            (VM gone: nothing is left to undo)
 *   restarting -> trial | committed | undoing | rolled_back | reboot_pending
 *   trial  -> committed | undoing | rolled_back | reboot_pending
 *   undoing -> undoing | rolled_back | reboot_pending | failed
 *   reboot_pending -> reboot_pending | rolled_back | failed
 *   committed -> quarantined           its overlay does not become healthy
 *   quarantined -> committed           lifted
 *
 * The numbers are written to disk and never change.
 */

#include <stdbool.h>

enum nzd_state {
    NZD_STATE_NONE = 0,
    NZD_STATE_ABORTED = 1,
    NZD_STATE_ARMED = 2,
    NZD_STATE_RESTARTING = 3,
    NZD_STATE_TRIAL = 4,
    NZD_STATE_COMMITTED = 5,
    NZD_STATE_UNDOING = 6,
    NZD_STATE_ROLLED_BACK = 7,
    NZD_STATE_REBOOT_PENDING = 8,
    NZD_STATE_FAILED = 9,
    NZD_STATE_QUARANTINED = 10
};
#define NZD_STATE_COUNT 11

/* What recovery found out about the VM that a transaction was armed in. */
enum nzd_vm_fate {
    NZD_VM_SAME,      /* its token answers and equals */
    NZD_VM_RESTARTED, /* the token differs, or that process is proven gone */
    NZD_VM_UNKNOWN    /* neither can be told */
};

/* What recovery does with a transaction found in a state. */
enum nzd_recovery {
    NZD_RECOVERY_NOTHING,      /* it is settled */
    NZD_RECOVERY_UNDO,         /* old code back in the node, then rolled_back */
    NZD_RECOVERY_ROLLED_BACK,  /* memory is gone: record rolled_back */
    NZD_RECOVERY_CONTINUE,     /* go on waiting or restarting */
    NZD_RECOVERY_JUDGE_TARGET, /* by what booted: validate or rolled_back */
    NZD_RECOVERY_LEAVE_TRIAL,  /* leave it until its deadline */
    NZD_RECOVERY_REBOOT,       /* reboot as recorded */
    NZD_RECOVERY_JUDGE_BOOT,   /* by what booted: rolled_back or failed */
    NZD_RECOVERY_UNSETTLED     /* exit 10, nothing written */
};

bool nzd_state_is_known(int state);
/* Settled states need no recovery and hold no lock on the node. */
bool nzd_state_is_open(enum nzd_state state);
bool nzd_state_can_move(enum nzd_state from, enum nzd_state to);
/* "armed", "rolled_back" ... the names of the journal and of JSON. */
const char *nzd_state_name(enum nzd_state state);
enum nzd_recovery nzd_state_recovery(enum nzd_state state,
                                     enum nzd_vm_fate fate);

#endif

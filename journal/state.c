/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <stddef.h>

#define BIT(state) (1u << (state))

static const struct {
    const char *name;
    bool open;
    unsigned next;                 /* a bit for each state it may move to */
    enum nzd_recovery recovery[3]; /* by enum nzd_vm_fate */
} states[NZD_STATE_COUNT] = {
    [NZD_STATE_NONE] = {"none",
                        false,
                        BIT(NZD_STATE_ARMED) | BIT(NZD_STATE_ABORTED),
                        {0}},
    [NZD_STATE_ABORTED] = {"aborted", false, 0, {0}},
    [NZD_STATE_ARMED] = {"armed",
                         true,
                         BIT(NZD_STATE_RESTARTING) | BIT(NZD_STATE_TRIAL) |
                             BIT(NZD_STATE_COMMITTED) | BIT(NZD_STATE_UNDOING) |
                             BIT(NZD_STATE_REBOOT_PENDING) |
                             BIT(NZD_STATE_ROLLED_BACK),
                         {NZD_RECOVERY_UNDO, NZD_RECOVERY_ROLLED_BACK,
                          NZD_RECOVERY_UNSETTLED}},
    [NZD_STATE_RESTARTING] = {"restarting",
                              true,
                              BIT(NZD_STATE_TRIAL) | BIT(NZD_STATE_COMMITTED) |
                                  BIT(NZD_STATE_UNDOING) |
                                  BIT(NZD_STATE_ROLLED_BACK) |
                                  BIT(NZD_STATE_REBOOT_PENDING),
                              {NZD_RECOVERY_CONTINUE, NZD_RECOVERY_JUDGE_TARGET,
                               NZD_RECOVERY_UNSETTLED}},
    [NZD_STATE_TRIAL] = {"trial",
                         true,
                         BIT(NZD_STATE_COMMITTED) | BIT(NZD_STATE_UNDOING) |
                             BIT(NZD_STATE_ROLLED_BACK) |
                             BIT(NZD_STATE_REBOOT_PENDING),
                         {NZD_RECOVERY_LEAVE_TRIAL, NZD_RECOVERY_ROLLED_BACK,
                          NZD_RECOVERY_UNSETTLED}},
    [NZD_STATE_COMMITTED] = {"committed",
                             false,
                             BIT(NZD_STATE_QUARANTINED),
                             {0}},
    [NZD_STATE_UNDOING] = {"undoing",
                           true,
                           BIT(NZD_STATE_UNDOING) | BIT(NZD_STATE_ROLLED_BACK) |
                               BIT(NZD_STATE_REBOOT_PENDING) |
                               BIT(NZD_STATE_FAILED),
                           {NZD_RECOVERY_UNDO, NZD_RECOVERY_ROLLED_BACK,
                            NZD_RECOVERY_UNSETTLED}},
    [NZD_STATE_ROLLED_BACK] = {"rolled_back", false, 0, {0}},
    [NZD_STATE_REBOOT_PENDING] = {"reboot_pending",
                                  true,
                                  BIT(NZD_STATE_REBOOT_PENDING) |
                                      BIT(NZD_STATE_ROLLED_BACK) |
                                      BIT(NZD_STATE_FAILED),
                                  {NZD_RECOVERY_REBOOT, NZD_RECOVERY_JUDGE_BOOT,
                                   NZD_RECOVERY_UNSETTLED}},
    [NZD_STATE_FAILED] = {"failed", false, 0, {0}},
    [NZD_STATE_QUARANTINED] = {"quarantined",
                               false,
                               BIT(NZD_STATE_COMMITTED),
                               {0}},
};

bool nzd_state_is_known(int state)
{
    return state >= 0 && state < NZD_STATE_COUNT;
}

bool nzd_state_is_open(enum nzd_state state)
{
    return nzd_state_is_known((int)state) && states[state].open;
}

bool nzd_state_can_move(enum nzd_state from, enum nzd_state to)
{
    if (!nzd_state_is_known((int)from) || !nzd_state_is_known((int)to))
        return false;
    return (states[from].next & BIT(to)) != 0;
}

const char *nzd_state_name(enum nzd_state state)
{
    return nzd_state_is_known((int)state) ? states[state].name : "unknown";
}

enum nzd_recovery nzd_state_recovery(enum nzd_state state,
                                     enum nzd_vm_fate fate)
{
    if (!nzd_state_is_known((int)state) || (unsigned)fate > NZD_VM_UNKNOWN)
        return NZD_RECOVERY_UNSETTLED;
    return states[state].recovery[fate];
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_PLAN_H
#define NZD_STAGING_PLAN_H

/*
 * The plan: the difference between two inventories as module steps, with a
 * verdict and its evidence. Pure: it reads no file and asks no node. What
 * only the node can tell (who is in the way, who calls from outside) is put
 * in by the engine through nzd_plan_add_evidence().
 */

#include "settings.h"

enum nzd_step_change { NZD_STEP_CHANGED, NZD_STEP_ADDED, NZD_STEP_REMOVED };

struct nzd_step {
    enum nzd_step_change change;
    const char *name;
    const char *app;
    const struct nzd_module *old; /* NULL when added */
    const struct nzd_module *new; /* NULL when removed */
    bool after_others;            /* on_load: a load step of its own */
};

/* A call that would have no target: a gap. */
struct nzd_gap {
    const char *caller; /* module */
    const char *module;
    const char *function;
    uint32_t arity;
    bool in_flight; /* the caller is old code of a changed module: only who
                       is in it at the switch could meet it; else the caller
                       stays as it is and meets it at every call */
};

struct nzd_plan {
    struct nzd_arena arena;
    const struct nzd_inventory *old; /* borrowed */
    const struct nzd_inventory *new; /* borrowed */
    struct nzd_step *steps;          /* sorted: application, module */
    uint32_t step_count;
    uint32_t changed;
    uint32_t added;
    uint32_t removed;
    struct nzd_evidence_list evidence;
    struct nzd_gap *gaps;
    uint32_t gap_count;
    uint32_t unchanged_modules;
    uint32_t unchanged_apps;
    enum nzd_level verdict;
    const char *release; /* what people call it: the release, or the app
                            that changed when there is no release */
    const char *from_version;
    const char *to_version;
};

/*
 * The module steps: changed (other md5 or attributes), added, removed.
 * Removed are modules of applications that the new side holds; of absent
 * applications only when the new side is a full release. A module that the
 * old side holds in no application or as part of the emulator is never
 * removed. Afterwards the engine fills `details` of old modules.
 */
int nzd_plan_diff(const struct nzd_inventory *old,
                  const struct nzd_inventory *new, struct nzd_plan *out,
                  struct nzd_err *err);

/*
 * Settings, on_load and NIFs, sticky modules, gaps among the detailed
 * modules; sets the verdict. Needs the old sides of the steps detailed.
 */
int nzd_plan_judge(struct nzd_plan *plan, struct nzd_err *err);
/* The most that any of the evidence needs. */
enum nzd_need nzd_plan_need(const struct nzd_plan *plan);

/* The removed exports and removed modules that code outside the steps may
 * still call, for the node to look for: {module, NULL} is a removed module. */
int nzd_plan_removed_functions(struct nzd_plan *plan,
                               struct nzd_beam_function **out, uint32_t *count,
                               struct nzd_err *err);
/* Passed over where a restart of the VM leaves none of it. */
int nzd_plan_add_gap(struct nzd_plan *plan, const struct nzd_gap *gap,
                     struct nzd_err *err);
int nzd_plan_add_evidence(struct nzd_plan *plan,
                          const struct nzd_evidence *evidence,
                          struct nzd_err *err);
void nzd_plan_clear(struct nzd_plan *plan);

#endif

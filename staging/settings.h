/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SETTINGS_H
#define NZD_STAGING_SETTINGS_H

/*
 * What of a release is not code of a module: ERTS, boot script, sys.config,
 * runtime.exs, vm.args, env.sh, the set of applications, .app keys, priv
 * files. Compared by meaning, not by path: a version in a folder's name, the
 * release's own version in a string, the module lists and versions of
 * changed applications, comments and blank lines are no difference.
 *
 * In a running node: the environment of applications, whose keys are set;
 * applications that come and go, or are started in another way; keys of .app,
 * where what only a start takes in (mod, start_phases ...) has the application
 * start anew; and files of priv but for those that are loaded or run (`use` and
 * `priv_fixed` of the old side). Not there, because it is read when the VM
 * boots: what belongs to kernel, stdlib and sasl. A release whose configuration
 * is made by Elixir's providers is live where all of them are Config.Reader's,
 * which the node then can run.
 */

#include "../journal/record.h"
#include "inventory.h"

/*
 * What a change needs of the node to be in force. An overlay carries what a
 * boot of the VM reads: boot script, applications, sys.config, runtime.exs,
 * vm.args, priv, and an ERTS that the bundle holds; it cannot carry what stands
 * before that.
 */
enum nzd_need {
    NZD_NEED_SWITCH,  /* in the node: everything below restart-vm */
    NZD_NEED_RESTART, /* another boot of the VM: init:restart/0 is enough */
    NZD_NEED_START,   /* another process of the system: vm.args, ERTS */
    NZD_NEED_BASE     /* another base: env.sh, the emulator's modules */
};
/* "switch", "restart", "start", "base". */
const char *nzd_need_name(enum nzd_need need);

/* One reason for a verdict. Texts live in the caller's arena. */
struct nzd_evidence {
    enum nzd_level level;
    const char *subject; /* "erts", "sys.config", "counter_srv 1 process" */
    const char *old;     /* "13.1.5", "" none */
    const char *new;     /* "13.2" */
    const char *source;  /* "releases/start_erl.data" */
    enum nzd_need need;
    bool live; /* configuration, applications or files, changed in the node */
    const char *restarts; /* the application that starts anew; NULL: none */
    bool files;           /* live, and of priv: what is laid out for the node */
};

struct nzd_evidence_list {
    struct nzd_evidence *items;
    uint32_t count;
    uint32_t capacity;
};

/* Copies the texts into the arena. NZD_EINTERNAL without memory. */
int nzd_evidence_add(struct nzd_evidence_list *list, struct nzd_arena *arena,
                     const struct nzd_evidence *evidence, struct nzd_err *err);
void nzd_evidence_clear(struct nzd_evidence_list *list);

/*
 * Adds one line for every difference (at most 50 per subject, the rest
 * counted). What only one side knows (size 0, NULL, "") is compared only
 * when `new` is a release and the old side is a release too. `new` may be
 * a partial bundle: then only the applications it holds are compared, and
 * an application the old side lacks counts only when one that it has names
 * it under applications or included_applications.
 */
int nzd_settings_compare(const struct nzd_inventory *old,
                         const struct nzd_inventory *new,
                         struct nzd_arena *arena, struct nzd_evidence_list *out,
                         struct nzd_err *err);

#endif

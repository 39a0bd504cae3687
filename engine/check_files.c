/* SPDX-License-Identifier: Apache-2.0 */
#include "check_parts.h"

#include "../journal/lock.h"
#include "../staging/confine.h"
#include "bundle_child.h"
#include "run.h"
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_FILE "/etc/nzd.conf"
/* The rest of the journal's room that is worth a warning, in percent. */
#define ROOM_LEFT 10u

/* --- configuration ------------------------------------------------------- */

static const struct nzd_hook *hook_that_cannot_run(const struct nzd_config *all)
{
    for (unsigned i = 0; i < all->hook_count; i++) {
        const struct nzd_hook *hook = &all->hooks[i];
        if (!hook->module && hook->args[0][0] == '/' &&
            access(hook->args[0], X_OK) != 0)
            return hook;
    }
    return NULL;
}

static bool cannot_restart(const struct nzd_config *config)
{
    const char *program = config->restart_command[0];
    return config->restart_words && program[0] == '/' &&
           access(program, X_OK) != 0;
}

void nzd_check_configuration(struct nzd_checking *c)
{
    const struct nzd_config *config = &c->context->config;
    const char *path = c->context->options.config;
    const struct nzd_hook *bad = hook_that_cannot_run(config);
    struct stat status;
    path = path ? path : CONFIG_FILE;
    if (c->context->config_error.code) {
        nzd_check_fail(&c->list, "configuration", &c->context->config_error);
        nzd_check_next(&c->list, "mend it; the checks below take what it would "
                                 "be without it");
    } else if (stat(path, &status) != 0) {
        nzd_check_ok(&c->list, "configuration", "%s is not there: defaults",
                     path);
    } else if (bad) {
        nzd_check_warn(&c->list, "configuration",
                       "hook %s: %s cannot be run: %s", bad->name, bad->args[0],
                       strerror(errno));
        nzd_check_next(&c->list, "each apply that runs it will fail");
    } else if (cannot_restart(config)) {
        nzd_check_warn(&c->list, "configuration",
                       "the restart command %s cannot be run: %s",
                       config->restart_command[0], strerror(errno));
        nzd_check_next(&c->list, "each change that needs a restart will fail");
    } else {
        nzd_check_ok(&c->list, "configuration", "%s is valid, %u hook%s", path,
                     config->hook_count, config->hook_count == 1 ? "" : "s");
    }
}

/* --- who reads bundles --------------------------------------------------- */

void nzd_check_reading(struct nzd_checking *c)
{
    unsigned has = 0;
    char held[80], lacks[80];
    if (!nzd_bundle_child_confinement(false, &has)) {
        nzd_check_warn(&c->list, "reading",
                       "the process that reads bundles cannot be made");
        nzd_check_next(&c->list, "see how many processes and open files this "
                                 "user may have: ulimit -u, ulimit -n");
        return;
    }
    nzd_confine_names(has, held, sizeof held);
    nzd_confine_names(nzd_confine_built() & ~has, lacks, sizeof lacks);
    if (has == nzd_confine_built())
        nzd_check_ok(&c->list, "reading",
                     "what reads a bundle can do nothing else");
    else if (has & NZD_CONFINED_CALLS ||
             !(nzd_confine_built() & NZD_CONFINED_CALLS))
        nzd_check_ok(&c->list, "reading",
                     "what reads a bundle is held by: %s (not here: %s)", held,
                     lacks);
    else {
        nzd_check_warn(&c->list, "reading",
                       "what reads a bundle is held only by: %s", held);
        nzd_check_next(&c->list, "a kernel with CONFIG_SECCOMP_FILTER holds "
                                 "it tighter");
    }
}

/* --- journal ------------------------------------------------------------- */

/* The nearest folder above that is there. */
static void parent_of(const char *directory, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", directory);
    while (access(out, F_OK) != 0) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out) {
            snprintf(out, PATH_MAX, "%s", slash ? "/" : ".");
            return;
        }
        *slash = '\0';
    }
}

static void check_none(struct nzd_checking *c)
{
    char parent[PATH_MAX];
    parent_of(c->directory, parent);
    if (access(parent, W_OK) == 0) {
        nzd_check_ok(&c->list, "journal",
                     "none yet; the first apply makes it in %s", c->directory);
        return;
    }
    struct nzd_err err = NZD_ERR_INIT;
    nzd_err_system(&err, NZD_EJOURNAL, errno,
                   "there is none in %s, and none can be made: %s",
                   c->directory, parent);
    nzd_err_next(&err, "run nzd as the user who may, or name another one: "
                       "--journal DIR");
    nzd_check_fail(&c->list, "journal", &err);
}

static int check_writable(const struct nzd_checking *c, struct nzd_err *err)
{
    static const char *const names[] = {"", "/data.mdb", "/lock"};
    char path[PATH_MAX];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", c->directory, names[i]);
        if (access(path, W_OK) == 0 || (errno == ENOENT && i == 2))
            continue;
        nzd_err_system(err, NZD_EJOURNAL, errno, "%s cannot be written", path);
        nzd_err_next(err, "see mount(8) and the owner of %s", c->directory);
        return NZD_EJOURNAL;
    }
    return 0;
}

static void tell_room(struct nzd_checking *c,
                      const struct nzd_journal_stat *stat)
{
    char used[32], most[32], room[32];
    nzd_format_bytes(used, stat->used_bytes);
    nzd_format_bytes(most, stat->max_bytes);
    nzd_format_bytes(room, stat->free_bytes);
    if (stat->free_bytes >= stat->max_bytes / 100 * ROOM_LEFT) {
        nzd_check_ok(&c->list, "journal",
                     "%s, %" PRIu64 " transaction%s, %s of %s, whole",
                     c->directory, stat->transactions,
                     stat->transactions == 1 ? "" : "s", used, most);
        return;
    }
    nzd_check_warn(&c->list, "journal", "%s: only %s are left, %s of %s used",
                   c->directory, room, used, most);
    nzd_check_next(&c->list, "nzd journal gc; a higher journal_max, or room on "
                             "the disk");
}

void nzd_check_journal(struct nzd_checking *c)
{
    struct nzd_journal_options options;
    struct nzd_journal_stat stat;
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_target here = {.local = true};
    const struct nzd_target *target = c->found ? &c->q.target : &here;
    c->directory = nzd_journal_path(c->context, target);
    int code = nzd_run_open_journal(c->context, target, NZD_JOURNAL_READ,
                                    &options, &c->journal, &err);
    if (code == NZD_ENOTFOUND) {
        check_none(c);
        return;
    }
    if (!code)
        code = nzd_journal_verify(c->journal, &err);
    if (!code)
        code = nzd_journal_stat(c->journal, &stat, &err);
    if (!code)
        code = check_writable(c, &err);
    if (code)
        nzd_check_fail(&c->list, "journal", &err);
    else
        tell_room(c, &stat);
}

void nzd_check_lock(struct nzd_checking *c)
{
    struct nzd_err err = NZD_ERR_INIT;
    if (nzd_lock_look(c->directory, &err) == NZD_EBUSY) {
        nzd_check_warn(&c->list, "lock", "%s", err.message);
        nzd_check_next(&c->list, "nothing, where that nzd is at work");
    } else {
        nzd_check_ok(&c->list, "lock", "no other nzd is at work");
    }
}

/* --- transactions -------------------------------------------------------- */

struct quarantine {
    unsigned count;
    uint64_t last;
};

static int note_quarantined(void *context, const struct nzd_txn *txn)
{
    struct quarantine *found = context;
    if (txn->state == NZD_STATE_QUARANTINED && found->count++ == 0)
        found->last = txn->id;
    return 0;
}

static void check_open(struct nzd_checking *c)
{
    struct nzd_txn txn;
    struct nzd_err err = NZD_ERR_INIT;
    int code = nzd_journal_open_txn(c->journal, &txn, &err);
    if (code == NZD_ENOTFOUND) {
        nzd_check_ok(&c->list, "transaction", "none is open");
        return;
    }
    if (code) {
        nzd_check_fail(&c->list, "transaction", &err);
        return;
    }
    if (txn.state == NZD_STATE_TRIAL && nzd_trial_left(&txn)) {
        char until[96];
        nzd_trial_until(nzd_trial_left(&txn), until);
        nzd_check_warn(&c->list, "transaction", "%" PRIu64 " is on trial %s",
                       txn.id, until);
        nzd_check_next(&c->list, "nzd confirm keeps it, nzd rollback ends it");
    } else if (nzd_lock_look(c->directory, NULL) == NZD_EBUSY) {
        nzd_check_warn(&c->list, "transaction",
                       "%" PRIu64 " is %s: nzd is at work", txn.id,
                       nzd_state_name(txn.state));
    } else {
        nzd_err_set(&err, NZD_EUNSETTLED,
                    "%" PRIu64 " is %s, and no nzd is at work", txn.id,
                    nzd_state_name(txn.state));
        nzd_err_next(&err, "nzd recover");
        nzd_check_fail(&c->list, "transaction", &err);
    }
    nzd_txn_clear(&txn);
}

void nzd_check_transactions(struct nzd_checking *c)
{
    struct quarantine found = {0};
    struct nzd_err err = NZD_ERR_INIT;
    if (!c->journal)
        return;
    check_open(c);
    if (nzd_journal_each_txn(c->journal, note_quarantined, &found, &err)) {
        nzd_check_fail(&c->list, "quarantine", &err);
    } else if (found.count) {
        nzd_check_warn(&c->list, "quarantine", "%u generation%s, last %" PRIu64,
                       found.count, found.count == 1 ? "" : "s", found.last);
        nzd_check_next(&c->list,
                       "nzd journal show %" PRIu64 " tells why; nzd health "
                       "lift %" PRIu64 " lets it be taken again",
                       found.last, found.last);
    } else {
        nzd_check_ok(&c->list, "quarantine", "no generation");
    }
}

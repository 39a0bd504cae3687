/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include "../journal/aside.h"
#include "../journal/attempts.h"
#include "../journal/lock.h"
#include "base.h"
#include "boot_fallback.h"
#include "health_vm.h"
#include "host.h"
#include "log.h"
#include "restarting.h"
#include "run.h"
#include "settle.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BOOT_FILE_MAX     (16u << 20) /* bytes of a boot script */
#define LOCK_WAIT_US      2000000u
#define SET_ASIDE_WAIT_US 500000u
#define NZD_WAITS_US      200000u /* for an nzd that waits for this VM */

struct deciding {
    struct nzd_context *context;
    char *const *argv;
    const struct nzd_launch *launch;
    struct nzd_boot *out;
    struct nzd_target target; /* this host; nobody runs yet */
    const struct nzd_term *script;
    struct nzd_buf script_bytes;
    struct nzd_journal *journal;
    struct nzd_txn in_force; /* or the target */
    bool forward;            /* in_force is an open transaction that goes
                                forward through this boot */
    struct nzd_attempts attempts;
    struct nzd_err *err;
};

/* On stderr and in the system's log: nobody may be looking. */
__attribute__((format(printf, 2, 3))) static void tell(struct deciding *d,
                                                       const char *format, ...)
{
    char text[NZD_ERR_MESSAGE + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    nzd_output_warn(&d->context->output, "%s", text);
    nzd_log_send("/dev/log", "/dev/kmsg", 4, text);
}

/* --- the base ------------------------------------------------------------ */

static int read_base(struct deciding *d)
{
    struct nzd_arena *arena = &d->context->config.arena;
    struct nzd_base_parts parts = {.erts = d->launch->erts};
    struct nzd_buf elf = {0};
    const struct nzd_term *id;
    if (nzd_host_read(d->launch->boot, BOOT_FILE_MAX, &d->script_bytes) ||
        nzd_host_read(d->launch->emulator, NZD_BASE_ELF, &elf)) {
        nzd_buf_clear(&elf);
        return nzd_err_set(d->err, NZD_EREFUSED, "%s cannot be read",
                           d->launch->boot);
    }
    parts.script = nzd_buf_view(&d->script_bytes);
    parts.elf = nzd_buf_view(&elf);
    int code = nzd_term_decode(parts.script, arena, &d->script, d->err);
    if (!code) {
        id = nzd_term_at(d->script, 1);
        parts.name = nzd_term_text(nzd_term_at(id, 0), arena);
        parts.version = nzd_term_text(nzd_term_at(id, 1), arena);
        if (!nzd_term_is_tagged(d->script, "script", 3) || !parts.name ||
            !parts.version)
            code = nzd_err_set(d->err, NZD_EREFUSED, "%s is no boot script",
                               d->launch->boot);
        else
            d->out->base = nzd_base_identity(&parts);
    }
    nzd_buf_clear(&elf);
    return code;
}

/* --- the journal --------------------------------------------------------- */

static int open_journal(struct deciding *d, enum nzd_journal_mode mode)
{
    struct nzd_journal_options options;
    uint64_t wait = d->context->options.wait_us;
    nzd_journal_close(d->journal);
    d->journal = NULL;
    if (mode == NZD_JOURNAL_WRITE && !wait)
        d->context->options.wait_us = LOCK_WAIT_US;
    int code = nzd_run_open_journal(d->context, &d->target, mode, &options,
                                    &d->journal, d->err);
    d->context->options.wait_us = wait;
    return code;
}

/* Whoever holds it past the limit, as a process that was stopped, is ended. */
static int open_to_write(struct deciding *d)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    int64_t pid = 0;
    int code = open_journal(d, NZD_JOURNAL_WRITE);
    if (code != NZD_EBUSY ||
        nzd_lock_end_holder(d->out->journal, &pid, &ignored))
        return code;
    tell(d, "nzd, pid %" PRId64 ", held the journal and was ended", pid);
    nzd_err_clear(d->err);
    return open_journal(d, NZD_JOURNAL_WRITE);
}

/* Its new side was booted once, and is not committed. */
static bool was_tried(struct deciding *d, const struct nzd_txn *txn)
{
    struct nzd_attempts attempts = {.generation = 0};
    struct nzd_err ignored = NZD_ERR_INIT;
    return !nzd_attempts_read(d->out->journal, &attempts, &ignored) &&
           attempts.generation == txn->id && attempts.tries > 0 &&
           nzd_digest_equal(&attempts.base, &txn->base);
}

static bool goes_forward(struct deciding *d, const struct nzd_txn *txn)
{
    return txn->state == NZD_STATE_RESTARTING &&
           nzd_digest_equal(&txn->base, &d->out->base) && !was_tried(d, txn);
}

enum left { LEFT_NOTHING, LEFT_TO_SETTLE, LEFT_TO_ITS_NZD };

/* An open transaction that can be settled without a node, or goes on with this
 * boot. One that goes through a restart has an nzd that waits for the VM. */
static enum left find_left(struct deciding *d)
{
    struct nzd_txn txn;
    enum left left = LEFT_NOTHING;
    if (nzd_journal_open_txn(d->journal, &txn, NULL))
        return LEFT_NOTHING;
    if (!nzd_settle_is_gone(&txn.vm)) {
        tell(d,
             "transaction %" PRIu64 " is %s, and the VM it was armed in is "
             "not proven gone",
             txn.id, nzd_state_name(txn.state));
    } else if (goes_forward(d, &txn)) {
        d->in_force = txn;
        d->forward = true;
        snprintf(d->out->node, sizeof d->out->node, "%s", txn.node);
        return LEFT_NOTHING;
    } else {
        left = nzd_restarting_is(&txn) ? LEFT_TO_ITS_NZD : LEFT_TO_SETTLE;
    }
    nzd_txn_clear(&txn);
    return left;
}

static int open_beside_nzd(struct deciding *d)
{
    uint64_t wait = d->context->options.wait_us;
    d->context->options.wait_us = NZD_WAITS_US;
    int code = open_journal(d, NZD_JOURNAL_WRITE);
    d->context->options.wait_us = wait;
    return code;
}

/* Of what cannot be settled now the old code is in force all the same: the
 * next nzd goes on. What a write that failed has left is read anew. */
static int settle(struct deciding *d, enum left left)
{
    struct nzd_err why = NZD_ERR_INIT;
    struct nzd_err *err = d->err;
    d->err = &why;
    int code = left == LEFT_TO_SETTLE ? open_to_write(d) : open_beside_nzd(d);
    bool waits = code == NZD_EBUSY && left == LEFT_TO_ITS_NZD;
    if (!code)
        code = nzd_settle_gone(d->context, d->journal, &why);
    d->err = err;
    if (!code)
        return 0;
    if (!waits)
        tell(d, "not settled: %s", why.message);
    return open_journal(d, NZD_JOURNAL_READ);
}

/* 0 with in_force.id 0: nothing is. */
static int find_in_force(struct deciding *d)
{
    nzd_txn_clear(&d->in_force);
    memset(&d->in_force, 0, sizeof d->in_force);
    int code =
        nzd_journal_in_force(d->journal, &d->out->base, &d->in_force, d->err);
    if (code != NZD_ENOTFOUND)
        return code;
    nzd_err_clear(d->err);
    memset(&d->in_force, 0, sizeof d->in_force);
    return 0;
}

/* --- attempts ------------------------------------------------------------ */

/* None was made yet; but code that was healthy under an earlier number is. */
static void begin_attempts(struct deciding *d, uint64_t last_healthy)
{
    const struct nzd_txn *txn = &d->in_force;
    d->attempts = (struct nzd_attempts){
        .base = d->out->base,
        .generation = txn->id,
        .last_healthy = last_healthy,
        .healthy =
            last_healthy && !d->forward &&
            (txn->id == last_healthy || (txn->kind == NZD_TXN_ROLLBACK &&
                                         txn->to_generation == last_healthy))};
}

/* The count of another generation says which was healthy last. */
static int read_attempts(struct deciding *d)
{
    struct nzd_attempts *a = &d->attempts;
    int code = nzd_attempts_read(d->out->journal, a, d->err);
    if (code)
        return code;
    if (a->generation == d->in_force.id &&
        nzd_digest_equal(&a->base, &d->out->base))
        return 0;
    uint64_t last_healthy = 0;
    if (nzd_digest_equal(&a->base, &d->out->base))
        last_healthy = nzd_health_vm_last(d->journal, a);
    begin_attempts(d, last_healthy);
    return 0;
}

static bool is_spent(const struct deciding *d)
{
    const struct nzd_attempts *a = &d->attempts;
    return a->tries >=
           nzd_attempts_limit(a->healthy, d->context->config.boot_tries);
}

/* One step back; again until one is left that has tries, or the base. */
static int fall_back(struct deciding *d)
{
    struct nzd_txn next = {0};
    char why[160];
    snprintf(why, sizeof why,
             "generation %" PRIu64 " did not become healthy in %" PRIu32
             " boots",
             d->in_force.id, d->attempts.tries);
    int code = open_to_write(d);
    if (!code)
        code = nzd_boot_fall_back(d->journal, &d->in_force, why, &next, d->err);
    if (code) {
        nzd_txn_clear(&next);
        return code;
    }
    tell(d, "%s: put out of force, generation %" PRIu64 " is that of %" PRIu64,
         why, next.id, next.to_generation);
    uint64_t healthy = d->attempts.last_healthy;
    nzd_txn_clear(&d->in_force);
    d->in_force = next;
    begin_attempts(d, healthy);
    return 0;
}

static int count(struct deciding *d)
{
    struct nzd_err unwritten = NZD_ERR_INIT;
    if (d->attempts.tries < UINT32_MAX)
        d->attempts.tries++;
    if (!nzd_attempts_write(d->out->journal, &d->attempts, &unwritten))
        return 0;
    if (d->attempts.healthy) {
        tell(d, "this boot is not counted: %s", unwritten.message);
        return 0;
    }
    return nzd_err_set(d->err, NZD_EREFUSED,
                       "generation %" PRIu64 " was never healthy and cannot "
                       "be counted: %.200s",
                       d->in_force.id, unwritten.message);
}

/* --- the overlay --------------------------------------------------------- */

static void name_file(char out[NZD_OVERLAY_PATH],
                      const struct nzd_overlay *overlay, bool own,
                      const char *name)
{
    if (own)
        snprintf(out, NZD_OVERLAY_PATH, "%.500scurrent/%s", overlay->root,
                 name);
}

static void name_files(struct nzd_boot *boot, const struct nzd_overlay *overlay)
{
    boot->overlay = overlay->has_boot;
    name_file(boot->boot, overlay, overlay->has_boot, "start");
    name_file(boot->config, overlay, overlay->has_config, "sys.config");
    name_file(boot->vm_args, overlay, overlay->has_args, "vm.args");
    snprintf(boot->erts, sizeof boot->erts, "%s", overlay->erts);
}

struct nzd_launch_files nzd_boot_files(const struct nzd_boot *boot)
{
    return (struct nzd_launch_files){
        .boot = boot->boot,
        .config = boot->config[0] ? boot->config : NULL,
        .vm_args = boot->vm_args[0] ? boot->vm_args : NULL,
        .erts = boot->erts[0] ? boot->erts : NULL};
}

/* Whether the command takes it all: what it does not take is not the fault of
 * the generation, and no attempt. */
static int try_command(struct deciding *d)
{
    const struct nzd_launch_files files = nzd_boot_files(d->out);
    char **argv;
    return nzd_launch_instead(d->launch, d->argv, &files,
                              &d->context->config.arena, &argv, d->err);
}

static int lay_out(struct deciding *d)
{
    struct nzd_overlay_base base = {.identity = &d->out->base,
                                    .script = d->script,
                                    .boot_file = d->launch->boot};
    struct nzd_overlay overlay = {.folder_count = 0};
    int code =
        nzd_overlay_make(d->journal, &base, d->in_force.id, &overlay, d->err);
    if (!code)
        code = nzd_overlay_set_current(&overlay, d->err);
    if (!code)
        name_files(d->out, &overlay);
    if (!code)
        nzd_overlay_sweep(&overlay, d->in_force.id, 0);
    nzd_overlay_clear(&overlay);
    return code;
}

/* A target that failed may have left an ERTS, which is large. */
static void sweep_left(struct deciding *d)
{
    struct nzd_txn open = {.id = 0};
    if (nzd_journal_open_txn(d->journal, &open, NULL) == NZD_ENOTFOUND)
        nzd_overlay_sweep_all(d->journal);
    else
        nzd_txn_clear(&open);
}

static int choose(struct deciding *d)
{
    int code = d->forward ? 0 : find_in_force(d);
    if (!code && !d->in_force.id)
        sweep_left(d);
    if (code || !d->in_force.id)
        return code;
    nzd_overlay_set_aside(d->journal);
    code = nzd_overlay_root(d->journal, d->out->root, d->err);
    if (!code)
        code = read_attempts(d);
    while (!code && !d->forward && is_spent(d) && d->in_force.new_set.count)
        code = fall_back(d);
    if (!code)
        code = lay_out(d);
    if (!code && d->out->overlay)
        code = try_command(d);
    /* Counted last: what kept us from laying it out was not its fault. */
    if (!code && (d->forward || (d->out->overlay && !d->launch->detached)))
        code = count(d);
    if (code)
        d->out->overlay = false;
    else
        d->out->generation = d->in_force.id;
    d->out->forward = d->forward;
    return code;
}

/* The base boots, and the next apply begins a journal. What is not proven to
 * be damage may hold again at the next boot. */
static void set_aside(struct deciding *d, const struct nzd_err *why)
{
    char to[PATH_MAX];
    struct nzd_err err = NZD_ERR_INIT;
    nzd_journal_close(d->journal);
    d->journal = NULL;
    if (nzd_journal_set_aside(d->out->journal, SET_ASIDE_WAIT_US, to, sizeof to,
                              &err))
        tell(d, "%s", err.message);
    else
        tell(d, "%.300s; it is %s now", why->message, to);
}

int nzd_boot_decide(struct nzd_context *context, char *const argv[],
                    struct nzd_launch *launch, struct nzd_boot *out,
                    struct nzd_err *err)
{
    struct deciding d = {.context = context,
                         .argv = argv,
                         .launch = launch,
                         .out = out,
                         .target = {.local = true},
                         .err = err};
    memset(out, 0, sizeof *out);
    const char *directory = nzd_journal_path(context, &d.target);
    if (directory)
        snprintf(out->journal, sizeof out->journal, "%s", directory);
    /* What others may write is not run with the rights of who boots. */
    int code = nzd_journal_judge(out->journal, "booted", err);
    if (!code)
        code = open_journal(&d, NZD_JOURNAL_READ);
    if (code == NZD_ENOTFOUND) {
        nzd_err_clear(err);
        return 0;
    }
    if (!code)
        code = nzd_launch_read(argv, launch, err);
    if (!code)
        code = read_base(&d);
    enum left left = code ? LEFT_NOTHING : find_left(&d);
    if (left != LEFT_NOTHING)
        code = settle(&d, left);
    if (!code)
        code = choose(&d);
    if (code && err->damage && out->journal[0])
        set_aside(&d, err);
    nzd_txn_clear(&d.in_force);
    nzd_buf_clear(&d.script_bytes);
    nzd_journal_close(d.journal);
    return code;
}

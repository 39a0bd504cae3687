/* SPDX-License-Identifier: Apache-2.0 */
#include "power.h"

#include "../journal/journal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_S 20u

struct look {
    const char *directory;
    struct power_finding *finding;
    struct nzd_journal *journal;
    struct nzd_txn newest; /* id 0: none */
    char force[256];       /* what is in force */
    struct nzd_err err;
};

/* Nothing cuts the power here. */
static const struct nzd_journal_options options = {.purpose = "power",
                                                   .no_sync = 1};

static int because(struct look *look, const char *doing)
{
    snprintf(look->finding->why, sizeof look->finding->why, "%s: %s", doing,
             look->err.message);
    return -1;
}

static int verify(struct look *look, const char *when)
{
    if (nzd_journal_verify(look->journal, &look->err) == NZD_OK)
        return 0;
    return because(look, when);
}

/* --- what it holds ------------------------------------------------------- */

static int tell_txn(void *context, const struct nzd_txn *txn)
{
    struct look *look = context;
    char *text = look->finding->text;
    size_t size = strlen(text);
    if (look->newest.id == 0) {
        look->newest.id = txn->id;
        look->newest.base = txn->base;
    }
    snprintf(text + size, sizeof look->finding->text - size, "%" PRIu64 ":%s ",
             txn->id, nzd_state_name(txn->state));
    return 0;
}

static int add_live(void *context, const struct nzd_live_row *row)
{
    struct nzd_buf *rows = context;
    nzd_buf_text(rows, row->module);
    nzd_buf_bytes(rows, row->blob.bytes, sizeof row->blob.bytes);
    nzd_buf_bytes(rows, row->md5.bytes, sizeof row->md5.bytes);
    return 0;
}

static int tell_force(struct look *look)
{
    struct nzd_buf rows = {0};
    struct nzd_txn txn = {0};
    struct nzd_digest digest;
    int rc = nzd_journal_in_force(look->journal, &look->newest.base, &txn,
                                  &look->err);
    uint64_t id = txn.id;
    uint32_t count = txn.new_set.count;
    nzd_txn_clear(&txn);
    snprintf(look->force, sizeof look->force, "nothing");
    if (rc == NZD_ENOTFOUND) {
        nzd_err_clear(&look->err);
        return 0;
    }
    if (rc == NZD_OK)
        rc = nzd_journal_each_live(look->journal, &look->newest.base, add_live,
                                   &rows, &look->err);
    digest = nzd_digest_of(nzd_buf_view(&rows));
    nzd_buf_clear(&rows);
    if (rc != NZD_OK)
        return because(look, "what is in force");
    snprintf(look->force, sizeof look->force,
             "%" PRIu64 " of %" PRIu32 " %02x%02x%02x%02x", id, count,
             digest.bytes[0], digest.bytes[1], digest.bytes[2],
             digest.bytes[3]);
    return 0;
}

static int tell(struct look *look)
{
    char *text = look->finding->text;
    text[0] = '\0';
    look->newest.id = 0;
    if (verify(look, "verify") ||
        nzd_journal_each_txn(look->journal, tell_txn, look, &look->err))
        return look->finding->why[0] ? -1 : because(look, "transactions");
    if (tell_force(look))
        return -1;
    snprintf(text + strlen(text), sizeof look->finding->text - strlen(text),
             "| %s", look->force);
    return 0;
}

static int look_on(struct look *look)
{
    int rc = nzd_journal_open(look->directory, NZD_JOURNAL_READ, &options,
                              &look->journal, &look->err);
    if (rc == NZD_ENOTFOUND) {
        snprintf(look->finding->text, sizeof look->finding->text, "none");
        return 0;
    }
    if (rc)
        return because(look, "open to read");
    rc = tell(look);
    nzd_journal_close(look->journal);
    return rc;
}

/* --- going on ------------------------------------------------------------ */

static int settle(struct look *look)
{
    char force[sizeof look->force];
    struct nzd_event event = {.kind = NZD_EVENT_RECOVERY,
                              .label = (char *)(uintptr_t) "ROLLED_BACK"};
    struct nzd_txn txn = {0};
    struct nzd_move move = {.txn = &txn, .events = &event, .event_count = 1};
    int rc = nzd_journal_open_txn(look->journal, &txn, &look->err);
    memcpy(force, look->force, sizeof force);
    if (rc == NZD_ENOTFOUND) {
        nzd_err_clear(&look->err);
        return 0;
    }
    txn.state = NZD_STATE_ROLLED_BACK;
    if (rc == NZD_OK)
        rc = nzd_journal_move(look->journal, &move, &look->err);
    nzd_txn_clear(&txn);
    if (rc)
        return because(look, "roll back what is open");
    if (tell(look))
        return -1;
    if (strcmp(force, look->force) == 0)
        return 0;
    snprintf(look->err.message, sizeof look->err.message, "%s was, %s is",
             force, look->force);
    return because(look, "rolled back, another set is in force");
}

static int recover(struct look *look)
{
    char before[sizeof look->finding->text];
    int rc = nzd_journal_open(look->directory, NZD_JOURNAL_WRITE, &options,
                              &look->journal, &look->err);
    memcpy(before, look->finding->text, sizeof before);
    if (rc == NZD_ENOTFOUND && strcmp(before, "none") == 0) {
        nzd_err_clear(&look->err);
        return 0;
    }
    if (rc)
        return because(look, "open to recover");
    rc = tell(look);
    if (rc == 0 && strcmp(before, look->finding->text) != 0) {
        snprintf(look->err.message, sizeof look->err.message,
                 "%.200s is %.200s", before, look->finding->text);
        rc = because(look, "to a writer");
    }
    if (rc == 0)
        rc = settle(look);
    nzd_journal_close(look->journal);
    memcpy(look->finding->text, before, sizeof before);
    return rc;
}

static int commit(struct look *look, struct nzd_txn *txn)
{
    struct nzd_view code = nzd_view_text("after the cut");
    struct nzd_module_row row = {.module = (char *)(uintptr_t) "after",
                                 .application = (char *)(uintptr_t) "power",
                                 .change = NZD_MODULE_ADDED,
                                 .new_md5 = nzd_digest_of(code)};
    struct nzd_move move = {
        .txn = txn, .modules = &row, .module_count = 1, .reserve_bytes = 4096};
    int rc = nzd_journal_put_blobs(look->journal, &code, 1, &row.new_blob, NULL,
                                   &look->err);
    *txn = (struct nzd_txn){.kind = NZD_TXN_APPLY, .state = NZD_STATE_ARMED};
    txn->base = look->newest.base;
    if (rc == NZD_OK)
        rc = nzd_journal_move(look->journal, &move, &look->err);
    txn->state = NZD_STATE_COMMITTED;
    move.module_count = 0;
    if (rc == NZD_OK)
        rc = nzd_journal_move(look->journal, &move, &look->err);
    return rc;
}

static int apply(struct look *look)
{
    struct nzd_txn txn, found = {0};
    char why[64];
    int rc = nzd_journal_open(look->directory, NZD_JOURNAL_CREATE, &options,
                              &look->journal, &look->err);
    if (rc)
        return because(look, "open to apply");
    rc = commit(look, &txn);
    if (rc == NZD_OK)
        rc = nzd_journal_in_force(look->journal, &txn.base, &found, &look->err);
    snprintf(why, sizeof why, "the next apply, in force %" PRIu64, found.id);
    if (rc || found.id != txn.id)
        rc = because(look, why);
    else
        rc = verify(look, "verify the next apply");
    nzd_txn_clear(&found);
    nzd_journal_close(look->journal);
    return rc;
}

/* --- children ------------------------------------------------------------ */

static void go_on(struct look *look)
{
    if (look_on(look) == 0 && recover(look) == 0)
        (void)apply(look);
}

static void only_look(struct look *look)
{
    (void)look_on(look);
}

static struct power_finding in_child(const char *directory,
                                     void (*body)(struct look *look))
{
    struct power_finding finding;
    struct look look = {.directory = directory};
    int status = 0;
    look.finding = mmap(NULL, sizeof finding, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (look.finding == MAP_FAILED)
        abort();
    pid_t child = fork();
    if (child == 0) {
        alarm(LIMIT_S);
        body(&look);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    finding = *look.finding;
    if (status != 0)
        snprintf(finding.why, sizeof finding.why, "ended by %s",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "itself");
    munmap(look.finding, sizeof finding);
    return finding;
}

struct power_finding power_look(const char *directory)
{
    return in_child(directory, only_look);
}

struct power_finding power_go_on(const char *directory)
{
    return in_child(directory, go_on);
}

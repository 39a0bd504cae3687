/* SPDX-License-Identifier: Apache-2.0 */
#include "collect.h"

#include "key.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

/* A transaction held, and where its events lie in the chain (0: it has none).
 */
struct held {
    struct nzd_digest base;
    enum nzd_state state;
    uint32_t first_event;
    uint32_t last_event;
};

struct history {
    uint64_t first; /* id of held[0] */
    size_t count;
    struct held *held;
};

/* What is to be done: decided before anything is written. */
struct plan {
    struct history history;
    size_t cut;           /* so many go, from the oldest on */
    struct nzd_buf loose; /* keys of blobs that go, as blocks */
    bool blobs_known;
    struct nzd_collection *report; /* NULL: none is wanted */
};

/* Blobs that are needed, each list sorted. */
struct roots {
    struct nzd_buf live;
    struct nzd_buf modules;
};

bool nzd_collect_is_root(enum nzd_state state)
{
    return nzd_state_is_open(state) || state == NZD_STATE_COMMITTED ||
           state == NZD_STATE_QUARANTINED || state == NZD_STATE_FAILED;
}

/* --- what is there --- */

static int load_records(struct nzd_store_txn *txn, struct history *history,
                        struct nzd_err *err)
{
    for (size_t i = 0; i < history->count; i++) {
        struct nzd_txn record;
        int rc = nzd_rows_txn_held(txn, history->first + i, &record, err);

        if (rc)
            return rc;
        history->held[i].base = record.base;
        history->held[i].state = record.state;
        nzd_txn_clear(&record);
    }
    return NZD_OK;
}

static int load_events(struct nzd_store_txn *txn, struct history *history,
                       struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    int rc = nzd_store_seek(txn, NZD_STORE_EVENT, nzd_view_of(NULL, 0), &cursor,
                            err);

    while (rc == NZD_OK &&
           (rc = nzd_store_next(&cursor, &key, NULL, err)) == NZD_OK) {
        uint64_t at = nzd_key_id(key) - history->first;
        uint32_t sequence = nzd_key_sequence(key);

        if (at >= history->count || sequence == 0) {
            rc = nzd_err_damage(err, "an event of no transaction");
            break;
        }
        if (history->held[at].first_event == 0)
            history->held[at].first_event = sequence;
        history->held[at].last_event = sequence;
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int load(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                struct history *out, struct nzd_err *err)
{
    uint64_t count = heads->first ? heads->last - heads->first + 1 : 0;
    int rc;

    out->first = heads->first;
    if (heads->last < heads->first || count > SIZE_MAX / sizeof(*out->held)) {
        nzd_err_damage(err, "its counters do not hold");
        return NZD_EJOURNAL;
    }
    out->count = (size_t)count;
    out->held = calloc(out->count ? out->count : 1, sizeof(*out->held));
    if (!out->held) {
        nzd_err_memory(err);
        return NZD_EINTERNAL;
    }
    rc = load_records(txn, out, err);
    return rc ? rc : load_events(txn, out, err);
}

/* --- what may go --- */

/*
 * Over each base the last committed transaction, and one that was quarantined
 * since: what boots falls back from the second to the first.
 */
static bool in_force(const struct history *history, size_t at)
{
    const struct held *one = &history->held[at];

    if (one->state != NZD_STATE_COMMITTED &&
        one->state != NZD_STATE_QUARANTINED)
        return false;
    for (size_t i = at + 1; i < history->count; i++) {
        const struct held *later = &history->held[i];

        if (!nzd_digest_equal(&one->base, &later->base))
            continue;
        if (later->state == NZD_STATE_COMMITTED || later->state == one->state)
            return false;
    }
    return true;
}

/* How many from the oldest on are not kept for their own sake. */
static size_t past_keep(const struct history *history, uint32_t keep)
{
    size_t cut = 0;
    uint32_t settled = 0;

    for (size_t at = history->count; at > 0; at--) {
        if (in_force(history, at - 1) ||
            nzd_state_is_open(history->held[at - 1].state)) {
            cut = 0; /* everything older may still go, this one not */
            continue;
        }
        if (settled == keep && cut == 0)
            cut = at;
        if (settled < keep)
            settled++;
    }
    return cut;
}

/*
 * An event of an old transaction may come after those of a newer one (a
 * quarantine). The chain is only cut where all before is dropped.
 */
static size_t past_events(const struct history *history, size_t cut)
{
    uint32_t kept = UINT32_MAX;
    size_t at = history->count;

    for (; at > cut; at--) {
        if (history->held[at - 1].first_event &&
            history->held[at - 1].first_event < kept)
            kept = history->held[at - 1].first_event;
    }
    for (; at > 0; at--) {
        uint32_t last = 0;

        for (size_t i = 0; i < at; i++) {
            if (history->held[i].last_event > last)
                last = history->held[i].last_event;
        }
        if (last < kept)
            return at;
        if (history->held[at - 1].first_event &&
            history->held[at - 1].first_event < kept)
            kept = history->held[at - 1].first_event;
    }
    return 0;
}

/* --- dropping --- */

static int move_anchor(struct nzd_store_txn *txn, const struct history *history,
                       size_t cut, struct nzd_heads *heads, struct nzd_err *err)
{
    struct nzd_key key;
    struct nzd_view value;
    size_t owner = cut;
    int rc;

    for (size_t i = 0; i < cut; i++) {
        if (history->held[i].last_event >= heads->first_event) {
            heads->first_event = history->held[i].last_event + 1;
            owner = i;
        }
    }
    if (owner == cut)
        return NZD_OK;
    key = nzd_key_event(history->first + owner, heads->first_event - 1);
    rc = nzd_store_get(txn, NZD_STORE_EVENT, nzd_key_view(&key), &value, err);
    if (rc == NZD_OK)
        heads->anchor = nzd_digest_of(value);
    return rc;
}

static int drop(struct nzd_store_txn *txn, const struct plan *plan,
                struct nzd_heads *heads, struct nzd_err *err)
{
    const struct history *history = &plan->history;
    int rc = move_anchor(txn, history, plan->cut, heads, err);

    for (size_t i = 0; i < plan->cut && rc == NZD_OK; i++) {
        struct nzd_key key = nzd_key_txn(history->first + i);
        struct nzd_view prefix = nzd_key_view(&key);

        rc = nzd_store_delete(txn, NZD_STORE_TXN, prefix, err);
        if (rc == NZD_OK)
            rc = nzd_rows_delete(txn, NZD_STORE_EVENT, prefix, err);
        if (rc == NZD_OK)
            rc = nzd_rows_delete(txn, NZD_STORE_MODULE, prefix, err);
    }
    if (rc == NZD_OK)
        heads->first += plan->cut;
    return rc;
}

/* --- blobs --- */

static int mark(struct nzd_buf *roots, const struct nzd_digest *digest,
                struct nzd_err *err)
{
    nzd_buf_bytes(roots, digest->bytes, sizeof(digest->bytes));
    return roots->failed ? nzd_err_memory(err) : NZD_OK;
}

static int mark_live(struct nzd_store_txn *txn, struct nzd_buf *roots,
                     struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_digest blob;
    struct nzd_digest base;
    struct nzd_view key;
    struct nzd_view value;
    int rc =
        nzd_store_seek(txn, NZD_STORE_LIVE, nzd_view_of(NULL, 0), &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = nzd_live_row_blobs(value, &blob, &base, err);
        if (rc == NZD_OK)
            rc = mark(roots, &blob, err);
        if (rc == NZD_OK)
            rc = mark(roots, &base, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int mark_module(const struct plan *plan, struct nzd_view key,
                       struct nzd_view value, struct nzd_buf *roots,
                       struct nzd_err *err)
{
    uint64_t at = nzd_key_id(key) - plan->history.first;
    struct nzd_digest before;
    struct nzd_digest after;
    int rc;

    if (at >= plan->history.count)
        return nzd_err_damage(err, "a module row of no transaction");
    if (at < plan->cut || !nzd_collect_is_root(plan->history.held[at].state))
        return NZD_OK;
    rc = nzd_module_row_blobs(value, &before, &after, err);
    if (rc == NZD_OK)
        rc = mark(roots, &before, err);
    return rc ? rc : mark(roots, &after, err);
}

static int mark_modules(struct nzd_store_txn *txn, const struct plan *plan,
                        struct nzd_buf *roots, struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    struct nzd_view value;
    int rc = nzd_store_seek(txn, NZD_STORE_MODULE, nzd_view_of(NULL, 0),
                            &cursor, err);

    while (rc == NZD_OK) {
        rc = nzd_store_next(&cursor, &key, &value, err);
        if (rc == NZD_OK)
            rc = mark_module(plan, key, value, roots, err);
    }
    nzd_store_end(&cursor);
    return rc == NZD_ENOTFOUND ? NZD_OK : rc;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, NZD_DIGEST_SIZE);
}

static void sort(struct nzd_buf *roots)
{
    if (roots->size > 0)
        qsort(roots->data, roots->size / NZD_DIGEST_SIZE, NZD_DIGEST_SIZE,
              compare);
}

static bool holds(const struct nzd_buf *roots, struct nzd_view key)
{
    return key.size == NZD_DIGEST_SIZE && roots->size > 0 &&
           bsearch(key.data, roots->data, roots->size / NZD_DIGEST_SIZE,
                   NZD_DIGEST_SIZE, compare);
}

static void judge_blob(struct plan *plan, const struct roots *roots,
                       struct nzd_view key, uint64_t size)
{
    bool live = holds(&roots->live, key);
    bool held = live || holds(&roots->modules, key);

    if (!held)
        nzd_buf_block(&plan->loose, key);
    if (!plan->report)
        return;
    plan->report->live_blobs += live;
    if (held) {
        plan->report->held_blobs++;
        plan->report->held_bytes += size;
    } else {
        plan->report->loose_blobs++;
        plan->report->loose_bytes += size;
    }
}

/* Large values are looked at only where their sizes are to be reported. */
static int find_loose(struct nzd_store_txn *txn, struct plan *plan,
                      const struct roots *roots, struct nzd_err *err)
{
    struct nzd_store_cursor cursor = {0};
    struct nzd_view key;
    struct nzd_view value = {NULL, 0};
    struct nzd_view *wanted = plan->report ? &value : NULL;
    int rc =
        nzd_store_seek(txn, NZD_STORE_BLOB, nzd_view_of(NULL, 0), &cursor, err);

    while (rc == NZD_OK &&
           (rc = nzd_store_next(&cursor, &key, wanted, err)) == NZD_OK)
        judge_blob(plan, roots, key, value.size);
    nzd_store_end(&cursor);
    if (rc == NZD_ENOTFOUND)
        rc = NZD_OK;
    return rc == NZD_OK && plan->loose.failed ? nzd_err_memory(err) : rc;
}

/* --- the decision --- */

static int decide_blobs(struct nzd_store_txn *txn, struct plan *plan,
                        struct nzd_err *err)
{
    struct roots roots = {{0}, {0}};
    int rc = mark_live(txn, &roots.live, err);

    if (rc == NZD_OK)
        rc = mark_modules(txn, plan, &roots.modules, err);
    sort(&roots.live);
    sort(&roots.modules);
    if (rc == NZD_OK)
        rc = find_loose(txn, plan, &roots, err);
    nzd_buf_clear(&roots.live);
    nzd_buf_clear(&roots.modules);
    plan->blobs_known = rc == NZD_OK;
    return rc;
}

/* Why each one that stays does, in the words of past_keep(). */
static void report_held(const struct plan *plan, uint32_t keep)
{
    const struct history *history = &plan->history;
    struct nzd_collection *report = plan->report;

    report->first = history->first;
    report->dropped = plan->cut;
    report->held = history->count - plan->cut;
    for (size_t at = history->count; at > plan->cut; at--) {
        if (in_force(history, at - 1))
            report->in_force++;
        else if (nzd_state_is_open(history->held[at - 1].state))
            report->open++;
        else if (report->kept < keep)
            report->kept++;
    }
}

static int decide(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                  uint32_t keep, struct plan *plan, struct nzd_err *err)
{
    int rc = load(txn, heads, &plan->history, err);

    if (rc)
        return rc;
    plan->cut = past_events(&plan->history, past_keep(&plan->history, keep));
    if (plan->report) {
        memset(plan->report, 0, sizeof(*plan->report));
        report_held(plan, keep);
    }
    return decide_blobs(txn, plan, err);
}

static void clear(struct plan *plan)
{
    free(plan->history.held);
    nzd_buf_clear(&plan->loose);
}

int nzd_collect_look(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                     uint32_t keep, struct nzd_collection *report,
                     struct nzd_err *err)
{
    struct plan plan = {.report = report};
    int rc = decide(txn, heads, keep, &plan, err);

    clear(&plan);
    return rc;
}

int nzd_collect(struct nzd_store_txn *txn, struct nzd_heads *heads,
                uint32_t keep, struct nzd_collection *report,
                struct nzd_err *err)
{
    struct plan plan = {.report = report};
    int rc = decide(txn, heads, keep, &plan, report ? err : NULL);

    /* What cannot be read is left alone, and so is all that it may need. */
    if (!report)
        rc = NZD_OK;
    if (rc == NZD_OK)
        rc = drop(txn, &plan, heads, err);
    if (rc == NZD_OK && plan.blobs_known)
        rc = nzd_rows_delete_keys(txn, NZD_STORE_BLOB,
                                  nzd_buf_view(&plan.loose), err);
    clear(&plan);
    return rc;
}

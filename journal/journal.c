/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"

#include "collect.h"
#include "journal_internal.h"
#include "lock.h"
#include "way.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES (64u << 20)
#define KEEP      20

int nzd_journal_told(const struct nzd_journal *journal, int rc,
                     struct nzd_err *err)
{
    if (rc != NZD_EJOURNAL || !err || err->code != NZD_EJOURNAL)
        return rc;
    if (strncmp(err->message, "journal ", strlen("journal ")) != 0)
        nzd_err_prefix(err, "journal %s", journal->directory);
    nzd_err_next(err, "nzd journal verify says what holds; keep a copy of the "
                      "directory");
    return rc;
}

int nzd_journal_look(struct nzd_journal *journal, nzd_store_body *body,
                     void *context, struct nzd_err *err)
{
    return nzd_journal_told(
        journal, nzd_store_read(journal->store, body, context, err), err);
}

int nzd_journal_change(struct nzd_journal *journal, bool headroom,
                       nzd_store_body *body, void *context, struct nzd_err *err)
{
    if (journal->lock < 0)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "journal %s was opened to be read",
                           journal->directory);
    return nzd_journal_told(
        journal, nzd_store_write(journal->store, headroom, body, context, err),
        err);
}

static int create(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    (void)context;
    return nzd_meta_create(txn, err);
}

/* --- whose it is --------------------------------------------------------- */

struct judging {
    const char *path;
    const char *done; /* what is not done to it */
    struct nzd_err *err;
};

static int refuse_owner(const struct judging *j, const char *why,
                        const char *next)
{
    nzd_err_set(j->err, NZD_EJOURNAL, "journal %s is not %s: %s", j->path,
                j->done, why);
    nzd_err_next(j->err, "what it holds is run: %s", next);
    return NZD_EJOURNAL;
}

/* Code out of it is loaded into the node; LMDB maps what lies there. What is
 * not there is nobody's yet. */
static int judge_owner(const struct judging *j, const struct stat *status)
{
    if (S_ISLNK(status->st_mode))
        return refuse_owner(j, "it is a link", "see who made it");
    if (status->st_mode & S_IWOTH)
        return refuse_owner(j, "everybody may write in it",
                            "see who made it, then chmod o-w it");
    if (status->st_mode & S_IWGRP)
        return refuse_owner(j, "its group may write in it",
                            "see who is of it, then chmod g-w it");
    if (status->st_uid == 0 || status->st_uid == geteuid())
        return NZD_OK;
    return refuse_owner(j, "it is another user's",
                        "call nzd as that user, or chown it");
}

int nzd_journal_judge_way(const char *directory, const char *done,
                          struct nzd_err *err)
{
    const struct judging judging = {directory, done, err};
    char where[PATH_MAX];
    char why[128];
    enum nzd_way way = NZD_WAY_OURS;

    if (nzd_way_counts())
        way = nzd_way_look(directory, where, sizeof(where));
    if (way == NZD_WAY_OURS)
        return NZD_OK;
    (void)snprintf(why, sizeof(why), "%.90s, on its way, is another user's",
                   where);
    if (way == NZD_WAY_OPEN)
        (void)snprintf(why, sizeof(why),
                       "others may write in %.90s, on its way", where);
    return refuse_owner(&judging, why,
                        "move it below folders that root alone may write");
}

/* Looked at again: what is at the end of a way of ours is there for good. */
int nzd_journal_judge(const char *directory, const char *done,
                      struct nzd_err *err)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "boot"};
    struct judging judging = {directory, done, err};
    struct nzd_buf path = {0};
    struct stat status;
    int rc;

    if (stat(directory, &status) != 0)
        return NZD_OK;
    rc = judge_owner(&judging, &status);
    if (rc == NZD_OK)
        rc = nzd_journal_judge_way(directory, done, err);
    if (rc == NZD_OK && stat(directory, &status) == 0)
        rc = judge_owner(&judging, &status);
    for (size_t i = 0; rc == NZD_OK && i < sizeof(files) / sizeof(*files);
         i++) {
        nzd_buf_reset(&path);
        nzd_buf_printf(&path, "%s/%s", directory, files[i]);
        judging.path = nzd_buf_string(&path);
        if (lstat(judging.path, &status) == 0)
            rc = judge_owner(&judging, &status);
    }
    nzd_buf_clear(&path);
    return rc;
}

/* Makes what is missing, in CREATE mode; under the lock but for READ. */
static int prepare(struct nzd_journal *journal, enum nzd_journal_mode mode,
                   const struct nzd_journal_options *options,
                   const struct nzd_store_options *store, struct nzd_err *err)
{
    struct nzd_err absent = NZD_ERR_INIT;
    int rc = nzd_store_find(journal->directory, &absent);

    if (rc == NZD_ENOTFOUND && mode == NZD_JOURNAL_CREATE) {
        rc = nzd_journal_judge_way(journal->directory, "made", err);
        if (rc == NZD_OK)
            rc = nzd_store_make_directory(journal->directory, err);
    } else if (rc && err && err->code == NZD_OK)
        *err = absent;
    if (rc || mode == NZD_JOURNAL_READ)
        return rc;
    rc = nzd_journal_judge(journal->directory, "written", err);
    if (rc)
        return rc;
    rc = nzd_lock_take(journal->directory, options->purpose, options->wait_us,
                       &journal->lock, err);
    if (rc)
        return rc;
    /* Another one may have made it while this one waited. */
    nzd_err_clear(&absent);
    rc = nzd_store_find(journal->directory, &absent);
    if (rc == NZD_ENOTFOUND && mode == NZD_JOURNAL_CREATE)
        return nzd_store_create(journal->directory, store, create, NULL, err);
    if (rc && err && err->code == NZD_OK)
        *err = absent;
    return rc;
}

static int identify(struct nzd_store_txn *txn, void *context,
                    struct nzd_err *err)
{
    struct nzd_journal *journal = context;

    return nzd_meta_identity(txn, journal->uuid, err);
}

struct collecting {
    uint32_t keep;
    struct nzd_collection *report;
};

static int collect(struct nzd_store_txn *txn, void *context,
                   struct nzd_err *err)
{
    const struct collecting *collecting = context;
    struct nzd_heads heads;
    int rc = nzd_meta_heads(txn, &heads, err);

    if (rc == NZD_OK)
        rc =
            nzd_collect(txn, &heads, collecting->keep, collecting->report, err);
    return rc ? rc : nzd_meta_put_heads(txn, &heads, err);
}

/* Twice: pages are used again only two transactions after they got free. */
static int collect_past(struct nzd_journal *journal, uint32_t keep,
                        struct nzd_collection *report, struct nzd_err *err)
{
    struct collecting collecting = {keep, report};
    int rc = nzd_journal_change(journal, true, collect, &collecting, err);

    collecting.report = NULL;
    if (rc == NZD_OK)
        rc = nzd_journal_change(journal, true, collect, &collecting, err);
    return rc;
}

int nzd_journal_collect(struct nzd_journal *journal, struct nzd_collection *out,
                        struct nzd_err *err)
{
    struct nzd_collection report = {0};
    int rc = collect_past(journal, journal->keep, out ? &report : NULL, err);

    if (rc == NZD_OK && out)
        *out = report;
    return rc;
}

static int collect_look(struct nzd_store_txn *txn, void *context,
                        struct nzd_err *err)
{
    const struct collecting *collecting = context;
    struct nzd_heads heads;
    int rc = nzd_meta_heads(txn, &heads, err);

    if (rc)
        return rc;
    return nzd_collect_look(txn, &heads, collecting->keep, collecting->report,
                            err);
}

static int look_past(struct nzd_journal *journal, uint32_t keep,
                     struct nzd_collection *out, struct nzd_err *err)
{
    struct collecting collecting = {keep, out};

    return nzd_journal_look(journal, collect_look, &collecting, err);
}

int nzd_journal_collect_look(struct nzd_journal *journal,
                             struct nzd_collection *out, struct nzd_err *err)
{
    struct nzd_collection report = {0};
    int rc = look_past(journal, journal->keep, &report, err);

    if (rc == NZD_OK)
        *out = report;
    return rc;
}

/* Two moves that free nothing would be synced for nothing, at each opening of
 * a journal whose half is in force. What is damaged is left to the collection,
 * which leaves it alone. */
static bool has_loose(struct nzd_journal *journal, uint32_t keep)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    struct nzd_collection found = {0};

    return look_past(journal, keep, &found, &ignored) != NZD_OK ||
           found.dropped > 0 || found.loose_blobs > 0;
}

static int is_half_full(struct nzd_journal *journal, bool *out,
                        struct nzd_err *err)
{
    struct nzd_store_room room = {0};
    int rc = nzd_store_room(journal->store, &room, err);

    *out = rc == NZD_OK && room.used_bytes > room.max_bytes / 2;
    return rc;
}

static int collect_to_half(struct nzd_journal *journal, struct nzd_err *err)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    uint32_t keep = journal->keep;
    bool half;
    int rc = is_half_full(journal, &half, err);

    while (rc == NZD_OK && half) {
        if (has_loose(journal, keep))
            (void)collect_past(journal, keep, NULL, &ignored);
        if (nzd_journal_is_broken(journal) || keep <= NZD_JOURNAL_KEEP_LEAST)
            break;
        keep = keep / 2 > NZD_JOURNAL_KEEP_LEAST ? keep / 2
                                                 : NZD_JOURNAL_KEEP_LEAST;
        rc = is_half_full(journal, &half, err);
    }
    return rc;
}

/* What cannot be tidied can still be read, and may be written. */
static int tidy(struct nzd_journal *journal,
                const struct nzd_store_options *options, struct nzd_err *err)
{
    int rc = journal->lock < 0 ? NZD_OK : collect_to_half(journal, err);

    if (rc || !nzd_journal_is_broken(journal))
        return rc;
    nzd_store_close(journal->store);
    journal->store = NULL;
    return nzd_store_open(journal->directory, options, &journal->store, err);
}

static struct nzd_journal *journal_of(const char *directory, uint32_t keep)
{
    struct nzd_journal *journal = calloc(1, sizeof(*journal));

    if (!journal)
        return NULL;
    journal->lock = -1;
    journal->copy.fd = -1;
    journal->keep = keep ? keep : KEEP;
    journal->directory = strdup(directory);
    if (!journal->directory) {
        free(journal);
        return NULL;
    }
    return journal;
}

int nzd_journal_open(const char *directory, enum nzd_journal_mode mode,
                     const struct nzd_journal_options *options,
                     struct nzd_journal **out, struct nzd_err *err)
{
    static const struct nzd_journal_options defaults;
    struct nzd_store_options store = {.read_only = mode == NZD_JOURNAL_READ};
    struct nzd_journal *journal;
    int rc;

    if (!options)
        options = &defaults;
    store.max_bytes = options->max_bytes ? options->max_bytes : MAX_BYTES;
    store.no_sync = options->no_sync != 0;
    journal = journal_of(directory, options->keep);
    if (!journal)
        return nzd_err_memory(err);
    rc = prepare(journal, mode, options, &store, err);
    if (rc == NZD_OK && store.read_only && nzd_store_copy_due(directory)) {
        rc = nzd_store_copy_make(directory, &journal->copy, err);
        store.copy = journal->copy.path;
    }
    if (rc == NZD_OK)
        rc = nzd_store_check(directory, &store, journal->lock, err);
    if (rc == NZD_OK)
        rc = nzd_store_open(directory, &store, &journal->store, err);
    if (rc == NZD_OK)
        rc = nzd_journal_look(journal, identify, journal, err);
    if (rc == NZD_OK && !options->no_tidy)
        rc = tidy(journal, &store, err);
    nzd_journal_told(journal, rc, err);
    if (rc) {
        nzd_journal_close(journal);
        return rc;
    }
    *out = journal;
    return NZD_OK;
}

void nzd_journal_close(struct nzd_journal *journal)
{
    if (!journal)
        return;
    nzd_store_close(journal->store);
    nzd_store_copy_close(&journal->copy);
    nzd_lock_release(journal->lock);
    nzd_blob_coder_clear(&journal->coder);
    free(journal->directory);
    free(journal);
}

const uint8_t *nzd_journal_uuid(const struct nzd_journal *journal)
{
    return journal->uuid;
}

const char *nzd_journal_directory(const struct nzd_journal *journal)
{
    return journal->directory;
}

bool nzd_journal_is_broken(const struct nzd_journal *journal)
{
    return nzd_store_is_broken(journal->store);
}

static int count(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    struct nzd_journal_stat *stat = context;
    struct nzd_heads heads;
    int rc = nzd_meta_heads(txn, &heads, err);

    if (rc)
        return rc;
    stat->first = heads.first;
    stat->last = heads.last;
    return nzd_store_count(txn, NZD_STORE_TXN, &stat->transactions, err);
}

int nzd_journal_stat(struct nzd_journal *journal, struct nzd_journal_stat *out,
                     struct nzd_err *err)
{
    struct nzd_journal_stat stat = {0};
    struct nzd_store_room room;
    uint64_t disk;
    int rc = nzd_journal_look(journal, count, &stat, err);

    if (rc == NZD_OK)
        rc = nzd_journal_told(journal,
                              nzd_store_room(journal->store, &room, err), err);
    if (rc)
        return rc;
    stat.used_bytes = room.used_bytes;
    stat.file_bytes = room.file_bytes;
    stat.max_bytes = room.max_bytes;
    if (room.max_bytes > room.used_bytes)
        stat.free_bytes = room.max_bytes - room.used_bytes;
    disk = room.disk_bytes;
    if (room.file_bytes > room.used_bytes)
        disk += room.file_bytes - room.used_bytes;
    if (stat.free_bytes > disk)
        stat.free_bytes = disk;
    *out = stat;
    return NZD_OK;
}

/* --- blobs --- */

struct putting {
    struct nzd_journal *journal;
    const struct nzd_view *blobs;
    size_t count;
    struct nzd_digest *digests;
    uint64_t written;
};

static int put_blobs(struct nzd_store_txn *txn, void *context,
                     struct nzd_err *err)
{
    struct putting *putting = context;
    int rc = NZD_OK;

    putting->written = 0;
    for (size_t i = 0; i < putting->count && rc == NZD_OK; i++)
        rc = nzd_blob_put(txn, &putting->journal->coder, putting->blobs[i],
                          &putting->digests[i], &putting->written, err);
    return rc;
}

int nzd_journal_put_blobs(struct nzd_journal *journal,
                          const struct nzd_view *blobs, size_t blob_count,
                          struct nzd_digest *digests, uint64_t *written,
                          struct nzd_err *err)
{
    struct putting putting = {journal, blobs, blob_count, digests, 0};
    int rc = nzd_journal_change(journal, false, put_blobs, &putting, err);

    nzd_buf_clear(&journal->coder.value);
    nzd_buf_clear(&journal->coder.content);
    if (rc == NZD_OK && written)
        *written += putting.written;
    return rc;
}

struct getting {
    const struct nzd_digest *digest;
    struct nzd_buf *out;
};

static int get_blob(struct nzd_store_txn *txn, void *context,
                    struct nzd_err *err)
{
    struct getting *getting = context;

    return nzd_blob_get(txn, getting->digest, getting->out, err);
}

int nzd_journal_get_blob(struct nzd_journal *journal,
                         const struct nzd_digest *digest, struct nzd_buf *out,
                         struct nzd_err *err)
{
    struct getting getting = {digest, out};

    return nzd_journal_look(journal, get_blob, &getting, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_LEDGER_H
#define NZD_TESTS_LEDGER_H

/*
 * A journal in a scratch folder and short words for what is done to it. Code
 * is a text; its md5, attributes and blob follow from it. What fails here
 * fails the running cmocka test and shows the error.
 */

#include "../journal/journal.h"
#include "tree.h"

struct ledger {
    struct tree tree;
    char directory[128];
    struct nzd_journal_options options;
    struct nzd_journal *journal;
    struct nzd_err err;
    struct nzd_digest base;
    struct nzd_txn txn; /* the one that is moved */
};

/* One module or file of an apply; NULL is none on that side. Of a file a text
 * that begins with "base:" is what the base holds: its content is not put. */
struct change {
    const char *module;
    const char *before;
    const char *after;
};

void ledger_make(struct ledger *ledger); /* scratch folder, no journal yet */
void ledger_drop(struct ledger *ledger);
void ledger_open(struct ledger *ledger, enum nzd_journal_mode mode);
void ledger_close(struct ledger *ledger);
void ledger_reopen(struct ledger *ledger); /* to be written */
/* Of a case whose state is one ledger: without a journal, or with one that is
 * open. */
int ledger_set_up(void **state);
int ledger_set_up_open(void **state);
int ledger_tear_down(void **state);
/* Opens and must fail so; the message must hold `part`. */
void ledger_open_fails(struct ledger *ledger, enum nzd_journal_mode mode,
                       int code, const char *part);

struct nzd_digest ledger_put(struct ledger *ledger, const char *text);
bool ledger_has(struct ledger *ledger, const char *text);
struct nzd_digest ledger_md5(const char *text);
/* The same of a file that is so named. */
struct nzd_digest ledger_file_md5(const char *name, const char *text);

/* First move of a new transaction over ledger->base: puts the blobs, then
 * moves ledger->txn to `state`. */
int ledger_begin(struct ledger *ledger, enum nzd_state state,
                 const struct change *changes, size_t count);
/* Moves ledger->txn on, with one event. */
int ledger_move(struct ledger *ledger, enum nzd_state state);
/* Armed and committed; returns the id. */
uint64_t ledger_apply(struct ledger *ledger, const struct change *changes,
                      size_t count);
uint64_t ledger_apply_one(struct ledger *ledger, const char *module,
                          const char *before, const char *after);
/* Module m from "code `from`" to "code `to`", a transaction for each number. */
void ledger_apply_numbered(struct ledger *ledger, int from, int to);
/* Armed, undoing, rolled back. */
uint64_t ledger_fail(struct ledger *ledger, const char *module,
                     const char *before, const char *after);

/* Into a new journal, of which it keeps 6: dropped history, a late event of an
 * old transaction, failed ones, three bases of which one is as it was, added
 * and removed modules and files, and one that is open, with no field zero and
 * texts that are no UTF-8. */
void ledger_fill(struct ledger *ledger);

/* "a=new b=-" of all live rows over ledger->base, in order. */
const char *ledger_live(struct ledger *ledger);
/* The same of files. */
const char *ledger_live_files(struct ledger *ledger);
void ledger_verify(struct ledger *ledger);

#define ledger_ok(ledger, call)                                                \
    ledger_check((ledger), (call), NZD_OK, #call, __FILE__, __LINE__)
#define ledger_fails(ledger, call, code)                                       \
    ledger_check((ledger), (call), (code), #call, __FILE__, __LINE__)
/* Shows the error where the code is another; clears it. */
void ledger_check(struct ledger *ledger, int rc, int expected, const char *call,
                  const char *file, int line);

#endif

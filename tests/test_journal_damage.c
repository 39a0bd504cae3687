/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/journal.h"
#include "../journal/key.h"
#include "../journal/store.h"
#include "../journal/value.h"
#include "damage.h"
#include "ledger.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void fill(struct ledger *ledger)
{
    char *code[6];
    struct change changes[] = {
        {"a", NULL, NULL}, {"b", NULL, NULL}, {"c", NULL, NULL}};

    for (size_t i = 0; i < 6; i++)
        code[i] = damage_noise(i % 2 ? 9000 : 700, i);
    for (size_t i = 0; i < 12; i++) {
        for (size_t j = 0; j < 3; j++) {
            changes[j].before = i ? code[(i + j - 1) % 6] : NULL;
            changes[j].after = code[(i + j) % 6];
        }
        ledger_apply(ledger, changes, 3);
    }
    for (size_t i = 0; i < 6; i++)
        free(code[i]);
}

/* --- flips --- */

enum { WHOLE = 0, DETECTED = 1, SILENT_FAILURE = 2, HANG = 3, CRASH = 4 };

static int nothing_live(void *context, const struct nzd_live_row *row)
{
    (void)context;
    (void)row;
    return 0;
}

/* What a command does with the journal: 0, or the first failure. */
static int use(struct ledger *ledger)
{
    struct nzd_view view = nzd_view_text("another content");
    struct nzd_event event = {.kind = NZD_EVENT_NOTE};
    struct nzd_module_row row = {
        .module = (char *)(uintptr_t) "m",
        .change = NZD_MODULE_ADDED,
    };
    struct nzd_move move = {.txn = &ledger->txn,
                            .modules = &row,
                            .module_count = 1,
                            .events = &event,
                            .event_count = 1,
                            .reserve_bytes = 65536};
    int rc = nzd_journal_open(ledger->directory, NZD_JOURNAL_WRITE,
                              &ledger->options, &ledger->journal, &ledger->err);

    if (rc == NZD_OK)
        rc = nzd_journal_each_live(ledger->journal, &ledger->base, nothing_live,
                                   NULL, &ledger->err);
    if (rc == NZD_OK)
        rc = nzd_journal_verify(ledger->journal, &ledger->err);
    if (rc == NZD_OK)
        rc = nzd_journal_put_blobs(ledger->journal, &view, 1, &row.new_blob,
                                   NULL, &ledger->err);
    memset(&ledger->txn, 0, sizeof(ledger->txn));
    ledger->txn.base = ledger->base;
    ledger->txn.kind = NZD_TXN_APPLY;
    ledger->txn.state = NZD_STATE_ARMED;
    row.new_md5 = row.new_blob;
    if (rc == NZD_OK)
        rc = nzd_journal_move(ledger->journal, &move, &ledger->err);
    ledger->txn.state = NZD_STATE_COMMITTED;
    move.module_count = 0;
    if (rc == NZD_OK)
        rc = nzd_journal_move(ledger->journal, &move, &ledger->err);
    if (rc == NZD_OK)
        rc = nzd_journal_verify(ledger->journal, &ledger->err);
    ledger_close(ledger);
    return rc;
}

static int judge(struct ledger *ledger)
{
    int status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child == 0) {
        static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
        int rc;

        for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
            (void)signal(deadly[i], SIG_DFL);
        alarm(20);
        rc = use(ledger);
        if (rc == NZD_OK)
            _exit(WHOLE);
        if (rc == NZD_EJOURNAL && ledger->err.message[0])
            _exit(DETECTED);
        (void)fprintf(stderr, "%s: %s\n", nzd_err_name(rc),
                      ledger->err.message);
        _exit(SILENT_FAILURE);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        return WEXITSTATUS(status) <= SILENT_FAILURE ? WEXITSTATUS(status)
                                                     : CRASH;
    return WTERMSIG(status) == SIGALRM ? HANG : CRASH;
}

static void test_flips(void **state)
{
    struct ledger *ledger = *state;
    const char *given = getenv("SEED");
    const char *count = getenv("FLIPS");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 20240229;
    int rounds = count ? atoi(count) : 300;
    int results[5] = {0};
    uint8_t *data;
    uint8_t *copy;
    size_t size;

    ledger->options.keep = 6;
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    fill(ledger);
    ledger_verify(ledger);
    ledger_close(ledger);
    data = tree_read(&ledger->tree, "a/journal/data.mdb", &size);
    copy = malloc(size);
    assert_non_null(copy);
    for (int i = 0; i < rounds; i++) {
        uint64_t here = seed;
        int result;

        memcpy(copy, data, size);
        damage_flip(copy, size, &seed);
        tree_write(&ledger->tree, "a/journal/data.mdb", copy, size);
        result = judge(ledger);
        results[result]++;
        if (result > DETECTED)
            print_error("SEED=%llu: %s\n", (unsigned long long)here,
                        result == HANG    ? "hangs"
                        : result == CRASH ? "crashes"
                                          : "fails without a word");
    }
    print_message("%d flips of %zu bytes, SEED=%s: %d whole, %d told\n", rounds,
                  size, given ? given : "20240229", results[WHOLE],
                  results[DETECTED]);
    free(copy);
    free(data);
    assert_int_equal(results[WHOLE] + results[DETECTED], rounds);
    assert_true(results[DETECTED] > 0);
}

/* --- files that are no store --- */

static const char data[] = "a/journal/data.mdb";

static void test_empty_file(void **state)
{
    struct ledger *ledger = *state;

    ledger_close(ledger);
    tree_write(&ledger->tree, data, "", 0);
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "empty");
    ledger_open_fails(ledger, NZD_JOURNAL_READ, NZD_EJOURNAL, "empty");
}

static void test_rubbish(void **state)
{
    struct ledger *ledger = *state;
    char *text = damage_noise(20000, 7);

    ledger_close(ledger);
    tree_write(&ledger->tree, data, text, 20000);
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "damaged");
    tree_write(&ledger->tree, data, text, 100);
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "damaged");
    free(text);
}

static void test_truncated(void **state)
{
    struct ledger *ledger = *state;
    uint8_t *bytes;
    size_t size;

    fill(ledger);
    ledger_close(ledger);
    bytes = tree_read(&ledger->tree, data, &size);
    for (size_t cut = 4096; cut < size; cut += size / 7) {
        tree_write(&ledger->tree, data, bytes, cut);
        ledger_open_fails(ledger, NZD_JOURNAL_WRITE, NZD_EJOURNAL, "damaged");
    }
    free(bytes);
}

/* The store is whole, the journal in it is not there. */
static int put_nothing(struct nzd_store_txn *txn, void *context,
                       struct nzd_err *err)
{
    (void)txn;
    (void)context;
    (void)err;
    return NZD_OK;
}

static void test_store_without_journal(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_store_options options = {.max_bytes = 1 << 20};

    ledger_close(ledger);
    assert_int_equal(unlink(tree_path(&ledger->tree, data)), 0);
    ledger_ok(ledger, nzd_store_create(ledger->directory, &options, put_nothing,
                                       NULL, &ledger->err));
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "missing");
}

static int put_format(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    struct nzd_buf value = {0};
    size_t begin = nzd_value_begin(&value, 1);
    int rc;

    nzd_buf_u32(&value, 7);
    if (context)
        nzd_buf_text(&value, "what we do not know");
    rc = nzd_value_end(&value, begin, err);
    if (rc == NZD_OK)
        rc = nzd_store_put(txn, NZD_STORE_META, nzd_view_text("format"),
                           nzd_buf_view(&value), err);
    nzd_buf_clear(&value);
    return rc;
}

static void write_store(struct ledger *ledger, nzd_store_body *body,
                        void *context)
{
    struct nzd_store_options options = {.max_bytes = 64 << 20};
    struct nzd_store *store = NULL;

    ledger_close(ledger);
    ledger_ok(ledger, nzd_store_open(ledger->directory, &options, &store,
                                     &ledger->err));
    ledger_ok(ledger,
              nzd_store_write(store, false, body, context, &ledger->err));
    nzd_store_close(store);
}

static void test_newer_format(void **state)
{
    struct ledger *ledger = *state;

    write_store(ledger, put_format, NULL);
    ledger_open_fails(ledger, NZD_JOURNAL_READ, NZD_EJOURNAL,
                      "newer nzd (format 7");
    write_store(ledger, put_format, "more");
    ledger_open_fails(ledger, NZD_JOURNAL_WRITE, NZD_EJOURNAL,
                      "newer nzd (format 7");
}

/* --- rows that are lost, and damaged blobs --- */

struct loss {
    enum nzd_store_table table;
    struct nzd_key key;
};

static int lose(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    const struct loss *loss = context;

    return nzd_store_delete(txn, loss->table, nzd_key_view(&loss->key), err);
}

static int each_row(void *context, const struct nzd_module_row *row)
{
    (void)context;
    (void)row;
    return 0;
}

static void test_lost_rows(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {{"a", "1", "2"}, {"b", "1", "3"}};
    struct loss live = {NZD_STORE_LIVE, nzd_key_live(&ledger->base, "a")};
    struct loss module = {NZD_STORE_MODULE, nzd_key_module(1, "b")};

    ledger_apply(ledger, changes, 2);
    write_store(ledger, lose, &live);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_fails(ledger,
                 nzd_journal_each_live(ledger->journal, &ledger->base,
                                       nothing_live, NULL, &ledger->err),
                 NZD_EJOURNAL);
    ledger_fails(ledger, nzd_journal_verify(ledger->journal, &ledger->err),
                 NZD_EJOURNAL);
    ledger_fails(ledger, ledger_begin(ledger, NZD_STATE_ARMED, changes, 2),
                 NZD_EJOURNAL);
    write_store(ledger, lose, &module);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_fails(ledger,
                 nzd_journal_each_module(ledger->journal, 1, each_row, NULL,
                                         &ledger->err),
                 NZD_EJOURNAL);
}

static void test_lost_event_and_txn(void **state)
{
    struct ledger *ledger = *state;
    struct loss event = {NZD_STORE_EVENT, nzd_key_event(1, 2)};
    struct loss lost = {NZD_STORE_TXN, nzd_key_txn(1)};
    struct change change = {"a", "3", "4"};
    struct nzd_digest other = nzd_digest_of(nzd_view_text("other"));
    struct nzd_txn armed;
    struct nzd_txn txn;

    ledger_apply_one(ledger, "a", "1", "2");
    ledger_apply_one(ledger, "a", "2", "3");
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, &change, 1));
    armed = ledger->txn;
    write_store(ledger, lose, &event);
    ledger_open(ledger, NZD_JOURNAL_READ);
    ledger_fails(ledger, nzd_journal_verify(ledger->journal, &ledger->err),
                 NZD_EJOURNAL);
    write_store(ledger, lose, &lost);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_fails(ledger, nzd_journal_verify(ledger->journal, &ledger->err),
                 NZD_EJOURNAL);
    ledger_fails(
        ledger,
        nzd_journal_in_force(ledger->journal, &other, &txn, &ledger->err),
        NZD_EJOURNAL);
    /* What is lost of the past does not stop what has begun. */
    ledger->txn = armed;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    assert_string_equal(ledger_live(ledger), "a=4");
}

/* From transaction 1 to transaction 2; its place in the chain stays. */
static int move_event(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err)
{
    struct nzd_key from = nzd_key_event(1, 1);
    struct nzd_key to = nzd_key_event(2, 1);
    struct nzd_buf copy = {0};
    struct nzd_view value;
    int rc =
        nzd_store_get(txn, NZD_STORE_EVENT, nzd_key_view(&from), &value, err);

    (void)context;
    if (rc == NZD_OK)
        nzd_buf_bytes(&copy, value.data, value.size);
    if (rc == NZD_OK)
        rc = nzd_store_put(txn, NZD_STORE_EVENT, nzd_key_view(&to),
                           nzd_buf_view(&copy), err);
    if (rc == NZD_OK)
        rc = nzd_store_delete(txn, NZD_STORE_EVENT, nzd_key_view(&from), err);
    nzd_buf_clear(&copy);
    return rc;
}

static void test_moved_event(void **state)
{
    struct ledger *ledger = *state;

    ledger_apply_one(ledger, "a", "1", "2");
    ledger_apply_one(ledger, "a", "2", "3");
    ledger_verify(ledger);
    write_store(ledger, move_event, NULL);
    ledger_open(ledger, NZD_JOURNAL_READ);
    ledger_fails(ledger, nzd_journal_verify(ledger->journal, &ledger->err),
                 NZD_EJOURNAL);
}

static int damage_blob(struct nzd_store_txn *txn, void *context,
                       struct nzd_err *err)
{
    const struct nzd_digest *digest = context;
    struct nzd_view key = nzd_view_of(digest->bytes, sizeof(digest->bytes));
    struct nzd_buf copy = {0};
    struct nzd_view value;
    int rc = nzd_store_get(txn, NZD_STORE_BLOB, key, &value, err);

    nzd_buf_bytes(&copy, value.data, value.size);
    copy.data[copy.size / 2] ^= 1;
    if (rc == NZD_OK)
        rc = nzd_store_put(txn, NZD_STORE_BLOB, key, nzd_buf_view(&copy), err);
    nzd_buf_clear(&copy);
    return rc;
}

static void test_damaged_blob(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_digest digest = ledger_put(ledger, "the code of a module");
    struct nzd_buf out = {0};

    write_store(ledger, damage_blob, &digest);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_fails(
        ledger,
        nzd_journal_get_blob(ledger->journal, &digest, &out, &ledger->err),
        NZD_EJOURNAL);
    assert_int_equal(out.size, 0);
    nzd_buf_clear(&out);
    ledger_fails(ledger, nzd_journal_verify(ledger->journal, &ledger->err),
                 NZD_EJOURNAL);
    /* Who has the content can put it right. */
    ledger_put(ledger, "the code of a module");
    assert_true(ledger_has(ledger, "the code of a module"));
    ledger_verify(ledger);
}

/* --- kill -9 --- */

static void apply_for_ever(struct ledger *ledger)
{
    struct change change = {"m", NULL, NULL};
    char before[32] = "0";
    char after[32];

    if (nzd_journal_open(ledger->directory, NZD_JOURNAL_CREATE,
                         &ledger->options, &ledger->journal,
                         &ledger->err) != NZD_OK)
        _exit(1);
    for (int i = 0;; i++) {
        (void)snprintf(after, sizeof(after), "%d", i);
        change.before = before;
        change.after = after;
        (void)ledger_begin(ledger, NZD_STATE_ARMED, &change, 1);
        (void)ledger_move(ledger, NZD_STATE_COMMITTED);
        memcpy(before, after, sizeof(before));
    }
}

/* Whenever it is killed, the journal is whole or not there yet. */
static void test_killed(void **state)
{
    struct ledger *ledger = *state;
    uint64_t seed = 5;
    int settled = 0;

    ledger_close(ledger);
    ledger->options.keep = 3;
    for (int i = 0; i < 40; i++) {
        struct timespec pause = {0, (long)(damage_draw(&seed) % 25000000)};
        struct nzd_txn txn;
        int status = 0;
        pid_t child;
        int rc;

        tree_run(&ledger->tree, "rm -rf a");
        (void)fflush(NULL);
        child = fork();
        if (child == 0)
            apply_for_ever(ledger);
        assert_true(child > 0);
        nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        ledger_open(ledger, NZD_JOURNAL_CREATE);
        ledger_verify(ledger);
        rc = nzd_journal_open_txn(ledger->journal, &ledger->txn, &ledger->err);
        if (rc == NZD_OK) {
            txn = ledger->txn;
            ledger_ok(ledger, ledger_move(ledger, NZD_STATE_ROLLED_BACK));
            nzd_txn_clear(&txn);
            settled++;
        }
        nzd_err_clear(&ledger->err);
        ledger_apply_one(ledger, "n", "1", "2");
        ledger_verify(ledger);
        ledger_close(ledger);
    }
    print_message("40 kills, %d of them between armed and committed\n",
                  settled);
}

#define IN(test)                                                               \
    cmocka_unit_test_setup_teardown(test, ledger_set_up_open, ledger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(test_flips),
        IN(test_empty_file),
        IN(test_rubbish),
        IN(test_truncated),
        IN(test_store_without_journal),
        IN(test_newer_format),
        IN(test_lost_rows),
        IN(test_lost_event_and_txn),
        IN(test_moved_event),
        IN(test_damaged_blob),
        IN(test_killed),
    };

    return cmocka_run_group_tests_name("journal damage", tests, NULL, NULL);
}

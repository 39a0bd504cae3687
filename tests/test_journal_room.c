/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/journal.h"
#include "damage.h"
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- full --- */

/* Puts blobs of noise until it fails; how many went in. */
static int put_until_full(struct ledger *ledger, size_t size, const char *part)
{
    struct nzd_digest digest = {{0}};
    int rc = NZD_OK;
    int count = 0;

    for (; rc == NZD_OK && count < 1000; count++) {
        char *text = damage_noise(size, (uint64_t)count + 100);
        struct nzd_view view = nzd_view_text(text);

        rc = nzd_journal_put_blobs(ledger->journal, &view, 1, &digest, NULL,
                                   &ledger->err);
        free(text);
    }
    if (!strstr(ledger->err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", ledger->err.message, part);
    assert_true(ledger->err.next[0]);
    ledger_fails(ledger, rc, NZD_EJOURNAL);
    return count - 1;
}

static void test_bound(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_journal_stat stat_;
    int count;

    ledger->options.max_bytes = 2 << 20;
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_apply_one(ledger, "m", "1", "2");
    count = put_until_full(ledger, 100000, "is full");
    assert_in_range(count, 15, 30);
    assert_false(nzd_journal_is_broken(ledger->journal));
    assert_string_equal(ledger_live(ledger), "m=2");
    ledger_verify(ledger);
    ledger_ok(ledger, nzd_journal_stat(ledger->journal, &stat_, &ledger->err));
    assert_true(stat_.used_bytes <= 2 << 20);
    assert_true(stat_.file_bytes <= 2 << 20);
    /* What an interrupted snapshot left does not fill it for good. */
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    assert_in_range(put_until_full(ledger, 100000, "is full"), count / 2,
                    count);
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_apply_one(ledger, "m", "2", "3");
    ledger_verify(ledger);
}

static void test_reserve_bound(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_move move = {.txn = &ledger->txn, .reserve_bytes = 2 << 20};

    ledger->options.max_bytes = 2 << 20;
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger->txn.kind = NZD_TXN_APPLY;
    ledger->txn.state = NZD_STATE_ARMED;
    ledger_fails(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err),
                 NZD_EJOURNAL);
    assert_int_equal(ledger->txn.id, 0);
    move.reserve_bytes = 1 << 20;
    ledger_ok(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err));
    assert_int_equal(ledger->txn.id, 1);
    /* The bound is used up; what has begun can still end. */
    put_until_full(ledger, 100000, "is full");
    put_until_full(ledger, 3000, "is full");
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_UNDOING));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_ROLLED_BACK));
}

/* A file system of `size` bytes on the scratch folder's a/. */
static bool mount_small(struct ledger *ledger, const char *size)
{
    char options[32];

    ledger_close(ledger);
    (void)snprintf(options, sizeof(options), "size=%s", size);
    if (mount("tmpfs", tree_path(&ledger->tree, "a"), "tmpfs", 0, options) == 0)
        return true;
    print_message("skipped: no tmpfs to be had here: %s\n", strerror(errno));
    return false;
}

static void unmount(struct ledger *ledger)
{
    ledger_close(ledger);
    assert_int_equal(umount(tree_path(&ledger->tree, "a")), 0);
}

static void fill_disk(struct ledger *ledger)
{
    static const char zeros[4096];
    int fd =
        open(tree_path(&ledger->tree, "a/filler"), O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void test_full_disk(void **state)
{
    struct ledger *ledger = *state;

    if (!mount_small(ledger, "1m"))
        skip();
    ledger_open(ledger, NZD_JOURNAL_CREATE);
    ledger_apply_one(ledger, "m", "1", "2");
    put_until_full(ledger, 50000, "the disk is full");
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(ledger), "m=2");
    ledger_verify(ledger);
    unmount(ledger);
}

static void test_no_room_to_create(void **state)
{
    struct ledger *ledger = *state;

    if (!mount_small(ledger, "1m"))
        skip();
    fill_disk(ledger);
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "space");
    assert_int_equal(unlink(tree_path(&ledger->tree, "a/filler")), 0);
    ledger_open(ledger, NZD_JOURNAL_CREATE);
    ledger_verify(ledger);
    unmount(ledger);
}

/* With room taken at armed the disk may fill up: the end is recorded. */
static void test_reserve_holds(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_module_row row = {
        .module = (char *)(uintptr_t) "m",
        .change = NZD_MODULE_ADDED,
    };
    struct nzd_move move = {.txn = &ledger->txn,
                            .modules = &row,
                            .module_count = 1,
                            .reserve_bytes = 65536};

    if (!mount_small(ledger, "1m"))
        skip();
    ledger_open(ledger, NZD_JOURNAL_CREATE);
    row.new_blob = row.new_md5 = ledger_put(ledger, "new");
    ledger->txn.kind = NZD_TXN_APPLY;
    ledger->txn.state = NZD_STATE_ARMED;
    ledger->txn.base = ledger->base;
    ledger_ok(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err));
    fill_disk(ledger);
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_TRIAL));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    ledger_verify(ledger);
    /* And where there is none, nothing begins. */
    move.reserve_bytes = 600000;
    move.txn->id = 0;
    move.txn->state = NZD_STATE_ARMED;
    ledger_fails(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err),
                 NZD_EJOURNAL);
    assert_false(nzd_journal_is_broken(ledger->journal));
    unmount(ledger);
}

/* --- read-only --- */

static void test_read_only_disk(void **state)
{
    struct ledger *ledger = *state;
    const char *at = tree_path(&ledger->tree, "a");

    if (!mount_small(ledger, "1m"))
        skip();
    ledger_open(ledger, NZD_JOURNAL_CREATE);
    ledger_apply_one(ledger, "m", "1", "2");
    ledger_close(ledger);
    assert_int_equal(mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    ledger_open(ledger, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(ledger), "m=2");
    ledger_verify(ledger);
    ledger_close(ledger);
    ledger_open_fails(ledger, NZD_JOURNAL_WRITE, NZD_EJOURNAL, "Read-only");
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "Read-only");
    unmount(ledger);
}

static void test_reading_makes_nothing(void **state)
{
    struct ledger *ledger = *state;
    const char *lock = tree_path(&ledger->tree, "a/journal/lock.mdb");

    ledger_apply_one(ledger, "m", "1", "2");
    ledger_close(ledger);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(unlink(tree_path(&ledger->tree, "a/journal/lock")), 0);
    ledger_open(ledger, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(ledger), "m=2");
    tree_run(&ledger->tree, "test \"$(ls -A a/journal)\" = data.mdb");
}

/* Nobody could make lock.mdb anew: no damage, and so nothing to be moved away.
 */
static void test_locks_that_are_none(void **state)
{
    struct ledger *ledger = *state;
    const char *lock = tree_path(&ledger->tree, "a/journal/lock.mdb");
    const struct flock shared = {.l_type = F_RDLCK, .l_len = 1};
    int go[2];
    char byte;

    ledger_apply_one(ledger, "m", "1", "2");
    ledger_close(ledger);
    assert_int_equal(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(lock, O_RDWR | O_TRUNC);
        bool held =
            ftruncate(fd, 8192) == 0 && fcntl(fd, F_SETLK, &shared) == 0;
        _exit(write(go[1], held ? "y" : "n", 1) == 1 && pause() ? 0 : 1);
    }
    assert_int_equal(read(go[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    ledger_open_fails(ledger, NZD_JOURNAL_WRITE, NZD_EJOURNAL,
                      "cannot be locked: its lock.mdb");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(go[0]);
    close(go[1]);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    assert_string_equal(ledger_live(ledger), "m=2");
}

#define IN(test)                                                               \
    cmocka_unit_test_setup_teardown(test, ledger_set_up_open, ledger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(test_bound),
        IN(test_reserve_bound),
        IN(test_full_disk),
        IN(test_no_room_to_create),
        IN(test_reserve_holds),
        IN(test_read_only_disk),
        IN(test_reading_makes_nothing),
        IN(test_locks_that_are_none),
    };

    return cmocka_run_group_tests_name("journal room", tests, NULL, NULL);
}

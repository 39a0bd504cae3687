/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/journal.h"
#include "../journal/way.h"
#include "harness.h"
#include "tree.h"

#include <limits.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Folders of others on the way to a journal of root: what only root can try
 * out. */

#define OTHER "daemon" /* a user that every host has */

struct fixture {
    struct tree tree;
    struct harness *harness;
    char folder[128]; /* on the way, of root and mode 0755 */
    char journal[256];
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    tree_open(&f->tree);
    f->harness = harness_open();
    tree_run(&f->tree, "chmod 755 . && mkdir -p -m 755 home home/nzd");
    (void)snprintf(f->folder, sizeof(f->folder), "%s",
                   tree_path(&f->tree, "home"));
    (void)snprintf(f->journal, sizeof(f->journal), "%s/nzd/journal", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    harness_close(f->harness);
    tree_close(&f->tree);
    free(f);
    return 0;
}

static void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

static bool opens(struct fixture *f, enum nzd_journal_mode mode)
{
    const struct nzd_journal_options options = {.no_sync = 1};
    struct nzd_journal *journal = NULL;
    int rc;

    nzd_err_clear(&f->err);
    rc = nzd_journal_open(f->journal, mode, &options, &journal, &f->err);
    if (rc == NZD_OK)
        nzd_journal_close(journal);
    return rc == NZD_OK;
}

static void make_journal(struct fixture *f)
{
    if (!opens(f, NZD_JOURNAL_CREATE))
        fail_msg("%s", f->err.message);
}

/* --- where it leads ------------------------------------------------------ */

static void look(struct fixture *f, const char *name, enum nzd_way way,
                 const char *at)
{
    char where[PATH_MAX];
    enum nzd_way found =
        nzd_way_look(tree_path(&f->tree, name), where, sizeof(where));

    if (found != way)
        fail_msg("%s: %d at %s", name, (int)found, where);
    if (at)
        assert_string_equal(where, tree_path(&f->tree, at));
}

static void what_is_on_the_way(void **state)
{
    struct fixture *f = *state;

    needs_root();
    look(f, "home/nzd", NZD_WAY_OURS, NULL);
    look(f, "home/nzd/not/there", NZD_WAY_OURS, NULL);
    tree_run(&f->tree, "chown " OTHER " home");
    look(f, "home", NZD_WAY_OURS, NULL);
    look(f, "home/", NZD_WAY_OURS, NULL);
    look(f, "home/nzd", NZD_WAY_THEIRS, "home");
    look(f, "home/../x/y", NZD_WAY_THEIRS, "home");
    tree_run(&f->tree, "chown root:" OTHER " home && chmod 775 home");
    look(f, "home/nzd", NZD_WAY_OPEN, "home");
    tree_run(&f->tree, "chgrp root home");
    look(f, "home/nzd", NZD_WAY_OURS, NULL);
    tree_run(&f->tree, "chmod 757 home");
    look(f, "home/nzd", NZD_WAY_OPEN, "home");
}

/* Each one's is his own there. */
static void a_folder_as_tmp(void **state)
{
    struct fixture *f = *state;

    needs_root();
    tree_run(&f->tree, "chmod 1777 home");
    look(f, "home/nzd/journal", NZD_WAY_OURS, NULL);
    tree_run(&f->tree, "chown " OTHER " home/nzd");
    look(f, "home/nzd", NZD_WAY_THEIRS, "home/nzd");
    look(f, "home/nzd/journal", NZD_WAY_THEIRS, "home/nzd");
    tree_run(&f->tree, "rm -r home/nzd && ln -s / home/nzd && "
                       "chown -h " OTHER " home/nzd");
    look(f, "home/nzd/var", NZD_WAY_THEIRS, "home/nzd");
}

/* A link is as good as where it lies and where it leads. */
static void links(void **state)
{
    struct fixture *f = *state;
    char command[PATH_MAX];

    needs_root();
    (void)snprintf(command, sizeof(command),
                   "mkdir links && ln -s ../home links/there && "
                   "ln -s %s/links/there links/far && ln -s round links/round",
                   f->tree.root);
    tree_run(&f->tree, command);
    look(f, "links/there/nzd", NZD_WAY_OURS, NULL);
    look(f, "links/far/nzd", NZD_WAY_OURS, NULL);
    look(f, "links/round/nzd", NZD_WAY_OURS, NULL);
    tree_run(&f->tree, "chown " OTHER " home");
    look(f, "links/there/nzd", NZD_WAY_THEIRS, NULL);
    look(f, "links/far/nzd", NZD_WAY_THEIRS, "links/../home");
    look(f, "links/far", NZD_WAY_OURS, NULL);
}

static void where_one_stands(void **state)
{
    struct fixture *f = *state;
    char where[PATH_MAX];

    needs_root();
    assert_int_equal(chdir(f->folder), 0);
    assert_int_equal(nzd_way_look("nzd/journal", where, sizeof(where)),
                     NZD_WAY_OURS);
    tree_run(&f->tree, "chown " OTHER " home");
    assert_int_equal(nzd_way_look("nzd/journal", where, sizeof(where)),
                     NZD_WAY_THEIRS);
    assert_int_equal(chdir("/"), 0);
}

/* --- journals there ------------------------------------------------------ */

static void is_refused(struct fixture *f, const char *why)
{
    assert_contains(f->err.message, f->journal);
    assert_contains(f->err.message, f->folder);
    assert_contains(f->err.message, why);
    assert_contains(f->err.next, "below folders that root alone may write");
}

/* He could put another there between two looks. */
static void a_journal_below_a_folder_of_another(void **state)
{
    struct fixture *f = *state;
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "chown " OTHER " home");
    assert_false(opens(f, NZD_JOURNAL_WRITE));
    is_refused(f, "on its way, is another user's");
    run = harness_nzd(f->harness, NULL, "journal", "gc", "--journal",
                      f->journal, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "is not written: ");
    run = harness_nzd(f->harness, NULL, "boot", "--journal", f->journal, "--",
                      "/bin/true", NULL);
    assert_status(run, 0);
    assert_contains(run.err, "is not booted: ");
    tree_run(&f->tree, "chown root home && chmod 777 home");
    assert_false(opens(f, NZD_JOURNAL_WRITE));
    is_refused(f, "others may write in ");
    tree_run(&f->tree, "chmod 755 home");
    assert_true(opens(f, NZD_JOURNAL_WRITE));
}

/* Nothing is opened there to be written: LMDB would map lock.mdb. */
static void it_is_read_from_a_copy(void **state)
{
    struct fixture *f = *state;
    struct stat status;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "rm home/nzd/journal/lock.mdb && ln -s ../../../victim "
                       "home/nzd/journal/lock.mdb && chown " OTHER " home");
    tree_text(&f->tree, "victim", "theirs");
    assert_true(opens(f, NZD_JOURNAL_READ));
    assert_int_equal(stat(tree_path(&f->tree, "victim"), &status), 0);
    assert_int_equal(status.st_size, strlen("theirs"));
}

static void none_is_made_there(void **state)
{
    struct fixture *f = *state;
    const char *file = tree_path(&f->tree, "exported");
    struct harness_run run;
    struct stat status;

    needs_root();
    make_journal(f);
    run = harness_nzd(f->harness, NULL, "journal", "export", file, "--journal",
                      f->journal, NULL);
    assert_status(run, 0);
    tree_run(&f->tree, "rm -r home/nzd/journal && chown " OTHER " home");
    assert_false(opens(f, NZD_JOURNAL_CREATE));
    is_refused(f, "is not made: ");
    run = harness_nzd(f->harness, NULL, "journal", "import", file, "--journal",
                      f->journal, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "is not made: ");
    assert_int_not_equal(stat(f->journal, &status), 0);
    /* A start where there is none has nothing to say. */
    run = harness_nzd(f->harness, NULL, "boot", "--journal", f->journal, "--",
                      "/bin/true", NULL);
    assert_status(run, 0);
    assert_string_equal(run.err, "");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_on_the_way),
        CASE(a_folder_as_tmp),
        CASE(links),
        CASE(where_one_stands),
        CASE(a_journal_below_a_folder_of_another),
        CASE(it_is_read_from_a_copy),
        CASE(none_is_made_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

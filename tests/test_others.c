/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/overlay_internal.h"
#include "../journal/attempts.h"
#include "harness.h"
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * What other users of the host have made, or could change. Most of it needs
 * root, who alone can make files of others.
 */

#define OTHER 1 /* the id of another user */
#define WE    65534

struct fixture {
    struct tree tree;
    struct harness *harness;
    struct nzd_journal *journal;
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    tree_open(&f->tree);
    f->harness = harness_open();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    nzd_journal_close(f->journal);
    harness_close(f->harness);
    tree_close(&f->tree);
    free(f);
    return 0;
}

static const char *path_of(struct fixture *f, const char *name)
{
    return tree_path(&f->tree, name);
}

static void open_journal(struct fixture *f)
{
    if (nzd_journal_open(path_of(f, "nzd/journal"), NZD_JOURNAL_CREATE, NULL,
                         &f->journal, &f->err))
        fail_msg("%s", f->err.message);
}

static void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* --- what nzd writes ----------------------------------------------------- */

/* Whatever the umask: none but the user may read code and cookies' hosts. */
static void a_journal_is_its_users(void **state)
{
    struct fixture *f = *state;
    struct nzd_attempts attempts = {.tries = 1};
    const struct dirent *entry;
    struct stat status;
    mode_t before = umask(0);
    unsigned count = 0;
    DIR *files;

    open_journal(f);
    assert_int_equal(
        nzd_attempts_write(path_of(f, "nzd/journal"), &attempts, &f->err), 0);
    umask(before);
    assert_int_equal(stat(path_of(f, "nzd/journal"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(path_of(f, "nzd"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    files = opendir(path_of(f, "nzd/journal"));
    assert_non_null(files);
    while ((entry = readdir(files))) {
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(fstatat(dirfd(files), entry->d_name, &status, 0), 0);
        if (status.st_mode & 077)
            fail_msg("%s has mode %o", entry->d_name,
                     (unsigned)status.st_mode & 07777);
        count++;
    }
    closedir(files);
    assert_true(count >= 4); /* data, lock of LMDB, lock, boot */
}

/* --- the journal --------------------------------------------------------- */

static void assert_not_written(struct fixture *f, const char *why)
{
    nzd_err_clear(&f->err);
    assert_int_equal(nzd_journal_open(path_of(f, "nzd/journal"),
                                      NZD_JOURNAL_WRITE, NULL, &f->journal,
                                      &f->err),
                     NZD_EJOURNAL);
    assert_contains(f->err.message, why);
    assert_false(f->err.damage);
    assert_null(f->journal);
}

static void a_journal_of_another(void **state)
{
    struct fixture *f = *state;

    needs_root();
    open_journal(f);
    nzd_journal_close(f->journal);
    f->journal = NULL;
    assert_int_equal(chown(path_of(f, "nzd/journal"), OTHER, OTHER), 0);
    assert_not_written(f, "another user's");
    assert_int_equal(chown(path_of(f, "nzd/journal"), 0, 0), 0);
    assert_int_equal(chmod(path_of(f, "nzd/journal"), 0777), 0);
    assert_not_written(f, "everybody may write");
    nzd_err_clear(&f->err);
    assert_int_equal(nzd_journal_open(path_of(f, "nzd/journal"),
                                      NZD_JOURNAL_READ, NULL, &f->journal,
                                      &f->err),
                     0);
}

/* Nothing is made through a link that another has put there. */
static void a_lock_that_is_a_link(void **state)
{
    struct fixture *f = *state;

    open_journal(f);
    nzd_journal_close(f->journal);
    f->journal = NULL;
    tree_text(&f->tree, "theirs", "theirs");
    tree_run(&f->tree, "rm nzd/journal/lock && "
                       "ln -s ../../theirs nzd/journal/lock");
    assert_int_not_equal(nzd_journal_open(path_of(f, "nzd/journal"),
                                          NZD_JOURNAL_WRITE, NULL, &f->journal,
                                          &f->err),
                         0);
    assert_string_equal(harness_read_file(f->harness, path_of(f, "theirs")),
                        "theirs");
}

/* --- folders whose files are run ----------------------------------------- */

static void folders_that_are_ours(void **state)
{
    struct fixture *f = *state;

    tree_run(&f->tree, "mkdir -p -m 755 a/b/c && chmod 755 a a/b a/b/c");
    assert_int_equal(nzd_overlay_own(path_of(f, "a/b/c/"), 3, &f->err), 0);
    tree_run(&f->tree, "chmod 775 a/b");
    assert_int_equal(nzd_overlay_own(path_of(f, "a/b/c/"), 3, &f->err),
                     NZD_EREFUSED);
    assert_contains(f->err.message, "a/b: others may write in it");
    nzd_err_clear(&f->err);
    assert_int_equal(nzd_overlay_own(path_of(f, "a/b/c/"), 1, &f->err), 0);
    tree_run(&f->tree, "chmod 1777 a/b");
    assert_int_equal(nzd_overlay_own(path_of(f, "a/b/c/"), 3, &f->err), 0);
    tree_run(&f->tree, "mv a/b a/d && ln -s d a/b");
    assert_int_equal(nzd_overlay_own(path_of(f, "a/b/c/"), 3, &f->err),
                     NZD_EREFUSED);
    assert_contains(f->err.message, "a/b: not a folder");
}

static int overlay_root(struct fixture *f)
{
    char root[NZD_OVERLAY_PATH];
    int code;

    nzd_err_clear(&f->err);
    assert_int_equal(seteuid(WE), 0);
    code = nzd_overlay_root(f->journal, root, &f->err);
    assert_int_equal(seteuid(0), 0);
    return code;
}

static void a_runtime_folder_of_another(void **state)
{
    struct fixture *f = *state;

    needs_root();
    open_journal(f);
    tree_run(&f->tree, "chmod 755 . && mkdir -m 700 run tmp && "
                       "chown 65534 run && chmod 1777 tmp");
    setenv("XDG_RUNTIME_DIR", path_of(f, "run"), 1);
    if (overlay_root(f))
        fail_msg("%s", f->err.message);
    /* What another made first, where all may. */
    setenv("XDG_RUNTIME_DIR", path_of(f, "tmp"), 1);
    tree_run(&f->tree, "mkdir -m 777 tmp/nzd && chown 1 tmp/nzd");
    assert_int_equal(overlay_root(f), NZD_EREFUSED);
    assert_contains(f->err.message, "tmp/nzd: ");
    tree_run(&f->tree, "rm -r tmp/nzd && ln -s ../run/nzd tmp/nzd && "
                       "chown -h 1 tmp/nzd");
    assert_int_equal(overlay_root(f), NZD_EREFUSED);
    assert_contains(f->err.message, "not a folder");
    unsetenv("XDG_RUNTIME_DIR");
}

static mode_t mode_of(struct fixture *f, const char *name, uid_t owner,
                      gid_t group)
{
    struct stat status;

    assert_int_equal(stat(path_of(f, name), &status), 0);
    assert_int_equal(status.st_uid, owner);
    assert_int_equal(status.st_gid, group);
    return status.st_mode & 07777;
}

/* A configuration with passwords in it, below a folder for one group. */
static void what_the_base_hides(void **state)
{
    struct fixture *f = *state;
    const struct nzd_view text = nzd_view_text("text");
    int folder;

    needs_root();
    tree_run(&f->tree, "chmod 755 . && mkdir -p srv/app/r laid && "
                       "chmod 755 srv srv/app srv/app/r laid && touch "
                       "srv/app/r/open srv/app/r/secret && chmod 644 "
                       "srv/app/r/open && chmod 640 srv/app/r/secret && "
                       "chown 7:8 srv/app/r/secret");
    folder = nzd_overlay_open(path_of(f, "laid"), &f->err);
    assert_true(folder >= 0);
    assert_int_equal(nzd_overlay_write_like(folder, "secret", text,
                                            path_of(f, "srv/app/r/secret"),
                                            &f->err),
                     0);
    assert_int_equal(mode_of(f, "laid/secret", 7, 8), 0640);
    assert_int_equal(nzd_overlay_write_like(folder, "open", text,
                                            path_of(f, "srv/app/r/open"),
                                            &f->err),
                     0);
    assert_int_equal(mode_of(f, "laid/open", 0, 0), 0644);
    close(folder);
    tree_run(&f->tree, "chmod 750 srv/app && chown 7:8 srv/app");
    assert_int_equal(nzd_overlay_hide(path_of(f, "laid"),
                                      path_of(f, "srv/app/r/open"), &f->err),
                     0);
    assert_int_equal(mode_of(f, "laid", 7, 8), 0750);
}

/* --- the configuration --------------------------------------------------- */

static void a_configuration_that_all_may_write(void **state)
{
    struct fixture *f = *state;
    const char *path = harness_path(f->harness, "nzd.conf");
    struct harness_run run;

    harness_write_file(path, "keep = 20\n");
    assert_int_equal(chmod(path, 0666), 0);
    run = harness_nzd(f->harness, NULL, "status", "--config", path, NULL);
    assert_status(run, 2);
    assert_contains(run.err, "everybody may write it");
    assert_contains(run.err, "chmod o-w");
    run = harness_nzd(f->harness, NULL, "check", "--config", path, NULL);
    assert_status(run, 2);
    assert_matches(run.out, "^configuration  fail  .*: everybody");
}

/* --- what is printed ----------------------------------------------------- */

/* Names of others move no cursor and paint nothing. */
static void names_that_paint(void **state)
{
    struct fixture *f = *state;
    struct harness_run run = harness_nzd(f->harness, NULL, "plan",
                                         "a\033[2J\302\2331m\177", "b", NULL);

    assert_status(run, 3);
    assert_contains(run.err, "a\\x1b[2J");
    assert_null(strchr(run.err, '\033'));
    assert_null(strstr(run.err, "\302\233"));
    assert_null(strchr(run.err, '\177'));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_journal_is_its_users),
        TEST(a_journal_of_another),
        TEST(a_lock_that_is_a_link),
        TEST(folders_that_are_ours),
        TEST(a_runtime_folder_of_another),
        TEST(what_the_base_hides),
        TEST(a_configuration_that_all_may_write),
        TEST(names_that_paint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

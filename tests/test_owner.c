/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/owner.h"
#include "../journal/attempts.h"
#include "../journal/journal.h"
#include "harness.h"
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Journals of other users and for a group: what only root can try out. */

#define SERVICE "daemon" /* a user and a group that every host has */
#define READER  65533    /* a member of the group, and nobody else */

struct fixture {
    struct tree tree;
    struct harness *harness;
    char journal[256];
    uid_t service;
    gid_t group;
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct passwd *service = getpwnam(SERVICE);
    const struct group *group = getgrnam(SERVICE);

    assert_non_null(f);
    assert_non_null(service);
    assert_non_null(group);
    f->service = service->pw_uid;
    f->group = group->gr_gid;
    tree_open(&f->tree);
    assert_int_equal(chmod(f->tree.root, 0755), 0);
    f->harness = harness_open();
    snprintf(f->journal, sizeof(f->journal), "%s",
             tree_path(&f->tree, "nzd/journal"));
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

static struct nzd_journal *open_journal(struct fixture *f,
                                        enum nzd_journal_mode mode)
{
    const struct nzd_journal_options options = {.no_sync = 1};
    struct nzd_journal *journal = NULL;

    nzd_err_clear(&f->err);
    if (nzd_journal_open(f->journal, mode, &options, &journal, &f->err) < 0)
        return NULL;
    return journal;
}

/* With a blob, so that there are pages. */
static void make_journal(struct fixture *f)
{
    struct nzd_journal *journal = open_journal(f, NZD_JOURNAL_CREATE);
    const struct nzd_view blob = nzd_view_text("code");
    struct nzd_digest digest;

    if (!journal)
        fail_msg("%s", f->err.message);
    assert_int_equal(
        nzd_journal_put_blobs(journal, &blob, 1, &digest, NULL, &f->err), 0);
    nzd_journal_close(journal);
}

/* Runs it as another user; what it returns is how it ended. */
static int as_user(struct fixture *f, uid_t user, gid_t group,
                   int (*act)(struct fixture *f))
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgroups(1, &group) != 0 || setresgid(READER, READER, READER) ||
            setresuid(user, user, user) != 0)
            _exit(99);
        _exit(act(f));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* --- of a service -------------------------------------------------------- */

static void assert_all_of(struct fixture *f, uid_t user)
{
    struct dirent *entry;
    struct stat status;
    DIR *files = opendir(f->journal);
    unsigned count = 0;

    assert_non_null(files);
    while ((entry = readdir(files))) {
        if (strcmp(entry->d_name, "..") == 0)
            continue;
        assert_int_equal(
            fstatat(dirfd(files), entry->d_name, &status, AT_SYMLINK_NOFOLLOW),
            0);
        if (status.st_uid != user)
            fail_msg("%s is of %u", entry->d_name, (unsigned)status.st_uid);
        count++;
    }
    closedir(files);
    assert_true(count >= 3); /* itself, data.mdb, lock */
}

/* Root is that user, and leaves nothing that he cannot write. */
static void root_with_a_journal_of_a_service(void **state)
{
    struct fixture *f = *state;
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "rm nzd/journal/lock* && chown -R " SERVICE " nzd");
    run = harness_nzd(f->harness, NULL, "journal", "gc", "--journal",
                      f->journal, NULL);
    assert_status(run, 0);
    assert_matches(run.err, "^user  *" SERVICE ", whose journal it is");
    assert_all_of(f, f->service);
}

/* Exported by root, and its folder empty and the service's. */
static const char *export_journal(struct fixture *f)
{
    const char *file = tree_path(&f->tree, "exported");
    struct harness_run run;

    needs_root();
    make_journal(f);
    run = harness_nzd(f->harness, NULL, "journal", "export", file, "--journal",
                      f->journal, NULL);
    assert_status(run, 0);
    tree_run(&f->tree, "chmod 644 exported && rm -r nzd && mkdir -m 755 nzd && "
                       "chown " SERVICE " nzd");
    return file;
}

/* Nor where he has none yet. */
static void root_makes_a_journal_for_a_service(void **state)
{
    struct fixture *f = *state;
    const char *file = export_journal(f);
    struct harness_run run;

    run = harness_nzd(f->harness, NULL, "journal", "import", file, "--journal",
                      f->journal, NULL);
    assert_status(run, 0);
    assert_all_of(f, f->service);
}

/* LMDB would write a lock over what this leads to. */
static void root_follows_no_link_of_a_service(void **state)
{
    struct fixture *f = *state;
    struct nzd_journal *journal;
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_text(&f->tree, "theirs", "theirs");
    tree_run(&f->tree,
             "chmod 600 theirs && cd nzd/journal && rm lock.mdb && "
             "ln -s ../../theirs lock.mdb && chown -Rh " SERVICE " ../../nzd");
    run = harness_nzd(f->harness, NULL, "journal", "verify", "--journal",
                      f->journal, NULL);
    assert_status(run, 0);
    run = harness_nzd(f->harness, NULL, "journal", "gc", "--journal",
                      f->journal, NULL);
    assert_status(run, 8);
    /* As before a start, where nzd stays root. */
    journal = open_journal(f, NZD_JOURNAL_READ);
    assert_non_null(journal);
    assert_int_equal(nzd_journal_verify(journal, &f->err), 0);
    nzd_journal_close(journal);
    assert_null(open_journal(f, NZD_JOURNAL_WRITE));
    assert_contains(f->err.message, "is not written");
    assert_string_equal(
        harness_read_file(f->harness, tree_path(&f->tree, "theirs")), "theirs");
}

static bool is_set(const char *name, const char *value)
{
    const char *is = getenv(name);
    return is && value && strcmp(is, value) == 0;
}

/* His folder in RAM, as logind makes it. */
static void make_runtime(struct fixture *f, char path[64], mode_t mode)
{
    struct stat status;

    (void)snprintf(path, 64, "/run/user/%u", (unsigned)f->service);
    if (stat(path, &status) == 0)
        skip(); /* he is logged in here */
    assert_true(mkdir("/run/user", 0755) == 0 || errno == EEXIST);
    assert_int_equal(mkdir(path, mode), 0);
    assert_int_equal(chown(path, f->service, f->group), 0);
}

/* Overlays of his lie there; root's own is not his. */
static void what_his_runtime_folder_is(void **state)
{
    static const mode_t modes[] = {0700, 0755};
    struct fixture *f = *state;
    char runtime[64];
    int status = 0;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "chown -R " SERVICE " nzd");
    for (size_t i = 0; i < 2; i++) {
        struct nzd_context context = {.options = {.journal = f->journal},
                                      .output = {.quiet = true}};
        pid_t pid;

        make_runtime(f, runtime, modes[i]);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            setenv("XDG_RUNTIME_DIR", "/run/user/0", 1);
            if (nzd_owner_become(&context, &f->err) != 0)
                _exit(2);
            _exit(is_set("XDG_RUNTIME_DIR", runtime)  ? 0
                  : getenv("XDG_RUNTIME_DIR") == NULL ? 1
                                                      : 3);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(rmdir(runtime), 0);
        (void)rmdir("/run/user");
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), i);
    }
}

/* Who called is written down, and root's secrets are not known. */
static void what_the_environment_says(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    pid_t pid;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "chown -R " SERVICE " nzd");
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct nzd_context context = {.options = {.journal = f->journal},
                                      .output = {.quiet = true}};

        unsetenv("SUDO_USER");
        setenv("USER", "alice", 1);
        setenv("SECRET", "of root", 1);
        setenv("HOME", "/root", 1);
        if (nzd_owner_become(&context, &f->err) != 0)
            _exit(1);
        if (geteuid() != f->service || setuid(0) == 0 || getenv("SECRET"))
            _exit(2);
        if (!is_set("SUDO_USER", "alice") || !is_set("USER", SERVICE) ||
            !is_set("HOME", getpwnam(SERVICE)->pw_dir))
            _exit(3);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* What a service may write is not run with root's rights. */
static void root_boots_no_journal_of_a_service(void **state)
{
    struct fixture *f = *state;
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "chown -R " SERVICE " nzd");
    run = harness_nzd(f->harness, NULL, "boot", "--journal", f->journal, "--",
                      "/bin/true", NULL);
    assert_status(run, 0);
    assert_contains(run.err, "is not booted: it is another user's");
    assert_all_of(f, f->service);
}

/* As one that is named without folders. */
static void root_where_it_stands(void **state)
{
    struct fixture *f = *state;
    const char *file = export_journal(f);
    struct harness_run run;

    assert_int_equal(chdir(tree_path(&f->tree, "nzd")), 0);
    run = harness_nzd(f->harness, NULL, "journal", "import", file, "--journal",
                      "journal", NULL);
    assert_int_equal(chdir("/"), 0);
    assert_status(run, 0);
    assert_all_of(f, f->service);
}

static void a_user_that_is_not_known(void **state)
{
    struct fixture *f = *state;
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "chown -R 64999 nzd");
    run = harness_nzd(f->harness, NULL, "journal", "gc", "--journal",
                      f->journal, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "is of user 64999, whom this host does not know");
}

static void what_others_may_write(void **state)
{
    static const char *const files[] = {"", "/data.mdb", "/lock.mdb", "/lock"};
    struct fixture *f = *state;
    char path[300];

    make_journal(f);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct stat status;

        snprintf(path, sizeof(path), "%s%s", f->journal, files[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(chmod(path, status.st_mode | S_IWGRP), 0);
        assert_null(open_journal(f, NZD_JOURNAL_WRITE));
        assert_contains(f->err.message, path);
        assert_contains(f->err.message, "its group may write in it");
        assert_contains(f->err.next, "chmod g-w");
        assert_int_equal(chmod(path, status.st_mode & 07777), 0);
    }
}

/* --- for a group --------------------------------------------------------- */

static int reads(struct fixture *f)
{
    struct nzd_journal *journal = open_journal(f, NZD_JOURNAL_READ);
    struct nzd_journal_stat stat;
    int code = journal ? nzd_journal_verify(journal, &f->err) : -1;

    if (code == 0)
        code = nzd_journal_stat(journal, &stat, &f->err);
    nzd_journal_close(journal);
    if (code)
        fprintf(stderr, "%s\n", f->err.message);
    return code ? 1 : 0;
}

/* The bits of what could be done, which is nothing. */
static int harms(struct fixture *f)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "boot",
                                        "new"};
    char path[300];
    int done = open_journal(f, NZD_JOURNAL_WRITE) ? 1 : 0;

    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->journal, files[i]);
        if (open(path, O_RDWR | O_CREAT, 0600) >= 0 || unlink(path) == 0)
            done |= 2;
    }
    /* Whoever may open a lock's file to read can take the lock. */
    for (size_t i = 1; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", f->journal, files[i]);
        if (open(path, O_RDONLY) >= 0)
            done |= 4;
    }
    return done;
}

static void assert_mode(struct fixture *f, const char *name, mode_t mode,
                        gid_t group)
{
    struct stat status;

    assert_int_equal(stat(tree_path(&f->tree, name), &status), 0);
    if ((status.st_mode & 07777) != mode || status.st_gid != group)
        fail_msg("%s: %o, group %u", name, (unsigned)status.st_mode & 07777,
                 (unsigned)status.st_gid);
}

static void a_group_that_reads(void **state)
{
    struct fixture *f = *state;
    const struct nzd_attempts attempts = {.tries = 1};
    struct nzd_journal *journal;

    needs_root();
    make_journal(f);
    assert_int_equal(nzd_attempts_write(f->journal, &attempts, &f->err), 0);
    assert_int_equal(as_user(f, READER, f->group, reads), 1);
    assert_int_equal(nzd_owner_share(f->journal, SERVICE, &f->err), 0);
    assert_mode(f, "nzd", 0710, f->group);
    assert_mode(f, "nzd/journal", 0750, f->group);
    assert_mode(f, "nzd/journal/data.mdb", 0640, f->group);
    assert_mode(f, "nzd/journal/boot", 0640, f->group);
    assert_mode(f, "nzd/journal/lock.mdb", 0600, 0);
    assert_mode(f, "nzd/journal/lock", 0600, 0);
    assert_int_equal(as_user(f, READER, f->group, reads), 0);
    assert_int_equal(as_user(f, READER, f->group, harms), 0);
    assert_int_equal(as_user(f, READER, READER, reads), 1);
    /* It is the owner's as before, also while another reads. */
    journal = open_journal(f, NZD_JOURNAL_WRITE);
    assert_non_null(journal);
    assert_int_equal(as_user(f, READER, f->group, reads), 0);
    nzd_journal_close(journal);
    assert_int_equal(nzd_owner_share(f->journal, "no-such-group", &f->err),
                     NZD_EUSAGE);
}

/* Also those that ask no node. */
static void each_command_that_writes_lets_it_in(void **state)
{
    struct fixture *f = *state;
    const char *config = tree_path(&f->tree, "nzd.conf");
    const char *file = tree_path(&f->tree, "exported");
    struct harness_run run;

    needs_root();
    make_journal(f);
    tree_text(&f->tree, "nzd.conf", "journal_group = \"" SERVICE "\"\n");
    run = harness_nzd(f->harness, NULL, "journal", "export", file, "--journal",
                      f->journal, "--config", config, NULL);
    assert_status(run, 0);
    assert_mode(f, "nzd/journal", 0700, 0);
    run = harness_nzd(f->harness, NULL, "journal", "gc", "--journal",
                      f->journal, "--config", config, NULL);
    assert_status(run, 0);
    assert_mode(f, "nzd/journal", 0750, f->group);
    assert_int_equal(as_user(f, READER, f->group, reads), 0);
    tree_run(&f->tree, "rm -r nzd");
    run = harness_nzd(f->harness, NULL, "journal", "import", file, "--journal",
                      f->journal, "--config", config, NULL);
    assert_status(run, 0);
    assert_int_equal(as_user(f, READER, f->group, reads), 0);
}

/* A home, or /root, holds more than a journal. */
static void no_group_is_let_through_a_home(void **state)
{
    struct fixture *f = *state;

    needs_root();
    make_journal(f);
    tree_run(&f->tree, "mv nzd home");
    snprintf(f->journal, sizeof(f->journal), "%s",
             tree_path(&f->tree, "home/journal"));
    assert_int_equal(nzd_owner_share(f->journal, SERVICE, &f->err), 0);
    assert_mode(f, "home", 0700, 0);
    assert_mode(f, "home/journal", 0750, f->group);
}

/* Moves follow one another meanwhile; each time a whole state is seen. */
static void reading_beside_a_writer(void **state)
{
    struct fixture *f = *state;
    struct {
        volatile int ended;
        volatile int moves;
    } *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint8_t bytes[20000];
    struct nzd_journal *journal;
    int status = 0;
    pid_t pid;

    needs_root();
    assert_true((void *)shared != MAP_FAILED);
    make_journal(f);
    assert_int_equal(nzd_owner_share(f->journal, SERVICE, &f->err), 0);
    journal = open_journal(f, NZD_JOURNAL_WRITE);
    assert_non_null(journal);
    pid = fork();
    if (pid == 0) {
        int failed = 0;

        for (int i = 0;
             !failed && (i < 10 || (shared->moves <= 10 && i < 1000)); i++)
            failed |= as_user(f, READER, f->group, reads);
        shared->ended = 1;
        _exit(failed);
    }
    for (; !shared->ended; shared->moves++) {
        const int moves = shared->moves;
        const struct nzd_view blob = nzd_view_of(bytes, sizeof(bytes));
        struct nzd_digest digest;

        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(moves * 31 + i * i % 251);
        if (nzd_journal_put_blobs(journal, &blob, 1, &digest, NULL, &f->err) ||
            (moves % 20 == 19 && nzd_journal_collect(journal, NULL, &f->err)))
            fail_msg("%s", f->err.message);
        usleep(1000);
    }
    nzd_journal_close(journal);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(shared->moves > 10);
    munmap(shared, 4096);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(root_with_a_journal_of_a_service),
        TEST(root_makes_a_journal_for_a_service),
        TEST(root_follows_no_link_of_a_service),
        TEST(what_his_runtime_folder_is),
        TEST(what_the_environment_says),
        TEST(root_boots_no_journal_of_a_service),
        TEST(root_where_it_stands),
        TEST(a_user_that_is_not_known),
        TEST(what_others_may_write),
        TEST(a_group_that_reads),
        TEST(each_command_that_writes_lets_it_in),
        TEST(no_group_is_let_through_a_home),
        TEST(reading_beside_a_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

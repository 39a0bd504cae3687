/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What `nzd boot` adds to a start: from its exec to that of the command, a
 * small static program by the name of erlexec with the arguments of a real
 * release. Prints a row for each kind of journal, and the RAM that an overlay
 * takes. `make bench-boot`.
 */
#include "../../journal/journal.h"
#include "../beam_node.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNS         10
#define WARM_UP      2
#define TRANSACTIONS 1000

struct bench {
    struct harness *harness;
    const char *config;
    const char *command[12]; /* as erlinit gives it */
};

/* --- the command --------------------------------------------------------- */

/* ".../erts-13.1.5/bin/erlexec" beside a link to this host's emulator. */
static const char *make_erlexec(struct harness *harness)
{
    static const char tell[] = "io:format(\"~s/erts-~s/bin\",[code:root_dir(),"
                               "erlang:system_info(version)]),halt().";
    static const char *const argv[] = {"erl", "-noshell", "-eval", tell, NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    const char *bin = harness_path(harness, "%s", strstr(run.out, "erts-"));
    const char *const make[] = {
        "sh",
        "-c",
        "mkdir -p $0 && ln -s $1/beam.smp $0 && cp $2 $0/erlexec",
        bin,
        run.out,
        getenv("NZD_BENCH_STAMP"),
        NULL};
    run = harness_run(harness, make, NULL);
    assert_status(run, 0);
    return harness_text(harness, "%s/erlexec", bin);
}

static void fill_command(struct bench *bench)
{
    struct harness *harness = bench->harness;
    const char *release = harness_fixture(harness, "many-300-1");
    const char *const words[] = {
        make_erlexec(harness),
        "-config",
        harness_text(harness, "%s/releases/1.0.0/sys.config", release),
        "-boot",
        harness_text(harness, "%s/releases/1.0.0/start", release),
        "-boot_var",
        "RELEASE_LIB",
        harness_text(harness, "%s/lib", release)};
    memcpy(bench->command, words, sizeof words);
}

/* --- one run ------------------------------------------------------------- */

static void become(const char *const *argv)
{
    struct timespec now;
    char begin[32];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(begin, sizeof begin, "%lld",
             now.tv_sec * 1000000000LL + now.tv_nsec);
    setenv("NZD_BENCH_BEGIN", begin, 1);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

struct times {
    long wall[RUNS]; /* microseconds */
    long cpu[RUNS];
};

static void run_once(const char *const *argv, long *wall, long *cpu)
{
    int ends[2];
    char text[64] = "";
    if (pipe(ends) != 0)
        harness_fail("no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        become(argv);
    }
    close(ends[1]);
    ssize_t size = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    if (size <= 0 || sscanf(text, "%ld %ld", wall, cpu) != 2)
        harness_fail("%s: the command was not started", argv[0]);
}

static int compare(const void *a, const void *b)
{
    const long *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(long us[RUNS])
{
    qsort(us, RUNS, sizeof us[0], compare);
    long both = us[RUNS / 2 - 1] + us[RUNS / 2];
    return (double)both / 2000;
}

/* `anew`: as after a restart of the host, with nothing in RAM. */
static void row(const char *name, const char *const *argv, bool anew)
{
    struct times times;
    for (int i = -WARM_UP; i < RUNS; i++) {
        if (anew && system("rm -rf /run/nzd") != 0)
            harness_fail("/run/nzd cannot be removed");
        run_once(argv, &times.wall[i < 0 ? 0 : i], &times.cpu[i < 0 ? 0 : i]);
    }
    double middle = median(times.wall);
    printf("%-44s %8.2f %8.2f %8.2f %8.2f\n", name, middle,
           (double)times.wall[0] / 1000, (double)times.wall[RUNS - 1] / 1000,
           median(times.cpu));
    fflush(stdout);
}

static void row_of_journal(struct bench *bench, const char *name,
                           const char *journal, bool anew)
{
    const char *const nzd[] = {harness_argv(bench->harness, NULL, NULL)[0],
                               "boot",
                               "--journal",
                               journal,
                               "--config",
                               bench->config,
                               "--",
                               NULL};
    row(name, harness_concat(bench->harness, nzd, bench->command), anew);
}

/* --- journals ------------------------------------------------------------ */

static struct nzd_journal *
open_journal(const char *path, enum nzd_journal_mode mode, uint32_t keep)
{
    const struct nzd_journal_options options = {
        .max_bytes = 512u << 20, .keep = keep, .no_sync = 1};
    struct nzd_journal *journal = NULL;
    struct nzd_err err = NZD_ERR_INIT;
    if (nzd_journal_open(path, mode, &options, &journal, &err))
        harness_fail("%s", err.message);
    return journal;
}

/* many-300 in a real node, and its other version applied. */
static const char *apply_300(struct bench *bench)
{
    struct harness *harness = bench->harness;
    const struct beam_node_options options = {
        .release = harness_fixture(harness, "many-300-1"), .name = "many"};
    struct beam_node *node = beam_node_start(harness, &options);
    struct harness_run run = harness_nzd(
        harness, node, "apply", harness_fixture(harness, "many-300-2"), NULL);
    assert_status(run, 0);
    beam_node_kill(node);
    return harness_journal(harness);
}

static int take_one(void *context, const struct nzd_module_row *row)
{
    struct nzd_module_row *out = context;
    *out = *row;
    out->module = strdup(row->module);
    out->application = strdup(row->application);
    out->old_path = strdup(row->old_path);
    out->new_path = strdup(row->new_path);
    return 1;
}

/* One module to the other version and back, armed and committed each time. */
static void toggle(struct nzd_journal *journal, const struct nzd_txn *first,
                   struct nzd_module_row *row)
{
    struct nzd_err err = NZD_ERR_INIT;
    for (int i = 0; i < TRANSACTIONS; i++) {
        struct nzd_module_row back = *row;
        back.old_blob = row->new_blob;
        back.new_blob = row->old_blob;
        back.old_md5 = row->new_md5;
        back.new_md5 = row->old_md5;
        back.old_bytes = row->new_bytes;
        back.new_bytes = row->old_bytes;
        *row = back;
        struct nzd_txn txn = *first;
        struct nzd_move move = {.txn = &txn, .modules = row, .module_count = 1};
        txn.id = 0;
        txn.state = NZD_STATE_ARMED;
        int code = nzd_journal_move(journal, &move, &err);
        struct nzd_move last = {.txn = &txn};
        txn.state = NZD_STATE_COMMITTED;
        if (code || nzd_journal_move(journal, &last, &err))
            harness_fail("%s", err.message);
    }
}

static const char *many_transactions(struct bench *bench, const char *from,
                                     uint32_t keep)
{
    struct harness *harness = bench->harness;
    const char *path = harness_path(harness, "kept-%u", keep);
    struct nzd_module_row row;
    struct nzd_txn first;
    harness_copy(harness, from, path);
    struct nzd_journal *journal = open_journal(path, NZD_JOURNAL_WRITE, keep);
    if (nzd_journal_txn(journal, 1, &first, NULL) ||
        nzd_journal_each_module(journal, 1, take_one, &row, NULL) != 1)
        harness_fail("%s has no transaction", path);
    toggle(journal, &first, &row);
    nzd_txn_clear(&first);
    nzd_module_row_clear(&row);
    nzd_journal_close(journal);
    return path;
}

/* --- the overlay --------------------------------------------------------- */

static void show_overlay(struct bench *bench, const char *journal)
{
    struct nzd_journal *handle = open_journal(journal, NZD_JOURNAL_READ, 0);
    char uuid[9];
    nzd_hex(uuid, nzd_journal_uuid(handle), 4);
    nzd_journal_close(handle);
    static const char measure[] =
        "cd /run/nzd/overlay/$0 && du -sk . | cut -f1 && "
        "find . -name '*.beam' -type f -printf '%s\\n' | "
        "awk '{ n++; s += $1 } END { print n, int(s / 1024) }'";
    const char *const argv[] = {"sh", "-c", measure, uuid, NULL};
    struct harness_run run = harness_run(bench->harness, argv, NULL);
    int held = 0, files = 0, bytes = 0;
    if (sscanf(run.out, "%d %d %d", &held, &files, &bytes) == 3)
        printf("the overlay takes %d KiB: %d modules of %d KiB\n", held, files,
               bytes);
}

static void bench_boot(void **state)
{
    struct bench bench = {.harness = harness_open()};
    struct harness *harness = bench.harness;
    (void)state;
    bench.config = harness_path(harness, "nzd.conf");
    harness_write_file(bench.config, "boot {\n tries = 10000\n}\n");
    fill_command(&bench);
    printf("%-44s %8s %8s %8s %8s\n", "ms from exec to exec", "median", "least",
           "most", "cpu");
    row("the command alone", bench.command, true);
    row_of_journal(&bench, "no journal", harness_path(harness, "none"), true);
    const char *empty = harness_path(harness, "empty");
    nzd_journal_close(open_journal(empty, NZD_JOURNAL_CREATE, 20));
    row_of_journal(&bench, "an empty journal", empty, true);
    const char *applied = apply_300(&bench);
    row_of_journal(&bench, "a generation of 300 modules", applied, true);
    show_overlay(&bench, applied);
    row_of_journal(&bench, "the same, the host not restarted", applied, false);
    row_of_journal(&bench, "after 1,000 transactions, 20 kept",
                   many_transactions(&bench, applied, 20), true);
    row_of_journal(&bench, "after 1,000 transactions, all kept",
                   many_transactions(&bench, applied, 2 * TRANSACTIONS), true);
    harness_close(harness);
}

/* In RAM, as it is where there is a /run; this program's alone. */
static bool mount_run(void)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("run", "/run", "tmpfs", 0, "mode=755") == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_boot)};
    if (!mount_run()) {
        fprintf(stderr, "bench-boot: a /run of its own needs root\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The store of a real journal, damaged at random. Reading it must end in exit
 * 8, or in exactly what stood there: never in a crash, a hang, or a journal
 * that is silently another one. What cannot be told from the file is the loss
 * of the last write of a header: the journal is then as it was one write
 * before, and by no more; that is checked.
 */
#include "answer.h"
#include "damage.h"
#include "sweep.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILES_SAMPLE 100u
#define FILES_FULL   4000u
#define NODE_SAMPLE  4u
#define NODE_FULL    120u
#define LIMIT_MS     10000
#define OLDER_MAX    16u
#define IDS_MAX      16u

/* What the commands answer of one state of the journal. */
struct answers {
    const char *list;
    uint64_t first;
    unsigned count;
    const char *shown[IDS_MAX];
};

struct store {
    struct sweep *sweep;
    const char *directory; /* of the damaged copies */
    const char *file;      /* data.mdb in it */
    struct damage_image whole;
    struct damage_image older[OLDER_MAX];
    size_t older_count;
    struct answers now;
    struct answers one_back;
    unsigned went_back; /* damaged stores that were one write back */
};

/* --- commands ------------------------------------------------------------ */

static struct harness_run run(struct harness *harness, const char *const *argv)
{
    struct harness_job *job = harness_begin(harness, argv, NULL);
    return harness_end(harness, job, LIMIT_MS);
}

#define ask(store, ...)                                                        \
    run((store)->sweep->harness,                                               \
        harness_argv((store)->sweep->harness, NULL, __VA_ARGS__, "--journal",  \
                     (store)->directory, NULL))

static struct harness_run show(struct store *store, uint64_t id)
{
    const char *number = harness_text(store->sweep->harness, "%" PRIu64, id);
    return ask(store, "journal", "show", number, "--json");
}

static void place(struct store *store, const struct damage_image *image)
{
    harness_remove(store->sweep->harness, store->directory);
    if (mkdir(store->directory, 0700) != 0)
        harness_fail("mkdir %s", store->directory);
    damage_write(store->file, image);
}

static struct answers learn(struct store *store,
                            const struct damage_image *image)
{
    struct harness *harness = store->sweep->harness;
    struct answers answers = {0};
    place(store, image);
    struct harness_run verify = ask(store, "journal", "verify");
    assert_status(verify, 0);
    struct harness_run list = ask(store, "journal", "show", "--json");
    assert_status(list, 0);
    json_t *txns = answer_get(answer_object(harness, list.out), "transactions");
    answers.list = list.out;
    answers.count = (unsigned)json_array_size(txns);
    assert_in_range(answers.count, 3, IDS_MAX);
    answers.first =
        (uint64_t)answer_number(json_array_get(txns, answers.count - 1), "txn");
    for (unsigned i = 0; i < answers.count; i++)
        answers.shown[i] = show(store, answers.first + i).out;
    return answers;
}

/* --- a journal with a past ----------------------------------------------- */

static const char *journal_file(struct sweep *sweep)
{
    return harness_text(sweep->harness, "%s/data.mdb",
                        harness_journal(sweep->harness));
}

static void keep_older(struct store *store)
{
    if (store->older_count < OLDER_MAX)
        store->older[store->older_count++] =
            damage_read(journal_file(store->sweep));
}

/* Applies, one that fails, rollbacks; more than are kept. */
static void live_a_while(struct store *store)
{
    struct sweep *sweep = store->sweep;
    harness_write_file(
        sweep->config,
        harness_text(sweep->harness, "keep = 6\n%s",
                     harness_read_file(sweep->harness, sweep->config)));
    for (unsigned i = 0; i < 3; i++) {
        static const struct operation *const all[] = {
            &sweep_apply, &sweep_failing, &sweep_rollback};
        for (unsigned j = 0; j < 3; j++) {
            struct harness_run done = sweep_run(sweep, all[j], 0, NULL);
            assert_status(done, all[j]->status);
            keep_older(store);
        }
    }
    sweep_bring_to(sweep, "0.2.0");
}

static int store_setup(void **state)
{
    const struct beam_node_options options = {0};
    struct sweep *sweep = sweep_open(&options);
    struct store *store = harness_alloc(sweep->harness, sizeof *store);
    store->sweep = sweep;
    store->directory = harness_path(sweep->harness, "damaged");
    store->file = harness_path(sweep->harness, "damaged/data.mdb");
    live_a_while(store);
    store->whole = damage_read(journal_file(sweep));
    store->now = learn(store, &store->whole);
    struct damage_image back = damage_copy(&store->whole);
    damage_one_back(&back);
    store->one_back = learn(store, &back);
    free(back.data);
    assert_string_not_equal(store->now.list, store->one_back.list);
    *state = store;
    return 0;
}

static int store_teardown(void **state)
{
    struct store *store = *state;
    for (size_t i = 0; i < store->older_count; i++)
        free(store->older[i].data);
    free(store->whole.data);
    harness_close(store->sweep->harness);
    return 0;
}

/* --- what may be answered ------------------------------------------------ */

static void fail_damage(struct store *store, const char *way,
                        const struct harness_run *done, const char *what)
{
    const char *kept = "build/test-logs/damaged.mdb";
    struct damage_image image = damage_read(store->file);
    (void)mkdir("build/test-logs", 0777);
    damage_write(kept, &image);
    free(image.data);
    store->sweep->tally->violations++;
    harness_fail("%s (%s, kept): %s\nexit %d%s: %s\n%s%s", way, kept, what,
                 done->status, done->timed_out ? " at the limit" : "",
                 done->command, done->out, done->err);
}

/* 0 or 8, in time; 8 says why. */
static bool answered(struct store *store, const char *way,
                     const struct harness_run *done)
{
    if (done->timed_out)
        fail_damage(store, way, done, "it hangs");
    if (done->status != 0 && done->status != 8)
        fail_damage(store, way, done, "neither an answer nor exit 8");
    if (done->status == 8 && !strstr(done->err, "journal") &&
        !strstr(done->out, "journal"))
        fail_damage(store, way, done, "it does not say that it is the journal");
    return done->status == 0;
}

static bool header_differs(struct store *store,
                           const struct damage_image *image, size_t which)
{
    size_t at = which * DAMAGE_PAGE;
    return image->size < at + DAMAGE_PAGE ||
           memcmp(image->data + at, store->whole.data + at, DAMAGE_PAGE) != 0;
}

static bool lists(struct store *store, const struct damage_image *image,
                  const char *list)
{
    place(store, image);
    return strcmp(ask(store, "journal", "show", "--json").out, list) == 0;
}

/* With both headers of an older file it may be all that this was: nothing in it
 * tells that. */
static bool is_older(struct store *store, const struct damage_image *image,
                     const char *list)
{
    bool is = false;
    if (!header_differs(store, image, 0) || !header_differs(store, image, 1))
        return false;
    for (size_t i = 0; !is && i < store->older_count; i++) {
        struct damage_image back = damage_copy(&store->older[i]);
        damage_one_back(&back);
        is = lists(store, &store->older[i], list) || lists(store, &back, list);
        free(back.data);
    }
    place(store, image);
    return is;
}

static const struct answers long_ago;

/* The answers that this list is of, or NULL. */
static const struct answers *told(struct store *store, const char *way,
                                  const struct damage_image *image,
                                  struct harness_run *list)
{
    if (!answered(store, way, list))
        return NULL;
    if (strcmp(list->out, store->now.list) == 0)
        return &store->now;
    if (strcmp(list->out, store->one_back.list) == 0 &&
        (header_differs(store, image, 0) || header_differs(store, image, 1)))
        return &store->one_back;
    if (is_older(store, image, list->out))
        return &long_ago;
    fail_damage(store, way, list, "it shows another journal");
    return NULL;
}

/* True where nothing was seen: then it is as it was, or one write back. */
static bool read_damaged(struct store *store, const char *way,
                         const struct damage_image *image)
{
    place(store, image);
    struct harness_run verify = ask(store, "journal", "verify");
    struct harness_run list = ask(store, "journal", "show", "--json");
    bool holds = answered(store, way, &verify);
    const struct answers *as = told(store, way, image, &list);
    if (holds && !as)
        fail_damage(store, way, &list, "verify held");
    if (!as || as == &long_ago)
        return false;
    store->went_back += as == &store->one_back;
    unsigned i = sweep_choose(store->sweep, as->count);
    struct harness_run entry = show(store, as->first + i);
    if (answered(store, way, &entry) && strcmp(entry.out, as->shown[i]) != 0)
        fail_damage(store, way, &entry, "it shows another transaction");
    if (holds && entry.status != 0)
        fail_damage(store, way, &entry, "verify held");
    return holds;
}

static uint64_t draw_seed(struct sweep *sweep)
{
    return (uint64_t)sweep_choose(sweep, 1u << 30);
}

/* --- read --------------------------------------------------------------- */

static void damaged_stores_are_read(void **state)
{
    struct store *store = *state;
    struct sweep *sweep = store->sweep;
    unsigned files = sweep->full ? FILES_FULL : FILES_SAMPLE, whole = 0;
    sweep_begin(sweep, "store damaged and read");
    for (unsigned i = 0; i < files; i++) {
        struct damage_image image = damage_copy(&store->whole);
        uint64_t seed = draw_seed(sweep);
        unsigned times = i % 2 ? 1 : 4;
        const char *way = NULL;
        while (times--)
            way = damage_some(&image, store->older, store->older_count, &seed);
        whole += read_damaged(store, way, &image);
        sweep->tally->points++;
        sweep->tally->runs++;
        free(image.data);
    }
    printf("%u damaged stores of %zu bytes: %u told, %u as they were, of them "
           "%u one write back\n",
           files, store->whole.size, files - whole, whole, store->went_back);
    assert_in_range(whole, 1, files * 3 / 4);
    sweep_end(sweep);
}

/* --- files that are something else --------------------------------------- */

struct oddity {
    const char *name;
    const char *script; /* in the journal's folder */
    int status;         /* of verify; -1: 0 or 8 */
};

static const struct oddity oddities[] = {
    {"an empty file", ": >data.mdb", 8},
    {"a folder", "rm data.mdb; mkdir data.mdb", 8},
    {"a pipe", "rm data.mdb; mkfifo data.mdb", 8},
    {"a device", "rm data.mdb; ln -s /dev/zero data.mdb", 8},
    {"a link to nothing", "rm data.mdb; ln -s /nowhere data.mdb", 8},
    {"a link to itself", "rm data.mdb; ln -s data.mdb data.mdb", 8},
    {"a link to the store", "mv data.mdb s; ln -s s data.mdb", 0},
    {"no store beside a lock file", "rm data.mdb; echo >lock.mdb", 8},
    {"an empty lock file", ": >lock.mdb", 0},
    {"rubbish as lock file", "head -c 8192 /dev/urandom >lock.mdb", -1},
    {"a short lock file", "head -c 100 /dev/urandom >lock.mdb", -1},
    {"a long lock file", "head -c 99999 /dev/urandom >lock.mdb", -1},
    {"a folder as lock file", "mkdir lock.mdb", 8},
    {"a folder as our lock", "mkdir lock", 0},
    {"rubbish in our lock", "head -c 4096 /dev/urandom >lock", 0},
    {"a new store left over", "head -c 9999 data.mdb >data.mdb.new", 0},
    {"a folder as new store", "mkdir data.mdb.new", 0},
    {"only a new store", "mv data.mdb data.mdb.new", 0},
    {"a file for its folder", "cd ..; rm -r damaged; echo >damaged", 8},
};

static void other_files_are_told(void **state)
{
    struct store *store = *state;
    struct harness *harness = store->sweep->harness;
    sweep_begin(store->sweep, "store replaced by something else");
    for (size_t i = 0; i < sizeof oddities / sizeof oddities[0]; i++) {
        const struct oddity *odd = &oddities[i];
        place(store, &store->whole);
        const char *const argv[] = {
            "sh", "-ec",
            harness_text(harness, "cd '%s'; %s", store->directory, odd->script),
            NULL};
        struct harness_run made = harness_run(harness, argv, NULL);
        assert_status(made, 0);
        struct harness_run verify = ask(store, "journal", "verify");
        struct harness_run list = ask(store, "journal", "show", "--json");
        if (verify.timed_out || list.timed_out)
            harness_fail("%s: it hangs", odd->name);
        if (odd->status >= 0 ? verify.status != odd->status
                             : verify.status != 0 && verify.status != 8)
            harness_fail("%s: exit %d\n%s%s", odd->name, verify.status,
                         verify.out, verify.err);
        if (verify.status != list.status)
            harness_fail("%s: verify ends with %d, show with %d", odd->name,
                         verify.status, list.status);
        store->sweep->tally->points++;
        store->sweep->tally->runs++;
    }
    sweep_end(store->sweep);
}

/* --- written ------------------------------------------------------------- */

/* A command of the node on the store in place. 0 and 6 must leave a node that
 * runs what the journal names, and a journal that holds where it held before
 * (an event of the past that is damaged stops nobody); anything else must
 * leave the node as it was. */
static void write_damaged(struct store *store, const char *way,
                          const struct operation *operation)
{
    struct sweep *sweep = store->sweep;
    struct harness_run before =
        harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL);
    struct harness_job *job =
        harness_begin(sweep->harness, sweep_argv(sweep, operation), NULL);
    struct harness_run done = harness_end(sweep->harness, job, LIMIT_MS * 2);
    const char *runs = "0.2.0";
    if (done.timed_out || done.status > 10 || done.status == 1)
        fail_damage(store, way, &done, "it hangs or crashes");
    if (done.status == 0 || done.status == 6) {
        struct harness_run verify =
            harness_nzd(sweep->harness, sweep->node, "journal", "verify", NULL);
        if (verify.status != 0 && before.status == 0)
            fail_damage(store, way, &verify, "a write made it worse");
        runs = sweep_in_force(sweep);
    }
    if (!sweep_runs_exactly(sweep, runs))
        fail_damage(store, way, &done, "the node runs another thing");
}

static const struct operation dry_run = {
    "apply --dry-run", NULL, {"apply", "--dry-run"}, "0.1.0", 0};
static const struct operation status_of = {"status", NULL, {"status"}, NULL, 0};
static const struct operation back_to_base = {
    "apply", NULL, {"apply"}, "0.1.0", 0};
static const struct operation roll_back = {
    "rollback", NULL, {"rollback"}, NULL, 0};

static void use_damaged(struct store *store, const char *way, unsigned turn)
{
    static const struct operation *const writers[] = {&back_to_base, &roll_back,
                                                      &sweep_recover};
    struct sweep *sweep = store->sweep;
    const struct operation *readers[] = {&status_of, &dry_run};
    for (size_t i = 0; i < 2; i++) {
        struct harness_run done = sweep_run(sweep, readers[i], 0, NULL);
        if (done.timed_out || done.status == 1 || done.status > 10)
            fail_damage(store, way, &done, "it hangs or crashes");
    }
    if (!sweep_runs_exactly(sweep, "0.2.0"))
        harness_fail("%s: the node was touched by a question", way);
    write_damaged(store, way, writers[turn % 3]);
}

/* The node with its own journal, one version on each time: the damaged copy
 * is of the journal as it is then. */
static void damaged_stores_are_written(void **state)
{
    struct store *store = *state;
    struct sweep *sweep = store->sweep;
    unsigned files = sweep->full ? NODE_FULL : NODE_SAMPLE;
    const char *path = journal_file(sweep);
    sweep_begin(sweep, "store damaged and written");
    for (unsigned i = 0; i < files; i++) {
        sweep_bring_to(sweep, "0.2.0");
        struct damage_image whole = damage_read(path);
        struct damage_image image = damage_copy(&whole);
        uint64_t seed = draw_seed(sweep);
        const char *way =
            damage_some(&image, store->older, store->older_count, &seed);
        damage_write(path, &image);
        place(store, &image);
        use_damaged(store, way, i);
        damage_write(path, &whole);
        sweep->tally->points++;
        sweep->tally->runs++;
        free(image.data);
        free(whole.data);
    }
    sweep_end(sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_stores_are_read),
        cmocka_unit_test(other_files_are_told),
        cmocka_unit_test(damaged_stores_are_written),
    };
    return tally_report(
        cmocka_run_group_tests(tests, store_setup, store_teardown));
}

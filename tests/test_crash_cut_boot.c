/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power is cut: all that is written to the partition of /data while nzd
 * works in a device, by whomever, is recorded as the disk sees it, and the
 * disk is made again as it may be found after a cut at each write and each
 * flush (disk.h). Of every such state the file system must mount and the
 * journal in it hold what it held at the last thing nzd knew to be done before
 * the cut or at the first one behind it; then a device boots it, by `nzd boot`,
 * and every module that it runs is what that journal promises.
 */
#include "fuse.h"
#include "lanes.h"
#include "revive.h"
#include "sweep.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LANES        2u /* one of them restless */
#define CHAPTERS_MAX 16
#define VERSIONS_MAX 16
#define SEEN_MAX     256u
#define SHOWN_MAX    5u
/* In full, for each cut; and of how many states one is gone on from. */
#define RANDOM_FULL 2u
#define GO_ON_EACH  8u
/* Of a sample: cuts of each chapter. */
#define SAMPLE 1u
/* How many states a disk that lies may need until one does not hold. */
#define LIES_MAX 200u

#define TEXT_SIZE sizeof((struct power_finding *)0)->text

/* What was done with the device while the disk was recorded. */
struct chapter {
    const char *row;
    struct disk *disk;
    size_t begin; /* entries */
    size_t end;
    /* What boots: of a cut before the end either, of one at it the new one.
     * NULL: what the journal that is found has in force. */
    const char *old;
    const char *new;
};

struct cutting {
    struct sweep *sweep;
    struct device *device;
    struct disk *disk; /* that the device writes to */
    struct revival *revival;
    struct chapter chapters[CHAPTERS_MAX];
    unsigned chapter_count;
    /* What generation N is; NULL: there is none. */
    const char *versions[VERSIONS_MAX];
    size_t open;   /* a cut in the midst of an apply */
    bool restless; /* what is not synced is written all the time, too */
};

static const char *lacking;

/* --- the recording ------------------------------------------------------- */

static struct chapter *begin(struct cutting *c, const char *row)
{
    struct chapter *chapter = &c->chapters[c->chapter_count++];
    if (c->chapter_count > CHAPTERS_MAX)
        harness_fail("there are too many chapters");
    disk_mark(c->disk, row);
    chapter->row = row;
    chapter->disk = c->disk;
    chapter->begin = disk_count(c->disk);
    return chapter;
}

static void end(struct cutting *c, struct chapter *chapter)
{
    disk_mark(c->disk, "end");
    chapter->end = disk_count(c->disk) - 1;
}

#define record(c, row, status, ...)                                            \
    record_nzd((c), (row), (status),                                           \
               (const char *const[]){"/usr/bin/nzd", __VA_ARGS__, NULL})

static struct chapter *record_nzd(struct cutting *c, const char *row,
                                  int status, const char *const *argv)
{
    struct chapter *chapter = begin(c, row);
    struct harness_run run = device_run(c->device, argv);
    assert_status(run, status);
    end(c, chapter);
    return chapter;
}

static const char *bundle(struct cutting *c, const char *version)
{
    return scene_bundle(&c->device->scene, version);
}

static void use_disk(struct cutting *c, const char *image)
{
    c->disk = disk_open(c->sweep->harness, image);
    c->device->data = disk_path(c->disk);
    c->device->marks = disk_marks(c->disk);
}

/* The mark behind the last commit but one: the transaction is open there. */
static size_t find_open(const struct chapter *chapter)
{
    unsigned commits = 0;
    for (size_t i = chapter->end; i > chapter->begin; i--) {
        const char *mark = disk_mark_at(chapter->disk, i);
        if (mark && strstr(mark, "after a commit of the journal") &&
            ++commits == 2)
            return i;
    }
    harness_fail("not much was committed");
}

static void record_commands(struct cutting *c)
{
    record(c, "/data cut in first apply", 0, "apply", bundle(c, "0.2.0"));
    c->versions[1] = "0.2.0";
    struct chapter *failing =
        record(c, "/data cut in failing apply", 6, "apply", bundle(c, "0.3.0"));
    c->open = find_open(failing);
    record(c, "/data cut in rollback", 0, "rollback", "--to", "0");
    c->versions[3] = "0.1.0";
    record(c, "/data cut in second apply", 0, "apply", bundle(c, "0.2.0"));
    c->versions[4] = "0.2.0";
}

static void record_boot(struct cutting *c, const char *row, const char *old,
                        const char *new)
{
    struct chapter *chapter = begin(c, row);
    chapter->old = old;
    chapter->new = new;
    device_reboot(c->device);
    end(c, chapter);
}

static void record_boots(struct cutting *c)
{
    record_boot(c, "/data cut in a restart", NULL, NULL);
    record(c, "/data cut in nzd health", 0, "health", "ok");
    record(c, "/data cut in an apply over a healthy one", 0, "apply",
           bundle(c, "0.2.0-state"));
    c->versions[5] = "0.2.0-state";
    record_boot(c, "/data cut in a restart", NULL, NULL);
    struct chapter *bad =
        record(c, "/data cut in nzd health", 0, "health", "bad");
    bad->old = "0.2.0-state";
    bad->new = "0.2.0";
    record_boot(c, "/data cut in a boot that falls back", "0.2.0", "0.2.0");
    c->versions[6] = "0.2.0";
}

/* Its state is recorded from the cut in the midst of an apply on. */
static void record_boot_behind_a_cut(struct cutting *c)
{
    struct disk *disk = c->disk;
    const struct disk_choice all = {DISK_ALL, 0, SIZE_MAX};
    device_shut_down(c->device);
    disk_count(disk);
    disk_cut(disk, c->open, all);
    disk_write(disk, c->revival->image);
    use_disk(c, c->revival->image);
    struct chapter *chapter = begin(c, "/data cut in a boot behind a cut");
    device_boot(c->device);
    end(c, chapter);
    device_shut_down(c->device);
    disk_count(c->disk);
}

/* The kernel may write what was not synced at any time: here it always does. */
static struct harness_job *begin_writing_back(struct cutting *c)
{
    const char *const argv[] = {
        "sh", "-c",
        harness_text(c->sweep->harness,
                     "while sync -f %s; do sleep 0.005; done",
                     device_path(c->device, "/data")),
        NULL};
    return c->restless ? harness_begin(c->sweep->harness, argv, NULL) : NULL;
}

static void record_all(struct cutting *c)
{
    struct device *device = c->device;
    use_disk(c, device->data);
    device_boot(device);
    struct harness_job *job = begin_writing_back(c);
    record_commands(c);
    if (job)
        process_kill(harness_job_pid(job));
    record_boots(c);
    record_boot_behind_a_cut(c);
    /* States are booted by the nzd that is tested. */
    device->marks = NULL;
    device->nzd = NULL;
    device_set_base(device, "0.1.0");
}

/* --- what must be found --------------------------------------------------- */

struct state {
    struct chapter *chapter;
    size_t cut;
    struct disk_choice choice;
    struct power_finding finding;
};

/* The marks around a cut, and what the journal held there when nothing was
 * lost. */
struct around {
    size_t next; /* the mark behind */
    char before[TEXT_SIZE];
    char after[TEXT_SIZE];
};

static void look_at_mark(struct cutting *c, struct disk *disk, size_t at,
                         char *text)
{
    const struct disk_choice all = {DISK_ALL, 0, SIZE_MAX};
    disk_cut(disk, at, all);
    struct power_finding finding = revive_look(c->revival, disk);
    if (finding.why[0])
        harness_fail("at entry %zu nothing was lost: %s", at, finding.why);
    snprintf(text, TEXT_SIZE, "%s", finding.text);
}

static void go_to(struct cutting *c, struct disk *disk, size_t cut,
                  struct around *around)
{
    size_t before = cut, next = cut;
    while (!disk_mark_at(disk, next))
        next++;
    if (around->next == next)
        return;
    while (!disk_mark_at(disk, before - 1))
        before--;
    look_at_mark(c, disk, before - 1, around->before);
    look_at_mark(c, disk, next, around->after);
    around->next = next;
}

static void judge(struct state *state, const struct around *around)
{
    struct power_finding *finding = &state->finding;
    if (!finding->why[0] && strcmp(finding->text, around->before) != 0 &&
        strcmp(finding->text, around->after) != 0)
        snprintf(finding->why, sizeof finding->why,
                 "the journal holds something else\n  before %.250s\n"
                 "  after  %.250s",
                 around->before, around->after);
}

/* By the number behind the last bar: "1:committed | 1 of 5 3f2a...". */
static const char *in_force(struct cutting *c, const char *text)
{
    const char *bar = strrchr(text, '|');
    unsigned id = 0;
    if (!bar || sscanf(bar, "| %u of", &id) != 1)
        return "0.1.0";
    if (id >= VERSIONS_MAX || !c->versions[id])
        harness_fail("generation %u was never made", id);
    return c->versions[id];
}

static void boot(struct cutting *c, struct state *state, bool further)
{
    const struct chapter *chapter = state->chapter;
    const char *version = in_force(c, state->finding.text);
    revive_boot(c->revival, chapter->disk);
    if (chapter->old && state->cut < chapter->end &&
        revive_runs(c->revival, chapter->old))
        version = chapter->old;
    else if (chapter->new)
        version = chapter->new;
    revive_check(c->revival, version, &state->finding);
    if (!state->finding.why[0] && further)
        revive_go_on(c->revival, &state->finding);
    revive_end(c->revival);
}

/* --- sweeping ------------------------------------------------------------ */

/* A sweep that runs: the states already seen between two marks. */
struct run {
    struct cutting *c;
    struct chapter *chapter;
    struct around around;
    struct nzd_digest seen[SEEN_MAX];
    unsigned seen_count;
};

static uint64_t seed(struct sweep *sweep)
{
    uint64_t high = sweep_choose(sweep, 1u << 30);
    return high << 30 | sweep_choose(sweep, 1u << 30);
}

static bool is_new(struct run *run, struct nzd_digest digest)
{
    for (unsigned i = 0; i < run->seen_count; i++)
        if (nzd_digest_equal(&run->seen[i], &digest))
            return false;
    if (run->seen_count < SEEN_MAX)
        run->seen[run->seen_count++] = digest;
    return true;
}

static void show(const struct state *state)
{
    printf("%s: cut at entry %zu of %zu..%zu, keep %d seed %" PRIu64
           "\n  found  %s\n  %s\n",
           state->chapter->row, state->cut, state->chapter->begin,
           state->chapter->end, (int)state->choice.keep, state->choice.seed,
           state->finding.text, state->finding.why);
}

static void try_state(struct run *run, size_t cut, struct disk_choice choice)
{
    struct cutting *c = run->c;
    struct tally *tally = c->sweep->tally;
    struct state state = {run->chapter, cut, choice, {.text = ""}};
    if (!is_new(run, disk_cut(run->chapter->disk, cut, choice)))
        return;
    state.finding = revive_look(c->revival, run->chapter->disk);
    judge(&state, &run->around);
    if (!state.finding.why[0]) {
        disk_cut(run->chapter->disk, cut, choice);
        boot(c, &state, tally->runs % GO_ON_EACH == GO_ON_EACH / 2);
    }
    tally->runs++;
    if (state.finding.why[0] && tally->violations++ < SHOWN_MAX)
        show(&state);
}

static void try_cut(struct run *run, size_t cut)
{
    struct sweep *sweep = run->c->sweep;
    struct disk *disk = run->chapter->disk;
    struct disk_choice choice = {DISK_ALL, 0, SIZE_MAX};
    size_t next = run->around.next;
    sweep->tally->points++;
    go_to(run->c, disk, cut, &run->around);
    if (next != run->around.next)
        run->seen_count = 0;
    if (sweep->full || !disk_is_open(disk, cut))
        try_state(run, cut, choice);
    if (!disk_is_open(disk, cut))
        return;
    choice.keep = DISK_NONE;
    if (sweep->full)
        try_state(run, cut, choice);
    choice.keep = DISK_RANDOM;
    for (unsigned i = 0; i < (sweep->full ? RANDOM_FULL : 1); i++) {
        choice.seed = seed(sweep);
        try_state(run, cut, choice);
    }
}

/* Where nothing is under way it is as before. */
static bool is_act(const struct chapter *chapter, size_t cut)
{
    return cut == chapter->end || (!disk_mark_at(chapter->disk, cut) &&
                                   disk_is_open(chapter->disk, cut));
}

static unsigned count_cuts(const struct chapter *chapter)
{
    unsigned count = 0;
    for (size_t cut = chapter->begin; cut <= chapter->end; cut++)
        count += is_act(chapter, cut);
    return count;
}

static size_t cut_number(const struct chapter *chapter, unsigned number)
{
    size_t cut = chapter->begin;
    while (!is_act(chapter, cut) || number-- > 0)
        cut++;
    return cut;
}

static void sweep_chapter(struct cutting *c, struct chapter *chapter)
{
    struct run *run = harness_alloc(c->sweep->harness, sizeof *run);
    unsigned count = count_cuts(chapter);
    run->c = c;
    run->chapter = chapter;
    run->around.next = SIZE_MAX;
    sweep_begin(c->sweep, chapter->row);
    for (unsigned i = 0; i < (c->sweep->full ? count : SAMPLE); i++) {
        unsigned number = c->sweep->full ? i : sweep_choose(c->sweep, count);
        try_cut(run, cut_number(chapter, number));
    }
    sweep_end(c->sweep);
    if (c->sweep->tally->violations)
        harness_fail("%s: %u states do not hold", chapter->row,
                     c->sweep->tally->violations);
}

/* --- tests --------------------------------------------------------------- */

static int setup(void **state)
{
    static char conf[] = "boot {\n tries = 3\n healthy = 0\n}\n";
    struct cutting *c;
    if (lacking)
        return 0;
    struct sweep *sweep = sweep_open_bare();
    struct harness *harness = sweep->harness;
    c = harness_alloc(harness, sizeof *c);
    c->sweep = sweep;
    c->device = device_new_with(harness, "0.1.0", sweep->nzd);
    c->device->config = harness_path(harness, "device.conf");
    harness_write_file(c->device->config,
                       harness_text(harness, "%s%s", conf,
                                    harness_read_file(harness, sweep->config)));
    c->revival = revive_open(harness, c->device);
    c->restless = sweep->full ? lanes_take(1) : sweep_choose(sweep, 2);
    record_all(c);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct cutting *c = *state;
    if (c)
        harness_close(c->sweep->harness);
    return 0;
}

static void power_cut_of_the_partition(void **state)
{
    struct cutting *c = *state;
    if (!c) {
        skip();
        return;
    }
    for (unsigned i = 0; i < c->chapter_count; i++)
        sweep_chapter(c, &c->chapters[i]);
}

/* What is proven above can fail: a disk that says it has flushed, and has not,
 * loses what nzd was told is safe. */
static void a_disk_that_lies(void **state)
{
    struct cutting *c = *state;
    if (!c) {
        skip();
        return;
    }
    struct chapter *chapter = &c->chapters[1];
    struct around around = {.next = SIZE_MAX};
    unsigned broken = 0, tried = 0;
    while (!broken && tried++ < LIES_MAX) {
        size_t cut =
            cut_number(chapter, sweep_choose(c->sweep, count_cuts(chapter)));
        struct state found = {chapter,
                              cut,
                              {DISK_RANDOM, seed(c->sweep), chapter->begin},
                              {.text = ""}};
        go_to(c, chapter->disk, cut, &around);
        disk_cut(chapter->disk, cut, found.choice);
        found.finding = revive_look(c->revival, chapter->disk);
        judge(&found, &around);
        broken += found.finding.why[0] != '\0';
    }
    printf("a disk that lies: %u of %u states do not hold\n", broken, tried);
    assert_true(broken > 0);
}

/* And so can what is said of a device that has booted. */
static void another_promise(void **state)
{
    struct cutting *c = *state;
    if (!c) {
        skip();
        return;
    }
    struct chapter wrong = c->chapters[0];
    struct state found = {
        &wrong, wrong.end, {DISK_ALL, 0, SIZE_MAX}, {.text = ""}};
    wrong.old = wrong.new = "0.1.0";
    disk_cut(wrong.disk, wrong.end, found.choice);
    boot(c, &found, false);
    assert_string_equal(found.finding.why, "0.1.0 does not run");
}

#define in(test) cmocka_unit_test(test)

int main(void)
{
    const struct CMUnitTest tests[] = {in(power_cut_of_the_partition),
                                       in(a_disk_that_lies),
                                       in(another_promise)};
    lacking = fuse_lacks();
    if (!lacking)
        lacking = device_lacks();
    if (lacking)
        print_message("no device can be cut off here: %s\n", lacking);
    int status = lacking ? -1 : lanes_run(LANES);
    if (status >= 0)
        return status;
    return tally_report(cmocka_run_group_tests(tests, setup, teardown));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "film.h"

#include "power.h"
#include "recording.h"
#include "replay.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define JOURNAL    "data/nzd/journal"
#define SHOWN_MAX  5u   /* states that are shown where they do not hold */
#define SEEN_MAX   512u /* states that are known not to be new */
#define RANDOM_ONE 1u   /* of a sample, for each cut */

/* --- setting up ---------------------------------------------------------- */

static const char *recorder(struct sweep *sweep)
{
    const char *slash = strrchr(sweep->nzd, '/');
    const char *path = harness_text(sweep->harness, "%.*s/record_writes.so",
                                    (int)(slash - sweep->nzd), sweep->nzd);
    if (access(path, R_OK) != 0)
        harness_fail("%s is not built: make points", path);
    return path;
}

/* Also of a film that a failing check left open. */
static void drop(void *argument)
{
    struct film *film = argument;
    replay_close(film->replay);
    film->replay = NULL;
    harness_remove(film->sweep->harness, film->state);
}

/* In RAM where that can be had: thousands of folders are made there. By its
 * name tests/run.sh removes it where the test program was killed. */
static const char *states(struct film *film)
{
    struct harness *harness = film->sweep->harness;
    const char *run = getenv("NZD_TEST_RUN"), *slash;
    char path[256];
    slash = run ? strrchr(run, '/') : NULL;
    snprintf(path, sizeof path, "/dev/shm/%s.XXXXXX",
             slash ? slash + 1 : "nzd-test");
    if (!mkdtemp(path))
        return harness_text(harness, "%s.state", film->folder);
    return harness_text(harness, "%s", path);
}

struct film *film_open(struct sweep *sweep, struct beam_node *node)
{
    static unsigned count;
    struct harness *harness = sweep->harness;
    struct film *film = harness_alloc(harness, sizeof *film);
    film->sweep = sweep;
    film->node = node;
    film->config = sweep->config;
    film->folder = harness_path(harness, "disk-%u", ++count);
    film->journal = harness_text(harness, "%s/" JOURNAL, film->folder);
    film->log = harness_text(harness, "%s.log", film->folder);
    film->state = states(film);
    harness_at_close(harness, drop, film);
    if (mkdir(film->folder, 0700) != 0)
        harness_fail("%s: %s", film->folder, strerror(errno));
    return film;
}

void film_close(struct film *film)
{
    drop(film);
    harness_remove(film->sweep->harness, film->folder);
    harness_remove(film->sweep->harness, film->log);
}

void film_configure(struct film *film, const char *text)
{
    film->config = harness_path(film->sweep->harness, "film.conf");
    harness_write_file(film->config, text);
}

bool film_can(struct film *film, const char *verb)
{
    struct harness_run help =
        harness_nzd(film->sweep->harness, NULL, "journal", "--help", NULL);
    return strstr(help.out, verb) != NULL;
}

uint64_t film_journal_bytes(const struct film *film)
{
    struct stat file;
    const char *path =
        harness_text(film->sweep->harness, "%s/data.mdb", film->journal);
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

/* --- recording ----------------------------------------------------------- */

/* "0.2.0" is the bundle of that version. */
static const char *word(struct film *film, const char *text)
{
    struct harness *harness = film->sweep->harness;
    if (strspn(text, "0123456789.") < strlen(text) || !strchr(text, '.'))
        return text;
    return harness_fixture(harness,
                           harness_text(harness, "counter-%s.tar.gz", text));
}

static const char *const *command(struct film *film, const char *const *words)
{
    struct harness *harness = film->sweep->harness;
    const char **all = harness_alloc(harness, 12 * sizeof *all);
    const char *const *given = harness_argv(harness, film->node, NULL);
    size_t count = 0;
    all[count++] = film->sweep->nzd;
    const char *verb = word(film, words[0]);
    all[count++] = verb;
    for (size_t i = 1; words[i]; i++)
        all[count++] = word(film, words[i]);
    if (strcmp(verb, "apply") == 0)
        all[count++] = "--retry";
    all[count++] = "--config";
    all[count] = film->config;
    const char **argv =
        (const char **)(uintptr_t)harness_concat(harness, all, given + 1);
    for (size_t i = 0; argv[i]; i++) {
        if (strcmp(argv[i], "--journal") == 0)
            argv[i + 1] = film->journal;
    }
    return argv;
}

/* The end of a command: all that it said is to be kept. */
static void mark_end(struct film *film, const char *text)
{
    struct recording_entry entry = {.kind = RECORDING_MARK,
                                    .data_size = strlen(text)};
    const struct iovec parts[2] = {{&entry, sizeof entry},
                                   {(void *)(uintptr_t)text, strlen(text)}};
    int fd = open(film->log, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || writev(fd, parts, 2) < 0)
        harness_fail("%s: %s", film->log, strerror(errno));
    close(fd);
}

static void reopen(struct film *film)
{
    replay_close(film->replay);
    film->replay = access(film->log, R_OK) == 0 ? replay_open(film->log) : NULL;
}

void film_begin(struct film *film, const char *row)
{
    sweep_begin(film->sweep, row);
    reopen(film);
    film->begin = film->replay ? replay_count(film->replay) : 0;
}

static struct harness_run record(struct film *film, const char *const *words,
                                 const char *const *environment)
{
    struct harness *harness = film->sweep->harness;
    const char *marks = harness_text(harness, "%s.marks", film->folder);
    const char *const own[] = {
        harness_text(harness, "LD_PRELOAD=%s", recorder(film->sweep)),
        harness_text(harness, "NZD_RECORD_BELOW=%s", film->folder),
        harness_text(harness, "NZD_RECORD_LOG=%s", film->log),
        harness_text(harness, "NZD_RECORD_MARKS=%s", marks),
        harness_text(harness, "NZD_POINT_LOG=%s", marks),
        NULL};
    return harness_run(harness, command(film, words),
                       environment ? harness_concat(harness, own, environment)
                                   : own);
}

/* lock.mdb is left out: LMDB maps it, and whoever opens the journal alone
 * makes it anew. */
static void expect_same(struct film *film)
{
    const struct replay_choice all = {REPLAY_ALL, 0};
    const char *const argv[] = {"diff",       "-r",        "-x", "lock.mdb",
                                film->folder, film->state, NULL};
    struct replay_image *image =
        replay_make(film->replay, replay_count(film->replay), all);
    replay_write(image, film->state);
    replay_free(image);
    struct harness_run diff = harness_run(film->sweep->harness, argv, NULL);
    assert_status(diff, 0);
    assert_int_equal(replay_mapped(film->replay), 0);
}

void film_run(struct film *film, const char *const *words, int status,
              const char *const *environment)
{
    struct harness_run run = record(film, words, environment);
    assert_status(run, status);
    /* One that was killed has said nothing. */
    if (status < 128)
        mark_end(film, harness_text(film->sweep->harness, "exit %d", status));
    reopen(film);
    expect_same(film);
}

unsigned film_acts_to_rename(struct film *film)
{
    unsigned count = 0;
    for (size_t i = 0; i < replay_count(film->replay); i++) {
        count += !replay_mark(film->replay, i);
        if (replay_is_rename(film->replay, i))
            return count;
    }
    harness_fail("nothing was renamed");
}

unsigned film_commit(struct film *film, unsigned from_last)
{
    for (size_t i = replay_count(film->replay); i > 0; i--) {
        const char *mark = replay_mark(film->replay, i - 1);
        if (mark && strstr(mark, "after a commit of the journal") &&
            --from_last == 0)
            return (unsigned)strtoul(mark, NULL, 10);
    }
    harness_fail("nothing was committed");
}

/* --- states -------------------------------------------------------------- */

/* A sweep that runs: what the journal held at the marks around the cut, and
 * the states already seen between them. */
struct run {
    struct film *film;
    const struct film_sweep *how;
    bool quiet;
    size_t next; /* the mark behind */
    char before[sizeof((struct power_finding *)0)->text];
    char after[sizeof((struct power_finding *)0)->text];
    struct nzd_digest *seen;
    size_t seen_count;
    unsigned broken;
};

static void make_state(struct film *film, size_t cut,
                       struct replay_choice choice)
{
    struct replay_image *image = replay_make(film->replay, cut, choice);
    replay_write(image, film->state);
    replay_free(image);
}

static const char *journal_of(struct film *film)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/" JOURNAL, film->state);
    return path;
}

/* What nzd had written by then. */
static void look_at(struct film *film, size_t cut, char *text, size_t size)
{
    const struct replay_choice all = {REPLAY_ALL, 0};
    make_state(film, cut, all);
    struct power_finding finding = power_look(journal_of(film));
    if (finding.why[0])
        harness_fail("at entry %zu nothing was lost: %s", cut, finding.why);
    snprintf(text, size, "%s", finding.text);
}

static void go_to(struct run *run, size_t cut)
{
    struct film *film = run->film;
    if (run->next != SIZE_MAX && cut <= run->next)
        return;
    size_t before = cut;
    while (before > 0 && !replay_mark(film->replay, before - 1))
        before--;
    if (before > 0)
        look_at(film, before - 1, run->before, sizeof run->before);
    else
        snprintf(run->before, sizeof run->before, "none");
    for (run->next = cut; run->next < replay_count(film->replay) - 1 &&
                          !replay_mark(film->replay, run->next);)
        run->next++;
    look_at(film, run->next, run->after, sizeof run->after);
    run->seen_count = 0;
}

static bool is_new(struct run *run, const struct replay_image *image)
{
    struct nzd_digest digest = replay_digest(image);
    for (size_t i = 0; i < run->seen_count; i++) {
        if (nzd_digest_equal(&run->seen[i], &digest))
            return false;
    }
    if (run->seen_count < SEEN_MAX)
        run->seen[run->seen_count++] = digest;
    return true;
}

static void judge(struct run *run, size_t cut, struct replay_choice choice,
                  const struct power_finding *finding)
{
    struct film *film = run->film;
    bool either = strcmp(finding->text, run->before) == 0 ||
                  strcmp(finding->text, run->after) == 0;
    if (either && !finding->why[0])
        return;
    if (run->broken++ >= SHOWN_MAX || run->quiet)
        return;
    printf("%s: cut at entry %zu of %zu..%zu, keep %d seed %llu\n  %s\n"
           "  found  %s\n  before %s\n  after  %s\n",
           film->sweep->tally->name, cut, film->begin,
           replay_count(film->replay), (int)choice.keep,
           (unsigned long long)choice.seed,
           finding->why[0] ? finding->why : "holds something else",
           finding->text, run->before, run->after);
}

static void try_state(struct run *run, size_t cut, struct replay_choice choice)
{
    struct film *film = run->film;
    struct replay_image *image = replay_make(film->replay, cut, choice);
    if (is_new(run, image)) {
        replay_write(image, film->state);
        struct power_finding finding = power_go_on(journal_of(film));
        film->sweep->tally->runs++;
        judge(run, cut, choice, &finding);
    }
    replay_free(image);
}

static uint64_t seed(struct sweep *sweep)
{
    uint64_t high = sweep_choose(sweep, 1u << 30);
    return high << 30 | sweep_choose(sweep, 1u << 30);
}

static void try_cut(struct run *run, size_t cut)
{
    struct sweep *sweep = run->film->sweep;
    unsigned random = sweep->full ? run->how->random : RANDOM_ONE;
    sweep->tally->points++;
    go_to(run, cut);
    if (!replay_is_open(run->film->replay, cut))
        random = 0;
    for (unsigned keep = 0; keep < REPLAY_FIXED; keep++)
        try_state(run, cut, (struct replay_choice){(enum replay_keep)keep, 0});
    for (unsigned i = 0; i < random; i++)
        try_state(run, cut, (struct replay_choice){REPLAY_RANDOM, seed(sweep)});
}

static int by_size(const void *a, const void *b)
{
    size_t one = *(const size_t *)a, other = *(const size_t *)b;
    return (one > other) - (one < other);
}

/* Between two marks nothing is done. */
static bool is_act(struct film *film, size_t cut)
{
    return cut == film->begin || cut == replay_count(film->replay) ||
           !replay_mark(film->replay, cut) ||
           !replay_mark(film->replay, cut - 1);
}

/* All that there are, or those of a sample, in order. */
static size_t choose_cuts(struct run *run, size_t *cuts)
{
    struct film *film = run->film;
    const struct film_sweep *how = run->how;
    size_t limit = film->sweep->full ? how->most : how->cuts, all = 0;
    for (size_t cut = film->begin; cut <= replay_count(film->replay); cut++) {
        if (is_act(film, cut))
            cuts[all++] = cut;
    }
    if (limit == 0 || all < limit)
        return all;
    for (size_t i = 0; i < limit; i++) {
        size_t other = i + sweep_choose(film->sweep, (unsigned)(all - i));
        size_t chosen = cuts[other];
        cuts[other] = cuts[i];
        cuts[i] = chosen;
    }
    qsort(cuts, limit, sizeof *cuts, by_size);
    return limit;
}

static unsigned sweep_states(struct film *film, const struct film_sweep *how,
                             bool quiet)
{
    struct harness *harness = film->sweep->harness;
    struct run run = {
        .film = film, .how = how, .quiet = quiet, .next = SIZE_MAX};
    size_t *cuts =
        harness_alloc(harness, (replay_count(film->replay) + 1) * sizeof *cuts);
    run.seen = harness_alloc(harness, SEEN_MAX * sizeof *run.seen);
    size_t count = choose_cuts(&run, cuts);
    for (size_t i = 0; i < count; i++)
        try_cut(&run, cuts[i]);
    return run.broken;
}

void film_sweep(struct film *film, const struct film_sweep *how)
{
    unsigned broken = sweep_states(film, how, false);
    film->sweep->tally->violations += broken;
    if (broken)
        harness_fail("%s: %u states do not hold", film->sweep->tally->name,
                     broken);
    sweep_end(film->sweep);
}

unsigned film_sweep_broken(struct film *film, const struct film_sweep *how)
{
    unsigned broken = sweep_states(film, how, true);
    sweep_end(film->sweep);
    return broken;
}

/* --- with nzd ------------------------------------------------------------ */

static void go_on_with_nzd(struct film *film, size_t cut)
{
    struct sweep *sweep = film->sweep;
    struct replay_choice choice = {REPLAY_RANDOM, seed(sweep)};
    const char *journal = harness_journal(sweep->harness);
    beam_node_kill(film->node);
    beam_node_start_again(film->node);
    make_state(film, cut, choice);
    harness_remove(sweep->harness, journal);
    if (access(journal_of(film), R_OK) == 0)
        harness_copy(sweep->harness, journal_of(film), journal);
    sweep_verify_restarted(sweep, "a power cut at entry %zu, seed %llu", cut,
                           (unsigned long long)choice.seed);
}

void film_go_on(struct film *film, const char *row, unsigned states)
{
    sweep_begin(film->sweep, row);
    for (unsigned i = 0; i < states; i++) {
        film->sweep->tally->points++;
        go_on_with_nzd(film, sweep_choose(film->sweep, (unsigned)replay_count(
                                                           film->replay)));
    }
    sweep_end(film->sweep);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* `nzd journal export` and `nzd journal import`. */
#include "answer.h"
#include "exported.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* --- there and back -------------------------------------------------- */

static void comes_back_the_same(void **state)
{
    struct exported *place = *state;
    const char *again = harness_path(place->harness, "again.jsonl");
    struct harness_run run;
    const char *first;

    ledger_fill(&place->from);
    ledger_close(&place->from);
    first = exported_text(place);
    run = exported_journal(place, place->to, "import", place->file);
    assert_status(run, 0);
    assert_matches(run.out, "is whole: [0-9]+ transactions of [0-9]+ lines, ");
    assert_string_equal(exported_beside(place), "journal ");
    run = exported_journal(place, place->to, "export", again);
    assert_status(run, 0);
    assert_string_equal(harness_read_file(place->harness, again), first);
    run = exported_journal(place, place->to, "verify", NULL);
    assert_status(run, 0);
    run = exported_journal(place, place->to, "show", NULL);
    assert_status(run, 0);
    assert_string_equal(
        run.out,
        exported_journal(place, place->from.directory, "show", NULL).out);
}

static void an_empty_one(void **state)
{
    struct exported *place = *state;
    struct harness_run run;
    const char *text;

    ledger_close(&place->from);
    text = exported_text(place);
    assert_matches(text, "^\\{\"nzd\":1,\"record\":\"journal\",.*\n"
                         "\\{\"nzd\":1,\"record\":\"end\",\"lines\":1,.*\\}$");
    run = exported_journal(place, place->to, "import", place->file);
    assert_status(run, 0);
    run = exported_journal(place, place->to, "show", NULL);
    assert_contains(run.out, "no transactions in ");
}

/* The build with points is never one with sanitizers. */
static const char *plain_nzd(void)
{
    const char *nzd = getenv("NZD_POINTS");

    return nzd ? nzd : "build/points/nzd";
}

static void through_a_pipe(void **state)
{
    struct exported *place = *state;
    struct harness_run run;

    exported_fill(place);
    run = exported_shell(place,
                         "n=%s; $n journal export --journal %s | "
                         "$n journal import - --journal %s %s",
                         place->from.directory, place->to, "--json");
    assert_status(run, 0);
    json_t *answer = answer_object(place->harness, run.out);
    assert_string_equal(answer_text(answer, "journal"), place->to);
    assert_int_equal(answer_number(answer, "transactions"), 3);
    assert_int_equal(answer_number(answer, "last"), 3);
    run = exported_journal(place, place->to, "verify", NULL);
    assert_status(run, 0);
    /* stdout holds what the file does. */
    run = exported_journal(place, place->from.directory, "export", NULL);
    assert_string_equal(run.out, exported_text(place));
}

/* --- what a line says ------------------------------------------------ */

/* The n-th line of a record, from 1. */
static json_t *line_of(struct exported *place, const char *text,
                       const char *record, unsigned n)
{
    const char *mark =
        harness_text(place->harness, "{\"nzd\":1,\"record\":\"%s\",", record);
    const char *at = text;

    while ((at = strstr(at, mark)) && --n > 0)
        at++;
    if (!at)
        harness_fail("there is no such %s", record);
    return answer_object(
        place->harness,
        harness_text(place->harness, "%.*s\n", (int)strcspn(at, "\n"), at));
}

static void lines_can_be_read_by_hand(void **state)
{
    struct exported *place = *state;
    const char *text;
    json_t *line;

    ledger_fill(&place->from);
    ledger_close(&place->from);
    text = exported_text(place);
    line = line_of(place, text, "journal", 1);
    assert_int_equal(answer_number(line, "first"), 5);
    assert_int_equal(strlen(answer_text(line, "uuid")), 32);
    assert_int_equal(strlen(answer_text(line, "anchor")), 32);

    /* The last one has no field that is zero. */
    line = line_of(place, text, "transaction", 11);
    assert_string_equal(answer_text(line, "state"), "armed");
    assert_string_equal(answer_text(line, "verdict"), "reboot");
    assert_int_equal(answer_number(line, "outcome"), -7);
    assert_string_equal(answer_text(line, "vm.token"),
                        "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
    assert_int_equal((uint64_t)answer_number(line, "opened_us"),
                     0xA5A5A5A5A5A5A5A5u);
    assert_contains(answer_text(line, "why"), "a \xEF\xBF\xBD ");
    /* printf 'a \377 \303( \001\177 \360\237\220\212' | base64 */
    assert_string_equal(answer_text(line, "why_base64"),
                        "YSD/IMMoIAF/IPCfkIo=");
    assert_string_equal(answer_text(line, "base.path_base64"),
                        "YSD/IMMoIAF/IPCfkIo=");
    assert_null(json_object_get(line, "in_force"));

    line = line_of(place, text, "module", 1);
    assert_string_equal(answer_text(line, "name"), "m");
    assert_null(json_object_get(line, "name_base64"));
    answer_has(line, "txn app change old_md5 new_md5 old_blob new_blob "
                     "old_bytes old_path new_path flags");
    line = line_of(place, text, "event", 1);
    answer_has(line, "txn sequence kind label at at_us since_open_us took_us "
                     "text output previous");
    line = line_of(place, text, "base", 2);
    assert_int_equal(strlen(answer_text(line, "rows.digest")), 32);
    line = line_of(place, text, "live", 1);
    assert_string_equal(answer_text(line, "name"), "added");
    line = line_of(place, text, "blob", 1);
    answer_has(line, "xxh3 bytes base64");
    assert_contains(text, "\"bytes\":6,\"base64\":\"YmVmb3Jl\"}"); /* before */
    assert_lacks(text, "\x7F");
    line_of(place, text, "end", 1);
}

static void only_its_owner_may_read_it(void **state)
{
    struct exported *place = *state;
    struct stat file;

    exported_fill(place);
    exported_text(place);
    assert_int_equal(stat(place->file, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

/* --- where it goes, where it comes from ------------------------------ */

static void never_over_a_journal(void **state)
{
    struct exported *place = *state;
    struct harness_run run;
    const char *before;

    exported_fill(place);
    before = exported_text(place);
    run = exported_journal(place, place->from.directory, "import", place->file);
    assert_status(run, 9);
    assert_contains(run.err, "there is a journal in ");
    assert_contains(run.err, "untouched");
    assert_string_equal(exported_text(place), before);
    harness_write_file(harness_path(place->harness, "photo.jpg"), "x");
    run = exported_journal(place, harness_dir(place->harness), "import",
                           place->file);
    assert_status(run, 2);
    assert_contains(run.err, "is not empty: it holds ");
}

static void the_bound_of_the_configuration(void **state)
{
    struct exported *place = *state;
    const char *config = harness_path(place->harness, "nzd.conf");
    struct nzd_buf large = {0};
    struct harness_run run;

    for (unsigned i = 0; i < 300000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    ledger_apply_one(&place->from, "m", "code 0", nzd_buf_string(&large));
    nzd_buf_clear(&large);
    ledger_close(&place->from);
    exported_text(place);
    harness_write_file(config, "journal_max = 1M\n");
    run = harness_nzd(place->harness, NULL, "journal", "import", place->file,
                      "--journal", place->to, "--config", config, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "is full: its bound is 1024 KB");
    assert_contains(run.err, "journal_max");
    assert_string_equal(exported_beside(place), "");
    run = exported_journal(place, place->to, "import", place->file);
    assert_status(run, 0);
}

static void files_that_cannot_be(void **state)
{
    struct exported *place = *state;
    const char *none = harness_path(place->harness, "none/export");
    struct harness_run run;

    run = exported_journal(place, place->to, "import", none);
    assert_status(run, 2);
    assert_contains(run.err, "open ");
    run = exported_journal(place, place->to, "import",
                           harness_dir(place->harness));
    assert_status(run, 2);
    exported_fill(place);
    run = exported_journal(place, place->from.directory, "export", none);
    assert_status(run, 2);
    run = exported_journal(place, place->from.directory, "export", "/dev/null");
    assert_status(run, 2);
    assert_contains(run.err, "is no regular file");
    run = exported_journal(place, place->to, "export", NULL);
    assert_status(run, 2);
    assert_contains(run.err, "there is no journal in ");
    run =
        exported_shell(place, "%s journal export --journal %s %s %s >/dev/full",
                       place->from.directory, "", "");
    assert_status(run, 1);
    assert_contains(run.err, "No space left on device");
}

/* A row that only decoding finds damaged: LMDB's pages are sound. */
static void a_damaged_journal(void **state)
{
    struct exported *place = *state;
    const char *store =
        harness_text(place->harness, "%s/data.mdb", place->from.directory);
    size_t size = 0;
    uint8_t *bytes;
    struct harness_run run;

    exported_fill(place);
    harness_write_file(place->file, "an older export");
    bytes = tree_read(&place->from.tree, "a/journal/data.mdb", &size);
    for (uint8_t *at = bytes;
         (at = memmem(at, size - (size_t)(at - bytes), "code 2", 6)); at++)
        at[5] = '7';
    tree_write(&place->from.tree, "a/journal/data.mdb", bytes, size);
    free(bytes);
    assert_true(store[0]);
    run = exported_journal(place, place->from.directory, "export", NULL);
    assert_status(run, 8);
    assert_lacks(run.out, "\"end\"");
    run = exported_journal(place, place->from.directory, "export", place->file);
    assert_status(run, 8);
    assert_string_equal(harness_read_file(place->harness, place->file),
                        "an older export");
}

/* Reading takes no lock: a writer may hold it. */
static void beside_a_writer(void **state)
{
    struct exported *place = *state;

    exported_fill(place);
    ledger_open(&place->from, NZD_JOURNAL_WRITE);
    assert_contains(exported_text(place), "\"record\":\"end\"");
}

/* 24 blobs of 1 MB, of which no more than some are ever in memory. */
static void memory_follows_the_largest_blob(void **state)
{
    enum { COUNT = 24, WORDS = 1 << 17 };
    struct exported *place = *state;
    struct change changes[COUNT];
    char *codes[COUNT];
    char names[COUNT][8];
    uint64_t random = 1;
    struct harness_run run;

    for (int i = 0; i < COUNT; i++) {
        codes[i] = calloc(WORDS, 8);
        assert_non_null(codes[i]);
        for (size_t at = 0; at < (size_t)WORDS * 8 - 1; at++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            codes[i][at] = (char)(1 + (random >> 33) % 255);
        }
        (void)snprintf(names[i], sizeof(names[i]), "m%d", i);
        changes[i] = (struct change){names[i], "old", codes[i]};
    }
    ledger_apply(&place->from, changes, COUNT);
    for (int i = 0; i < COUNT; i++)
        free(codes[i]);
    ledger_close(&place->from);
    run = exported_shell(
        place, ": %s; ulimit -d 16384; %s journal export %s --journal %s",
        plain_nzd(), place->file, place->from.directory);
    assert_status(run, 0);
    run = exported_shell(
        place, ": %s; ulimit -d 16384; %s journal import %s --journal %s",
        plain_nzd(), place->file, place->to);
    assert_status(run, 0);
}

/* A file is not called damaged because memory is short. */
static void short_of_memory(void **state)
{
    struct exported *place = *state;
    struct nzd_buf large = {0};
    struct harness_run run;
    unsigned failed = 0;

    for (unsigned i = 0; i < 600000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    ledger_apply_one(&place->from, "m", "code 0", nzd_buf_string(&large));
    nzd_buf_clear(&large);
    ledger_close(&place->from);
    exported_text(place);
    for (unsigned kb = 3 << 10; kb < 64 << 10; kb += 3 << 10) {
        run = exported_shell(
            place,
            harness_text(place->harness,
                         ": %%s; ulimit -d %u; %%s journal import %%s "
                         "--journal %%s",
                         kb),
            plain_nzd(), place->file, place->to);
        if (run.status == 0)
            break;
        failed++;
        assert_int_not_equal(run.status, 3);
        assert_contains(run.err, "memory");
        assert_string_equal(exported_beside(place), "");
    }
    assert_int_equal(run.status, 0);
    assert_true(failed > 0);
}

/* --- killed ---------------------------------------------------------- */

static void killed_at_each_point(void **state)
{
    struct exported *place = *state;
    const char *log = harness_path(place->harness, "points");
    unsigned points = 0;

    exported_fill(place);
    exported_text(place);
    const char *const argv[] = {plain_nzd(), "journal", "import", place->file,
                                "--journal", place->to, NULL};
    for (unsigned at = 1;; at++) {
        const char *const environment[] = {
            harness_text(place->harness, "NZD_POINT_LOG=%s", log),
            harness_text(place->harness, "NZD_POINT_AT=%u", at), NULL};
        struct harness_run run = harness_run(place->harness, argv, environment);
        bool placed = access(place->to, F_OK) == 0;

        if (run.status == 0)
            break;
        assert_status(run, 128 + SIGKILL);
        points++;
        if (placed) {
            run = exported_journal(place, place->to, "verify", NULL);
            assert_status(run, 0);
            harness_remove(place->harness, place->to);
        }
        run = exported_journal(place, place->to, "import", place->file);
        assert_status(run, 0);
        assert_string_equal(exported_beside(place), "journal ");
        run = exported_journal(place, place->to, "verify", NULL);
        assert_status(run, 0);
        harness_remove(place->harness, place->to);
    }
    assert_true(points >= 4);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, exported_set_up, exported_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(comes_back_the_same),
        CASE(an_empty_one),
        CASE(through_a_pipe),
        CASE(lines_can_be_read_by_hand),
        CASE(only_its_owner_may_read_it),
        CASE(never_over_a_journal),
        CASE(the_bound_of_the_configuration),
        CASE(files_that_cannot_be),
        CASE(a_damaged_journal),
        CASE(beside_a_writer),
        CASE(memory_follows_the_largest_blob),
        CASE(short_of_memory),
        CASE(killed_at_each_point),
    };

    return cmocka_run_group_tests_name("cmd_transfer", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* `nzd journal export` and `nzd journal import`, and what is refused. */
#include "answer.h"
#include "ledger.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    struct harness *harness;
    struct ledger from;
    const char *to;   /* where it goes */
    const char *file; /* the export */
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    place->harness = harness_open();
    ledger_make(&place->from);
    ledger_open(&place->from, NZD_JOURNAL_CREATE);
    place->to = harness_path(place->harness, "to/journal");
    place->file = harness_path(place->harness, "export.jsonl");
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    ledger_drop(&place->from);
    harness_close(place->harness);
    free(place);
    return 0;
}

/* --- running --------------------------------------------------------- */

static struct harness_run journal(struct place *place, const char *directory,
                                  const char *what, const char *more)
{
    return harness_nzd(place->harness, NULL, "journal", "--journal", directory,
                       what, more, NULL);
}

/* Three commits, closed. */
static void fill_little(struct place *place)
{
    ledger_apply_one(&place->from, "m", "code 0", "code 1");
    ledger_apply_one(&place->from, "m", "code 1", "code 2");
    ledger_apply_one(&place->from, "m", "code 2", "code 3");
    ledger_close(&place->from);
}

static const char *exported(struct place *place)
{
    struct harness_run run =
        journal(place, place->from.directory, "export", place->file);

    assert_status(run, 0);
    return harness_read_file(place->harness, place->file);
}

/* Names beside the target, "" also where the folder is not there. */
static const char *beside(struct place *place)
{
    DIR *entries = opendir(harness_path(place->harness, "to"));
    const char *names = "";
    struct dirent *entry;

    while (entries && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.')
            names = harness_text(place->harness, "%s%s ", names, entry->d_name);
    }
    if (entries)
        closedir(entries);
    return names;
}

static void refused(struct place *place, const char *text, const char *says)
{
    const char *path = harness_path(place->harness, "spoilt.jsonl");
    struct harness_run run;

    harness_write_file(path, text);
    run = journal(place, place->to, "import", path);
    if (run.status != 3)
        print_error("%.300s\n", text);
    assert_status(run, 3);
    assert_string_equal(run.out, "");
    assert_contains(run.err, says);
    assert_string_equal(beside(place), "");
}

/* --- there and back -------------------------------------------------- */

static void comes_back_the_same(void **state)
{
    struct place *place = *state;
    const char *again = harness_path(place->harness, "again.jsonl");
    struct harness_run run;
    const char *first;

    ledger_fill(&place->from);
    ledger_close(&place->from);
    first = exported(place);
    run = journal(place, place->to, "import", place->file);
    assert_status(run, 0);
    assert_matches(run.out, "is whole: [0-9]+ transactions of [0-9]+ lines, ");
    assert_string_equal(beside(place), "journal ");
    run = journal(place, place->to, "export", again);
    assert_status(run, 0);
    assert_string_equal(harness_read_file(place->harness, again), first);
    run = journal(place, place->to, "verify", NULL);
    assert_status(run, 0);
    run = journal(place, place->to, "show", NULL);
    assert_status(run, 0);
    assert_string_equal(
        run.out, journal(place, place->from.directory, "show", NULL).out);
}

static void an_empty_one(void **state)
{
    struct place *place = *state;
    struct harness_run run;
    const char *text;

    ledger_close(&place->from);
    text = exported(place);
    assert_matches(text, "^\\{\"nzd\":1,\"record\":\"journal\",.*\n"
                         "\\{\"nzd\":1,\"record\":\"end\",\"lines\":1,.*\\}$");
    run = journal(place, place->to, "import", place->file);
    assert_status(run, 0);
    run = journal(place, place->to, "show", NULL);
    assert_contains(run.out, "no transactions in ");
}

/* The build with points is never one with sanitizers. */
static const char *plain_nzd(void)
{
    const char *nzd = getenv("NZD_POINTS");

    return nzd ? nzd : "build/points/nzd";
}

static struct harness_run shell(struct place *place, const char *format,
                                const char *a, const char *b, const char *c)
{
    const char *nzd = harness_argv(place->harness, NULL, NULL)[0];
    const char *command = harness_text(place->harness, format, nzd, a, b, c);
    const char *const argv[] = {"sh", "-c", command, NULL};

    return harness_run(place->harness, argv, NULL);
}

static void through_a_pipe(void **state)
{
    struct place *place = *state;
    struct harness_run run;

    fill_little(place);
    run = shell(place,
                "n=%s; $n journal export --journal %s | "
                "$n journal import - --journal %s %s",
                place->from.directory, place->to, "--json");
    assert_status(run, 0);
    json_t *answer = answer_object(place->harness, run.out);
    assert_string_equal(answer_text(answer, "journal"), place->to);
    assert_int_equal(answer_number(answer, "transactions"), 3);
    assert_int_equal(answer_number(answer, "last"), 3);
    run = journal(place, place->to, "verify", NULL);
    assert_status(run, 0);
    /* stdout holds what the file does. */
    run = journal(place, place->from.directory, "export", NULL);
    assert_string_equal(run.out, exported(place));
}

/* --- what a line says ------------------------------------------------ */

/* The n-th line of a record, from 1. */
static json_t *line_of(struct place *place, const char *text,
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
    struct place *place = *state;
    const char *text;
    json_t *line;

    ledger_fill(&place->from);
    ledger_close(&place->from);
    text = exported(place);
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
    struct place *place = *state;
    struct stat file;

    fill_little(place);
    exported(place);
    assert_int_equal(stat(place->file, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

/* --- what is no export ----------------------------------------------- */

/* The text with an end that holds for all before it. */
static const char *sealed(struct place *place, const char *text)
{
    const char *end = strstr(text, "{\"nzd\":1,\"record\":\"end\"");
    struct nzd_view before =
        nzd_view_of(text, end ? (size_t)(end - text) : strlen(text));
    struct nzd_digest digest = nzd_digest_of(before);
    char hex[NZD_DIGEST_HEX];
    unsigned lines = 0;

    for (size_t i = 0; i < before.size; i++)
        lines += before.data[i] == '\n';
    nzd_digest_hex(hex, &digest);
    return harness_text(place->harness,
                        "%.*s{\"nzd\":1,\"record\":\"end\",\"lines\":%u,"
                        "\"xxh3\":\"%s\"}\n",
                        (int)before.size, text, lines, hex);
}

/* The first `what` made `with`, and the end made to hold. */
static const char *with(struct place *place, const char *text, const char *what,
                        const char *with)
{
    const char *at = strstr(text, what);

    if (!at)
        harness_fail("the export has no %s", what);
    return sealed(place,
                  harness_text(place->harness, "%.*s%s%s", (int)(at - text),
                               text, with, at + strlen(what)));
}

static void spelt_otherwise(void **state)
{
    static const struct {
        const char *what;
        const char *with;
        const char *says;
    } cases[] = {
        {"\"last\":3", "\"last\":3,\"new\":1", "line 1: \"new\" is not known"},
        {"\"last\":3,", "", "line 1: \"last\" is not there as a whole number"},
        {"\"last\":3", "\"last\":3.0", "\"last\" is not there as a whole"},
        {"\"last\":3", "\"last\":\"3\"", "\"last\" is not there as a whole"},
        {"\"last\":3", "\"last\":3,\"last\":3", "line 1: it is no JSON"},
        {"\"last\":3", "\"last\": 3", "line 1: it is not as nzd writes it"},
        {"\"last\":3", "\"last\":9", "transaction 4 is missing"},
        {"\"first\":1,\"last\":3", "\"last\":3,\"first\":1", "as nzd writes"},
        {"\"last\":3", "\"last\":99999999999999999999", "it is no JSON"},
        {"\"format\":1", "\"format\":2", "written by a newer nzd (format 2"},
        {"{\"nzd\":1,", "{\"nzd\":2,", "line 1: \"nzd\" is not 1"},
        {"{\"nzd\":1,", "[{\"nzd\":1,", "line 1: it is no JSON"},
        {"\"record\":\"module\"", "\"record\":\"modul\"", "\"record\" is not"},
        {"\"kind\":\"apply\"", "\"kind\":\"appl\"", "\"kind\" is not one of"},
        {"\"verdict\":\"nothing\"", "\"verdict\":\"hot\\u0000\"", "no JSON"},
        {"\"state\":\"committed\"", "\"state\":\"committed \"", "\"state\""},
        {"\"app\":\"app\"", "\"app\":\"\xFF\"", "it is no JSON"},
        {"\"app\":\"app\"", "\"app\":\"app\",\"app_base64\":\"YXBw\"",
         "\"app_base64\" is not known"},
        {"\"app\":\"app\"", "\"app\":\"app\",\"app_base64\":\"YQA=\"",
         "\"app_base64\" is not the base64 of a text"},
        {"\"app\":\"app\"", "\"app\":\"other\"", "module rows are not those"},
        {"\"new_md5\":\"", "\"new_md5\":\"A", "hexadecimal"},
        {"\"count\":1", "\"count\":4294967297", "a number of 32 bits"},
        {"\"label\":\"armed\"", "\"label\":\"Armed\"", "the chain of events"},
        {"\"bytes\":6,\"base64\"", "\"bytes\":7,\"base64\"",
         "\"bytes\" is not"},
        {"\"base64\":\"Y29k", "\"base64\":\"Y29K", "another digest"},
        {"\"base64\":\"Y29k", "\"base64\":\"Y2 9k", "\"base64\" is not"},
        {"\"base64\":\"Y29k", "\"base64\":\"\",\"x\":\"Y29k", "\"base64\""},
        {"{\"nzd\":1,\"record\":\"blob\"", "\n{\"nzd\":1,\"record\":\"blob\"",
         "it is no JSON"},
    };
    struct place *place = *state;
    const char *text;

    fill_little(place);
    text = exported(place);
    assert_string_equal(sealed(place, text), text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(place, with(place, text, cases[i].what, cases[i].with),
                cases[i].says);
}

static void texts_past_their_bounds(void **state)
{
    struct place *place = *state;
    struct nzd_buf longer = {0};
    const char *text;

    fill_little(place);
    text = exported(place);
    nzd_buf_text(&longer, "\"why\":\"");
    for (int i = 0; i < NZD_RECORD_TEXT_MAX; i++)
        nzd_buf_u8(&longer, 'x');
    nzd_buf_text(&longer, "x");
    refused(place, with(place, text, "\"why\":\"", nzd_buf_string(&longer)),
            "\"why\" is not within the bound");
    nzd_buf_reset(&longer);
    for (int i = 0; i < 100000; i++)
        nzd_buf_text(&longer, "[");
    refused(place, with(place, text, "{\"nzd\":1", nzd_buf_string(&longer)),
            "it is no JSON");
    nzd_buf_clear(&longer);
}

static void lines_out_of_order(void **state)
{
    struct place *place = *state;
    const char *text;
    const char *rest;

    fill_little(place);
    text = exported(place);
    for (rest = text; *rest;) {
        size_t size = strcspn(rest, "\n") + 1;
        int before = (int)(rest - text);
        const char *next = rest + size;
        size_t more = *next ? strcspn(next, "\n") + 1 : 0;

        /* Twice, left out, and after its successor. */
        refused(place,
                harness_text(place->harness, "%.*s%.*s%s", before + (int)size,
                             text, (int)size, rest, next),
                "line ");
        refused(place,
                harness_text(place->harness, "%.*s%s", before, text, next),
                "line ");
        if (more > 0)
            refused(place,
                    sealed(place, harness_text(place->harness, "%.*s%.*s%.*s%s",
                                               before, text, (int)more, next,
                                               (int)size, rest, next + more)),
                    "spoilt.jsonl: ");
        rest = next;
    }
}

static void cut_anywhere(void **state)
{
    struct place *place = *state;
    const char *text;
    size_t size;

    fill_little(place);
    text = exported(place);
    size = strlen(text);
    for (size_t at = 0; at < size; at += 1 + at % 7 + size / 25)
        refused(place, harness_text(place->harness, "%.*s", (int)at, text),
                "line ");
    refused(place, harness_text(place->harness, "%.*s", (int)size - 1, text),
            "it is cut off");
    refused(place, harness_text(place->harness, "%s\n", text), "line ");
    refused(place, harness_text(place->harness, "%s{}", text), "line ");
    refused(place,
            harness_text(place->harness, "%.*s1%s",
                         (int)(strstr(text, "\"lines\":") + 8 - text), text,
                         strstr(text, "\"lines\":") + 8),
            " lines before it, not 1");
    refused(place, "", "line 1: it is missing, the export is not whole");
}

static void flipped_anywhere(void **state)
{
    struct place *place = *state;
    const char *text;
    size_t size;

    fill_little(place);
    text = exported(place);
    size = strlen(text);
    for (size_t at = 0; at < size; at += 1 + at % 5 + size / 35) {
        char *copy = harness_alloc(place->harness, size + 1);

        memcpy(copy, text, size);
        copy[at] = (char)(copy[at] ^ (1 << at % 7));
        if (copy[at] == '\0')
            copy[at] = ' ';
        refused(place, copy, "line ");
    }
}

static void a_line_without_end(void **state)
{
    struct place *place = *state;
    struct harness_run run;

    ledger_close(&place->from);
    run = shell(place,
                "head -c 95000000 /dev/zero | tr '\\0' x | %s journal import "
                "- --journal %s %s %s",
                place->to, "", "");
    assert_status(run, 3);
    assert_contains(run.err, "line 1: it is longer than any line can be");
    assert_string_equal(beside(place), "");
}

/* --- where it goes, where it comes from ------------------------------ */

static void never_over_a_journal(void **state)
{
    struct place *place = *state;
    struct harness_run run;
    const char *before;

    fill_little(place);
    before = exported(place);
    run = journal(place, place->from.directory, "import", place->file);
    assert_status(run, 9);
    assert_contains(run.err, "there is a journal in ");
    assert_contains(run.err, "untouched");
    assert_string_equal(exported(place), before);
    harness_write_file(harness_path(place->harness, "photo.jpg"), "x");
    run = journal(place, harness_dir(place->harness), "import", place->file);
    assert_status(run, 2);
    assert_contains(run.err, "is not empty: it holds ");
}

static void the_bound_of_the_configuration(void **state)
{
    struct place *place = *state;
    const char *config = harness_path(place->harness, "nzd.conf");
    struct nzd_buf large = {0};
    struct harness_run run;

    for (unsigned i = 0; i < 300000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    ledger_apply_one(&place->from, "m", "code 0", nzd_buf_string(&large));
    nzd_buf_clear(&large);
    ledger_close(&place->from);
    exported(place);
    harness_write_file(config, "journal_max = 1M\n");
    run = harness_nzd(place->harness, NULL, "journal", "import", place->file,
                      "--journal", place->to, "--config", config, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "is full: its bound is 1024 KB");
    assert_contains(run.err, "journal_max");
    assert_string_equal(beside(place), "");
    run = journal(place, place->to, "import", place->file);
    assert_status(run, 0);
}

static void files_that_cannot_be(void **state)
{
    struct place *place = *state;
    const char *none = harness_path(place->harness, "none/export");
    struct harness_run run;

    run = journal(place, place->to, "import", none);
    assert_status(run, 2);
    assert_contains(run.err, "open ");
    run = journal(place, place->to, "import", harness_dir(place->harness));
    assert_status(run, 2);
    fill_little(place);
    run = journal(place, place->from.directory, "export", none);
    assert_status(run, 2);
    run = journal(place, place->from.directory, "export", "/dev/null");
    assert_status(run, 2);
    assert_contains(run.err, "is no regular file");
    run = journal(place, place->to, "export", NULL);
    assert_status(run, 2);
    assert_contains(run.err, "there is no journal in ");
    run = shell(place, "%s journal export --journal %s %s %s >/dev/full",
                place->from.directory, "", "");
    assert_status(run, 1);
    assert_contains(run.err, "No space left on device");
}

/* A row that only decoding finds damaged: LMDB's pages are sound. */
static void a_damaged_journal(void **state)
{
    struct place *place = *state;
    const char *store =
        harness_text(place->harness, "%s/data.mdb", place->from.directory);
    size_t size = 0;
    uint8_t *bytes;
    struct harness_run run;

    fill_little(place);
    harness_write_file(place->file, "an older export");
    bytes = tree_read(&place->from.tree, "a/journal/data.mdb", &size);
    for (uint8_t *at = bytes;
         (at = memmem(at, size - (size_t)(at - bytes), "code 2", 6)); at++)
        at[5] = '7';
    tree_write(&place->from.tree, "a/journal/data.mdb", bytes, size);
    free(bytes);
    assert_true(store[0]);
    run = journal(place, place->from.directory, "export", NULL);
    assert_status(run, 8);
    assert_lacks(run.out, "\"end\"");
    run = journal(place, place->from.directory, "export", place->file);
    assert_status(run, 8);
    assert_string_equal(harness_read_file(place->harness, place->file),
                        "an older export");
}

/* Reading takes no lock: a writer may hold it. */
static void beside_a_writer(void **state)
{
    struct place *place = *state;

    fill_little(place);
    ledger_open(&place->from, NZD_JOURNAL_WRITE);
    assert_contains(exported(place), "\"record\":\"end\"");
}

/* 24 blobs of 1 MB, of which no more than some are ever in memory. */
static void memory_follows_the_largest_blob(void **state)
{
    enum { COUNT = 24, WORDS = 1 << 17 };
    struct place *place = *state;
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
    run =
        shell(place, ": %s; ulimit -d 16384; %s journal export %s --journal %s",
              plain_nzd(), place->file, place->from.directory);
    assert_status(run, 0);
    run =
        shell(place, ": %s; ulimit -d 16384; %s journal import %s --journal %s",
              plain_nzd(), place->file, place->to);
    assert_status(run, 0);
}

/* A file is not called damaged because memory is short. */
static void short_of_memory(void **state)
{
    struct place *place = *state;
    struct nzd_buf large = {0};
    struct harness_run run;
    unsigned failed = 0;

    for (unsigned i = 0; i < 600000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    ledger_apply_one(&place->from, "m", "code 0", nzd_buf_string(&large));
    nzd_buf_clear(&large);
    ledger_close(&place->from);
    exported(place);
    for (unsigned kb = 3 << 10; kb < 64 << 10; kb += 3 << 10) {
        run = shell(place,
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
        assert_string_equal(beside(place), "");
    }
    assert_int_equal(run.status, 0);
    assert_true(failed > 0);
}

/* --- killed ---------------------------------------------------------- */

static void killed_at_each_point(void **state)
{
    struct place *place = *state;
    const char *log = harness_path(place->harness, "points");
    unsigned points = 0;

    fill_little(place);
    exported(place);
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
            run = journal(place, place->to, "verify", NULL);
            assert_status(run, 0);
            harness_remove(place->harness, place->to);
        }
        run = journal(place, place->to, "import", place->file);
        assert_status(run, 0);
        assert_string_equal(beside(place), "journal ");
        run = journal(place, place->to, "verify", NULL);
        assert_status(run, 0);
        harness_remove(place->harness, place->to);
    }
    assert_true(points >= 4);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(comes_back_the_same),
        CASE(an_empty_one),
        CASE(through_a_pipe),
        CASE(lines_can_be_read_by_hand),
        CASE(only_its_owner_may_read_it),
        CASE(spelt_otherwise),
        CASE(texts_past_their_bounds),
        CASE(lines_out_of_order),
        CASE(cut_anywhere),
        CASE(flipped_anywhere),
        CASE(a_line_without_end),
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

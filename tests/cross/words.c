/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two builds of nzd, NZD of this machine and NZD_OTHER of one whose words have
 * another size: each reads what the other exports, neither takes the other's
 * journal for damaged, and one rolls back what the other applied.
 */
#include "../ledger.h"
#include "../scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *programs[2]; /* this machine's, the other one's */

enum { OURS, OTHERS };
static int used;

/* What harness_nzd() and scene_nzd() run from now on. */
static void use(int which)
{
    used = which;
    assert_int_equal(setenv("NZD", programs[which], 1), 0);
}

/* Exported by the program in use, imported by the other one, which is then
 * the one in use: the journal's new place. */
static const char *carry(struct harness *harness, const char *from,
                         const char *name)
{
    const char *file = harness_path(harness, "%s.jsonl", name);
    const char *to = harness_path(harness, "%s/journal", name);
    struct harness_run run = harness_nzd(harness, NULL, "journal", "export",
                                         file, "--journal", from, NULL);

    assert_status(run, 0);
    use(used == OURS ? OTHERS : OURS);
    run = harness_nzd(harness, NULL, "journal", "import", file, "--journal", to,
                      NULL);
    assert_status(run, 0);
    assert_matches(run.out, "is whole: [0-9]+ transactions? of ");
    return to;
}

static void refuses(struct harness *harness, const char *journal,
                    const char *says)
{
    struct harness_run run = harness_nzd(harness, NULL, "journal", "show",
                                         "--journal", journal, NULL);

    assert_status(run, 8);
    assert_contains(run.err, says);
    assert_contains(run.err, "nzd journal export");
}

static const char *shown(struct harness *harness, const char *journal)
{
    struct harness_run run = harness_nzd(harness, NULL, "journal", "show",
                                         "--journal", journal, "--json", NULL);

    assert_status(run, 0);
    assert_contains(run.out, "\"transactions\":[{");
    return strstr(run.out, "\"transactions\"");
}

/* Records of each kind go there and back, and nothing of them changes. */
static void each_record_goes_there_and_back(void **state)
{
    struct harness *harness = harness_open();
    struct ledger ledger;
    const char *there, *back;

    (void)state;
    use(OURS);
    ledger_make(&ledger);
    ledger_open(&ledger, NZD_JOURNAL_CREATE);
    ledger_fill(&ledger);
    ledger_close(&ledger);
    there = carry(harness, ledger.directory, "there");
    refuses(harness, ledger.directory, "was written on a machine of 64 bits");
    back = carry(harness, there, "back");
    refuses(harness, there, "was written on a machine of 32 bits");
    assert_string_equal(shown(harness, back), shown(harness, ledger.directory));
    assert_string_equal(
        harness_read_file(harness, harness_path(harness, "back.jsonl")),
        harness_read_file(harness, harness_path(harness, "there.jsonl")));
    ledger_drop(&ledger);
    harness_close(harness);
}

static void works(struct scene *scene, const char *const *argv)
{
    struct harness_run run = scene_run(scene, argv);

    assert_status(run, 0);
}

#define assert_works(scene, ...)                                               \
    works((scene),                                                             \
          harness_argv((scene)->harness, (scene)->node, __VA_ARGS__, NULL))

/* The journal moves between the machines; the node stays and follows both. */
static void one_undoes_what_the_other_did(void **state)
{
    struct scene *scene = *state;

    use(OURS);
    assert_works(scene, "apply", scene_bundle(scene, "0.2.0"));
    scene->journal = carry(scene->harness, scene->journal, "a");
    assert_works(scene, "plan", scene_bundle(scene, "0.3.0"));
    assert_works(scene, "apply", scene_bundle(scene, "0.3.0"));
    assert_runs(scene, "0.3.0");
    assert_works(scene, "rollback");
    assert_runs(scene, "0.2.0");
    scene_settled(scene);
    scene->journal = carry(scene->harness, scene->journal, "b");
    scene_record(scene, 2, "committed");
    scene_settled(scene);
    assert_works(scene, "rollback", "--to", "0");
    assert_runs(scene, "0.1.0");
    scene_settled(scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_goes_there_and_back),
        cmocka_unit_test_setup_teardown(one_undoes_what_the_other_did,
                                        scene_setup, scene_teardown),
    };

    programs[OURS] = getenv("NZD");
    programs[OTHERS] = getenv("NZD_OTHER");
    if (!programs[OURS] || !programs[OTHERS]) {
        print_error("tests/cross/run.sh has it compare two machines\n");
        return 1;
    }
    programs[OURS] = strdup(programs[OURS]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

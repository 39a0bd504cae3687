/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/file_rows.h"
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* --- rows of a bundle --- */

static void configuration(void **state)
{
    struct desk *desk = *state;
    const char *conf = desk_fixture(desk, "counter-0.2.0-conf");
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    desk_plan(desk, conf);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true), "~/boot ~/sys.config");
    assert_string_equal(desk_rows_of(desk, false), "");
    assert_true(nzd_digest_is_zero(&desk_row_of(desk, "/boot")->old_blob));
    desk_apply(desk, 0);
    expect_content(
        desk, "/sys.config",
        harness_text(desk->harness, "%s/releases/0.2.0-conf/sys.config", conf));
    assert_string_equal(desk_live(desk), "/boot /sys.config");

    /* The node has it: what differs is what the base has. */
    desk->runs = true;
    desk_plan(desk, conf);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(desk_rows_of(desk, true), "");
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0"));
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot=base ~/sys.config=base");
    desk_apply(desk, 1);
    assert_string_equal(desk_live(desk), "");
}

/* The VM was started without what is in force. */
static void the_base_runs(void **state)
{
    struct desk *desk = *state;
    const char *conf = desk_fixture(desk, "counter-0.2.0-conf");
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    desk_plan(desk, conf);
    desk_apply(desk, 0);
    desk_plan(desk, conf);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true), "~/boot ~/sys.config");
    desk_apply(desk, 0);
    assert_string_equal(desk_live(desk), "/boot /sys.config");
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0"));
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot=base ~/sys.config=base");
    desk_apply(desk, 0);
    assert_string_equal(desk_live(desk), "");
}

/* What only code differs in stays without. */
static void code_alone(void **state)
{
    struct desk *desk = *state;
    desk_start(desk, desk_fixture(desk, "counter-0.1.0"));
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0"));
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true), "~/app/counter");
    /* Over a generation of a restart that runs, that one's files stay. */
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0-conf"));
    assert_string_equal(desk_rows_of(desk, true),
                        "~/app/counter ~/boot ~/sys.config");
    desk_apply(desk, 0);
    assert_string_equal(desk_live(desk), "/app/counter /boot /sys.config");
}

static void files_of_priv(void **state)
{
    struct desk *desk = *state;
    const char *old = desk_copy(desk, "counter-0.2.0", "old");
    const char *new = desk_copy(desk, "counter-0.2.0", "new");
    desk_shell(desk,
               harness_text(desk->harness,
                            "cd %s/lib/counter-0.2.0/priv; echo a > gone; "
                            "echo same > same; ln -s same link; "
                            "cd %s/lib/counter-0.2.0/priv; echo 2 > motd.txt; "
                            "mkdir deep; echo n > deep/new; "
                            "chmod +x deep/new; : > none; echo same > same",
                            old, new));
    desk_start(desk, old);
    desk_plan(desk, new);
    assert_int_equal(desk_need(desk), NZD_NEED_SWITCH);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true),
                        "+/priv/counter/deep/new -/priv/counter/gone "
                        "~/priv/counter/motd.txt +/priv/counter/none");
    assert_int_equal(desk_row_of(desk, "/priv/counter/deep/new")->flags,
                     NZD_ROW_EXECUTABLE);
    assert_string_equal(desk_row_of(desk, "/priv/counter/none")->application,
                        "counter");
    desk_apply(desk, 0);
    expect_content(
        desk, "/priv/counter/motd.txt",
        harness_text(desk->harness, "%s/lib/counter-0.2.0/priv/motd.txt", new));
    assert_string_equal(desk_live(desk),
                        "/priv/counter/deep/new -/priv/counter/gone "
                        "/priv/counter/motd.txt /priv/counter/none");
    desk->runs = true;
    desk_plan(desk, new);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(desk_rows_of(desk, true), "");
    desk_shell(desk, harness_text(desk->harness,
                                  "cd %s/lib/counter-0.2.0/priv; rm motd.txt; "
                                  "echo a > gone; rm none; echo 3 > deep/new",
                                  new));
    desk_plan(desk, new);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/priv/counter/deep/new +/priv/counter/gone=base "
                        "-/priv/counter/motd.txt -/priv/counter/none");
    desk_apply(desk, 1);
    assert_string_equal(desk_live(desk),
                        "/priv/counter/deep/new -/priv/counter/motd.txt");
    desk_plan_back(desk, 0);
    assert_string_equal(desk_rows_of(desk, true),
                        "-/priv/counter/deep/new +/priv/counter/motd.txt=base");
    desk_commit(desk, 2, 0);
    assert_string_equal(desk_live(desk), "");
}

static void files_that_do_not_fit(void **state)
{
    struct desk *desk = *state;
    const char *new = desk_copy(desk, "counter-0.2.0", "new");
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    desk_shell(desk, harness_text(desk->harness,
                                  "truncate -s 33554433 "
                                  "%s/lib/counter-0.2.0/priv/big",
                                  new));
    desk_plan(desk, new);
    assert_int_equal(desk_need(desk), NZD_NEED_BASE);
    assert_contains(desk->q.plan.evidence.items[0].source,
                    "priv/big, too large for a journal");
    assert_string_equal(desk_rows_of(desk, true), "");
    nzd_journal_close(desk->t.journal);
    desk->t.journal = NULL;
    struct harness_run run = harness_nzd(desk->harness, desk->node, "apply",
                                         "--max", "restart-vm", new, NULL);
    assert_status(run, 5);
    assert_contains(run.err, "(priv/big, too large for a journal)");
    assert_contains(run.err, "the way the base was installed");
    run = harness_nzd(desk->harness, desk->node, "apply", new, NULL);
    assert_status(run, 5);
    assert_contains(run.err, "install it the way the base was installed");
}

/* Each would; plan does not say what apply cannot do. */
static void files_that_do_not_fit_together(void **state)
{
    struct desk *desk = *state;
    const char *new = desk_copy(desk, "counter-0.2.0", "new");
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    nzd_journal_close(desk->t.journal);
    desk->t.journal = NULL;
    desk_shell(desk, harness_text(desk->harness,
                                  "cd %s/lib/counter-0.2.0/priv && "
                                  "truncate -s 32M 1 2 3 4 5 6 7 8",
                                  new));
    struct harness_run run =
        harness_nzd(desk->harness, desk->node, "plan", new, NULL);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: hot");
    desk_shell(desk,
               harness_text(desk->harness,
                            "echo one >%s/lib/counter-0.2.0/priv/9", new));
    run = harness_nzd(desk->harness, desk->node, "plan", new, NULL);
    assert_status(run, 0);
    assert_contains(run.out, "needs a new base");
    assert_contains(run.out, "too large for a journal, with the others");
    run = harness_nzd(desk->harness, desk->node, "apply", "--max", "restart-vm",
                      new, NULL);
    assert_status(run, 5);
    assert_contains(run.err, "install it the way the base was installed");
}

/* All that the journal may take is less than one of them. */
static void no_room_for_a_file(void **state)
{
    struct desk *desk = *state;
    const char *new = desk_copy(desk, "counter-0.2.0", "new");
    const char *config = harness_path(desk->harness, "nzd.conf");
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    nzd_journal_close(desk->t.journal);
    desk->t.journal = NULL;
    harness_write_file(config, "journal_max = \"8M\"\n");
    desk_shell(desk, harness_text(desk->harness,
                                  "head -c 20000000 /dev/urandom > "
                                  "%s/lib/counter-0.2.0/priv/big",
                                  new));
    struct harness_run run =
        harness_nzd(desk->harness, desk->node, "apply", "--max", "restart-vm",
                    "--config", config, new, NULL);
    assert_status(run, 8);
    assert_contains(run.err, "/priv/counter/big: journal ");
    assert_contains(run.err, "is full: its bound is 8192 KB");
    assert_contains(run.err, "no code was loaded");
    run = harness_nzd(desk->harness, desk->node, "journal", "verify", NULL);
    assert_status(run, 0);
}

static void names_of_files(void **state)
{
    struct desk *desk = *state;
    char app[NZD_FILE_ROWS_APP_MAX], file[NZD_FILE_ROWS_APP_MAX], deep[1100];
    struct nzd_buf name = {0};
    desk_ok(desk,
            nzd_file_rows_priv_name("counter", "priv/a/b", &name, &desk->err));
    assert_string_equal(nzd_buf_string(&name), "/priv/counter/a/b");
    assert_true(nzd_file_rows_priv("/priv/counter/a/b", app, file));
    assert_string_equal(app, "counter");
    assert_string_equal(file, "priv/a/b");
    assert_false(nzd_file_rows_priv("/priv/counter", app, file));
    assert_false(nzd_file_rows_priv("/priv/counter/", app, file));
    assert_false(nzd_file_rows_priv("/priv//a", app, file));
    assert_false(nzd_file_rows_priv("/app/counter", app, file));
    assert_false(nzd_file_rows_priv("counter", app, file));
    assert_string_equal(nzd_file_rows_app("/app/counter"), "counter");
    assert_null(nzd_file_rows_app("/boot"));
    memset(deep, 'x', sizeof deep);
    memcpy(deep, "priv/", 5);
    deep[1020 - strlen("/priv/counter/") + 5] = '\0';
    desk_ok(desk, nzd_file_rows_priv_name("counter", deep, &name, &desk->err));
    assert_int_equal(
        nzd_file_rows_priv_name("counters", deep, &name, &desk->err),
        NZD_EREFUSED);
    assert_contains(desk->err.message, "xxx of counters has a name");
    nzd_buf_clear(&name);
}

/* --- back and forth --- */

static void between_generations(void **state)
{
    struct desk *desk = *state;
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0-conf"));
    desk_apply(desk, 0);
    desk->runs = true;
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0-priv"));
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot ~/sys.config=base ~/priv/counter/motd.txt");
    desk_apply(desk, 1);
    assert_string_equal(desk_live(desk), "/boot /priv/counter/motd.txt");
    desk_plan_back(desk, 1);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot ~/sys.config ~/priv/counter/motd.txt=base");
    assert_string_equal(desk->q.plan.to_version, "0.2.0-conf");
    desk_commit(desk, 2, 1);
    assert_string_equal(desk_live(desk), "/boot /sys.config");
    desk_plan_back(desk, 2);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot ~/sys.config=base ~/priv/counter/motd.txt");
    desk_commit(desk, 3, 2);
    desk_plan_back(desk, 0);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot=base ~/priv/counter/motd.txt=base");
    desk_commit(desk, 4, 0);
    assert_string_equal(desk_live(desk), "");
    desk_plan_back(desk, 3);
    assert_string_equal(desk_rows_of(desk, true), "~/boot ~/sys.config");
}

/* The bytes of the base are the base's alone: no journal can bring back what
 * somebody has changed there. */
static void the_base_was_changed(void **state)
{
    struct desk *desk = *state;
    const char *base = desk_copy(desk, "counter-0.2.0", "base");
    desk_start(desk, base);
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0-conf"));
    desk_apply(desk, 0);
    desk->runs = true;
    desk_shell(desk, harness_text(desk->harness,
                                  "echo '%%%% mine' >> "
                                  "%s/releases/0.2.0/sys.config",
                                  base));
    desk_connect_node(desk);
    assert_int_equal(nzd_question_generation(&desk->context, &desk->q,
                                             desk->t.journal, 0, &desk->err),
                     NZD_EREFUSED);
    assert_contains(desk->err.message, "sys.config of the base is not what");
    /* Towards a bundle it is what it is. */
    desk_plan(desk, base);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot=base ~/sys.config=base");
    desk_apply(desk, 1);
    assert_string_equal(desk_live(desk), "");
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, desk_set_up, desk_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(configuration),
        TEST(the_base_runs),
        TEST(code_alone),
        TEST(files_of_priv),
        TEST(files_that_do_not_fit),
        TEST(files_that_do_not_fit_together),
        TEST(no_room_for_a_file),
        TEST(names_of_files),
        TEST(between_generations),
        TEST(the_base_was_changed),
    };
    return cmocka_run_group_tests_name("file rows", tests, NULL, NULL);
}

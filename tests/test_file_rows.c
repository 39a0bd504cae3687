/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/file_rows.h"
#include "../engine/question_internal.h"
#include "../engine/snapshot.h"
#include "beam_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * The rows of files that a plan against a real node comes to. Nothing is
 * restarted here: a transaction is committed in the journal alone, and whether
 * the node runs what is in force then is told by its token, which a test sets.
 */
struct desk {
    struct harness *harness;
    struct beam_node *node;
    struct nzd_context context;
    struct nzd_question q;
    struct nzd_transaction t;
    bool runs; /* what is in force */
    struct nzd_err err;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct desk *desk = harness_alloc(harness, sizeof *desk);
    desk->harness = harness;
    desk->context.options.quiet = true;
    *state = desk;
    return 0;
}

static void forget(struct desk *desk)
{
    nzd_transaction_clear(&desk->t);
    nzd_question_clear(&desk->q);
    nzd_err_clear(&desk->err);
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    forget(desk);
    nzd_journal_close(desk->t.journal);
    harness_close(desk->harness);
    return 0;
}

/* --- words --- */

static void ok(struct desk *desk, int code)
{
    if (code)
        harness_fail("%s", desk->err.message);
}

static const char *fixture(struct desk *desk, const char *name)
{
    return harness_fixture(desk->harness, name);
}

static void start(struct desk *desk, const char *release)
{
    struct beam_node_options options = {.release = release};
    struct nzd_journal_options journal = {.purpose = "test"};
    desk->node = beam_node_start(desk->harness, &options);
    desk->context.options.node = beam_node_name(desk->node);
    desk->context.options.cookie_file = harness_cookie_file(desk->harness);
    ok(desk,
       nzd_journal_open(harness_journal(desk->harness), NZD_JOURNAL_CREATE,
                        &journal, &desk->t.journal, &desk->err));
}

static const uint8_t token[16] = "the same machine";

static void connect_node(struct desk *desk)
{
    struct nzd_question *q = &desk->q;
    forget(desk);
    ok(desk, nzd_question_target(&desk->context, &q->target, &desk->err));
    ok(desk, nzd_question_connect(&desk->context, q, &desk->err));
    q->hello.has_token = desk->runs;
    memcpy(q->hello.token, token, sizeof token);
    ok(desk, nzd_question_node(&desk->context, q, &desk->err));
}

/* Rows of modules and files: "~/boot +/app/x -/priv/counter/a". */
static const char *rows_of(struct desk *desk, bool files)
{
    struct nzd_transaction *t = &desk->t;
    struct nzd_buf text = {0};
    for (uint32_t i = 0; i < t->row_count; i++) {
        const struct nzd_module_row *row = &t->rows[i];
        if (nzd_row_is_file(row->module) == files)
            nzd_buf_printf(&text, "%s%c%s%s", text.size ? " " : "",
                           " ~+-"[row->change], row -> module,
                           files && row -> flags &NZD_ROW_TO_BASE ? "=base"
                                                                  : "");
    }
    const char *copy = harness_text(desk->harness, "%s", nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return copy;
}

static void make_rows(struct desk *desk)
{
    desk->t.context = &desk->context;
    desk->t.q = &desk->q;
    ok(desk, nzd_snapshot_rows(&desk->t, &desk->err));
}

static void plan(struct desk *desk, const char *bundle)
{
    connect_node(desk);
    ok(desk, nzd_question_bundle(&desk->context, &desk->q, desk->t.journal,
                                 bundle, &desk->err));
    make_rows(desk);
}

static void plan_back(struct desk *desk, uint64_t to)
{
    connect_node(desk);
    ok(desk, nzd_question_generation(&desk->context, &desk->q, desk->t.journal,
                                     to, &desk->err));
    make_rows(desk);
}

/* As a transaction does, but for all that it does to the node. */
static void commit(struct desk *desk, uint64_t from, uint64_t to)
{
    struct nzd_transaction *t = &desk->t;
    struct nzd_move move = {
        .txn = &t->txn, .modules = t->rows, .module_count = t->row_count};
    ok(desk, nzd_snapshot_store(t, &desk->err));
    t->txn.kind = to == UINT64_MAX ? NZD_TXN_APPLY : NZD_TXN_ROLLBACK;
    t->txn.to_generation = to;
    t->txn.from_generation = from;
    t->txn.base = desk->q.base.identity;
    t->txn.verdict = desk->q.plan.verdict;
    t->txn.state = NZD_STATE_ARMED;
    memcpy(t->txn.vm.token, token, sizeof token);
    t->txn.to_version = strdup(desk->q.plan.to_version);
    ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    move.modules = NULL;
    move.module_count = 0;
    t->txn.state = NZD_STATE_RESTARTING;
    ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    t->txn.state = NZD_STATE_COMMITTED;
    ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    ok(desk, nzd_journal_verify(t->journal, &desk->err));
}

static void apply(struct desk *desk, uint64_t from)
{
    commit(desk, from, UINT64_MAX);
}

static int list_live(void *context, const struct nzd_live_row *row)
{
    struct nzd_buf *text = context;
    nzd_buf_printf(text, "%s%s%s", text->size ? " " : "",
                   nzd_digest_is_zero(&row->blob) ? "-" : "", row->module);
    return 0;
}

static const char *live(struct desk *desk)
{
    struct nzd_buf text = {0};
    ok(desk, nzd_journal_each_live_file(desk->t.journal, &desk->q.base.identity,
                                        list_live, &text, &desk->err));
    const char *copy = harness_text(desk->harness, "%s", nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return copy;
}

static const struct nzd_module_row *row_of(struct desk *desk, const char *name)
{
    for (uint32_t i = 0; i < desk->t.row_count; i++)
        if (strcmp(desk->t.rows[i].module, name) == 0)
            return &desk->t.rows[i];
    harness_fail("%s has no row", name);
}

/* The content that the journal holds of a row's new side. */
static void expect_content(struct desk *desk, const char *name,
                           const char *path)
{
    const char *wanted = harness_read_file(desk->harness, path);
    const struct nzd_module_row *row = row_of(desk, name);
    struct nzd_buf bytes = {0};
    ok(desk, nzd_journal_get_blob(desk->t.journal, &row->new_blob, &bytes,
                                  &desk->err));
    assert_string_equal(nzd_buf_string(&bytes), wanted);
    nzd_buf_clear(&bytes);
}

static void shell(struct desk *desk, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(desk->harness, argv, NULL);
    assert_status(run, 0);
}

static const char *copy(struct desk *desk, const char *release,
                        const char *name)
{
    const char *to = harness_path(desk->harness, "%s", name);
    harness_copy(desk->harness, fixture(desk, release), to);
    return to;
}

#define verdict(desk) (desk)->q.plan.verdict
#define need(desk)    nzd_plan_need(&(desk)->q.plan)

/* --- rows of a bundle --- */

static void configuration(void **state)
{
    struct desk *desk = *state;
    const char *conf = fixture(desk, "counter-0.2.0-conf");
    start(desk, fixture(desk, "counter-0.2.0"));
    plan(desk, conf);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/boot ~/sys.config");
    assert_string_equal(rows_of(desk, false), "");
    assert_true(nzd_digest_is_zero(&row_of(desk, "/boot")->old_blob));
    apply(desk, 0);
    expect_content(
        desk, "/sys.config",
        harness_text(desk->harness, "%s/releases/0.2.0-conf/sys.config", conf));
    assert_string_equal(live(desk), "/boot /sys.config");

    /* The node has it: what differs is what the base has. */
    desk->runs = true;
    plan(desk, conf);
    assert_int_equal(verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(rows_of(desk, true), "");
    plan(desk, fixture(desk, "counter-0.2.0"));
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/boot=base ~/sys.config=base");
    apply(desk, 1);
    assert_string_equal(live(desk), "");
}

/* The VM was started without what is in force. */
static void the_base_runs(void **state)
{
    struct desk *desk = *state;
    const char *conf = fixture(desk, "counter-0.2.0-conf");
    start(desk, fixture(desk, "counter-0.2.0"));
    plan(desk, conf);
    apply(desk, 0);
    plan(desk, conf);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/boot ~/sys.config");
    apply(desk, 0);
    assert_string_equal(live(desk), "/boot /sys.config");
    plan(desk, fixture(desk, "counter-0.2.0"));
    assert_int_equal(verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(rows_of(desk, true), "~/boot=base ~/sys.config=base");
    apply(desk, 0);
    assert_string_equal(live(desk), "");
}

/* What only code differs in stays without. */
static void code_alone(void **state)
{
    struct desk *desk = *state;
    start(desk, fixture(desk, "counter-0.1.0"));
    plan(desk, fixture(desk, "counter-0.2.0"));
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/app/counter");
    /* Over a generation of a restart that runs, that one's files stay. */
    plan(desk, fixture(desk, "counter-0.2.0-conf"));
    assert_string_equal(rows_of(desk, true),
                        "~/app/counter ~/boot ~/sys.config");
    apply(desk, 0);
    assert_string_equal(live(desk), "/app/counter /boot /sys.config");
}

static void files_of_priv(void **state)
{
    struct desk *desk = *state;
    const char *old = copy(desk, "counter-0.2.0", "old");
    const char *new = copy(desk, "counter-0.2.0", "new");
    shell(desk, harness_text(desk->harness,
                             "cd %s/lib/counter-0.2.0/priv; echo a > gone; "
                             "echo same > same; ln -s same link; "
                             "cd %s/lib/counter-0.2.0/priv; echo 2 > motd.txt; "
                             "mkdir deep; echo n > deep/new; "
                             "chmod +x deep/new; : > none; echo same > same",
                             old, new));
    start(desk, old);
    plan(desk, new);
    assert_int_equal(need(desk), NZD_NEED_SWITCH);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true),
                        "+/priv/counter/deep/new -/priv/counter/gone "
                        "~/priv/counter/motd.txt +/priv/counter/none");
    assert_int_equal(row_of(desk, "/priv/counter/deep/new")->flags,
                     NZD_ROW_EXECUTABLE);
    assert_string_equal(row_of(desk, "/priv/counter/none")->application,
                        "counter");
    apply(desk, 0);
    expect_content(
        desk, "/priv/counter/motd.txt",
        harness_text(desk->harness, "%s/lib/counter-0.2.0/priv/motd.txt", new));
    assert_string_equal(live(desk),
                        "/priv/counter/deep/new -/priv/counter/gone "
                        "/priv/counter/motd.txt /priv/counter/none");
    desk->runs = true;
    plan(desk, new);
    assert_int_equal(verdict(desk), NZD_LEVEL_NOTHING);
    assert_string_equal(rows_of(desk, true), "");
    shell(desk, harness_text(desk->harness,
                             "cd %s/lib/counter-0.2.0/priv; rm motd.txt; "
                             "echo a > gone; rm none; echo 3 > deep/new",
                             new));
    plan(desk, new);
    assert_string_equal(rows_of(desk, true),
                        "~/priv/counter/deep/new +/priv/counter/gone=base "
                        "-/priv/counter/motd.txt -/priv/counter/none");
    apply(desk, 1);
    assert_string_equal(live(desk),
                        "/priv/counter/deep/new -/priv/counter/motd.txt");
    plan_back(desk, 0);
    assert_string_equal(rows_of(desk, true),
                        "-/priv/counter/deep/new +/priv/counter/motd.txt=base");
    commit(desk, 2, 0);
    assert_string_equal(live(desk), "");
}

static void files_that_do_not_fit(void **state)
{
    struct desk *desk = *state;
    const char *new = copy(desk, "counter-0.2.0", "new");
    start(desk, fixture(desk, "counter-0.2.0"));
    shell(desk, harness_text(desk->harness,
                             "truncate -s 33554433 "
                             "%s/lib/counter-0.2.0/priv/big",
                             new));
    plan(desk, new);
    assert_int_equal(need(desk), NZD_NEED_BASE);
    assert_contains(desk->q.plan.evidence.items[0].source,
                    "priv/big, too large for a journal");
    assert_string_equal(rows_of(desk, true), "");
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

/* All that the journal may take is less than one of them. */
static void no_room_for_a_file(void **state)
{
    struct desk *desk = *state;
    const char *new = copy(desk, "counter-0.2.0", "new");
    const char *config = harness_path(desk->harness, "nzd.conf");
    start(desk, fixture(desk, "counter-0.2.0"));
    nzd_journal_close(desk->t.journal);
    desk->t.journal = NULL;
    harness_write_file(config, "journal_max = \"8M\"\n");
    shell(desk, harness_text(desk->harness,
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
    ok(desk, nzd_file_rows_priv_name("counter", "priv/a/b", &name, &desk->err));
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
    ok(desk, nzd_file_rows_priv_name("counter", deep, &name, &desk->err));
    assert_int_equal(
        nzd_file_rows_priv_name("counters", deep, &name, &desk->err),
        NZD_EREFUSED);
    assert_contains(desk->err.message, "xxx of counters has a name");
    nzd_buf_clear(&name);
}

/* --- applications --- */

static void an_added_application(void **state)
{
    struct desk *desk = *state;
    const char *base = fixture(desk, "counter-0.2.0");
    const char *app = fixture(desk, "counter-0.2.0-app");
    start(desk, base);
    plan(desk, app);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, false), "+counter_extra");
    assert_string_equal(
        row_of(desk, "counter_extra")->new_path,
        harness_text(desk->harness,
                     "%s/lib/counter_extra-1.0.0/ebin/counter_extra.beam",
                     base));
    assert_string_equal(rows_of(desk, true), "+/app/counter_extra ~/boot");
    apply(desk, 0);
    assert_string_equal(live(desk), "/app/counter_extra /boot");

    /* Back, by the bundle and by the journal: the node only lacks the code. */
    desk->runs = true;
    plan_back(desk, 0);
    assert_int_equal(verdict(desk), NZD_LEVEL_RESTART_APP);
    assert_contains(rows_of(desk, true), "~/boot=base");
    commit(desk, 1, 0);
    assert_lacks(live(desk), "/boot");
}

static void a_removed_application(void **state)
{
    struct desk *desk = *state;
    start(desk, fixture(desk, "counter-0.2.0-app"));
    plan(desk, fixture(desk, "counter-0.2.0"));
    assert_int_equal(verdict(desk), NZD_LEVEL_RESTART_APP);
    assert_string_equal(rows_of(desk, false), "-counter_extra");
    assert_string_equal(rows_of(desk, true), "-/app/counter_extra ~/boot");
    apply(desk, 0);
    assert_string_equal(live(desk), "-/app/counter_extra /boot");

    /* The base has it; the node still runs it, so nothing else is to do. */
    plan_back(desk, 0);
    assert_string_equal(rows_of(desk, true), "~/app/counter_extra ~/boot=base");
    commit(desk, 0, 0);
    assert_string_equal(live(desk), "");
}

/* --- Mix --- */

static void runtime_configuration(void **state)
{
    struct desk *desk = *state;
    const char *one = fixture(desk, "greeter-0.2.0-runtime");
    const char *two = copy(desk, "greeter-0.2.0-runtime", "two");
    start(desk, fixture(desk, "greeter-0.2.0"));
    plan(desk, one);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true),
                        "~/boot +/runtime.exs ~/sys.config");
    apply(desk, 0);
    expect_content(desk, "/runtime.exs",
                   harness_text(desk->harness,
                                "%s/releases/0.2.0-runtime/runtime.exs", one));
    desk->runs = true;
    plan(desk, one);
    assert_int_equal(verdict(desk), NZD_LEVEL_NOTHING);
    shell(desk, harness_text(desk->harness,
                             "echo 'config :greeter, again: 1' >> "
                             "%s/releases/0.2.0-runtime/runtime.exs",
                             two));
    plan(desk, two);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/runtime.exs");
    apply(desk, 1);
    plan_back(desk, 1);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true), "~/runtime.exs");
    expect_content(desk, "/runtime.exs",
                   harness_text(desk->harness,
                                "%s/releases/0.2.0-runtime/runtime.exs", one));
    plan_back(desk, 0);
    assert_string_equal(rows_of(desk, true),
                        "~/boot=base -/runtime.exs ~/sys.config=base");
    commit(desk, 2, 0);
    assert_string_equal(live(desk), "");
}

/* --- vm.args --- */

static void arguments_of_the_vm(void **state)
{
    struct desk *desk = *state;
    const char *new = copy(desk, "counter-0.2.0", "new");
    const char *args =
        harness_text(desk->harness, "%s/releases/0.2.0/vm.args", new);
    start(desk, fixture(desk, "counter-0.2.0"));
    /* A comment is no difference, and no start is due for it. */
    shell(desk, harness_text(desk->harness,
                             "echo '# a comment' >> %s; echo 2 > "
                             "%s/lib/counter-0.2.0/priv/motd.txt",
                             args, new));
    plan(desk, new);
    assert_int_equal(need(desk), NZD_NEED_SWITCH);
    assert_string_equal(rows_of(desk, true), "~/priv/counter/motd.txt");
    shell(desk, harness_text(desk->harness, "echo '+P 500000' >> %s", args));
    plan(desk, new);
    assert_int_equal(need(desk), NZD_NEED_START);
    assert_string_equal(rows_of(desk, true),
                        "~/vm.args ~/priv/counter/motd.txt");
    apply(desk, 0);
    expect_content(desk, "/vm.args", args);
    desk->runs = true;
    plan(desk, new);
    assert_int_equal(verdict(desk), NZD_LEVEL_NOTHING);
    plan_back(desk, 0);
    assert_int_equal(need(desk), NZD_NEED_START);
    assert_string_equal(rows_of(desk, true),
                        "~/vm.args=base ~/priv/counter/motd.txt=base");
}

/* --- back and forth --- */

static void between_generations(void **state)
{
    struct desk *desk = *state;
    start(desk, fixture(desk, "counter-0.2.0"));
    plan(desk, fixture(desk, "counter-0.2.0-conf"));
    apply(desk, 0);
    desk->runs = true;
    plan(desk, fixture(desk, "counter-0.2.0-priv"));
    assert_string_equal(rows_of(desk, true),
                        "~/boot ~/sys.config=base ~/priv/counter/motd.txt");
    apply(desk, 1);
    assert_string_equal(live(desk), "/boot /priv/counter/motd.txt");
    plan_back(desk, 1);
    assert_int_equal(verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(rows_of(desk, true),
                        "~/boot ~/sys.config ~/priv/counter/motd.txt=base");
    assert_string_equal(desk->q.plan.to_version, "0.2.0-conf");
    commit(desk, 2, 1);
    assert_string_equal(live(desk), "/boot /sys.config");
    plan_back(desk, 2);
    assert_string_equal(rows_of(desk, true),
                        "~/boot ~/sys.config=base ~/priv/counter/motd.txt");
    commit(desk, 3, 2);
    plan_back(desk, 0);
    assert_string_equal(rows_of(desk, true),
                        "~/boot=base ~/priv/counter/motd.txt=base");
    commit(desk, 4, 0);
    assert_string_equal(live(desk), "");
    plan_back(desk, 3);
    assert_string_equal(rows_of(desk, true), "~/boot ~/sys.config");
}

/* The bytes of the base are the base's alone: no journal can bring back what
 * somebody has changed there. */
static void the_base_was_changed(void **state)
{
    struct desk *desk = *state;
    const char *base = copy(desk, "counter-0.2.0", "base");
    start(desk, base);
    plan(desk, fixture(desk, "counter-0.2.0-conf"));
    apply(desk, 0);
    desk->runs = true;
    shell(desk, harness_text(desk->harness,
                             "echo '%%%% mine' >> "
                             "%s/releases/0.2.0/sys.config",
                             base));
    connect_node(desk);
    assert_int_equal(nzd_question_generation(&desk->context, &desk->q,
                                             desk->t.journal, 0, &desk->err),
                     NZD_EREFUSED);
    assert_contains(desk->err.message, "sys.config of the base is not what");
    /* Towards a bundle it is what it is. */
    plan(desk, base);
    assert_string_equal(rows_of(desk, true), "~/boot=base ~/sys.config=base");
    apply(desk, 1);
    assert_string_equal(live(desk), "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(configuration),
        TEST(the_base_runs),
        TEST(code_alone),
        TEST(files_of_priv),
        TEST(files_that_do_not_fit),
        TEST(no_room_for_a_file),
        TEST(names_of_files),
        TEST(an_added_application),
        TEST(a_removed_application),
        TEST(runtime_configuration),
        TEST(arguments_of_the_vm),
        TEST(between_generations),
        TEST(the_base_was_changed),
    };
    return cmocka_run_group_tests_name("file rows", tests, NULL, NULL);
}

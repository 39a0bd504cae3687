/* SPDX-License-Identifier: Apache-2.0 */
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t token[16] = "the same machine";

int desk_set_up(void **state)
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

int desk_tear_down(void **state)
{
    struct desk *desk = *state;
    forget(desk);
    nzd_journal_close(desk->t.journal);
    harness_close(desk->harness);
    return 0;
}

void desk_ok(struct desk *desk, int code)
{
    if (code)
        harness_fail("%s", desk->err.message);
}

const char *desk_fixture(struct desk *desk, const char *name)
{
    return harness_fixture(desk->harness, name);
}

void desk_start(struct desk *desk, const char *release)
{
    struct beam_node_options options = {.release = release};
    struct nzd_journal_options journal = {.purpose = "test"};
    desk->node = beam_node_start(desk->harness, &options);
    desk->context.options.node = beam_node_name(desk->node);
    desk->context.options.cookie_file = harness_cookie_file(desk->harness);
    desk_ok(desk,
            nzd_journal_open(harness_journal(desk->harness), NZD_JOURNAL_CREATE,
                             &journal, &desk->t.journal, &desk->err));
}

void desk_connect_node(struct desk *desk)
{
    struct nzd_question *q = &desk->q;
    forget(desk);
    desk_ok(desk, nzd_question_target(&desk->context, &q->target, &desk->err));
    desk_ok(desk, nzd_question_connect(&desk->context, q, &desk->err));
    q->hello.has_token = desk->runs;
    memcpy(q->hello.token, token, sizeof token);
    desk_ok(desk, nzd_question_node(&desk->context, q, &desk->err));
}

const char *desk_rows_of(struct desk *desk, bool files)
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
    desk_ok(desk, nzd_snapshot_rows(&desk->t, &desk->err));
}

void desk_plan(struct desk *desk, const char *bundle)
{
    desk_connect_node(desk);
    desk_ok(desk, nzd_question_bundle(&desk->context, &desk->q, desk->t.journal,
                                      bundle, &desk->err));
    make_rows(desk);
}

void desk_plan_back(struct desk *desk, uint64_t to)
{
    desk_connect_node(desk);
    desk_ok(desk, nzd_question_generation(&desk->context, &desk->q,
                                          desk->t.journal, to, &desk->err));
    make_rows(desk);
}

void desk_commit(struct desk *desk, uint64_t from, uint64_t to)
{
    struct nzd_transaction *t = &desk->t;
    struct nzd_move move = {
        .txn = &t->txn, .modules = t->rows, .module_count = t->row_count};
    desk_ok(desk, nzd_snapshot_store(t, &desk->err));
    t->txn.kind = to == UINT64_MAX ? NZD_TXN_APPLY : NZD_TXN_ROLLBACK;
    t->txn.to_generation = to;
    t->txn.from_generation = from;
    t->txn.base = desk->q.base.identity;
    t->txn.verdict = desk->q.plan.verdict;
    t->txn.state = NZD_STATE_ARMED;
    memcpy(t->txn.vm.token, token, sizeof token);
    t->txn.to_version = strdup(desk->q.plan.to_version);
    desk_ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    move.modules = NULL;
    move.module_count = 0;
    t->txn.state = NZD_STATE_RESTARTING;
    desk_ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    t->txn.state = NZD_STATE_COMMITTED;
    desk_ok(desk, nzd_journal_move(t->journal, &move, &desk->err));
    desk_ok(desk, nzd_journal_verify(t->journal, &desk->err));
}

void desk_apply(struct desk *desk, uint64_t from)
{
    desk_commit(desk, from, UINT64_MAX);
}

static int list_live(void *context, const struct nzd_live_row *row)
{
    struct nzd_buf *text = context;
    nzd_buf_printf(text, "%s%s%s", text->size ? " " : "",
                   nzd_digest_is_zero(&row->blob) ? "-" : "", row->module);
    return 0;
}

const char *desk_live(struct desk *desk)
{
    struct nzd_buf text = {0};
    desk_ok(desk,
            nzd_journal_each_live_file(desk->t.journal, &desk->q.base.identity,
                                       list_live, &text, &desk->err));
    const char *copy = harness_text(desk->harness, "%s", nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return copy;
}

const struct nzd_module_row *desk_row_of(struct desk *desk, const char *name)
{
    for (uint32_t i = 0; i < desk->t.row_count; i++)
        if (strcmp(desk->t.rows[i].module, name) == 0)
            return &desk->t.rows[i];
    harness_fail("%s has no row", name);
}

void expect_content(struct desk *desk, const char *name, const char *path)
{
    const char *wanted = harness_read_file(desk->harness, path);
    const struct nzd_module_row *row = desk_row_of(desk, name);
    struct nzd_buf bytes = {0};
    desk_ok(desk, nzd_journal_get_blob(desk->t.journal, &row->new_blob, &bytes,
                                       &desk->err));
    assert_string_equal(nzd_buf_string(&bytes), wanted);
    nzd_buf_clear(&bytes);
}

void desk_shell(struct desk *desk, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(desk->harness, argv, NULL);
    assert_status(run, 0);
}

const char *desk_copy(struct desk *desk, const char *release, const char *name)
{
    const char *to = harness_path(desk->harness, "%s", name);
    harness_copy(desk->harness, desk_fixture(desk, release), to);
    return to;
}

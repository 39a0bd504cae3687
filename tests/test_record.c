/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/record.h"
#include "../journal/value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *constant(const char *text)
{
    return (char *)(uintptr_t)text;
}

static struct nzd_digest digest_of(const char *text)
{
    return nzd_digest_of(nzd_view_text(text));
}

static struct nzd_txn sample_txn(void)
{
    struct nzd_txn txn = {
        .id = 7,
        .kind = NZD_TXN_ROLLBACK,
        .state = NZD_STATE_TRIAL,
        .verdict = NZD_LEVEL_MIGRATE,
        .max = NZD_LEVEL_REBOOT,
        .from_generation = 3,
        .to_generation = 2,
        .epoch = UINT64_MAX,
        .base = digest_of("base"),
        .bundle = digest_of("bundle"),
        .bundle_bytes = 123456789012,
        .vm = {.token = {1, 2}, .boot_id = "3f9c", .pid = 9, .start_time = 8},
        .rows = {4, digest_of("rows")},
        .old_set = {5, digest_of("old")},
        .new_set = {6, digest_of("new")},
        .changed = 1,
        .added = 2,
        .removed = 3,
        .opened_us = 11,
        .armed_us = 12,
        .ended_us = 13,
        .took_us = 14,
        .pause_us = 15,
        .written = 16,
        .outcome = -6,
        .events = 17,
        .release = constant("counter"),
        .from_version = constant("0.1.0"),
        .to_version = constant("0.2.0"),
        .base_version = constant("0.0.9"),
        .base_path = constant("/srv/counter"),
        .node = constant("counter@web1"),
        .source = constant("counter-0.2.0.tar.gz"),
        .operator_name = constant("root from ssh"),
        .why = constant("hook selftest returned {error,\xe2\x82\xac}"),
        .trial = {600000000, 123456789012, "3f9c"},
    };

    return txn;
}

static struct nzd_module_row sample_row(void)
{
    struct nzd_module_row row = {
        .module = constant("counter_http"),
        .application = constant("counter"),
        .change = NZD_MODULE_REMOVED,
        .old_blob = digest_of("a"),
        .new_blob = digest_of("b"),
        .old_md5 = digest_of("c"),
        .new_md5 = digest_of("d"),
        .old_attrs = digest_of("e"),
        .new_attrs = digest_of("f"),
        .old_bytes = 1,
        .new_bytes = 2,
        .flags = NZD_ROW_ON_LOAD | NZD_ROW_NOT_LOADED,
        .old_path = constant("/old"),
        .new_path = constant("/new"),
    };

    return row;
}

static struct nzd_live_row sample_live(void)
{
    struct nzd_live_row row = {
        .module = constant("counter_http"),
        .application = constant("counter"),
        .blob = digest_of("a"),
        .md5 = digest_of("b"),
        .attrs = digest_of("c"),
        .base_md5 = digest_of("d"),
        .base_attrs = digest_of("e"),
        .base_blob = digest_of("f"),
        .base_bytes = 3,
        .bytes = 1,
        .since = 2,
        .flags = NZD_ROW_ON_LOAD,
        .path = constant("/lib"),
        .base_path = constant("/base"),
    };

    return row;
}

static struct nzd_event sample_event(void)
{
    struct nzd_event event = {
        .kind = NZD_EVENT_NOTE,
        .at_us = 1,
        .mono_us = 2,
        .took_us = 3,
        .label = constant("hook pre"),
        .text = constant("disk ok"),
        .output = constant("line\nline\n"),
        .previous = digest_of("before"),
    };

    return event;
}

/* --- each record by one name, for what holds for all of them --- */

static void encode(int kind, struct nzd_buf *out)
{
    struct nzd_txn txn = sample_txn();
    struct nzd_module_row row = sample_row();
    struct nzd_live_row live = sample_live();
    struct nzd_event event = sample_event();
    int rc = NZD_OK;

    nzd_buf_reset(out);
    if (kind == 0)
        rc = nzd_txn_encode(&txn, out, NULL);
    if (kind == 1)
        rc = nzd_module_row_encode(&row, out, NULL);
    if (kind == 2)
        rc = nzd_live_row_encode(&live, out, NULL);
    if (kind == 3)
        rc = nzd_event_encode(&event, out, NULL);
    assert_int_equal(rc, NZD_OK);
}

/* Decodes; what it gave is encoded again where `again` is not NULL. */
static int decode(int kind, struct nzd_view value, struct nzd_buf *again,
                  struct nzd_err *err)
{
    struct nzd_txn txn;
    struct nzd_module_row row;
    struct nzd_live_row live;
    struct nzd_event event;
    int rc = NZD_EINTERNAL;

    if (kind == 0 && !(rc = nzd_txn_decode(value, &txn, err)) && again)
        rc = nzd_txn_encode(&txn, again, err);
    if (kind == 1 && !(rc = nzd_module_row_decode(value, &row, err)) && again)
        rc = nzd_module_row_encode(&row, again, err);
    if (kind == 2 && !(rc = nzd_live_row_decode(value, &live, err)) && again)
        rc = nzd_live_row_encode(&live, again, err);
    if (kind == 3 && !(rc = nzd_event_decode(value, &event, err)) && again)
        rc = nzd_event_encode(&event, again, err);
    /* Also after a failure: the record is zeros then. */
    if (kind == 0)
        nzd_txn_clear(&txn);
    if (kind == 1)
        nzd_module_row_clear(&row);
    if (kind == 2)
        nzd_live_row_clear(&live);
    if (kind == 3)
        nzd_event_clear(&event);
    return rc;
}

static void test_there_and_back(void **state)
{
    struct nzd_buf value = {0};
    struct nzd_buf again = {0};

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct nzd_err err = NZD_ERR_INIT;

        encode(kind, &value);
        nzd_buf_reset(&again);
        if (decode(kind, nzd_buf_view(&value), &again, &err) != NZD_OK)
            fail_msg("%s", err.message);
        assert_true(nzd_view_equal(nzd_buf_view(&value), nzd_buf_view(&again)));
    }
    nzd_buf_clear(&value);
    nzd_buf_clear(&again);
}

static void test_fields(void **state)
{
    struct nzd_txn sample = sample_txn();
    struct nzd_buf value = {0};
    struct nzd_txn txn;

    (void)state;
    encode(0, &value);
    assert_int_equal(nzd_txn_decode(nzd_buf_view(&value), &txn, NULL), NZD_OK);
    assert_memory_equal(&txn, &sample, offsetof(struct nzd_txn, release));
    assert_string_equal(txn.release, "counter");
    assert_string_equal(txn.why, sample.why);
    assert_string_equal(txn.options, "");
    assert_memory_equal(&txn.trial, &sample.trial, sizeof(txn.trial));
    nzd_txn_clear(&txn);
    nzd_buf_clear(&value);
}

/* On trial or not. */
static void test_hooks(void **state)
{
    static char text[] = "hook \"own\" {\n call = \"a:b\"\n}\n";
    struct nzd_txn txn = sample_txn(), read;
    struct nzd_buf value = {0};

    (void)state;
    txn.hooks = text;
    for (int i = 0; i < 2; i++) {
        nzd_buf_reset(&value);
        assert_int_equal(nzd_txn_encode(&txn, &value, NULL), NZD_OK);
        assert_int_equal(value.data[0], 3);
        assert_int_equal(nzd_txn_decode(nzd_buf_view(&value), &read, NULL),
                         NZD_OK);
        assert_string_equal(read.hooks, text);
        assert_memory_equal(&read.trial, &txn.trial, sizeof(txn.trial));
        nzd_txn_clear(&read);
        memset(&txn.trial, 0, sizeof(txn.trial));
    }
    nzd_buf_clear(&value);
}

/* As an nzd writes it that knows no trials: it is read by both, and what was
 * on none is written so. */
static void test_older_version(void **state)
{
    struct nzd_txn txn = sample_txn();
    struct nzd_buf value = {0};
    struct nzd_buf again = {0};

    (void)state;
    encode(0, &value);
    assert_int_equal(value.data[0], 2);
    memset(&txn.trial, 0, sizeof(txn.trial));
    nzd_buf_reset(&value);
    assert_int_equal(nzd_txn_encode(&txn, &value, NULL), NZD_OK);
    assert_int_equal(value.data[0], 1);
    assert_int_equal(nzd_txn_decode(nzd_buf_view(&value), &txn, NULL), NZD_OK);
    assert_int_equal(txn.trial.us, 0);
    assert_string_equal(txn.trial.boot_id, "");
    assert_string_equal(txn.release, "counter");
    assert_int_equal(nzd_txn_encode(&txn, &again, NULL), NZD_OK);
    assert_true(nzd_view_equal(nzd_buf_view(&value), nzd_buf_view(&again)));
    nzd_txn_clear(&txn);
    nzd_buf_clear(&value);
    nzd_buf_clear(&again);
}

/* Every bit and every length: never read, never a crash. */
static void test_damage(void **state)
{
    struct nzd_buf value = {0};

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        encode(kind, &value);
        for (size_t size = 0; size < value.size; size++)
            assert_int_equal(
                decode(kind, nzd_view_of(value.data, size), NULL, NULL),
                NZD_EJOURNAL);
        for (size_t bit = 0; bit < 8 * value.size; bit++) {
            value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(decode(kind, nzd_buf_view(&value), NULL, NULL),
                             NZD_EJOURNAL);
            value.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    nzd_buf_clear(&value);
}

/* A checksum that holds over content that does not. */
static void reseal(struct nzd_buf *value, size_t content)
{
    value->size = content;
    nzd_buf_u64(value, nzd_checksum_of(nzd_view_of(value->data, content)));
}

static void test_sealed_damage(void **state)
{
    struct nzd_buf value = {0};
    struct nzd_buf again = {0};
    int refused = 0;

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        size_t content;

        encode(kind, &value);
        content = value.size - 8;
        for (size_t i = 1; i < content; i++) {
            encode(kind, &value);
            value.data[i] = 0xfe;
            reseal(&value, content);
            nzd_buf_reset(&again);
            if (decode(kind, nzd_buf_view(&value), &again, NULL) != NZD_OK)
                refused++;
            else
                assert_true(
                    nzd_view_equal(nzd_buf_view(&value), nzd_buf_view(&again)));
        }
        for (size_t size = 1; size < content; size++) {
            encode(kind, &value);
            reseal(&value, size);
            assert_int_equal(decode(kind, nzd_buf_view(&value), NULL, NULL),
                             NZD_EJOURNAL);
        }
        encode(kind, &value);
        value.size = content;
        nzd_buf_u8(&value, 0);
        reseal(&value, value.size);
        assert_int_equal(decode(kind, nzd_buf_view(&value), NULL, NULL),
                         NZD_EJOURNAL);
    }
    assert_true(refused > 50);
    nzd_buf_clear(&value);
    nzd_buf_clear(&again);
}

static void test_newer_version(void **state)
{
    struct nzd_buf value = {0};

    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct nzd_err err = NZD_ERR_INIT;

        encode(kind, &value);
        value.data[0] = kind == 0 ? 4 : 2;
        reseal(&value, value.size - 8);
        assert_int_equal(decode(kind, nzd_buf_view(&value), NULL, &err),
                         NZD_EJOURNAL);
        assert_non_null(strstr(err.message, "newer nzd"));
        value.data[0] = 0;
        reseal(&value, value.size - 8);
        assert_int_equal(decode(kind, nzd_buf_view(&value), NULL, NULL),
                         NZD_EJOURNAL);
    }
    nzd_buf_clear(&value);
}

static void test_long_texts(void **state)
{
    char text[NZD_RECORD_TEXT_MAX + 10];
    struct nzd_event event = sample_event();
    struct nzd_buf value = {0};

    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + NZD_RECORD_TEXT_MAX - 1, "\xe2\x82\xac", 4);
    event.output = text;
    assert_int_equal(nzd_event_encode(&event, &value, NULL), NZD_OK);
    assert_int_equal(nzd_event_decode(nzd_buf_view(&value), &event, NULL),
                     NZD_OK);
    assert_int_equal(strlen(event.output), NZD_RECORD_TEXT_MAX - 1);
    nzd_event_clear(&event);
    nzd_buf_clear(&value);
}

/* What could not be read back is not written. */
static void test_unknown_values(void **state)
{
    struct nzd_txn txn = sample_txn();
    struct nzd_event event = sample_event();
    struct nzd_buf value = {0};

    (void)state;
    txn.state = NZD_STATE_NONE;
    assert_int_equal(nzd_txn_encode(&txn, &value, NULL), NZD_EINTERNAL);
    txn.state = NZD_STATE_ARMED;
    txn.verdict = (enum nzd_level)6;
    assert_int_equal(nzd_txn_encode(&txn, &value, NULL), NZD_EINTERNAL);
    event.kind = (enum nzd_event_kind)0;
    assert_int_equal(nzd_event_encode(&event, &value, NULL), NZD_EINTERNAL);
    nzd_buf_clear(&value);
}

static void test_blobs_of_rows(void **state)
{
    struct nzd_buf value = {0};
    struct nzd_digest before;
    struct nzd_digest after;
    struct nzd_digest expected = digest_of("a");

    (void)state;
    encode(1, &value);
    assert_int_equal(
        nzd_module_row_blobs(nzd_buf_view(&value), &before, &after, NULL), 0);
    assert_true(nzd_digest_equal(&before, &expected));
    expected = digest_of("b");
    assert_true(nzd_digest_equal(&after, &expected));
    value.data[9] ^= 1;
    assert_int_equal(
        nzd_module_row_blobs(nzd_buf_view(&value), &before, &after, NULL),
        NZD_EJOURNAL);
    encode(2, &value);
    expected = digest_of("a");
    assert_int_equal(
        nzd_live_row_blobs(nzd_buf_view(&value), &before, &after, NULL), 0);
    assert_true(nzd_digest_equal(&before, &expected));
    expected = digest_of("f");
    assert_true(nzd_digest_equal(&after, &expected));
    nzd_buf_clear(&value);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < NZD_LEVEL_COUNT; i++)
        assert_int_equal(nzd_level_of(nzd_level_name((enum nzd_level)i)), i);
    assert_string_equal(nzd_level_name(NZD_LEVEL_RESTART_APP), "restart-app");
    assert_int_equal(nzd_level_of("Hot"), -1);
    assert_int_equal(nzd_level_of(""), -1);
    assert_string_equal(nzd_level_name((enum nzd_level)6), "unknown");
    assert_string_equal(nzd_event_kind_name(NZD_EVENT_RECOVERY), "recovery");
    assert_string_equal(nzd_event_kind_name((enum nzd_event_kind)12),
                        "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_sealed_damage),
        cmocka_unit_test(test_newer_version),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_unknown_values),
        cmocka_unit_test(test_blobs_of_rows),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}

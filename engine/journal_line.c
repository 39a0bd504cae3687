/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_line_internal.h"

#include "base64.h"
#include "describe.h"
#include "format.h"
#include "output.h"

#include <stdio.h>
#include <string.h>

#define CHUNK (3u << 14) /* bytes of a blob that are written at a time */

const char *const nzd_journal_line_records[NZD_LINE_RECORDS] = {
    "",     "journal", "transaction", "module", "event",
    "base", "live",    "blob",        "end",
};

/* --- members --------------------------------------------------------- */

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

/* A number above 2^63 - 1, which no journal should hold, is seen negative. */
static void set_number(json_t *object, const char *key, uint64_t value)
{
    set(object, key, json_integer((json_int_t)value));
}

static void set_hex(json_t *object, const char *key, const uint8_t bytes[16])
{
    char hex[NZD_DIGEST_HEX];

    nzd_hex(hex, bytes, NZD_DIGEST_SIZE);
    set(object, key, json_string(hex));
}

static void set_digest(json_t *object, const char *key,
                       const struct nzd_digest *digest)
{
    set(object, key, nzd_json_digest(digest));
}

static void set_set(json_t *object, const char *key, const struct nzd_set *rows)
{
    json_t *value = json_object();

    set_number(value, "count", rows->count);
    set_digest(value, "digest", &rows->digest);
    set(object, key, value);
}

static bool is_utf8(const char *text)
{
    struct nzd_view left = nzd_view_text(text);

    while (left.size > 0) {
        size_t length = nzd_utf8_next(left, NULL);

        if (length == 0)
            return false;
        left.data += length;
        left.size -= length;
    }
    return true;
}

/* Beside the readable text, where that does not say all. */
static void set_exact(json_t *object, const char *key, const char *text)
{
    struct nzd_buf exact = {0};
    char name[40];

    if (!text || is_utf8(text))
        return;
    snprintf(name, sizeof(name), "%s%s", key, NZD_LINE_EXACT);
    nzd_base64(&exact, nzd_view_text(text));
    set(object, name, json_string(nzd_buf_string(&exact)));
    nzd_buf_clear(&exact);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    set(object, key, nzd_json_text(text));
    set_exact(object, key, text);
}

/* Steals `more`. */
static void add_all(json_t *object, json_t *more)
{
    json_object_update(object, more);
    json_decref(more);
}

/* --- records --------------------------------------------------------- */

static void add_journal(json_t *object,
                        const struct nzd_transfer_journal *journal)
{
    set_number(object, "format", NZD_JOURNAL_FORMAT);
    set_hex(object, "uuid", journal->uuid);
    set_number(object, "first", journal->heads.first);
    set_number(object, "last", journal->heads.last);
    set_number(object, "epoch", journal->heads.epoch);
    set_number(object, "first_event", journal->heads.first_event);
    set_number(object, "next_event", journal->heads.next_event);
    set_digest(object, "anchor", &journal->heads.anchor);
    set_digest(object, "head", &journal->heads.head);
}

static void add_exact_texts(json_t *object, const struct nzd_txn *txn)
{
    json_t *base = json_object_get(object, "base");
    json_t *vm = json_object_get(object, "vm");

    set_exact(object, "release", txn->release);
    set_exact(object, "from", txn->from_version);
    set_exact(object, "to", txn->to_version);
    set_exact(base, "version", txn->base_version);
    set_exact(base, "path", txn->base_path);
    set_exact(object, "node", txn->node);
    set_exact(json_object_get(object, "bundle"), "source", txn->source);
    set_exact(object, "operator", txn->operator_name);
    set_exact(object, "why", txn->why);
    set_exact(object, "options", txn->options);
    set_exact(vm, "boot_id", txn->vm.boot_id);
    set_hex(vm, "token", txn->vm.token);
    if (txn->trial.us)
        set_exact(json_object_get(object, "trial"), "boot_id",
                  txn->trial.boot_id);
    set_exact(object, "hooks", txn->hooks);
}

static void add_txn(json_t *object, const struct nzd_txn *txn)
{
    add_all(object, nzd_json_txn(txn, false));
    json_object_del(object, "in_force"); /* it follows from the others */
    add_exact_texts(object, txn);
    set_number(object, "opened_us", txn->opened_us);
    set_number(object, "armed_us", txn->armed_us);
    set_number(object, "ended_us", txn->ended_us);
    set(object, "outcome", json_integer(txn->outcome));
    set_number(object, "events", txn->events);
    set_set(object, "rows", &txn->rows);
    set_set(object, "old_set", &txn->old_set);
    set_set(object, "new_set", &txn->new_set);
}

static void add_module(json_t *object, uint64_t id,
                       const struct nzd_module_row *row)
{
    set_number(object, "txn", id);
    add_all(object, nzd_json_module(row));
    set_exact(object, "name", row->module);
    set_exact(object, "app", row->application);
    set_exact(object, "old_path", row->old_path);
    set_exact(object, "new_path", row->new_path);
    set_number(object, "flags", row->flags);
}

static void add_event(json_t *object, uint64_t id, uint32_t sequence,
                      const struct nzd_event *event)
{
    set_number(object, "txn", id);
    set_number(object, "sequence", sequence);
    add_all(object, nzd_json_event(event));
    set_exact(object, "label", event->label);
    set_exact(object, "text", event->text);
    set_exact(object, "output", event->output);
    set_number(object, "at_us", event->at_us);
    set_digest(object, "previous", &event->previous);
}

static void add_base(json_t *object, const struct nzd_digest *base,
                     const struct nzd_live_set *live)
{
    set_digest(object, "base", base);
    set_number(object, "txn", live->txn);
    set_set(object, "rows", &live->set);
}

static void add_live(json_t *object, const struct nzd_digest *base,
                     const struct nzd_live_row *row)
{
    set_digest(object, "base", base);
    set_text(object, "name", row->module);
    set_text(object, "app", row->application);
    set_digest(object, "md5", &row->md5);
    set_digest(object, "attributes", &row->attrs);
    set_digest(object, "blob", &row->blob);
    set_number(object, "bytes", row->bytes);
    set_text(object, "path", row->path);
    set_digest(object, "base_md5", &row->base_md5);
    set_digest(object, "base_attributes", &row->base_attrs);
    set_digest(object, "base_blob", &row->base_blob);
    set_number(object, "base_bytes", row->base_bytes);
    set_text(object, "base_path", row->base_path);
    set_number(object, "since", row->since);
    set_number(object, "flags", row->flags);
}

static void add_blob(json_t *object, const struct nzd_transfer *record)
{
    set_digest(object, "xxh3", &record->digest);
    set_number(object, "bytes", record->blob.size);
    set(object, "base64", json_string(""));
}

static void add_record(json_t *object, const struct nzd_transfer *record)
{
    switch (record->kind) {
    case NZD_TRANSFER_JOURNAL:
        add_journal(object, &record->journal);
        break;
    case NZD_TRANSFER_TXN:
        add_txn(object, &record->txn);
        break;
    case NZD_TRANSFER_MODULE:
        add_module(object, record->id, &record->module);
        break;
    case NZD_TRANSFER_EVENT:
        add_event(object, record->id, record->sequence, &record->event);
        break;
    case NZD_TRANSFER_BASE:
        add_base(object, &record->digest, &record->base);
        break;
    case NZD_TRANSFER_LIVE:
        add_live(object, &record->digest, &record->live);
        break;
    default:
        add_blob(object, record);
        break;
    }
}

json_t *nzd_journal_line_json(const struct nzd_journal_line *line)
{
    json_t *object = json_object();
    int kind = line->end ? NZD_LINE_END : (int)line->record.kind;

    set_number(object, "nzd", 1);
    set(object, "record", json_string(nzd_journal_line_records[kind]));
    if (line->end) {
        set_number(object, "lines", line->lines);
        set_digest(object, "xxh3", &line->digest);
    } else {
        add_record(object, &line->record);
    }
    return object;
}

/* --- as text --------------------------------------------------------- */

struct escaping {
    nzd_journal_line_take *take;
    void *context;
};

/* DEL is the one control byte that jansson writes as it is. */
static int escape(const char *data, size_t size, void *context)
{
    static const char del[] = "\\u007f";
    const struct escaping *out = context;

    while (size > 0) {
        const char *found = memchr(data, 0x7F, size);
        size_t run = found ? (size_t)(found - data) : size;

        if (run > 0 && out->take(data, run, out->context) != 0)
            return -1;
        if (found && out->take(del, sizeof(del) - 1, out->context) != 0)
            return -1;
        run += found != NULL;
        data += run;
        size -= run;
    }
    return 0;
}

int nzd_journal_line_dump(json_t *object, nzd_journal_line_take *take,
                          void *context)
{
    struct escaping escaping = {take, context};

    return json_dump_callback(object, escape, &escaping,
                              JSON_COMPACT | JSON_ENSURE_ASCII);
}

static int gather(const char *data, size_t size, void *context)
{
    struct nzd_buf *out = context;

    nzd_buf_bytes(out, data, size);
    return out->failed ? -1 : 0;
}

static int write_content(struct nzd_view left, nzd_journal_line_take *take,
                         void *context)
{
    struct nzd_buf text = {0};
    int rc = 0;

    while (rc == 0 && left.size > 0) {
        size_t size = left.size < CHUNK ? left.size : CHUNK;

        nzd_buf_reset(&text);
        nzd_base64(&text, nzd_view_of(left.data, size));
        rc = text.failed ? -1 : take((char *)text.data, text.size, context);
        left.data += size;
        left.size -= size;
    }
    nzd_buf_clear(&text);
    return rc;
}

/* The content goes between the last two quotes: "base64" is the last one. */
static int write_blob(json_t *object, struct nzd_view content,
                      nzd_journal_line_take *take, void *context)
{
    static const char tail[] = "\"}";
    struct nzd_buf head = {0};
    int rc = nzd_journal_line_dump(object, gather, &head);

    if (rc == 0)
        rc = take((char *)head.data, head.size - (sizeof(tail) - 1), context);
    if (rc == 0)
        rc = write_content(content, take, context);
    if (rc == 0)
        rc = take(tail, sizeof(tail) - 1, context);
    nzd_buf_clear(&head);
    return rc;
}

int nzd_journal_line_write(const struct nzd_journal_line *line,
                           nzd_journal_line_take *take, void *context,
                           struct nzd_err *err)
{
    json_t *object = nzd_journal_line_json(line);
    int rc = -1;

    if (object && !line->end && line->record.kind == NZD_TRANSFER_BLOB)
        rc =
            write_blob(object, nzd_buf_view(&line->record.blob), take, context);
    else if (object)
        rc = nzd_journal_line_dump(object, take, context);
    json_decref(object);
    return rc == 0 ? 0 : nzd_err_memory(err);
}

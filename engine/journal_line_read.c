/* SPDX-License-Identifier: Apache-2.0 */
#include "journal_line_internal.h"

#include "base64.h"
#include "describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Members are taken by name; the first that is not there or not of its kind
 * sets the error, and all that follow give zeros. That nothing else is in the
 * line is found by writing it again.
 */
struct taking {
    json_t *object;
    struct nzd_err *err;
};

static void bad(const struct taking *from, const char *key, const char *what)
{
    nzd_err_set(from->err, NZD_EBUNDLE, "\"%s\" is not %s", key, what);
}

/* --- members --------------------------------------------------------- */

static struct taking inside(const struct taking *from, const char *key)
{
    json_t *object = json_object_get(from->object, key);

    if (!json_is_object(object))
        bad(from, key, "there as an object");
    return (struct taking){object, from->err};
}

static json_int_t take_integer(const struct taking *from, const char *key)
{
    const json_t *value = json_object_get(from->object, key);

    if (!json_is_integer(value))
        bad(from, key, "there as a whole number");
    return json_integer_value(value);
}

static uint64_t take_u64(const struct taking *from, const char *key)
{
    return (uint64_t)take_integer(from, key);
}

static uint32_t take_u32(const struct taking *from, const char *key)
{
    json_int_t value = take_integer(from, key);

    if (value < 0 || value > UINT32_MAX)
        bad(from, key, "a number of 32 bits");
    return (uint32_t)value;
}

static int32_t take_i32(const struct taking *from, const char *key)
{
    json_int_t value = take_integer(from, key);

    if (value < INT32_MIN || value > INT32_MAX)
        bad(from, key, "a number of 32 bits");
    return (int32_t)value;
}

/* A text of the line itself, "" when it is none. */
static const char *take_string(const struct taking *from, const char *key)
{
    const char *text = json_string_value(json_object_get(from->object, key));

    if (!text)
        bad(from, key, "there as a text");
    return text ? text : "";
}

static void take_bytes(const struct taking *from, const char *key,
                       uint8_t out[16])
{
    if (!nzd_unhex(out, NZD_DIGEST_SIZE, take_string(from, key)))
        bad(from, key, "there as 32 hexadecimal digits");
}

/* null is zeros. */
static struct nzd_digest take_digest(const struct taking *from, const char *key)
{
    struct nzd_digest digest = {{0}};

    if (!json_is_null(json_object_get(from->object, key)))
        take_bytes(from, key, digest.bytes);
    return digest;
}

static struct nzd_set take_set(const struct taking *from, const char *key)
{
    struct taking rows = inside(from, key);
    struct nzd_set out = {0};

    out.count = take_u32(&rows, "count");
    out.digest = take_digest(&rows, "digest");
    return out;
}

static void take_base64(const struct taking *from, const char *key,
                        struct nzd_view text, struct nzd_buf *out)
{
    if (nzd_unbase64(out, text))
        return;
    if (out->failed)
        nzd_err_memory(from->err);
    bad(from, key, "base64");
}

/* Of what the name says the exact bytes, into `out`. */
static void take_exact(const struct taking *from, const char *key,
                       struct nzd_buf *out)
{
    const char *text = take_string(from, key);
    const char *exact;
    char name[40];

    snprintf(name, sizeof(name), "%s%s", key, NZD_LINE_EXACT);
    exact = json_string_value(json_object_get(from->object, name));
    if (!exact)
        nzd_buf_text(out, text);
    else
        take_base64(from, name, nzd_view_text(exact), out);
    if (out->size > 0 && memchr(out->data, 0, out->size))
        bad(from, name, "the base64 of a text");
}

/* Encoding a record would cut a longer text without a word. */
static char *take_text(const struct taking *from, const char *key, size_t limit)
{
    struct nzd_buf exact = {0};
    char *text;

    take_exact(from, key, &exact);
    if (exact.size > limit)
        bad(from, key, "within the bound of such a text");
    text = strdup(nzd_buf_string(&exact));
    if (!text || exact.failed)
        nzd_err_memory(from->err);
    nzd_buf_clear(&exact);
    return text;
}

static char *take_long(const struct taking *from, const char *key)
{
    return take_text(from, key, NZD_RECORD_TEXT_MAX);
}

static char *take_name(const struct taking *from, const char *key)
{
    return take_text(from, key, NZD_RECORD_MODULE_MAX);
}

/* The value whose name stands there, of those in first..last. */
static int take_enum(const struct taking *from, const char *key,
                     const char *(*name_of)(int value), int first, int last)
{
    const char *text = take_string(from, key);

    for (int value = first; value <= last; value++) {
        if (strcmp(text, name_of(value)) == 0)
            return value;
    }
    bad(from, key, "one of its names");
    return first;
}

static const char *kind_name(int value)
{
    return nzd_describe_kind((enum nzd_txn_kind)value);
}

static const char *state_name(int value)
{
    return nzd_state_name((enum nzd_state)value);
}

static const char *level_name(int value)
{
    return nzd_level_name((enum nzd_level)value);
}

static const char *change_name(int value)
{
    return nzd_describe_change((enum nzd_module_change)value);
}

static const char *event_name(int value)
{
    return nzd_event_kind_name((enum nzd_event_kind)value);
}

/* --- records --------------------------------------------------------- */

static void take_journal(const struct taking *from,
                         struct nzd_transfer_journal *out)
{
    json_int_t format = take_integer(from, "format");

    if (format > NZD_JOURNAL_FORMAT) {
        nzd_err_set(
            from->err, NZD_EBUNDLE,
            "it was written by a newer nzd (format %" JSON_INTEGER_FORMAT
            ", we read %d)",
            format, NZD_JOURNAL_FORMAT);
        nzd_err_next(from->err, "use the nzd that wrote it, or a newer one");
    }
    take_bytes(from, "uuid", out->uuid);
    out->heads.first = take_u64(from, "first");
    out->heads.last = take_u64(from, "last");
    out->heads.epoch = take_u64(from, "epoch");
    out->heads.first_event = take_u32(from, "first_event");
    out->heads.next_event = take_u32(from, "next_event");
    out->heads.anchor = take_digest(from, "anchor");
    out->heads.head = take_digest(from, "head");
}

static void take_boot_id(const struct taking *from, char out[NZD_BOOT_ID])
{
    char *boot_id = take_text(from, "boot_id", NZD_BOOT_ID - 1);

    snprintf(out, NZD_BOOT_ID, "%s", boot_id ? boot_id : "");
    free(boot_id);
}

static void take_vm(const struct taking *from, struct nzd_vm *out)
{
    struct taking vm = inside(from, "vm");

    take_boot_id(&vm, out->boot_id);
    out->pid = take_u64(&vm, "pid");
    out->start_time = take_u64(&vm, "start_time");
    take_bytes(&vm, "token", out->token);
}

/* Only a transaction that is, or was, on trial tells of it. */
static void take_trial(const struct taking *from, struct nzd_trial *out)
{
    struct taking trial;

    if (!json_object_get(from->object, "trial"))
        return;
    trial = inside(from, "trial");
    out->us = take_u64(&trial, "lasts_us");
    out->deadline_us = take_u64(&trial, "deadline_boottime_us");
    take_boot_id(&trial, out->boot_id);
}

static void take_identity(const struct taking *from, struct nzd_txn *out)
{
    struct taking base = inside(from, "base");
    struct taking bundle = inside(from, "bundle");

    out->id = take_u64(from, "txn");
    out->kind = (enum nzd_txn_kind)take_enum(from, "kind", kind_name,
                                             NZD_TXN_APPLY, NZD_TXN_ROLLBACK);
    out->state = (enum nzd_state)take_enum(
        from, "state", state_name, NZD_STATE_ABORTED, NZD_STATE_COUNT - 1);
    out->verdict = (enum nzd_level)take_enum(from, "verdict", level_name, 0,
                                             NZD_LEVEL_COUNT - 1);
    out->max = (enum nzd_level)take_enum(from, "max", level_name, 0,
                                         NZD_LEVEL_COUNT - 1);
    out->from_generation = take_u64(from, "from_generation");
    out->to_generation = take_u64(from, "to_generation");
    out->epoch = take_u64(from, "epoch");
    out->base = take_digest(&base, "identity");
    out->base_version = take_long(&base, "version");
    out->base_path = take_long(&base, "path");
    out->source = take_long(&bundle, "source");
    out->bundle = take_digest(&bundle, "xxh3");
    out->bundle_bytes = take_u64(&bundle, "bytes");
}

static void take_txn(const struct taking *from, struct nzd_txn *out)
{
    take_identity(from, out);
    take_vm(from, &out->vm);
    out->rows = take_set(from, "rows");
    out->old_set = take_set(from, "old_set");
    out->new_set = take_set(from, "new_set");
    out->changed = take_u32(from, "changed");
    out->added = take_u32(from, "added");
    out->removed = take_u32(from, "removed");
    out->opened_us = take_u64(from, "opened_us");
    out->armed_us = take_u64(from, "armed_us");
    out->ended_us = take_u64(from, "ended_us");
    out->took_us = take_u64(from, "took_us");
    out->pause_us = take_u64(from, "pause_us");
    out->written = take_u64(from, "written_bytes");
    out->outcome = take_i32(from, "outcome");
    out->events = take_u64(from, "events");
    out->release = take_long(from, "release");
    out->from_version = take_long(from, "from");
    out->to_version = take_long(from, "to");
    out->node = take_long(from, "node");
    out->operator_name = take_long(from, "operator");
    out->why = take_long(from, "why");
    out->options = take_long(from, "options");
    take_trial(from, &out->trial);
    if (json_object_get(from->object, "hooks"))
        out->hooks = take_text(from, "hooks", NZD_RECORD_HOOKS_MAX);
}

static void take_module(const struct taking *from, struct nzd_module_row *out)
{
    out->module = take_name(from, "name");
    out->application = take_name(from, "app");
    out->change = (enum nzd_module_change)take_enum(
        from, "change", change_name, NZD_MODULE_CHANGED, NZD_MODULE_REMOVED);
    out->old_blob = take_digest(from, "old_blob");
    out->new_blob = take_digest(from, "new_blob");
    out->old_md5 = take_digest(from, "old_md5");
    out->new_md5 = take_digest(from, "new_md5");
    out->old_attrs = take_digest(from, "old_attributes");
    out->new_attrs = take_digest(from, "new_attributes");
    out->old_bytes = take_u64(from, "old_bytes");
    out->new_bytes = take_u64(from, "new_bytes");
    out->flags = take_u32(from, "flags");
    out->old_path = take_long(from, "old_path");
    out->new_path = take_long(from, "new_path");
}

static void take_event(const struct taking *from, struct nzd_event *out)
{
    out->kind = (enum nzd_event_kind)take_enum(
        from, "kind", event_name, NZD_EVENT_OPEN, NZD_EVENT_KIND_COUNT - 1);
    out->at_us = take_u64(from, "at_us");
    out->mono_us = take_u64(from, "since_open_us");
    out->took_us = take_u64(from, "took_us");
    out->label = take_long(from, "label");
    out->text = take_long(from, "text");
    out->output = take_long(from, "output");
    out->previous = take_digest(from, "previous");
}

static void take_base(const struct taking *from, struct nzd_transfer *out)
{
    out->digest = take_digest(from, "base");
    out->base.txn = take_u64(from, "txn");
    out->base.set = take_set(from, "rows");
}

static void take_live(const struct taking *from, struct nzd_live_row *out)
{
    out->module = take_name(from, "name");
    out->application = take_name(from, "app");
    out->blob = take_digest(from, "blob");
    out->md5 = take_digest(from, "md5");
    out->attrs = take_digest(from, "attributes");
    out->base_md5 = take_digest(from, "base_md5");
    out->base_attrs = take_digest(from, "base_attributes");
    out->base_blob = take_digest(from, "base_blob");
    out->base_bytes = take_u64(from, "base_bytes");
    out->bytes = take_u64(from, "bytes");
    out->since = take_u64(from, "since");
    out->flags = take_u32(from, "flags");
    out->path = take_long(from, "path");
    out->base_path = take_long(from, "base_path");
}

static void take_blob(const struct taking *from, struct nzd_view content,
                      struct nzd_transfer *out)
{
    out->digest = take_digest(from, "xxh3");
    take_base64(from, "base64", content, &out->blob);
    if (out->blob.size != take_u64(from, "bytes"))
        bad(from, "bytes", "the size of the content");
}

static void take_record(const struct taking *from, struct nzd_view content,
                        struct nzd_transfer *out)
{
    switch (out->kind) {
    case NZD_TRANSFER_JOURNAL:
        take_journal(from, &out->journal);
        break;
    case NZD_TRANSFER_TXN:
        take_txn(from, &out->txn);
        break;
    case NZD_TRANSFER_MODULE:
        out->id = take_u64(from, "txn");
        take_module(from, &out->module);
        break;
    case NZD_TRANSFER_EVENT:
        out->id = take_u64(from, "txn");
        out->sequence = take_u32(from, "sequence");
        take_event(from, &out->event);
        break;
    case NZD_TRANSFER_BASE:
        take_base(from, out);
        break;
    case NZD_TRANSFER_LIVE:
        out->digest = take_digest(from, "base");
        take_live(from, &out->live);
        break;
    default:
        take_blob(from, content, out);
        break;
    }
}

static void take_line(const struct taking *from, struct nzd_view content,
                      struct nzd_journal_line *out)
{
    const char *name = take_string(from, "record");
    int kind = 1;

    while (kind < NZD_LINE_RECORDS &&
           strcmp(name, nzd_journal_line_records[kind]) != 0)
        kind++;
    if (kind == NZD_LINE_RECORDS) {
        bad(from, "record", "one of its names");
    } else if (kind == NZD_LINE_END) {
        out->end = true;
        out->lines = take_u64(from, "lines");
        out->digest = take_digest(from, "xxh3");
    } else {
        out->record.kind = (enum nzd_transfer_kind)kind;
        take_record(from, content, &out->record);
    }
}

/* --- the line -------------------------------------------------------- */

/*
 * Jansson would hold a blob's content a second time. It is cut out of what
 * Jansson is given, `small`, and what stands for it there is "".
 */
static struct nzd_view cut_content(struct nzd_view text, struct nzd_buf *small)
{
    static const char begin[] = "{\"nzd\":1,\"record\":\"blob\",";
    static const char key[] = "\"base64\":\"";
    static const char end[] = "\"}";
    const size_t near = text.size < 256 ? text.size : 256;
    const uint8_t *found = NULL;
    struct nzd_view content = {NULL, 0};

    if (near > sizeof(begin) &&
        memcmp(text.data, begin, sizeof(begin) - 1) == 0)
        found = memmem(text.data, near, key, sizeof(key) - 1);
    if (found) {
        content.data = found + sizeof(key) - 1;
        content.size = text.size - (size_t)(content.data - text.data);
    }
    if (content.size < sizeof(end) - 1 ||
        memcmp(content.data + content.size - 2, end, 2) != 0) {
        nzd_buf_bytes(small, text.data, text.size);
        return nzd_view_of(NULL, 0);
    }
    content.size -= sizeof(end) - 1;
    nzd_buf_bytes(small, text.data, (size_t)(content.data - text.data));
    nzd_buf_text(small, end);
    return content;
}

static json_t *parse(struct nzd_view text, struct nzd_err *err)
{
    json_error_t error;
    json_t *object = json_loadb((const char *)text.data, text.size,
                                JSON_REJECT_DUPLICATES, &error);

    if (!object && json_error_code(&error) == json_error_out_of_memory)
        nzd_err_memory(err);
    else if (!object)
        nzd_err_set(err, NZD_EBUNDLE, "it is no JSON: %s", error.text);
    else if (!json_is_object(object))
        nzd_err_set(err, NZD_EBUNDLE, "it is no JSON object");
    else if (json_integer_value(json_object_get(object, "nzd")) != 1)
        nzd_err_set(err, NZD_EBUNDLE, "\"nzd\" is not 1");
    return object;
}

/* What is not gathered is compared. */
static int compare(const char *data, size_t size, void *context)
{
    struct nzd_view *left = context;

    if (left->size < size || memcmp(left->data, data, size) != 0)
        return -1;
    left->data += size;
    left->size -= size;
    return 0;
}

static const char *unknown_member(json_t *object, json_t *known)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        if (!json_object_get(known, key))
            return key;
    }
    return NULL;
}

static int check_same(struct nzd_view small, json_t *object,
                      const struct nzd_journal_line *line, struct nzd_err *err)
{
    json_t *again = nzd_journal_line_json(line);
    const char *unknown;

    if (!again)
        return nzd_err_memory(err);
    if (nzd_journal_line_dump(again, compare, &small) == 0 && small.size == 0) {
        json_decref(again);
        return 0;
    }
    unknown = unknown_member(object, again);
    if (unknown)
        nzd_err_set(err, NZD_EBUNDLE, "\"%.40s\" is not known here", unknown);
    else
        nzd_err_set(err, NZD_EBUNDLE, "it is not as nzd writes it");
    json_decref(again);
    return NZD_EBUNDLE;
}

int nzd_journal_line_read(struct nzd_view text, struct nzd_journal_line *out,
                          struct nzd_err *err)
{
    struct nzd_err found = NZD_ERR_INIT;
    struct nzd_journal_line line = {0};
    struct nzd_buf small = {0};
    struct nzd_view content = cut_content(text, &small);
    struct taking from = {NULL, &found};

    if (small.failed)
        nzd_err_memory(&found);
    else
        from.object = parse(nzd_buf_view(&small), &found);
    if (found.code == NZD_OK)
        take_line(&from, content, &line);
    if (found.code == NZD_OK)
        check_same(nzd_buf_view(&small), from.object, &line, &found);
    json_decref(from.object);
    nzd_buf_clear(&small);
    if (found.code != NZD_OK) {
        nzd_transfer_clear(&line.record);
        if (err && err->code == NZD_OK)
            *err = found;
        return found.code;
    }
    *out = line;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include "value.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_VERSION 1
/* Of a transaction that is, or was, on trial. */
#define TRIAL_VERSION 2
/* The same, on trial or not, that keeps hooks of its bundle. */
#define HOOKS_VERSION 3

/*
 * One walk over the fields of a record serves both directions, so that what
 * is written and what is read cannot part: `writing` puts the fields into `out`
 * and gives them back as they are, else they are read from `in`.
 */
struct codec {
    bool writing;
    struct nzd_buf *out;
    struct nzd_reader in;
    bool no_memory;
    bool bad; /* an enumeration has a value that could not be read back */
};

static uint32_t code_u32(struct codec *codec, uint32_t value)
{
    if (!codec->writing)
        return nzd_read_u32(&codec->in);
    nzd_buf_u32(codec->out, value);
    return value;
}

static uint64_t code_u64(struct codec *codec, uint64_t value)
{
    if (!codec->writing)
        return nzd_read_u64(&codec->in);
    nzd_buf_u64(codec->out, value);
    return value;
}

static uint8_t code_enum(struct codec *codec, int value, int first, int count)
{
    int found = codec->writing ? value : nzd_read_u8(&codec->in);

    if (found >= first && found < count) {
        if (codec->writing)
            nzd_buf_u8(codec->out, (uint8_t)found);
        return (uint8_t)found;
    }
    codec->in.failed = true;
    codec->bad = true;
    return (uint8_t)first;
}

static void code_bytes(struct codec *codec, uint8_t *bytes, size_t size)
{
    struct nzd_view view;

    if (codec->writing) {
        nzd_buf_bytes(codec->out, bytes, size);
        return;
    }
    view = nzd_read_bytes(&codec->in, size);
    if (view.size == size)
        memcpy(bytes, view.data, size);
}

static void code_digest(struct codec *codec, struct nzd_digest *digest)
{
    code_bytes(codec, digest->bytes, sizeof(digest->bytes));
}

/* At most `limit` bytes of the text, no character cut in two. */
static struct nzd_view bounded(const char *text, size_t limit)
{
    struct nzd_view view = nzd_view_text(text);

    if (view.size <= limit)
        return view;
    view.size = limit;
    while (limit - view.size < 3 && (view.data[view.size] & 0xC0) == 0x80)
        view.size--;
    return view;
}

static struct nzd_view read_text(struct codec *codec, size_t limit)
{
    struct nzd_view view = nzd_read_block(&codec->in, limit);

    if (view.size > 0 && memchr(view.data, 0, view.size)) {
        codec->in.failed = true;
        view.size = 0;
    }
    return view;
}

static void code_text(struct codec *codec, char **text, size_t limit)
{
    struct nzd_view view;

    if (codec->writing) {
        nzd_buf_block(codec->out, bounded(*text, limit));
        return;
    }
    view = read_text(codec, limit);
    *text = malloc(view.size + 1);
    if (!*text) {
        codec->no_memory = true;
        return;
    }
    if (view.size > 0)
        memcpy(*text, view.data, view.size);
    (*text)[view.size] = '\0';
}

static void code_set(struct codec *codec, struct nzd_set *set)
{
    set->count = code_u32(codec, set->count);
    code_digest(codec, &set->digest);
}

static void code_boot_id(struct codec *codec, char boot_id[NZD_BOOT_ID])
{
    struct nzd_view view;

    if (codec->writing) {
        boot_id[NZD_BOOT_ID - 1] = '\0';
        nzd_buf_block(codec->out, nzd_view_text(boot_id));
        return;
    }
    view = read_text(codec, NZD_BOOT_ID - 1);
    if (view.size > 0)
        memcpy(boot_id, view.data, view.size);
}

static void code_vm(struct codec *codec, struct nzd_vm *vm)
{
    code_bytes(codec, vm->token, sizeof(vm->token));
    code_boot_id(codec, vm->boot_id);
    vm->pid = code_u64(codec, vm->pid);
    vm->start_time = code_u64(codec, vm->start_time);
}

/* What an encoder of any record ends with. */
static int encoded(const struct codec *codec, size_t begin, struct nzd_err *err)
{
    if (codec->bad)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "a record holds a value that has no name");
    return nzd_value_end(codec->out, begin, err);
}

/* What a decoder of any record ends with. */
static int finish(const struct codec *codec, const char *what,
                  struct nzd_err *err)
{
    if (codec->no_memory)
        return nzd_err_memory(err);
    return nzd_value_done(&codec->in, what, err);
}

/* --- transactions --- */

static void walk_txn_numbers(struct codec *codec, struct nzd_txn *txn)
{
    txn->id = code_u64(codec, txn->id);
    txn->kind =
        code_enum(codec, (int)txn->kind, NZD_TXN_APPLY, NZD_TXN_ROLLBACK + 1);
    txn->state =
        code_enum(codec, (int)txn->state, NZD_STATE_ABORTED, NZD_STATE_COUNT);
    txn->verdict = code_enum(codec, (int)txn->verdict, 0, NZD_LEVEL_COUNT);
    txn->max = code_enum(codec, (int)txn->max, 0, NZD_LEVEL_COUNT);
    txn->from_generation = code_u64(codec, txn->from_generation);
    txn->to_generation = code_u64(codec, txn->to_generation);
    txn->epoch = code_u64(codec, txn->epoch);
    code_digest(codec, &txn->base);
    code_digest(codec, &txn->bundle);
    txn->bundle_bytes = code_u64(codec, txn->bundle_bytes);
    code_vm(codec, &txn->vm);
    code_set(codec, &txn->rows);
    code_set(codec, &txn->old_set);
    code_set(codec, &txn->new_set);
    txn->changed = code_u32(codec, txn->changed);
    txn->added = code_u32(codec, txn->added);
    txn->removed = code_u32(codec, txn->removed);
    txn->opened_us = code_u64(codec, txn->opened_us);
    txn->armed_us = code_u64(codec, txn->armed_us);
    txn->ended_us = code_u64(codec, txn->ended_us);
    txn->took_us = code_u64(codec, txn->took_us);
    txn->pause_us = code_u64(codec, txn->pause_us);
    txn->written = code_u64(codec, txn->written);
    txn->outcome = (int32_t)code_u32(codec, (uint32_t)txn->outcome);
    txn->events = code_u64(codec, txn->events);
}

static void walk_trial(struct codec *codec, struct nzd_trial *trial,
                       int version)
{
    trial->us = code_u64(codec, trial->us);
    trial->deadline_us = code_u64(codec, trial->deadline_us);
    code_boot_id(codec, trial->boot_id);
    /* It would not have been written in this version. */
    if (version == TRIAL_VERSION)
        codec->in.failed = codec->in.failed || trial->us == 0;
}

static void walk_hooks(struct codec *codec, char **hooks)
{
    code_text(codec, hooks, NZD_RECORD_HOOKS_MAX);
    codec->in.failed = codec->in.failed || (*hooks && !(*hooks)[0]);
}

static void walk_txn(struct codec *codec, struct nzd_txn *txn, int version)
{
    walk_txn_numbers(codec, txn);
    code_text(codec, &txn->release, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->from_version, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->to_version, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->base_version, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->base_path, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->node, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->source, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->operator_name, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->why, NZD_RECORD_TEXT_MAX);
    code_text(codec, &txn->options, NZD_RECORD_TEXT_MAX);
    if (version >= TRIAL_VERSION)
        walk_trial(codec, &txn->trial, version);
    if (version >= HOOKS_VERSION)
        walk_hooks(codec, &txn->hooks);
}

void nzd_txn_clear(struct nzd_txn *txn)
{
    free(txn->release);
    free(txn->from_version);
    free(txn->to_version);
    free(txn->base_version);
    free(txn->base_path);
    free(txn->node);
    free(txn->source);
    free(txn->operator_name);
    free(txn->why);
    free(txn->options);
    free(txn->hooks);
    memset(txn, 0, sizeof(*txn));
}

static uint8_t version_of(const struct nzd_txn *txn)
{
    if (txn->hooks && txn->hooks[0])
        return HOOKS_VERSION;
    return txn->trial.us ? TRIAL_VERSION : RECORD_VERSION;
}

int nzd_txn_encode(const struct nzd_txn *txn, struct nzd_buf *out,
                   struct nzd_err *err)
{
    struct nzd_txn copy = *txn;
    struct codec codec = {.writing = true, .out = out};
    uint8_t version = version_of(txn);
    size_t begin = nzd_value_begin(out, version);

    walk_txn(&codec, &copy, version);
    return encoded(&codec, begin, err);
}

int nzd_txn_decode(struct nzd_view value, struct nzd_txn *out,
                   struct nzd_err *err)
{
    static const char what[] = "a transaction record";
    struct codec codec = {.writing = false};
    int rc;

    memset(out, 0, sizeof(*out));
    rc = nzd_value_open(value, HOOKS_VERSION, what, &codec.in, err);
    if (rc)
        return rc;
    walk_txn(&codec, out, value.data[0]);
    rc = finish(&codec, what, err);
    if (rc)
        nzd_txn_clear(out);
    return rc;
}

/* --- module rows --- */

static const char module_row[] = "a module row";
static const char live_row[] = "a live row";

static void walk_module_row(struct codec *codec, struct nzd_module_row *row)
{
    code_text(codec, &row->module, NZD_RECORD_MODULE_MAX);
    code_text(codec, &row->application, NZD_RECORD_MODULE_MAX);
    row->change = code_enum(codec, (int)row->change, NZD_MODULE_CHANGED,
                            NZD_MODULE_REMOVED + 1);
    code_digest(codec, &row->old_blob);
    code_digest(codec, &row->new_blob);
    code_digest(codec, &row->old_md5);
    code_digest(codec, &row->new_md5);
    code_digest(codec, &row->old_attrs);
    code_digest(codec, &row->new_attrs);
    row->old_bytes = code_u64(codec, row->old_bytes);
    row->new_bytes = code_u64(codec, row->new_bytes);
    row->flags = code_u32(codec, row->flags);
    code_text(codec, &row->old_path, NZD_RECORD_TEXT_MAX);
    code_text(codec, &row->new_path, NZD_RECORD_TEXT_MAX);
}

void nzd_module_row_clear(struct nzd_module_row *row)
{
    free(row->module);
    free(row->application);
    free(row->old_path);
    free(row->new_path);
    memset(row, 0, sizeof(*row));
}

int nzd_module_row_encode(const struct nzd_module_row *row, struct nzd_buf *out,
                          struct nzd_err *err)
{
    struct nzd_module_row copy = *row;
    struct codec codec = {.writing = true, .out = out};
    size_t begin = nzd_value_begin(out, RECORD_VERSION);

    walk_module_row(&codec, &copy);
    return encoded(&codec, begin, err);
}

int nzd_module_row_decode(struct nzd_view value, struct nzd_module_row *out,
                          struct nzd_err *err)
{
    struct codec codec = {.writing = false};
    int rc;

    memset(out, 0, sizeof(*out));
    rc = nzd_value_open(value, RECORD_VERSION, module_row, &codec.in, err);
    if (rc)
        return rc;
    walk_module_row(&codec, out);
    rc = finish(&codec, module_row, err);
    if (rc)
        nzd_module_row_clear(out);
    return rc;
}

int nzd_module_row_blobs(struct nzd_view value, struct nzd_digest *old_blob,
                         struct nzd_digest *new_blob, struct nzd_err *err)
{
    struct codec codec = {.writing = false};
    int rc = nzd_value_open(value, RECORD_VERSION, module_row, &codec.in, err);

    if (rc)
        return rc;
    (void)read_text(&codec, NZD_RECORD_MODULE_MAX);
    (void)read_text(&codec, NZD_RECORD_MODULE_MAX);
    (void)nzd_read_u8(&codec.in);
    code_digest(&codec, old_blob);
    code_digest(&codec, new_blob);
    codec.in.left = 0;
    return finish(&codec, module_row, err);
}

bool nzd_row_is_file(const char *name)
{
    return name && name[0] == '/';
}

/* --- live rows --- */

static void walk_live_row(struct codec *codec, struct nzd_live_row *row)
{
    code_text(codec, &row->module, NZD_RECORD_MODULE_MAX);
    code_text(codec, &row->application, NZD_RECORD_MODULE_MAX);
    code_digest(codec, &row->blob);
    code_digest(codec, &row->base_blob);
    code_digest(codec, &row->md5);
    code_digest(codec, &row->attrs);
    code_digest(codec, &row->base_md5);
    code_digest(codec, &row->base_attrs);
    row->base_bytes = code_u64(codec, row->base_bytes);
    row->bytes = code_u64(codec, row->bytes);
    row->since = code_u64(codec, row->since);
    row->flags = code_u32(codec, row->flags);
    code_text(codec, &row->path, NZD_RECORD_TEXT_MAX);
    code_text(codec, &row->base_path, NZD_RECORD_TEXT_MAX);
}

void nzd_live_row_clear(struct nzd_live_row *row)
{
    free(row->base_path);
    free(row->module);
    free(row->application);
    free(row->path);
    memset(row, 0, sizeof(*row));
}

int nzd_live_row_encode(const struct nzd_live_row *row, struct nzd_buf *out,
                        struct nzd_err *err)
{
    struct nzd_live_row copy = *row;
    struct codec codec = {.writing = true, .out = out};
    size_t begin = nzd_value_begin(out, RECORD_VERSION);

    walk_live_row(&codec, &copy);
    return encoded(&codec, begin, err);
}

int nzd_live_row_decode(struct nzd_view value, struct nzd_live_row *out,
                        struct nzd_err *err)
{
    struct codec codec = {.writing = false};
    int rc;

    memset(out, 0, sizeof(*out));
    rc = nzd_value_open(value, RECORD_VERSION, live_row, &codec.in, err);
    if (rc)
        return rc;
    walk_live_row(&codec, out);
    rc = finish(&codec, live_row, err);
    if (rc)
        nzd_live_row_clear(out);
    return rc;
}

int nzd_live_row_blobs(struct nzd_view value, struct nzd_digest *blob,
                       struct nzd_digest *base_blob, struct nzd_err *err)
{
    struct codec codec = {.writing = false};
    int rc = nzd_value_open(value, RECORD_VERSION, live_row, &codec.in, err);

    if (rc)
        return rc;
    (void)read_text(&codec, NZD_RECORD_MODULE_MAX);
    (void)read_text(&codec, NZD_RECORD_MODULE_MAX);
    code_digest(&codec, blob);
    code_digest(&codec, base_blob);
    codec.in.left = 0;
    return finish(&codec, live_row, err);
}

/* --- events --- */

static void walk_event(struct codec *codec, struct nzd_event *event)
{
    event->kind = code_enum(codec, (int)event->kind, NZD_EVENT_OPEN,
                            NZD_EVENT_KIND_COUNT);
    event->at_us = code_u64(codec, event->at_us);
    event->mono_us = code_u64(codec, event->mono_us);
    event->took_us = code_u64(codec, event->took_us);
    code_text(codec, &event->label, NZD_RECORD_TEXT_MAX);
    code_text(codec, &event->text, NZD_RECORD_TEXT_MAX);
    code_text(codec, &event->output, NZD_RECORD_TEXT_MAX);
    code_digest(codec, &event->previous);
}

void nzd_event_clear(struct nzd_event *event)
{
    free(event->label);
    free(event->text);
    free(event->output);
    memset(event, 0, sizeof(*event));
}

int nzd_event_encode(const struct nzd_event *event, struct nzd_buf *out,
                     struct nzd_err *err)
{
    struct nzd_event copy = *event;
    struct codec codec = {.writing = true, .out = out};
    size_t begin = nzd_value_begin(out, RECORD_VERSION);

    walk_event(&codec, &copy);
    return encoded(&codec, begin, err);
}

int nzd_event_decode(struct nzd_view value, struct nzd_event *out,
                     struct nzd_err *err)
{
    static const char what[] = "an event";
    struct codec codec = {.writing = false};
    int rc;

    memset(out, 0, sizeof(*out));
    rc = nzd_value_open(value, RECORD_VERSION, what, &codec.in, err);
    if (rc)
        return rc;
    walk_event(&codec, out);
    rc = finish(&codec, what, err);
    if (rc)
        nzd_event_clear(out);
    return rc;
}

/* --- names --- */

static const char *const level_names[NZD_LEVEL_COUNT] = {
    "nothing", "hot", "migrate", "restart-app", "restart-vm", "reboot",
};

const char *nzd_level_name(enum nzd_level level)
{
    return (unsigned)level < NZD_LEVEL_COUNT ? level_names[level] : "unknown";
}

int nzd_level_of(const char *name)
{
    for (int i = 0; i < NZD_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

static const char *const event_names[NZD_EVENT_KIND_COUNT] = {
    "unknown", "open", "prepare", "hook",  "move",     "switch",
    "undo",    "keep", "kill",    "check", "recovery", "note",
};

const char *nzd_event_kind_name(enum nzd_event_kind kind)
{
    return (unsigned)kind < NZD_EVENT_KIND_COUNT ? event_names[kind]
                                                 : event_names[0];
}

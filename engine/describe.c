/* SPDX-License-Identifier: Apache-2.0 */
#include "describe.h"

#include "output.h"

#include <stdio.h>
#include <string.h>

/* --- words ----------------------------------------------------------- */

const char *nzd_describe_kind(enum nzd_txn_kind kind)
{
    return kind == NZD_TXN_ROLLBACK ? "rollback" : "apply";
}

const char *nzd_describe_state(enum nzd_state state)
{
    switch (state) {
    case NZD_STATE_ROLLED_BACK:
        return "rolled back";
    case NZD_STATE_REBOOT_PENDING:
        return "reboot pending";
    default:
        return nzd_state_name(state);
    }
}

const char *nzd_describe_change(enum nzd_module_change change)
{
    switch (change) {
    case NZD_MODULE_ADDED:
        return "added";
    case NZD_MODULE_REMOVED:
        return "removed";
    default:
        return "changed";
    }
}

char nzd_describe_sign(enum nzd_module_change change)
{
    switch (change) {
    case NZD_MODULE_ADDED:
        return '+';
    case NZD_MODULE_REMOVED:
        return '-';
    default:
        return '~';
    }
}

static void put(struct nzd_buf *out, const char *text)
{
    nzd_printable(out, nzd_view_text(text && text[0] ? text : "?"));
}

void nzd_describe_txn(const struct nzd_txn *txn, struct nzd_buf *out)
{
    nzd_buf_printf(out, "%s ", nzd_describe_kind(txn->kind));
    put(out, txn->from_version);
    nzd_buf_text(out, " -> ");
    put(out, txn->to_version);
}

void nzd_describe_digest(char out[9], const struct nzd_digest *digest)
{
    if (nzd_digest_is_zero(digest))
        snprintf(out, 9, "-");
    else
        nzd_hex(out, digest->bytes, 4);
}

void nzd_describe_ago(char out[40], uint64_t then_us, uint64_t now_us)
{
    char text[32];

    if (then_us > now_us) {
        nzd_format_time(out, then_us);
        return;
    }
    if (now_us - then_us < 1000000) {
        snprintf(out, 40, "just now");
        return;
    }
    nzd_format_duration(text, (now_us - then_us) / 1000000 * 1000000);
    snprintf(out, 40, "%s ago", text);
}

/* --- JSON ------------------------------------------------------------ */

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    set(object, key, nzd_json_text(text));
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
    set(object, key, json_integer((json_int_t)value));
}

static void set_identity(json_t *object, const struct nzd_txn *txn)
{
    set_number(object, "txn", txn->id);
    set_text(object, "kind", nzd_describe_kind(txn->kind));
    set_text(object, "state", nzd_state_name(txn->state));
    set_text(object, "release", txn->release);
    set_text(object, "from", txn->from_version);
    set_text(object, "to", txn->to_version);
    set_number(object, "from_generation", txn->from_generation);
    set_number(object, "to_generation", txn->to_generation);
    set_text(object, "verdict", nzd_level_name(txn->verdict));
    set_text(object, "max", nzd_level_name(txn->max));
    set_text(object, "node", txn->node);
}

static json_t *base_of(const struct nzd_txn *txn)
{
    json_t *base = json_object();

    set(base, "identity", nzd_json_digest(&txn->base));
    set_text(base, "version", txn->base_version);
    set_text(base, "path", txn->base_path);
    return base;
}

static json_t *bundle_of(const struct nzd_txn *txn)
{
    json_t *bundle = json_object();

    set_text(bundle, "source", txn->source);
    set(bundle, "xxh3", nzd_json_digest(&txn->bundle));
    set_number(bundle, "bytes", txn->bundle_bytes);
    return bundle;
}

/* The token stays out: who knows it speaks for the transaction. */
static json_t *vm_of(const struct nzd_vm *vm)
{
    json_t *object = json_object();

    set_text(object, "boot_id", vm->boot_id);
    set_number(object, "pid", vm->pid);
    set_number(object, "start_time", vm->start_time);
    return object;
}

static json_t *trial_of(const struct nzd_trial *trial)
{
    json_t *object = json_object();

    set_number(object, "lasts_us", trial->us);
    set_number(object, "deadline_boottime_us", trial->deadline_us);
    set_text(object, "boot_id", trial->boot_id);
    return object;
}

json_t *nzd_json_txn(const struct nzd_txn *txn, bool in_force)
{
    json_t *object = json_object();

    set_identity(object, txn);
    set(object, "in_force", json_boolean(in_force));
    set(object, "base", base_of(txn));
    set(object, "bundle", bundle_of(txn));
    set(object, "vm", vm_of(&txn->vm));
    set_text(object, "operator", txn->operator_name);
    set_number(object, "changed", txn->changed);
    set_number(object, "added", txn->added);
    set_number(object, "removed", txn->removed);
    set(object, "opened", nzd_json_time(txn->opened_us));
    set(object, "armed", nzd_json_time(txn->armed_us));
    set(object, "ended", nzd_json_time(txn->ended_us));
    set_number(object, "took_us", txn->took_us);
    set_number(object, "pause_us", txn->pause_us);
    set_number(object, "written_bytes", txn->written);
    set_number(object, "epoch", txn->epoch);
    set(object, "exit",
        nzd_state_is_open(txn->state) ? json_null()
                                      : json_integer(txn->outcome));
    set_text(object, "why", txn->why);
    set_text(object, "options", txn->options);
    if (txn->trial.us)
        set(object, "trial", trial_of(&txn->trial));
    if (txn->hooks && txn->hooks[0])
        set_text(object, "hooks", txn->hooks);
    return object;
}

json_t *nzd_json_event(const struct nzd_event *event)
{
    json_t *object = json_object();

    set_text(object, "kind", nzd_event_kind_name(event->kind));
    set_text(object, "label", event->label);
    set(object, "at", nzd_json_time(event->at_us));
    set_number(object, "since_open_us", event->mono_us);
    set_number(object, "took_us", event->took_us);
    set_text(object, "text", event->text);
    set_text(object, "output", event->output);
    return object;
}

json_t *nzd_json_module(const struct nzd_module_row *row)
{
    json_t *object = json_object();

    set_text(object, "name", row->module);
    set_text(object, "app", row->application);
    set_text(object, "change", nzd_describe_change(row->change));
    set(object, "old_md5", nzd_json_digest(&row->old_md5));
    set(object, "new_md5", nzd_json_digest(&row->new_md5));
    set(object, "old_attributes", nzd_json_digest(&row->old_attrs));
    set(object, "new_attributes", nzd_json_digest(&row->new_attrs));
    set(object, "old_blob", nzd_json_digest(&row->old_blob));
    set(object, "new_blob", nzd_json_digest(&row->new_blob));
    set_number(object, "old_bytes", row->old_bytes);
    set_number(object, "new_bytes", row->new_bytes);
    set_text(object, "old_path", row->old_path);
    set_text(object, "new_path", row->new_path);
    set(object, "on_load", json_boolean(row->flags & NZD_ROW_ON_LOAD));
    set(object, "was_loaded",
        json_boolean(row->old_path && row->old_path[0] &&
                     !(row->flags & NZD_ROW_NOT_LOADED)));
    return object;
}

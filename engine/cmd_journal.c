/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "cmd_journal.h"
#include "run.h"
#include "units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- opening --------------------------------------------------------- */

static struct nzd_journal_options options_of(const struct nzd_context *context)
{
    return (struct nzd_journal_options){
        .max_bytes = context->config.journal_max,
        .keep = context->config.keep,
        .wait_us = context->options.wait_us,
        .purpose = "nzd journal gc",
        .no_tidy = true,
    };
}

/* --- no journal ------------------------------------------------------ */

static void say_none(const struct nzd_journal_view *view, const char *key)
{
    json_t *object;

    if (!view->output->json) {
        nzd_output_line(view->output,
                        "no journal in %s: nothing was ever applied here",
                        view->directory);
        return;
    }
    object = json_object();
    json_object_set_new(object, "journal", json_null());
    json_object_set_new(object, key, json_array());
    nzd_output_json(view->output, object);
}

/* --- verify ---------------------------------------------------------- */

static void verified_json(const struct nzd_journal_view *view,
                          const struct nzd_journal_stat *stat)
{
    json_t *object = json_object();

    json_object_set_new(object, "journal", nzd_json_text(view->directory));
    json_object_set_new(object, "whole", json_true());
    json_object_set_new(object, "transaction_count",
                        json_integer((json_int_t)stat->transactions));
    json_object_set_new(object, "first", json_integer((json_int_t)stat->first));
    json_object_set_new(object, "last", json_integer((json_int_t)stat->last));
    json_object_set_new(object, "used_bytes",
                        json_integer((json_int_t)stat->used_bytes));
    json_object_set_new(object, "max_bytes",
                        json_integer((json_int_t)stat->max_bytes));
    nzd_output_json(view->output, object);
}

static int verify(const struct nzd_journal_view *view, struct nzd_err *err)
{
    struct nzd_journal_stat stat = {0};
    char used[32];
    char most[32];
    int rc = nzd_journal_verify(view->journal, err);

    if (rc == 0)
        rc = nzd_journal_stat(view->journal, &stat, err);
    if (rc < 0)
        return rc;
    nzd_format_bytes(used, stat.used_bytes);
    nzd_format_bytes(most, stat.max_bytes);
    if (view->output->json)
        verified_json(view, &stat);
    else
        nzd_output_line(view->output,
                        "%s is whole: %" PRIu64 " transaction%s, %s of %s",
                        view->directory, stat.transactions,
                        stat.transactions == 1 ? "" : "s", used, most);
    return 0;
}

/* --- the command ----------------------------------------------------- */

enum what { SHOW, VERIFY, EXPORT, IMPORT, GC, WHATS };

/* In the order of the enumeration. */
static const struct {
    const char *name;
    unsigned args_min; /* behind the name */
    unsigned args_max;
    bool locks; /* takes --dry-run and --wait */
} whats[WHATS] = {
    [SHOW] = {"show", 0, 1, false},     [VERIFY] = {"verify", 0, 0, false},
    [EXPORT] = {"export", 0, 1, false}, [IMPORT] = {"import", 1, 1, false},
    [GC] = {"gc", 0, 0, true},
};

struct request {
    enum what what;
    bool one;
    uint64_t id;
    const char *file; /* of export and import, or NULL */
};

static int find_what(const char *name, struct nzd_err *err)
{
    for (int i = 0; i < WHATS; i++) {
        if (strcmp(whats[i].name, name) == 0)
            return i;
    }
    return nzd_err_set(err, NZD_EUSAGE, "unknown command 'journal %s'", name);
}

static void check_options(const struct nzd_options *options, enum what what,
                          struct nzd_err *err)
{
    const char *name = whats[what].name;

    if (options->arg_count > 1 + whats[what].args_max)
        nzd_err_set(err, NZD_EUSAGE, "nzd journal %s: '%s' is too much", name,
                    options->args[1 + whats[what].args_max]);
    if (options->arg_count < 1 + whats[what].args_min)
        nzd_err_set(err, NZD_EUSAGE, "nzd journal %s needs FILE", name);
    if (options->dry_run && !whats[what].locks)
        nzd_err_set(err, NZD_EUSAGE, "nzd journal %s takes no --dry-run", name);
    if (options->wait_us > 0 && !whats[what].locks)
        nzd_err_set(err, NZD_EUSAGE, "nzd journal %s takes no --wait", name);
}

static int read_request(const struct nzd_options *options, struct request *out,
                        struct nzd_err *err)
{
    const char *more = options->arg_count > 1 ? options->args[1] : NULL;
    int what = find_what(options->args[0], err);

    memset(out, 0, sizeof(*out));
    if (what >= 0) {
        out->what = (enum what)what;
        check_options(options, out->what, err);
    }
    out->file = more;
    out->one = what == SHOW && more;
    if (out->one && !nzd_parse_count(more, &out->id))
        nzd_err_set(err, NZD_EUSAGE, "'%s' is not the number of a transaction",
                    more);
    if (err->code != NZD_OK)
        nzd_err_next(err, "nzd journal --help");
    return err->code;
}

static int answer_none(const struct request *request,
                       const struct nzd_journal_view *view, struct nzd_err *err)
{
    nzd_err_clear(err);
    if (request->one)
        return nzd_err_set(err, NZD_EUSAGE,
                           "transaction %" PRIu64
                           " is not held: there is no journal in %s",
                           request->id, view->directory);
    if (request->what == EXPORT)
        return nzd_err_set(err, NZD_EUSAGE, "there is no journal in %s",
                           view->directory);
    say_none(view, "transactions");
    return 0;
}

static int answer_of(struct nzd_context *context, const struct request *request,
                     const struct nzd_journal_view *view, struct nzd_err *err)
{
    switch (request->what) {
    case VERIFY:
        return verify(view, err);
    case EXPORT:
        return nzd_journal_view_export(view, request->file, err);
    case GC:
        return nzd_journal_view_collect(view, context->options.dry_run,
                                        &context->changed, err);
    default:
        return request->one ? nzd_journal_view_entry(view, request->id, err)
                            : nzd_journal_view_list(view, err);
    }
}

static int answer(struct nzd_context *context, const struct request *request,
                  struct nzd_journal_view *view, struct nzd_err *err)
{
    const struct nzd_journal_options options = options_of(context);
    bool write = request->what == GC && !context->options.dry_run;
    int rc;

    view->output = &context->output;
    /* No link is opened and no cookie read. */
    view->directory = nzd_journal_path_named(context);
    if (!view->directory)
        return nzd_err_memory(err);
    if (request->what == IMPORT) {
        rc = nzd_journal_view_import(view, &options, request->file,
                                     &context->changed, err);
        if (rc == 0)
            nzd_run_share(context, view->directory);
        return rc;
    }
    rc = nzd_journal_open(view->directory,
                          write ? NZD_JOURNAL_WRITE : NZD_JOURNAL_READ,
                          &options, &view->journal, err);
    if (rc == NZD_ENOTFOUND)
        return answer_none(request, view, err);
    if (rc == 0 && write)
        nzd_run_share(context, view->directory);
    return rc < 0 ? rc : answer_of(context, request, view, err);
}

int nzd_cmd_journal(struct nzd_context *context)
{
    struct nzd_journal_view view = {0};
    struct request request;
    struct nzd_err err = NZD_ERR_INIT;
    int rc = read_request(&context->options, &request, &err);

    if (rc == 0)
        rc = answer(context, &request, &view, &err);
    nzd_journal_close(view.journal);
    if (rc < 0)
        nzd_output_error(&context->output, &err);
    return rc < 0 ? nzd_err_exit(err.code) : 0;
}

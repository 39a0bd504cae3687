/* SPDX-License-Identifier: Apache-2.0 */
#include "config_internal.h"

#include "../staging/term.h"
#include "format.h"

#include <string.h>

struct reading {
    const struct nzd_config_source *source;
    cfg_t *section;
    struct nzd_arena *arena;
    struct nzd_hook *hook;
};

const char *nzd_hook_phase_name(enum nzd_hook_phase phase)
{
    static const char *const names[] = {"pre", "post", "outcome"};

    return names[phase];
}

static int fail(const struct reading *reading, const char *what)
{
    return nzd_config_fail(reading->source, reading->section->line,
                           "hook \"%s\": %s", cfg_title(reading->section),
                           what);
}

static int keep(const struct reading *reading, const char *text, size_t size,
                const char **out)
{
    *out = nzd_arena_text(reading->arena, text, size);
    return *out ? 0 : nzd_err_memory(reading->source->err);
}

/* --- name and phase -------------------------------------------------- */

static bool is_name(const char *text)
{
    struct nzd_view view = nzd_view_text(text);
    struct nzd_buf shown = {0};
    bool same;

    if (view.size == 0 || view.size > NZD_HOOK_NAME)
        return false;
    nzd_printable(&shown, view);
    same = !shown.failed && nzd_view_equal(view, nzd_buf_view(&shown));
    nzd_buf_clear(&shown);
    return same;
}

static int read_name(const struct reading *reading,
                     const struct nzd_config *config)
{
    const char *title = cfg_title(reading->section);

    if (!is_name(title))
        return nzd_config_fail(reading->source, reading->section->line,
                               "the name of a hook is 1 to %u bytes of text",
                               NZD_HOOK_NAME);
    for (unsigned i = 0; i < config->hook_count; i++) {
        if (strcmp(config->hooks[i].name, title) == 0)
            return fail(reading, reading->source->bundle
                                     ? "this name is taken"
                                     : "there are two of this name");
    }
    return keep(reading, title, strlen(title), &reading->hook->name);
}

static int read_phase(const struct reading *reading)
{
    const char *text = cfg_getstr(reading->section, "phase");

    if (!text)
        return fail(reading, "needs a phase: pre, post or outcome");
    for (int i = NZD_HOOK_PRE; i <= NZD_HOOK_OUTCOME; i++) {
        if (strcmp(text, nzd_hook_phase_name((enum nzd_hook_phase)i)) == 0)
            reading->hook->phase = (enum nzd_hook_phase)i;
    }
    return 0;
}

static int read_timeout(const struct reading *reading)
{
    const char *text = cfg_getstr(reading->section, "timeout");
    uint64_t us = NZD_HOOK_TIMEOUT_US;

    if (text && !nzd_config_duration(text, &us))
        return fail(reading, "timeout");
    if (reading->source->bundle && us > NZD_HOOK_TIMEOUT_LIMIT)
        return fail(reading, "timeout above 60s");
    reading->hook->timeout_us = us;
    return 0;
}

/* --- what to call ---------------------------------------------------- */

static bool is_atom(const char *text, size_t size)
{
    struct nzd_view left = nzd_view_of(text, size);
    size_t characters = 0;

    while (left.size > 0) {
        uint32_t point = 0;
        size_t length = nzd_utf8_next(left, &point);
        bool fits = (point >= '0' && point <= '9') ||
                    (point >= '@' && point <= 'Z') ||
                    (point >= 'a' && point <= 'z') || point > 0xA0 ||
                    point == '_' || point == '.';

        if (length == 0 || !fits)
            return false;
        left.data += length;
        left.size -= length;
        characters++;
    }
    return characters > 0 && characters <= 255;
}

/* Takes off the quotes of 'Elixir.Counter'. */
static struct nzd_view unquoted(const char *text, size_t size)
{
    if (size >= 2 && text[0] == '\'' && text[size - 1] == '\'')
        return nzd_view_of(text + 1, size - 2);
    return nzd_view_of(text, size);
}

static bool is_function(struct nzd_view text)
{
    if (text.size > 1 &&
        (text.data[text.size - 1] == '?' || text.data[text.size - 1] == '!'))
        text.size--;
    return is_atom((const char *)text.data, text.size) &&
           !memchr(text.data, '.', text.size) &&
           !(text.data[0] >= '0' && text.data[0] <= '9');
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

/*
 * "counter_check:run" of Erlang, "Counter.Check.run" and
 * ":counter_check.run" of Elixir.
 */
static bool split_call(const char *text, struct nzd_view *module,
                       struct nzd_view *function, const char **prefix)
{
    const char *colon = strrchr(text, ':');
    const char *dot = strrchr(text, '.');

    *prefix = "";
    if (colon && colon != text) {
        *module = unquoted(text, (size_t)(colon - text));
        *function = unquoted(colon + 1, strlen(colon + 1));
        return true;
    }
    if (!dot || !(text[0] == ':' || is_upper(text[0])))
        return false;
    *prefix =
        text[0] == ':' || strncmp(text, "Elixir.", 7) == 0 ? "" : "Elixir.";
    if (text[0] == ':')
        text++;
    if (dot <= text)
        return false;
    *module = nzd_view_of(text, (size_t)(dot - text));
    *function = nzd_view_text(dot + 1);
    return true;
}

static int read_call(const struct reading *reading, const char *text)
{
    struct nzd_view module;
    struct nzd_view function;
    const char *prefix;

    if (!split_call(text, &module, &function, &prefix) ||
        !is_atom((const char *)module.data, module.size) ||
        module.data[0] == '.' || module.data[module.size - 1] == '.' ||
        !is_function(function))
        return fail(reading, "call is \"module:function\" of Erlang or "
                             "\"Module.function\" of Elixir");
    reading->hook->module =
        nzd_arena_printf(reading->arena, "%s%.*s", prefix, (int)module.size,
                         (const char *)module.data);
    if (!reading->hook->module)
        return nzd_err_memory(reading->source->err);
    return keep(reading, (const char *)function.data, function.size,
                &reading->hook->function);
}

/* Exactly one Erlang term; the dot is ours, on a line of its own because
 * the text may end in a comment. */
static int check_term(const struct reading *reading, unsigned number,
                      const char *text)
{
    struct nzd_arena arena = {0};
    struct nzd_buf source = {0};
    struct nzd_err why = NZD_ERR_INIT;
    const struct nzd_term *terms = NULL;
    int rc;

    nzd_buf_printf(&source, "%s\n.\n", text);
    rc = source.failed
             ? nzd_err_memory(&why)
             : nzd_term_parse(nzd_buf_view(&source), &arena, &terms, &why);
    if (rc == 0 && nzd_term_length(terms) != 1)
        rc = nzd_err_set(&why, NZD_EUSAGE, "%u terms, or a final dot",
                         (unsigned)nzd_term_length(terms));
    if (rc == NZD_EINTERNAL)
        rc = nzd_err_memory(reading->source->err);
    else if (rc < 0)
        rc = nzd_config_fail(reading->source, reading->section->line,
                             "hook \"%s\": argument %u is no Erlang term: %s",
                             cfg_title(reading->section), number + 1,
                             why.message);
    nzd_buf_clear(&source);
    nzd_arena_clear(&arena);
    return rc;
}

static int read_args(const struct reading *reading, const char *key)
{
    unsigned count = cfg_size(reading->section, key);
    bool terms = strcmp(key, "args") == 0;

    if (count > NZD_HOOK_ARGS)
        return fail(reading, "more than 32 arguments");
    for (unsigned i = 0; i < count; i++) {
        const char *text = cfg_getnstr(reading->section, key, i);
        int rc;

        if (strlen(text) > NZD_HOOK_ARG_BYTES)
            return fail(reading, "an argument of more than 8 KB");
        rc = terms ? check_term(reading, i, text) : 0;
        if (rc == 0)
            rc = keep(reading, text, strlen(text), &reading->hook->args[i]);
        if (rc < 0)
            return rc;
    }
    reading->hook->arg_count = count;
    return 0;
}

static int read_action(const struct reading *reading)
{
    const char *call = cfg_getstr(reading->section, "call");
    unsigned words = cfg_size(reading->section, "command");
    unsigned args = cfg_size(reading->section, "args");
    int rc;

    if (reading->source->bundle && words > 0)
        return fail(reading, "programs are started only where the "
                             "configuration of the host says so");
    if ((call != NULL) == (words > 0))
        return fail(reading, call ? "has both call and command"
                                  : "needs a call or a command");
    if (!call) {
        if (args > 0)
            return fail(reading, "args belong to a call; a command holds "
                                 "its own");
        if (!cfg_getnstr(reading->section, "command", 0)[0])
            return fail(reading, "the command has no name");
        return read_args(reading, "command");
    }
    rc = read_call(reading, call);
    return rc < 0 ? rc : read_args(reading, "args");
}

int nzd_config_hook(const struct nzd_config_source *source, cfg_t *section,
                    struct nzd_config *config)
{
    struct nzd_hook hook = {.from_bundle = source->bundle};
    struct reading reading = {source, section, &config->arena, &hook};
    int rc = read_name(&reading, config);

    if (rc == 0)
        rc = read_phase(&reading);
    if (rc == 0)
        rc = read_timeout(&reading);
    if (rc == 0)
        rc = read_action(&reading);
    if (rc == 0)
        config->hooks[config->hook_count++] = hook;
    return rc;
}

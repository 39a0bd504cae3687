/* SPDX-License-Identifier: Apache-2.0 */
#include "appup.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define PRINT_BYTES   100u
#define PATTERN_BYTES 200u

bool nzd_appup_is(const struct nzd_term *term)
{
    return term && term->kind == NZD_TERM_TUPLE && term->count == 3 &&
           (term->children[0]->kind == NZD_TERM_STRING ||
            term->children[0]->kind == NZD_TERM_LIST) &&
           term->children[1]->kind == NZD_TERM_LIST &&
           term->children[2]->kind == NZD_TERM_LIST;
}

/* --- versions ------------------------------------------------------------ */

/* What re has and POSIX has not. */
static void translate(const char *pattern, struct nzd_buf *out)
{
    static const struct {
        char letter;
        const char *is;
    } classes[] = {{'d', "[0-9]"}, {'w', "[[:alnum:]_]"}, {'s', "[[:space:]]"}};

    nzd_buf_text(out, "^(");
    for (; *pattern; pattern++) {
        const char *is = NULL;

        if (pattern[0] == '\\' && pattern[1]) {
            for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
                if (pattern[1] == classes[i].letter)
                    is = classes[i].is;
            if (!is)
                nzd_buf_bytes(out, pattern, 1);
            pattern++;
        }
        if (is)
            nzd_buf_text(out, is);
        else
            nzd_buf_bytes(out, pattern, 1);
    }
    nzd_buf_text(out, ")$");
}

/* Counted repetitions and back references take regcomp and regexec any time
 * and memory. */
static bool is_cheap(const char *pattern)
{
    if (strlen(pattern) > PATTERN_BYTES || strchr(pattern, '{'))
        return false;
    for (const char *at = pattern; (at = strchr(at, '\\')); at += 2) {
        if (at[1] >= '1' && at[1] <= '9')
            return false;
        if (!at[1])
            return false;
    }
    return true;
}

static bool matches(const char *pattern, const char *version)
{
    struct nzd_buf text = {0};
    regex_t regex;
    bool found = false;

    if (!is_cheap(pattern))
        return false;
    translate(pattern, &text);
    if (!text.failed &&
        regcomp(&regex, nzd_buf_string(&text), REG_EXTENDED | REG_NOSUB) == 0) {
        found = regexec(&regex, version, 0, NULL, 0) == 0;
        regfree(&regex);
    }
    nzd_buf_clear(&text);
    return found;
}

static bool is_for(const struct nzd_term *from, const char *version)
{
    struct nzd_arena scratch = {0};
    const char *text = nzd_term_text(from, &scratch);
    bool found =
        text && (from->kind == NZD_TERM_BINARY ? matches(text, version)
                                               : strcmp(text, version) == 0);

    nzd_arena_clear(&scratch);
    return found;
}

const struct nzd_term *nzd_appup_find(const struct nzd_term *appup,
                                      const char *version, bool down)
{
    const struct nzd_term *ways;

    if (!nzd_appup_is(appup))
        return NULL;
    ways = nzd_term_at(appup, down ? 2 : 1);
    for (uint32_t i = 0; i < ways->count; i++) {
        const struct nzd_term *way = ways->children[i];

        if (way->kind == NZD_TERM_TUPLE && way->count == 2 &&
            is_for(way->children[0], version))
            return way->children[1];
    }
    return NULL;
}

/* --- instructions -------------------------------------------------------- */

/* What nzd does anyway, or does in a way of its own. */
static const char *const done[] = {
    "update",           "load_module",
    "add_module",       "delete_module",
    "add_application",  "remove_application",
    "load_object_code", "load",
    "remove",           "purge",
    "suspend",          "resume",
    "code_change",
};

static const struct {
    const char *name;
    const char *why;
} beyond[] = {
    {"apply", "nobody knows how to undo what it calls"},
    {"stop", "processes are stopped, not suspended"},
    {"start", "processes are stopped, not suspended"},
    {"restart_application", "the application starts anew"},
    {"restart_new_emulator", "it asks for another start of the VM"},
    {"restart_emulator", "it asks for another start of the VM"},
    {"sync_nodes", "it waits for other nodes"},
};

static const char *name_of(const struct nzd_term *instruction)
{
    const struct nzd_term *name = instruction->kind == NZD_TERM_TUPLE
                                      ? nzd_term_at(instruction, 0)
                                      : instruction;

    return name && name->kind == NZD_TERM_ATOM ? (const char *)name->text.data
                                               : "";
}

/* NULL: it needs no more than nzd does. */
static const char *why_beyond(const struct nzd_term *instruction)
{
    const char *name = name_of(instruction);

    if (strcmp(name, "point_of_no_return") == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        if (strcmp(name, done[i]) == 0)
            return NULL;
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        if (strcmp(name, beyond[i].name) == 0)
            return beyond[i].why;
    return "nzd does not know this instruction";
}

static int say(const struct nzd_app *old, const struct nzd_app *new,
               const struct nzd_term *instruction, const char *why,
               struct nzd_arena *arena, struct nzd_evidence_list *out,
               struct nzd_err *err)
{
    struct nzd_buf text = {0};
    struct nzd_evidence evidence = {.level = NZD_LEVEL_RESTART_VM,
                                    .old = old->version,
                                    .new = new->version,
                                    .source = why,
                                    .need = NZD_NEED_RESTART};
    int code = 0;

    nzd_buf_printf(&text, "%s.appup ", new->name);
    nzd_term_print(instruction, PRINT_BYTES, &text);
    if (text.failed)
        code = nzd_err_memory(err);
    evidence.subject = nzd_buf_string(&text);
    if (code == 0)
        code = nzd_evidence_add(out, arena, &evidence, err);
    nzd_buf_clear(&text);
    return code;
}

static int judge_app(const struct nzd_app *old, const struct nzd_app *new,
                     struct nzd_arena *arena, struct nzd_evidence_list *out,
                     struct nzd_err *err)
{
    const struct nzd_term *way =
        nzd_appup_find(new->appup, old->version, false);
    int code = 0;

    if (!way || way->kind != NZD_TERM_LIST)
        return 0;
    for (uint32_t i = 0; code == 0 && i < way->count; i++) {
        const char *why = why_beyond(way->children[i]);

        if (why)
            code = say(old, new, way->children[i], why, arena, out, err);
    }
    return code;
}

int nzd_appup_judge(const struct nzd_inventory *old,
                    const struct nzd_inventory *new, struct nzd_arena *arena,
                    struct nzd_evidence_list *out, struct nzd_err *err)
{
    int code = 0;

    for (uint32_t i = 0; code == 0 && i < new->app_count; i++) {
        const struct nzd_app *app = &new->apps[i];
        const struct nzd_app *before =
            app->appup ? nzd_inventory_app(old, app->name) : NULL;

        if (before && strcmp(before->version, app->version) != 0)
            code = judge_app(before, app, arena, out, err);
    }
    return code;
}

/* --- Extra --------------------------------------------------------------- */

static bool is_change(const struct nzd_term *term)
{
    return nzd_term_is_tagged(term, "advanced", 2);
}

/* {update, Module, ..., {advanced, Extra}, ...}: at one of the third to fifth
 * places. */
static const struct nzd_term *extra_of_update(const struct nzd_term *update)
{
    for (uint32_t i = 2; i < update->count && i < 5; i++)
        if (is_change(update->children[i]))
            return update->children[i]->children[1];
    return NULL;
}

/* {code_change, [{Module, Extra}]} or {code_change, Mode, [...]} */
static const struct nzd_term *extra_of_change(const struct nzd_term *change,
                                              const char *module)
{
    return nzd_term_get(nzd_term_at(change, change->count - 1), module);
}

const struct nzd_term *nzd_appup_extra(const struct nzd_app *old,
                                       const struct nzd_app *new, bool down,
                                       const char *module)
{
    const struct nzd_term *way =
        down ? nzd_appup_find(old->appup, new->version, true)
             : nzd_appup_find(new->appup, old->version, false);

    for (uint32_t i = 0; way && way->kind == NZD_TERM_LIST && i < way->count;
         i++) {
        const struct nzd_term *instruction = way->children[i];
        const struct nzd_term *extra = NULL;

        if (instruction->kind != NZD_TERM_TUPLE || instruction->count < 2)
            continue;
        if (strcmp(name_of(instruction), "update") == 0 &&
            nzd_term_is_atom(instruction->children[1], module))
            extra = extra_of_update(instruction);
        else if (strcmp(name_of(instruction), "code_change") == 0)
            extra = extra_of_change(instruction, module);
        if (extra)
            return extra;
    }
    return NULL;
}

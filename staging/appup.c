/* SPDX-License-Identifier: Apache-2.0 */
#include "appup.h"
#include "instruction.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

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

#define DIGITS "0123456789"

/* How many digits the number there has, from the first that counts on: a part
 * may be a time, and more than a word of the machine holds. */
static size_t find_number(const char **at)
{
    *at += strspn(*at, "0");
    return strspn(*at, DIGITS);
}

static bool is_number(const char *text)
{
    return *text && strchr(DIGITS, *text);
}

int nzd_version_compare(const char *a, const char *b)
{
    for (;;) {
        bool numbers = is_number(a) && is_number(b);
        size_t left = find_number(&a), right = find_number(&b);
        int order = left == right ? memcmp(a, b, left) : left < right ? -1 : 1;
        if (order || !numbers)
            return order;
        a += left;
        b += right;
        if (*a != '.' && *b != '.')
            return 0;
        a = *a == '.' ? a + 1 : "";
        b = *b == '.' ? b + 1 : "";
    }
}

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

const struct nzd_term *nzd_relup_find(const struct nzd_term *relup,
                                      const char *version, bool down)
{
    struct nzd_arena scratch = {0};
    const struct nzd_term *ways, *found = NULL;

    if (!nzd_appup_is(relup))
        return NULL;
    ways = nzd_term_at(relup, down ? 2 : 1);
    for (uint32_t i = 0; !found && i < ways->count; i++) {
        const struct nzd_term *way = ways->children[i];
        const char *from = nzd_term_is_tagged(way, NULL, 3)
                               ? nzd_term_text(way->children[0], &scratch)
                               : NULL;

        if (from && strcmp(from, version) == 0)
            found = way->children[2];
    }
    nzd_arena_clear(&scratch);
    return found;
}

/* --- both ---------------------------------------------------------------- */

static bool is_lower(const char *version, const char *than)
{
    return nzd_version_compare(version, than) < 0;
}

/* Both ways stand in what the higher version brings. */
static const struct nzd_term *way_of_release(const struct nzd_inventory *old,
                                             const struct nzd_inventory *new,
                                             bool back)
{
    bool down = is_lower(new->version, old->version);

    return down ? nzd_relup_find(old->relup, new->version, !back)
                : nzd_relup_find(new->relup, old->version, back);
}

static const struct nzd_term *way_of_app(const struct nzd_app *old,
                                         const struct nzd_app *new, bool back)
{
    bool down = is_lower(new->version, old->version);

    return down ? nzd_appup_find(old->appup, new->version, !back)
                : nzd_appup_find(new->appup, old->version, back);
}

static int judge_app(const struct nzd_app *app, const struct nzd_inventory *old,
                     const struct nzd_inventory *new, struct nzd_arena *arena,
                     struct nzd_evidence_list *out, struct nzd_err *err)
{
    const struct nzd_app *before = nzd_inventory_app(old, app->name);
    struct nzd_instructions all = {.new = app->version};

    if (!before || strcmp(before->version, app->version) == 0)
        return 0;
    all.old = before->version;
    all.way = way_of_app(before, app, false);
    all.file = nzd_arena_printf(arena, "%s.appup", app->name);
    return all.file ? nzd_instructions_judge(&all, old, new, arena, out, err)
                    : nzd_err_memory(err);
}

int nzd_appup_judge(const struct nzd_inventory *old,
                    const struct nzd_inventory *new, struct nzd_arena *arena,
                    struct nzd_evidence_list *out, struct nzd_err *err)
{
    const struct nzd_instructions all = {way_of_release(old, new, false),
                                         "relup", old->version, new->version};
    int code = 0;

    if (all.way)
        return nzd_instructions_judge(&all, old, new, arena, out, err);
    for (uint32_t i = 0; code == 0 && i < new->app_count; i++)
        code = judge_app(&new->apps[i], old, new, arena, out, err);
    return code;
}

const struct nzd_term *nzd_appup_extra(const struct nzd_inventory *old,
                                       const struct nzd_inventory *new,
                                       bool back, const char *app,
                                       const char *module)
{
    const struct nzd_app *before = nzd_inventory_app(old, app);
    const struct nzd_app *after = nzd_inventory_app(new, app);
    const struct nzd_term *way = way_of_release(old, new, back);

    if (!way && before && after)
        way = way_of_app(before, after, back);
    return nzd_instructions_extra(way, module);
}

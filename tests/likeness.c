/* SPDX-License-Identifier: Apache-2.0 */
#include "likeness.h"

#include "../journal/bytes.h"

#include <regex.h>
#include <string.h>

/* In this order; \1 is what the first parentheses found. */
static const struct {
    const char *pattern, *instead;
} rules[] = {
    {"<[0-9]+\\.[0-9]+\\.[0-9]+>", "<PID>"},
    {"\\b(pid|process|port) [0-9]+", "\\1 N"},
    {"is damaged: .*", "is damaged: WHERE"},
    {"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:]{8}([.][0-9]+)?Z?", "DATE"},
    {"[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}", "CLOCK"},
    {"[0-9]+([.][0-9]+)? (us|ms|s|min|h|d)\\b", "TIME"},
    {"TIME( TIME)+", "TIME"},
    {"[0-9]+([.][0-9]+)? (B|KB|MB|GB)\\b", "SIZE"},
    {"[0-9]+([.][0-9]+)? of SIZE", "SIZE of SIZE"},
    {"\\b([0-9]+) of \\1 module", "ALL module"},
    {"\\b[0-9]+ (applications|modules)\\b", "N \\1"},
    {"\\bboot [0-9a-f]{4}\\b", "boot ID"},
    {"\\b([0-9a-f]{8}|[0-9a-f]{12}|[0-9a-f]{32})\\b", "DIGEST"},
    {"\\b(OTP|ERTS|erts) [0-9]+([.][0-9]+)*", "\\1 VERSION"},
    {"erts-[0-9]+([.][0-9]+)*", "erts-VERSION"},
    {"[ \t]+", " "},
    {" $", ""},
};

#define RULES (sizeof rules / sizeof *rules)

static regex_t compiled[RULES];

static void compile(void)
{
    static bool done;
    for (size_t i = 0; i < RULES && !done; i++)
        if (regcomp(&compiled[i], rules[i].pattern, REG_EXTENDED) != 0)
            harness_fail("the rule %s is no pattern", rules[i].pattern);
    done = true;
}

static void put(struct nzd_buf *buf, const char *text, const char *instead,
                const regmatch_t *groups)
{
    for (; *instead; instead++) {
        if (*instead != '\\') {
            nzd_buf_u8(buf, (uint8_t)*instead);
            continue;
        }
        const regmatch_t *group = &groups[*++instead - '0'];
        nzd_buf_bytes(buf, text + group->rm_so,
                      (size_t)(group->rm_eo - group->rm_so));
    }
}

static const char *replace(struct harness *harness, size_t rule,
                           const char *text)
{
    struct nzd_buf buf = {0};
    regmatch_t groups[3];
    int flags = 0;
    while (*text && regexec(&compiled[rule], text, 3, groups, flags) == 0) {
        nzd_buf_bytes(&buf, text, (size_t)groups[0].rm_so);
        put(&buf, text, rules[rule].instead, groups);
        text += groups[0].rm_eo;
        flags = REG_NOTBOL;
    }
    nzd_buf_text(&buf, text);
    const char *done = harness_text(harness, "%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return done;
}

/* The line at *text, without what differs; *text is moved behind it. */
static const char *common_line(struct harness *harness, const char **text)
{
    size_t size = strcspn(*text, "\n");
    const char *line = harness_text(harness, "%.*s", (int)size, *text);
    *text += size + ((*text)[size] != '\0');
    for (size_t i = 0; i < RULES; i++)
        line = replace(harness, i, line);
    return line;
}

static const char *next(struct harness *harness, const char **text)
{
    return **text ? common_line(harness, text) : NULL;
}

static const char *differs(struct harness *harness, const char *shown,
                           const char *seen)
{
    while (*shown || *seen) {
        const char *rest = shown, *expected = next(harness, &shown);
        const char *line;
        if (expected && strcmp(expected, "...") == 0) {
            const char *why = NULL;
            for (;; common_line(harness, &seen)) {
                why = differs(harness, shown, seen);
                if (!why || !*seen)
                    return why;
            }
        }
        line = next(harness, &seen);
        if (!expected)
            return harness_text(harness, "is not shown: %s", line);
        if (!line || strcmp(expected, line) != 0)
            return harness_text(harness, "shown: %.*s\n  it is:   %s",
                                (int)strcspn(rest, "\n"), rest,
                                line ? line : "(the end)");
    }
    return NULL;
}

/* Empty lines at the end part what is shown. */
static const char *without_end(struct harness *harness, const char *text)
{
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '\n')
        size--;
    return harness_text(harness, "%.*s", (int)size, text);
}

const char *likeness_differs(struct harness *harness, const char *shown,
                             const char *seen)
{
    compile();
    return differs(harness, without_end(harness, shown),
                   without_end(harness, seen));
}

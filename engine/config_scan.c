/* SPDX-License-Identifier: Apache-2.0 */
#include "config_scan.h"

#include "format.h"

#include <string.h>

#define KEYS_MAX                                                               \
    32 /* settings of one section that are looked at for doubles               \
        */

enum token { WORD, STRING, OPEN, CLOSE, EQUALS, COMMA, END, TOKENS };

enum state {
    KEY,   /* a key, or the end of section or file */
    AFTER, /* behind a key: "=", "{" or a title */
    TITLE, /* behind a title: "{" */
    VALUE, /* behind "=" */
    LIST,  /* a value in a list, or its end */
    NEXT,  /* behind a value in a list */
    STATES,
    NEVER
};

static const enum state moves[STATES][TOKENS] = {
    /*          WORD   STRING OPEN   CLOSE  EQUALS COMMA  END */
    [KEY] = {AFTER, NEVER, NEVER, KEY, NEVER, NEVER, KEY},
    [AFTER] = {TITLE, TITLE, KEY, NEVER, VALUE, NEVER, NEVER},
    [TITLE] = {NEVER, NEVER, KEY, NEVER, NEVER, NEVER, NEVER},
    [VALUE] = {KEY, KEY, LIST, NEVER, NEVER, NEVER, NEVER},
    [LIST] = {NEXT, NEXT, NEVER, KEY, NEVER, NEVER, NEVER},
    [NEXT] = {NEVER, NEVER, NEVER, KEY, NEVER, LIST, NEVER},
};

static const char *const expected[STATES] = {
    [KEY] = "a key",
    [AFTER] = "'=' or '{' behind the key",
    [TITLE] = "'=' behind the key, or '{' behind the title,",
    [VALUE] = "a value",
    [LIST] = "a value or '}'",
    [NEXT] = "',' or '}'",
};

struct keys {
    struct nzd_view items[KEYS_MAX];
    unsigned count;
};

struct scan {
    const char *name;
    struct nzd_view left;
    unsigned line;
    int code;
    struct nzd_buf *out;
    struct nzd_buf value; /* of the last WORD or STRING */
    struct nzd_view word; /* the last WORD as it stands in the input */
    enum state state;
    unsigned key_line; /* of the last key */
    bool in_section;
    struct keys keys[2]; /* of the file, of the section */
    struct nzd_err *err;
};

static int fail(struct scan *scan, const char *what)
{
    return nzd_err_set(scan->err, scan->code, "%s:%u: %s", scan->name,
                       scan->line, what);
}

static void skip(struct scan *scan, size_t bytes)
{
    scan->left.data += bytes;
    scan->left.size -= bytes;
}

static bool starts(const struct scan *scan, const char *text)
{
    size_t length = strlen(text);

    return scan->left.size >= length &&
           memcmp(scan->left.data, text, length) == 0;
}

/* --- characters ------------------------------------------------------ */

/* Text in which a scanner could see something else than we do. */
static int check_characters(struct scan *scan, struct nzd_view text)
{
    while (text.size > 0) {
        uint32_t point = 0;
        size_t length = nzd_utf8_next(text, &point);

        if (length == 0)
            return fail(scan, "text that is not UTF-8");
        if ((point < 0x20 && point != '\n' && point != '\t' && point != '\r') ||
            point == 0x7F)
            return fail(scan, "a control character");
        if (point == '\r' && (text.size < 2 || text.data[1] != '\n'))
            return fail(scan, "a carriage return");
        if (point == '\n')
            scan->line++;
        text.data += length;
        text.size -= length;
    }
    scan->line = 1;
    return 0;
}

static bool is_word(const struct scan *scan)
{
    static const char special[] = " \t\r\n\"'={}(),+#\\$";

    if (scan->left.size == 0 ||
        memchr(special, scan->left.data[0], sizeof(special) - 1) != NULL)
        return false;
    return !starts(scan, "//") && !starts(scan, "/*");
}

static int comment_block(struct scan *scan)
{
    unsigned first = scan->line;

    while (scan->left.size > 0 && !starts(scan, "*/")) {
        if (scan->left.data[0] == '\n') {
            nzd_buf_u8(scan->out, '\n');
            scan->line++;
        }
        skip(scan, 1);
    }
    if (scan->left.size == 0) {
        scan->line = first;
        return fail(scan, "a comment that does not end");
    }
    skip(scan, 2);
    return 0;
}

/* Blanks and comments; their line ends are kept. */
static int skip_blanks(struct scan *scan)
{
    while (scan->left.size > 0) {
        uint8_t c = scan->left.data[0];
        int rc = 0;

        if (c == '\n') {
            nzd_buf_u8(scan->out, '\n');
            scan->line++;
            skip(scan, 1);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            skip(scan, 1);
        } else if (c == '#' || starts(scan, "//")) {
            while (scan->left.size > 0 && scan->left.data[0] != '\n')
                skip(scan, 1);
        } else if (starts(scan, "/*")) {
            rc = comment_block(scan);
        } else {
            return 0;
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- strings --------------------------------------------------------- */

static int digit_of(uint8_t c, unsigned base)
{
    int value = -1;

    if (c >= '0' && c <= '9')
        value = c - '0';
    else if (c >= 'a' && c <= 'f')
        value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
        value = c - 'A' + 10;
    return value < (int)base ? value : -1;
}

/* Up to `most` digits; false when there is none or the byte would be 0 or
 * more than 255. */
static bool number(struct scan *scan, unsigned base, unsigned most)
{
    unsigned value = 0;

    while (most-- > 0 && scan->left.size > 0 &&
           digit_of(scan->left.data[0], base) >= 0) {
        value = value * base + (unsigned)digit_of(scan->left.data[0], base);
        skip(scan, 1);
    }
    if (value == 0 || value > 255)
        return false;
    nzd_buf_u8(&scan->value, (uint8_t)value);
    return true;
}

/* Behind a backslash in a double-quoted string. */
static bool escaped(struct scan *scan)
{
    static const char names[] = "abefnrtv";
    static const char bytes[] = "\a\b\033\f\n\r\t\v";
    uint8_t c = scan->left.data[0];
    const char *at = memchr(names, c, sizeof(names) - 1);

    if (c >= '0' && c <= '9')
        return number(scan, 8, 3);
    skip(scan, 1);
    if (c == 'x')
        return number(scan, 16, 2);
    nzd_buf_u8(&scan->value, at ? (uint8_t)bytes[at - names] : c);
    return true;
}

/* In single quotes only \' and \\ are more than they look. */
static bool quoted_byte(struct scan *scan, uint8_t quote)
{
    uint8_t c = scan->left.data[0];

    skip(scan, 1);
    if (c != '\\' || scan->left.size == 0) {
        nzd_buf_u8(&scan->value, c);
        return true;
    }
    if (quote == '"')
        return escaped(scan);
    if (scan->left.data[0] == '\'' || scan->left.data[0] == '\\') {
        c = scan->left.data[0];
        skip(scan, 1);
    }
    nzd_buf_u8(&scan->value, c);
    return true;
}

static int string(struct scan *scan, enum token *out)
{
    uint8_t quote = scan->left.data[0];

    skip(scan, 1);
    nzd_buf_reset(&scan->value);
    while (scan->left.size > 0 && scan->left.data[0] != quote) {
        if (scan->left.data[0] == '\n' || starts(scan, "\\\n") ||
            starts(scan, "\\\r\n"))
            break;
        if (!quoted_byte(scan, quote))
            return fail(scan, "a bad escape sequence in a string");
    }
    if (scan->left.size == 0 || scan->left.data[0] != quote)
        return fail(scan, "a string that does not end on its line");
    skip(scan, 1);
    *out = STRING;
    return 0;
}

static int word(struct scan *scan, enum token *out)
{
    const uint8_t *begin = scan->left.data;

    while (is_word(scan))
        skip(scan, 1);
    if (scan->left.size > 0 &&
        (scan->left.data[0] == '/' || strchr("$\\+(", scan->left.data[0])))
        return fail(scan, "a value with special characters needs quotes");
    scan->word = nzd_view_of(begin, (size_t)(scan->left.data - begin));
    nzd_buf_reset(&scan->value);
    nzd_buf_bytes(&scan->value, begin, scan->word.size);
    *out = WORD;
    return 0;
}

static int next(struct scan *scan, enum token *out)
{
    static const char marks[] = "{}=,";
    static const enum token tokens[] = {OPEN, CLOSE, EQUALS, COMMA};
    const char *mark;
    int rc = skip_blanks(scan);

    if (rc < 0)
        return rc;
    *out = END;
    if (scan->left.size == 0)
        return 0;
    mark = memchr(marks, scan->left.data[0], sizeof(marks) - 1);
    if (mark) {
        *out = tokens[mark - marks];
        skip(scan, 1);
        return 0;
    }
    if (scan->left.data[0] == '"' || scan->left.data[0] == '\'')
        return string(scan, out);
    if (is_word(scan))
        return word(scan, out);
    if (starts(scan, "${"))
        return fail(scan, "${...} is not expanded; in quotes it is plain text");
    if (starts(scan, "+="))
        return fail(scan, "'+=' is not for this file: give the whole list");
    return fail(scan, "a special character outside quotes");
}

/* --- writing --------------------------------------------------------- */

static void put_value(struct scan *scan)
{
    static const char hex[] = "0123456789abcdef";

    nzd_buf_text(scan->out, " \"");
    for (size_t i = 0; i < scan->value.size; i++) {
        uint8_t c = scan->value.data[i];

        if (c >= 0x20 && c < 0x7F && !strchr("\"\\$", c)) {
            nzd_buf_u8(scan->out, c);
        } else {
            nzd_buf_text(scan->out, "\\x");
            nzd_buf_u8(scan->out, (uint8_t)hex[c >> 4]);
            nzd_buf_u8(scan->out, (uint8_t)hex[c & 15]);
        }
    }
    nzd_buf_u8(scan->out, '"');
}

static bool is_key(struct nzd_view text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter &&
            (i == 0 || !(c == '_' || c == '-' || (c >= '0' && c <= '9'))))
            return false;
    }
    return true;
}

static int put_key(struct scan *scan)
{
    if (!is_key(scan->word))
        return fail(scan, "that is no key");
    scan->key_line = scan->line;
    nzd_buf_u8(scan->out, ' ');
    nzd_buf_bytes(scan->out, scan->word.data, scan->word.size);
    return 0;
}

/* The key just read was set or opened without a title. */
static int note_key(struct scan *scan)
{
    struct keys *keys = &scan->keys[scan->in_section];

    for (unsigned i = 0; i < keys->count; i++) {
        if (nzd_view_equal(keys->items[i], scan->word))
            return nzd_err_set(scan->err, scan->code,
                               "%s:%u: '%.*s' is given twice", scan->name,
                               scan->line, (int)scan->word.size,
                               (const char *)scan->word.data);
    }
    if (keys->count < KEYS_MAX)
        keys->items[keys->count++] = scan->word;
    return 0;
}

static int open_section(struct scan *scan)
{
    if (scan->in_section)
        return fail(scan, "a section within a section");
    scan->in_section = true;
    scan->keys[1].count = 0;
    nzd_buf_text(scan->out, " {");
    return 0;
}

static int mark(struct scan *scan, const char *text)
{
    nzd_buf_text(scan->out, text);
    return 0;
}

/* One token where the grammar allows it. */
static int take(struct scan *scan, enum token token)
{
    int rc = 0;

    if (scan->state == AFTER && (token == EQUALS || token == OPEN))
        rc = note_key(scan);
    if (rc < 0)
        return rc;
    switch (token) {
    case OPEN:
        return scan->state == VALUE ? mark(scan, " {") : open_section(scan);
    case CLOSE:
        if (scan->state == KEY && !scan->in_section)
            return fail(scan, "'}' without a section");
        if (scan->state == KEY)
            scan->in_section = false;
        return mark(scan, " }");
    case EQUALS:
        return mark(scan, " =");
    case COMMA:
        return mark(scan, ",");
    case END:
        return scan->in_section ? fail(scan, "a section that does not end") : 0;
    default:
        if (scan->state == KEY)
            return put_key(scan);
        put_value(scan);
        return 0;
    }
}

static int unexpected(struct scan *scan)
{
    bool behind_key = scan->state == AFTER || scan->state == TITLE;

    return nzd_err_set(scan->err, scan->code, "%s:%u: %s expected", scan->name,
                       behind_key ? scan->key_line : scan->line,
                       expected[scan->state]);
}

static int scan_all(struct scan *scan)
{
    enum token token;

    do {
        enum state after;
        int rc = next(scan, &token);

        if (rc < 0)
            return rc;
        after = moves[scan->state][token];
        if (after == NEVER)
            return unexpected(scan);
        rc = take(scan, token);
        if (rc < 0)
            return rc;
        scan->state = after;
    } while (token != END);
    nzd_buf_u8(scan->out, '\n');
    return 0;
}

int nzd_config_scan(const char *name, struct nzd_view text, int code,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct scan scan = {.name = name,
                        .left = text,
                        .line = 1,
                        .code = code,
                        .out = out,
                        .state = KEY,
                        .err = err};
    int rc;

    if (starts(&scan, "\xEF\xBB\xBF"))
        skip(&scan, 3);
    rc = check_characters(&scan, scan.left);
    if (rc == 0)
        rc = scan_all(&scan);
    if (rc == 0 && (out->failed || scan.value.failed))
        rc = nzd_err_memory(err);
    nzd_buf_clear(&scan.value);
    return rc;
}

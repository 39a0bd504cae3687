/* SPDX-License-Identifier: Apache-2.0 */
#include "term_scan.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_LIMBS (NZD_SCAN_DIGITS / 4)

/* --- the text --- */

void nzd_scan_refuse(struct nzd_scan *scan, const char *what)
{
    (void)nzd_err_set(scan->err, NZD_EBUNDLE, "line %u: %s", scan->line, what);
}

int nzd_scan_peek(const struct nzd_scan *scan, size_t i)
{
    return i < scan->left.size ? scan->left.data[i] : -1;
}

void nzd_scan_move(struct nzd_scan *scan, size_t count)
{
    for (; count > 0 && scan->left.size > 0; count--) {
        scan->line += scan->left.data[0] == '\n';
        scan->left.data++;
        scan->left.size--;
    }
}

/* The value after `coding` in `line`, as epp:read_encoding/1 finds it. */
static bool names_latin1(struct nzd_view line)
{
    static const char word[] = "coding";
    const char *text = (const char *)line.data;
    const char *end = text + line.size;
    const char *at =
        line.size > 0 ? memmem(text, line.size, word, sizeof(word) - 1) : NULL;

    if (!at)
        return false;
    at += sizeof(word) - 1;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    if (at == end || (*at != ':' && *at != '='))
        return false;
    at++;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return end - at >= 7 && strncasecmp(at, "latin-1", 7) == 0;
}

/* Looks at the first two lines. */
static bool says_latin1(struct nzd_view text)
{
    for (int i = 0; i < 2 && text.size > 0; i++) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) + 1 : text.size;

        if (names_latin1(nzd_view_of(text.data, size)))
            return true;
        text.data += size;
        text.size -= size;
    }
    return false;
}

int nzd_scan_begin(struct nzd_scan *scan, struct nzd_view text,
                   struct nzd_err *err)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    size_t count;

    memset(scan, 0, sizeof(*scan));
    scan->err = err;
    scan->line = 1;
    scan->left = text;
    if (says_latin1(text) || !nzd_utf8_count(text, &count)) {
        nzd_utf8_latin1(text, &scan->text);
        scan->left = nzd_buf_view(&scan->text);
    } else if (text.size >= 3 && memcmp(text.data, mark, 3) == 0) {
        nzd_scan_move(scan, 3);
    }
    return scan->text.failed ? nzd_err_memory(err) : 0;
}

void nzd_scan_end(struct nzd_scan *scan)
{
    nzd_buf_clear(&scan->text);
    nzd_buf_clear(&scan->characters);
    nzd_buf_clear(&scan->name);
}

/* --- white space, names --- */

/* The next character, -1 at the end. */
static int32_t next_character(const struct nzd_scan *scan)
{
    struct nzd_view view = scan->left;

    return nzd_utf8_take(&view);
}

/* Control characters of Latin-1 and its no-break space are white, too. */
static bool is_white(int32_t c)
{
    return (c >= 0 && c <= ' ') || (c >= 0x80 && c <= 0xa0);
}

static void skip(struct nzd_scan *scan)
{
    for (;;) {
        int32_t c = next_character(scan);

        if (c == '%') {
            while (nzd_scan_peek(scan, 0) >= 0 &&
                   nzd_scan_peek(scan, 0) != '\n')
                nzd_scan_move(scan, 1);
        } else if (is_white(c)) {
            nzd_scan_move(scan, c < 0x80 ? 1 : 2);
        } else {
            return;
        }
    }
}

static bool is_digit(int32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(int32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 0xdf && c <= 0xff && c != 0xf7);
}

static bool is_upper(int32_t c)
{
    return (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 0xc0 && c <= 0xde && c != 0xd7);
}

static bool is_name(int32_t c)
{
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '@';
}

enum nzd_scan_kind nzd_scan_kind(struct nzd_scan *scan)
{
    int32_t c;

    skip(scan);
    c = next_character(scan);
    if (c < 0)
        return NZD_SCAN_END;
    if (c == '\'' || is_lower(c))
        return NZD_SCAN_ATOM;
    if (is_upper(c))
        return NZD_SCAN_VARIABLE;
    if (c == '"')
        return NZD_SCAN_STRING;
    if (c == '$' || c == '+' || c == '-' || is_digit(c))
        return NZD_SCAN_NUMBER;
    return NZD_SCAN_OTHER;
}

bool nzd_scan_sign(struct nzd_scan *scan, const char *sign)
{
    size_t size = strlen(sign);

    skip(scan);
    if (scan->left.size < size || memcmp(scan->left.data, sign, size) != 0)
        return false;
    nzd_scan_move(scan, size);
    return true;
}

bool nzd_scan_word(struct nzd_scan *scan, const char *word)
{
    struct nzd_view view;
    size_t size = strlen(word);

    skip(scan);
    view = scan->left;
    if (view.size < size || memcmp(view.data, word, size) != 0)
        return false;
    view.data += size;
    view.size -= size;
    if (is_name(nzd_utf8_take(&view)))
        return false;
    nzd_scan_move(scan, size);
    return true;
}

bool nzd_scan_dot(struct nzd_scan *scan)
{
    struct nzd_view view;
    int32_t c;

    skip(scan);
    if (nzd_scan_peek(scan, 0) != '.')
        return false;
    view = nzd_view_of(scan->left.data + 1, scan->left.size - 1);
    c = nzd_utf8_take(&view);
    if (c >= 0 && c != '%' && !is_white(c))
        return false;
    nzd_scan_move(scan, 1);
    return true;
}

/* --- atoms --- */

static bool quoted_name(struct nzd_scan *scan)
{
    uint32_t character;

    nzd_scan_move(scan, 1);
    scan->characters.size = 0;
    scan->next = 0;
    if (!nzd_scan_quoted(scan, '\''))
        return false;
    while (nzd_scan_next_character(scan, &character)) {
        uint8_t bytes[4];

        nzd_buf_bytes(&scan->name, bytes, nzd_utf8_put(bytes, character));
    }
    return true;
}

bool nzd_scan_atom(struct nzd_scan *scan, struct nzd_view *name)
{
    if (nzd_scan_kind(scan) != NZD_SCAN_ATOM) {
        nzd_scan_refuse(scan, "expected an atom");
        return false;
    }
    nzd_buf_reset(&scan->name);
    if (nzd_scan_peek(scan, 0) == '\'') {
        if (!quoted_name(scan))
            return false;
    } else {
        while (is_name(next_character(scan))) {
            nzd_buf_u8(&scan->name, scan->left.data[0]);
            if (scan->left.data[0] >= 0x80)
                nzd_buf_u8(&scan->name, scan->left.data[1]);
            nzd_scan_move(scan, scan->left.data[0] >= 0x80 ? 2 : 1);
        }
    }
    *name = nzd_buf_view(&scan->name);
    if (scan->name.failed)
        (void)nzd_err_memory(scan->err);
    return !scan->name.failed;
}

/* --- numbers --- */

/* A number being read: its digits without the underscores between them. */
struct digits {
    char text[NZD_SCAN_DIGITS + 8];
    size_t size;
};

static int digit_of(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 36;
}

/* Appends the digits that come next; false when there is none. */
static bool take_digits(struct nzd_scan *scan, struct digits *digits, int base)
{
    size_t before = digits->size;

    for (;;) {
        bool between = nzd_scan_peek(scan, 0) == '_' && digits->size > before;

        if (digit_of(nzd_scan_peek(scan, between)) >= base)
            break;
        if (digits->size >= NZD_SCAN_DIGITS) {
            nzd_scan_refuse(scan, "too long a number");
            return false;
        }
        nzd_scan_move(scan, between);
        digits->text[digits->size++] = (char)nzd_scan_peek(scan, 0);
        nzd_scan_move(scan, 1);
    }
    if (digits->size == before)
        nzd_scan_refuse(scan, "expected digits");
    return digits->size > before;
}

/* The magnitude of `digits` as bytes. */
static void convert(const struct digits *digits, unsigned base,
                    struct nzd_number *number)
{
    uint32_t limbs[MOST_LIMBS];
    size_t count = 0;

    for (size_t i = 0; i < digits->size; i++) {
        uint64_t carry = (uint64_t)digit_of(digits->text[i]);

        for (size_t k = 0; k < count; k++) {
            carry += (uint64_t)limbs[k] * base;
            limbs[k] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry > 0)
            limbs[count++] = (uint32_t)carry;
    }
    number->size = 4 * count;
    for (size_t i = 0; i < number->size; i++)
        number->little[i] = (uint8_t)(limbs[i / 4] >> (8 * (i % 4)));
}

/* 16#ff: `digits` hold the base. */
static bool based(struct nzd_scan *scan, struct digits *digits,
                  struct nzd_number *number)
{
    int base = 0;

    for (size_t i = 0; i < digits->size && base <= 36; i++)
        base = 10 * base + digit_of(digits->text[i]);
    if (base < 2 || base > 36) {
        nzd_scan_refuse(scan, "a base is 2 to 36");
        return false;
    }
    nzd_scan_move(scan, 1);
    digits->size = 0;
    if (!take_digits(scan, digits, base))
        return false;
    convert(digits, (unsigned)base, number);
    return true;
}

/* 1.5e-3: `digits` hold what is before the point. */
static bool real(struct nzd_scan *scan, struct digits *digits,
                 struct nzd_number *number)
{
    char *end;
    int c;

    nzd_scan_move(scan, 1);
    digits->text[digits->size++] = '.';
    if (!take_digits(scan, digits, 10))
        return false;
    c = nzd_scan_peek(scan, 0);
    if (c == 'e' || c == 'E') {
        digits->text[digits->size++] = 'e';
        nzd_scan_move(scan, 1);
        c = nzd_scan_peek(scan, 0);
        if (c == '-' || c == '+') {
            digits->text[digits->size++] = (char)c;
            nzd_scan_move(scan, 1);
        }
        if (!take_digits(scan, digits, 10))
            return false;
    }
    digits->text[digits->size] = '\0';
    number->is_real = true;
    number->real = strtod(digits->text, &end);
    if (*end == '\0' && isfinite(number->real))
        return true;
    nzd_scan_refuse(scan, "not a float");
    return false;
}

static bool unsigned_number(struct nzd_scan *scan, struct nzd_number *number)
{
    struct digits digits;

    digits.size = 0;
    if (!take_digits(scan, &digits, 10))
        return false;
    if (nzd_scan_peek(scan, 0) == '#')
        return based(scan, &digits, number);
    if (nzd_scan_peek(scan, 0) == '.' && is_digit(nzd_scan_peek(scan, 1)))
        return real(scan, &digits, number);
    convert(&digits, 10, number);
    return true;
}

static bool character_number(struct nzd_scan *scan, struct nzd_number *number)
{
    uint32_t character;

    nzd_scan_move(scan, 1);
    if (!nzd_scan_character(scan, &character))
        return false;
    number->size = 4;
    for (unsigned i = 0; i < 4; i++)
        number->little[i] = (uint8_t)(character >> (8 * i));
    return true;
}

bool nzd_scan_number(struct nzd_scan *scan, struct nzd_number *number)
{
    bool holds;

    memset(number, 0, sizeof(*number));
    if (nzd_scan_sign(scan, "-"))
        number->negative = true;
    else
        (void)nzd_scan_sign(scan, "+");
    skip(scan);
    if (nzd_scan_peek(scan, 0) == '$')
        holds = character_number(scan, number);
    else
        holds = unsigned_number(scan, number);
    if (number->negative)
        number->real = -number->real;
    return holds;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "term_scan.h"
#include "utf8.h"

#include <string.h>

static bool refuse(struct nzd_scan *scan, const char *what)
{
    nzd_scan_refuse(scan, what);
    return false;
}

/* --- characters --- */

static int hex_of(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH and \x{H...}, the x being read. */
static bool hex_escape(struct nzd_scan *scan, uint32_t *character)
{
    bool braces = nzd_scan_peek(scan, 0) == '{';
    uint32_t value = 0;
    int count = 0;

    nzd_scan_move(scan, braces);
    while (count < (braces ? 8 : 2) && hex_of(nzd_scan_peek(scan, 0)) >= 0) {
        value = value << 4 | (uint32_t)hex_of(nzd_scan_peek(scan, 0));
        nzd_scan_move(scan, 1);
        count++;
    }
    if (count == 0 || (!braces && count < 2) ||
        (braces && nzd_scan_peek(scan, 0) != '}'))
        return refuse(scan, "wrong \\x escape");
    nzd_scan_move(scan, braces);
    *character = value;
    return true;
}

static void octal_escape(struct nzd_scan *scan, uint32_t *character)
{
    *character = 0;
    for (int i = 0; i < 3; i++) {
        int c = nzd_scan_peek(scan, 0);

        if (c < '0' || c > '7')
            return;
        *character = *character << 3 | (uint32_t)(c - '0');
        nzd_scan_move(scan, 1);
    }
}

static bool plain(struct nzd_scan *scan, uint32_t *character)
{
    struct nzd_view view = scan->left;
    int32_t c = nzd_utf8_take(&view);

    if (c < 0)
        return refuse(scan, "cut short");
    nzd_scan_move(scan, scan->left.size - view.size);
    *character = (uint32_t)c;
    return true;
}

static bool control_escape(struct nzd_scan *scan, uint32_t *character)
{
    if (!plain(scan, character))
        return false;
    if (*character == '?')
        *character = 0x7f;
    else
        *character &= 31;
    return true;
}

/* What follows a backslash. */
static bool escape(struct nzd_scan *scan, uint32_t *character)
{
    static const char names[] = "bdefnrstv";
    static const char values[] = "\b\x7f\x1b\f\n\r \t\v";
    int c = nzd_scan_peek(scan, 0);
    const char *name;

    if (c >= '0' && c <= '7') {
        octal_escape(scan, character);
        return true;
    }
    if (!plain(scan, character))
        return false;
    if (c == 'x')
        return hex_escape(scan, character);
    if (c == '^')
        return control_escape(scan, character);
    name = c > 0 && c < 0x80 ? strchr(names, c) : NULL;
    if (name)
        *character = (uint8_t)values[name - names];
    return true;
}

bool nzd_scan_character(struct nzd_scan *scan, uint32_t *character)
{
    uint8_t bytes[4];

    if (nzd_scan_peek(scan, 0) != '\\')
        return plain(scan, character);
    nzd_scan_move(scan, 1);
    if (!escape(scan, character))
        return false;
    if (nzd_utf8_put(bytes, *character) == 0)
        return refuse(scan, "not a character");
    return true;
}

static bool append(struct nzd_scan *scan, uint32_t character)
{
    nzd_buf_bytes(&scan->characters, &character, sizeof(character));
    if (character > scan->highest)
        scan->highest = character;
    if (scan->characters.failed)
        (void)nzd_err_memory(scan->err);
    return !scan->characters.failed;
}

bool nzd_scan_next_character(struct nzd_scan *scan, uint32_t *character)
{
    if (scan->next + sizeof(*character) > scan->characters.size)
        return false;
    memcpy(character, scan->characters.data + scan->next, sizeof(*character));
    scan->next += sizeof(*character);
    return true;
}

bool nzd_scan_quoted(struct nzd_scan *scan, uint8_t quote)
{
    unsigned begin = scan->line;

    while (nzd_scan_peek(scan, 0) != quote) {
        uint32_t character;

        if (scan->left.size == 0) {
            scan->line = begin;
            return refuse(scan, "a quote that is never closed");
        }
        if (!nzd_scan_character(scan, &character) || !append(scan, character))
            return false;
    }
    nzd_scan_move(scan, 1);
    return true;
}

/* --- triple-quoted strings (OTP 27) --- */

static size_t count_of(struct nzd_view view, const char *set)
{
    size_t count = 0;

    while (count < view.size && view.data[count] != '\0' &&
           strchr(set, view.data[count]))
        count++;
    return count;
}

static struct nzd_view after(struct nzd_view view, size_t count)
{
    return nzd_view_of(view.data + count, view.size - count);
}

/* Quotes that open a triple-quoted string here: only white space follows
 * them on their line; 0 when they do not. */
static size_t opening(struct nzd_view view)
{
    size_t quotes = count_of(view, "\"");
    size_t white = count_of(after(view, quotes), " \t\r");

    return quotes >= 3 && quotes + white < view.size &&
                   view.data[quotes + white] == '\n'
               ? quotes
               : 0;
}

static struct nzd_view first_line(struct nzd_view view)
{
    const uint8_t *end =
        view.size > 0 ? memchr(view.data, '\n', view.size) : NULL;

    return nzd_view_of(view.data,
                       end ? (size_t)(end - view.data) + 1 : view.size);
}

static bool closes(struct nzd_view line, size_t quotes)
{
    return count_of(after(line, count_of(line, " \t")), "\"") >= quotes;
}

/* One line of it without the indentation of the closing quotes. */
static bool triple_line(struct nzd_scan *scan, size_t size,
                        struct nzd_view indent, bool last)
{
    struct nzd_view line = nzd_view_of(scan->left.data, size);

    if (size >= indent.size &&
        nzd_view_equal(nzd_view_of(line.data, indent.size), indent))
        nzd_scan_move(scan, indent.size);
    else if (count_of(line, " \t\r\n") < size)
        return refuse(scan, "wrong indentation of a triple-quoted string");
    else
        nzd_scan_move(scan, count_of(line, " \t"));
    while (scan->left.data < line.data + size) {
        uint32_t character;

        if (!plain(scan, &character))
            return false;
        if (!(last && character == '\n') && !append(scan, character))
            return false;
    }
    return true;
}

static bool triple(struct nzd_scan *scan, size_t quotes)
{
    struct nzd_view rest;
    struct nzd_view indent;
    const uint8_t *end;

    nzd_scan_move(scan, first_line(scan->left).size);
    rest = scan->left;
    while (rest.size > 0 && !closes(first_line(rest), quotes))
        rest = after(rest, first_line(rest).size);
    if (rest.size == 0)
        return refuse(scan, "a triple-quoted string that is never closed");
    indent = nzd_view_of(rest.data, count_of(rest, " \t"));
    end = rest.data;
    while (scan->left.data < end) {
        size_t size = first_line(scan->left).size;
        bool last = scan->left.data + size == end;

        if (!triple_line(scan, size, indent, last))
            return false;
    }
    nzd_scan_move(scan, indent.size + quotes);
    return true;
}

bool nzd_scan_string(struct nzd_scan *scan)
{
    scan->characters.size = 0;
    scan->next = 0;
    scan->highest = 0;
    if (nzd_scan_kind(scan) != NZD_SCAN_STRING)
        return refuse(scan, "expected a string");
    do {
        size_t quotes = opening(scan->left);

        if (quotes > 0) {
            if (!triple(scan, quotes))
                return false;
            continue;
        }
        nzd_scan_move(scan, 1);
        if (!nzd_scan_quoted(scan, '"'))
            return false;
    } while (nzd_scan_kind(scan) == NZD_SCAN_STRING);
    return true;
}

/* --- binaries --- */

/* The most that a segment may ask for: bytes stay in proportion to text. */
#define MOST_NUMBER_BITS    512
#define MOST_CHARACTER_BITS 64

/* What is written so far, and how a segment is. */
struct segment {
    struct nzd_buf *out;
    unsigned used; /* bits of the last byte of `out`, 0 when all */
    size_t size;   /* bits of each value */
    bool utf8;
};

static void put_bit(struct segment *segment, bool bit)
{
    if (segment->used == 0)
        nzd_buf_u8(segment->out, 0);
    if (bit && !segment->out->failed)
        segment->out->data[segment->out->size - 1] |=
            (uint8_t)(0x80 >> segment->used);
    segment->used = (segment->used + 1) % 8;
}

/* The low bits of a number as two's complement, the highest first. */
static void put_bits(struct segment *segment, const struct nzd_number *number)
{
    if (segment->used == 0 && segment->size == 8) {
        nzd_buf_u8(segment->out, number->little[0]);
        return;
    }
    for (size_t i = segment->size; i-- > 0;)
        put_bit(segment, number->little[i / 8] >> (i % 8) & 1);
}

static void negate(struct nzd_number *number)
{
    unsigned carry = 1;

    for (size_t i = 0; i < sizeof(number->little); i++) {
        carry += (uint8_t)~number->little[i];
        number->little[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void put_value(struct segment *segment, uint32_t value)
{
    struct nzd_number number = {0};

    for (unsigned i = 0; i < 4; i++)
        number.little[i] = (uint8_t)(value >> (8 * i));
    put_bits(segment, &number);
}

static bool put_character(struct nzd_scan *scan, struct segment *segment,
                          uint32_t character)
{
    uint8_t bytes[4];
    size_t count = nzd_utf8_put(bytes, character);

    if (!segment->utf8) {
        put_value(segment, character);
        return true;
    }
    for (size_t i = 0; i < count; i++)
        put_value(segment, bytes[i]);
    return count > 0 || refuse(scan, "not a character");
}

static bool segment_size(struct nzd_scan *scan, struct segment *segment,
                         size_t most)
{
    struct nzd_number number;

    segment->size = 8;
    if (!nzd_scan_sign(scan, ":"))
        return true;
    if (!nzd_scan_number(scan, &number))
        return false;
    segment->size = (size_t)number.little[0] | (size_t)number.little[1] << 8;
    if (number.is_real || number.negative || number.size > 4 ||
        number.little[2] || number.little[3] || segment->size > most)
        return refuse(scan, "wrong size of a segment");
    return true;
}

/* /utf8 and what says the same as nothing. */
static bool segment_types(struct nzd_scan *scan, struct segment *segment)
{
    segment->utf8 = false;
    if (!nzd_scan_sign(scan, "/"))
        return true;
    do {
        if (nzd_scan_word(scan, "utf8"))
            segment->utf8 = true;
        else if (!nzd_scan_word(scan, "integer") &&
                 !nzd_scan_word(scan, "unsigned") &&
                 !nzd_scan_word(scan, "signed") && !nzd_scan_word(scan, "big"))
            return refuse(scan, "a type of segment that is no constant");
    } while (nzd_scan_sign(scan, "-"));
    if (segment->utf8 && segment->size != 8)
        return refuse(scan, "utf8 with a size");
    return true;
}

static bool string_segment(struct nzd_scan *scan, struct segment *segment)
{
    uint32_t character;

    if (!nzd_scan_string(scan) ||
        !segment_size(scan, segment, MOST_CHARACTER_BITS) ||
        !segment_types(scan, segment))
        return false;
    while (nzd_scan_next_character(scan, &character)) {
        if (!put_character(scan, segment, character))
            return false;
    }
    return true;
}

static bool number_segment(struct nzd_scan *scan, struct segment *segment)
{
    struct nzd_number number;
    uint32_t character = 0;

    if (!nzd_scan_number(scan, &number) ||
        !segment_size(scan, segment, MOST_NUMBER_BITS) ||
        !segment_types(scan, segment))
        return false;
    if (number.is_real)
        return refuse(scan, "a float in a binary");
    if (!segment->utf8) {
        if (number.negative)
            negate(&number);
        put_bits(segment, &number);
        return true;
    }
    for (size_t i = 4; i-- > 0;)
        character = character << 8 | number.little[i];
    if (number.negative || number.size > 4)
        return refuse(scan, "not a character");
    return put_character(scan, segment, character);
}

bool nzd_scan_binary(struct nzd_scan *scan, struct nzd_buf *out, uint8_t *bits)
{
    struct segment segment = {.out = out};

    *bits = 0;
    if (nzd_scan_sign(scan, ">>"))
        return true;
    do {
        bool holds = nzd_scan_kind(scan) == NZD_SCAN_STRING
                         ? string_segment(scan, &segment)
                         : number_segment(scan, &segment);

        if (!holds)
            return false;
    } while (nzd_scan_sign(scan, ","));
    if (!nzd_scan_sign(scan, ">>"))
        return refuse(scan, "expected , or >>");
    *bits = (uint8_t)segment.used;
    return true;
}

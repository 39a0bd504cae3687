/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"
#include "term_build.h"
#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DECIMAL_BITS 1024 /* bigger integers are printed as 16#... */

struct printer {
    struct nzd_buf *out;
    size_t left; /* bytes that may still be printed */
    bool full;
};

static void print(struct printer *printer, const struct nzd_term *term);

/* All of it or nothing: no character or escape is cut in two. */
static void put(struct printer *printer, const char *text, size_t size)
{
    if (printer->full)
        return;
    if (size > printer->left) {
        printer->full = true;
        nzd_buf_text(printer->out, "...");
        return;
    }
    nzd_buf_bytes(printer->out, text, size);
    printer->left -= size;
}

static void put_text(struct printer *printer, const char *text)
{
    put(printer, text, strlen(text));
}

static void put_number(struct printer *printer, uint64_t number)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    put_text(printer, text);
}

/* --- characters --- */

/* The escape of a control character that ~p counts as printable. */
static char escape_of(int32_t c)
{
    static const char values[] = "\b\x1b\f\n\r\t\v";
    static const char names[] = "befnrtv";
    const char *at = c > 0 && c < ' ' ? strchr(values, c) : NULL;

    return at ? names[at - values] : '\0';
}

static bool is_control(int32_t c)
{
    return c < ' ' || (c >= 0x7f && c < 0xa0);
}

/* What turns a line of a terminal around or breaks it. */
static bool is_unsafe(int32_t c)
{
    return is_control(c) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0xfeff;
}

static bool is_printable(int32_t c)
{
    return !is_control(c) || escape_of(c) != '\0';
}

static void put_character(struct printer *printer, int32_t c, char quote)
{
    char text[16];
    uint8_t bytes[4];

    if (c == quote || c == '\\') {
        text[0] = '\\';
        text[1] = (char)c;
        put(printer, text, 2);
    } else if (escape_of(c) != '\0') {
        text[0] = '\\';
        text[1] = escape_of(c);
        put(printer, text, 2);
    } else if (is_unsafe(c)) {
        (void)snprintf(text, sizeof(text), "\\x{%" PRIX32 "}", (uint32_t)c);
        put_text(printer, text);
    } else {
        put(printer, (const char *)bytes, nzd_utf8_put(bytes, (uint32_t)c));
    }
}

/* UTF-8; bytes that are not are escaped one by one. */
static void put_escaped(struct printer *printer, struct nzd_view text,
                        char quote)
{
    while (text.size > 0 && !printer->full) {
        int32_t c = nzd_utf8_take(&text);

        if (c >= 0) {
            put_character(printer, c, quote);
            continue;
        }
        char escape[8];

        (void)snprintf(escape, sizeof(escape), "\\x%02X", text.data[0]);
        put_text(printer, escape);
        text.data++;
        text.size--;
    }
}

/* --- atoms --- */

static bool is_reserved(struct nzd_view name)
{
    static const char words[] =
        " after and andalso band begin bnot bor bsl bsr bxor case catch cond "
        "div else end fun if let maybe not of or orelse receive rem try when "
        "xor ";
    char word[12];

    if (name.size > sizeof(word) - 3)
        return false;
    (void)snprintf(word, sizeof(word), " %.*s ", (int)name.size,
                   (const char *)name.data);
    return strstr(words, word) != NULL;
}

static bool is_plain(struct nzd_view name)
{
    if (name.size == 0 || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];

        if (c == '\0' ||
            !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789_@",
                    c))
            return false;
    }
    return !is_reserved(name);
}

static void print_atom(struct printer *printer, struct nzd_view name)
{
    if (is_plain(name)) {
        put(printer, (const char *)name.data, name.size);
        return;
    }
    put_text(printer, "'");
    put_escaped(printer, name, '\'');
    put_text(printer, "'");
}

/* --- numbers --- */

static void print_integer(struct printer *printer, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    put_text(printer, text);
}

/* Divides by 10^9 and returns the rest; limbs lie highest first. */
static uint32_t divide(uint32_t *limbs, size_t count)
{
    uint64_t rest = 0;

    for (size_t i = 0; i < count; i++) {
        rest = rest << 32 | limbs[i];
        limbs[i] = (uint32_t)(rest / 1000000000);
        rest %= 1000000000;
    }
    return (uint32_t)rest;
}

static bool is_zero(const uint32_t *limbs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (limbs[i] != 0)
            return false;
    }
    return true;
}

static void print_big(struct printer *printer, struct nzd_view text)
{
    uint32_t limbs[MOST_DECIMAL_BITS / 32] = {0};
    char decimal[MOST_DECIMAL_BITS / 3 + 16];
    size_t count = sizeof(limbs) / sizeof(limbs[0]);
    size_t at = sizeof(decimal) - 1;
    size_t skip = text.data[0] == '-' ? 4 : 3;

    if (text.size - skip > MOST_DECIMAL_BITS / 4) {
        put(printer, (const char *)text.data, text.size);
        return;
    }
    for (size_t i = skip; i < text.size; i++) {
        size_t place = text.size - 1 - i; /* of the digit, from the right */
        char digit[2] = {(char)text.data[i], '\0'};

        limbs[count - 1 - place / 8] |= (uint32_t)strtoul(digit, NULL, 16)
                                        << 4 * (place % 8);
    }
    decimal[at] = '\0';
    while (!is_zero(limbs, count)) {
        char part[16];
        uint32_t rest = divide(limbs, count);
        int size =
            snprintf(part, sizeof(part),
                     is_zero(limbs, count) ? "%" PRIu32 : "%09" PRIu32, rest);

        at -= (size_t)size;
        memcpy(decimal + at, part, (size_t)size);
    }
    put_text(printer, skip == 4 ? "-" : "");
    put_text(printer, decimal + at);
}

/* The shortest digits that read back as `real`, which is
 * 0.DIGITS * 10^*place; returns how many. */
static int digits_of(double real, char digits[20], int *place)
{
    char text[40];
    int count = 0;

    for (int precision = 0; precision <= 16; precision++) {
        (void)snprintf(text, sizeof(text), "%.*e", precision, real);
        if (strtod(text, NULL) == real)
            break;
    }
    for (const char *c = text; *c != '\0' && *c != 'e'; c++) {
        if (*c >= '0' && *c <= '9')
            digits[count++] = *c;
    }
    digits[count] = '\0';
    *place = (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
    return count;
}

/* As float_to_list(Real, [short]): the shorter of 0.001 and 1.0e-3. */
static void print_float(struct printer *printer, double real)
{
    static const char zeros[] = "00000000000000000000000";
    char digits[20];
    char text[64];
    char exponent[8];
    int place;
    int count = digits_of(real < 0 ? -real : real, digits, &place);
    int cost = snprintf(exponent, sizeof(exponent), "%d", place - 1) + 1 +
               (count == 1 ? 2 : 1);
    bool small = real < 9007199254740992.0 && real > -9007199254740992.0;
    const char *sign = real < 0 || (real == 0 && 1 / real < 0) ? "-" : "";

    if (real == 0)
        (void)snprintf(text, sizeof(text), "%s0.0", sign);
    else if (place > 0 && place < count)
        (void)snprintf(text, sizeof(text), "%s%.*s.%s", sign, place, digits,
                       digits + place);
    else if (place <= 0 && (place == 0 || 2 - place <= cost))
        (void)snprintf(text, sizeof(text), "%s0.%.*s%s", sign, -place, zeros,
                       digits);
    else if (place > 0 && place - count + 2 <= cost && small)
        (void)snprintf(text, sizeof(text), "%s%s%.*s.0", sign, digits,
                       place - count, zeros);
    else
        (void)snprintf(text, sizeof(text), "%s%c.%se%s", sign, digits[0],
                       count == 1 ? "0" : digits + 1, exponent);
    put_text(printer, text);
}

/* --- strings, binaries --- */

static void print_string(struct printer *printer, const struct nzd_term *list)
{
    uint32_t length = nzd_term_list_length(list);

    put_text(printer, "\"");
    for (uint32_t i = 0; i < length && !printer->full; i++)
        put_character(printer, (int32_t)nzd_term_at(list, i)->integer, '"');
    put_text(printer, "\"");
}

static bool is_text(const struct nzd_term *list)
{
    uint32_t length = nzd_term_list_length(list);
    uint8_t bytes[4];

    if (length == 0 || (list->kind == NZD_TERM_LIST && list->tail))
        return false;
    for (uint32_t i = 0; i < length; i++) {
        const struct nzd_term *term = nzd_term_at(list, i);

        if (term->kind != NZD_TERM_INTEGER || term->integer < 0 ||
            term->integer > 0x10ffff ||
            nzd_utf8_put(bytes, (uint32_t)term->integer) == 0 ||
            !is_printable((int32_t)term->integer))
            return false;
    }
    return true;
}

static bool is_text_binary(struct nzd_view text, bool *ascii)
{
    *ascii = true;
    while (text.size > 0) {
        int32_t c = nzd_utf8_take(&text);

        if (c < 0 || !is_printable(c))
            return false;
        *ascii &= c < 0x80;
    }
    return true;
}

static void print_binary(struct printer *printer, const struct nzd_term *term)
{
    struct nzd_view bytes = term->text;
    bool ascii;

    put_text(printer, "<<");
    if (bytes.size > 0 && term->bits == 0 && is_text_binary(bytes, &ascii)) {
        put_text(printer, "\"");
        put_escaped(printer, bytes, '"');
        put_text(printer, ascii ? "\"" : "\"/utf8");
        bytes.size = 0;
    }
    for (size_t i = 0; i < bytes.size && !printer->full; i++) {
        bool last = i + 1 == bytes.size && term->bits > 0;

        put_text(printer, i > 0 ? "," : "");
        put_number(printer, last ? (unsigned)bytes.data[i] >> (8 - term->bits)
                                 : bytes.data[i]);
        if (last) {
            put_text(printer, ":");
            put_number(printer, term->bits);
        }
    }
    put_text(printer, ">>");
}

/* --- identities --- */

/* An atom of the external format. */
static struct nzd_view read_name(struct nzd_reader *reader)
{
    uint8_t tag = nzd_read_u8(reader);
    bool small = tag == 115 || tag == 119;
    size_t size = small ? nzd_read_u8(reader) : nzd_read_u16(reader);

    return nzd_read_bytes(reader, size);
}

static void print_pid(struct printer *printer, struct nzd_reader *reader)
{
    struct nzd_view node = read_name(reader);

    put_text(printer, "<");
    put_escaped(printer, node, '\'');
    put_text(printer, ".");
    put_number(printer, nzd_read_u32(reader));
    put_text(printer, ".");
    put_number(printer, nzd_read_u32(reader));
    put_text(printer, ">");
}

static void print_export(struct printer *printer, struct nzd_reader *reader)
{
    put_text(printer, "fun ");
    print_atom(printer, read_name(reader));
    put_text(printer, ":");
    print_atom(printer, read_name(reader));
    put_text(printer, "/");
    (void)nzd_read_u8(reader);
    put_number(printer, nzd_read_u8(reader));
}

static void print_other(struct printer *printer, struct nzd_view bytes)
{
    struct nzd_reader reader;

    nzd_reader_init(&reader, bytes);
    switch (nzd_read_u8(&reader)) {
    case 88:
    case 103:
        print_pid(printer, &reader);
        break;
    case 113:
        print_export(printer, &reader);
        break;
    case 89:
    case 102:
    case 120:
        put_text(printer, "#Port<>");
        break;
    case 112:
    case 117:
        put_text(printer, "#Fun<>");
        break;
    default:
        put_text(printer, "#Ref<>");
    }
}

/* --- any term --- */

static void print_children(struct printer *printer, const struct nzd_term *term)
{
    bool map = term->kind == NZD_TERM_MAP;

    for (uint32_t i = 0; i < term->count && !printer->full; i++) {
        if (map && i % 2 == 1)
            put_text(printer, " => ");
        else if (i > 0)
            put_text(printer, ",");
        print(printer, term->children[i]);
    }
}

static void print_list(struct printer *printer, const struct nzd_term *list)
{
    uint32_t length = nzd_term_list_length(list);

    if (is_text(list)) {
        print_string(printer, list);
        return;
    }
    put_text(printer, "[");
    for (uint32_t i = 0; i < length && !printer->full; i++) {
        put_text(printer, i > 0 ? "," : "");
        print(printer, nzd_term_at(list, i));
    }
    if (list->kind == NZD_TERM_LIST && list->tail) {
        put_text(printer, "|");
        print(printer, list->tail);
    }
    put_text(printer, "]");
}

static void print(struct printer *printer, const struct nzd_term *term)
{
    if (printer->full)
        return;
    switch (term->kind) {
    case NZD_TERM_ATOM:
        print_atom(printer, term->text);
        break;
    case NZD_TERM_INTEGER:
        print_integer(printer, term->integer);
        break;
    case NZD_TERM_BIG:
        print_big(printer, term->text);
        break;
    case NZD_TERM_FLOAT:
        print_float(printer, term->real);
        break;
    case NZD_TERM_BINARY:
        print_binary(printer, term);
        break;
    case NZD_TERM_TUPLE:
        put_text(printer, "{");
        print_children(printer, term);
        put_text(printer, "}");
        break;
    case NZD_TERM_LIST:
    case NZD_TERM_STRING:
        print_list(printer, term);
        break;
    case NZD_TERM_MAP:
        put_text(printer, "#{");
        print_children(printer, term);
        put_text(printer, "}");
        break;
    case NZD_TERM_OTHER:
        print_other(printer, term->text);
        break;
    }
}

void nzd_term_print(const struct nzd_term *term, size_t limit,
                    struct nzd_buf *out)
{
    struct printer printer = {.out = out, .left = limit};

    print(&printer, term);
}

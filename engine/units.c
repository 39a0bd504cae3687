/* SPDX-License-Identifier: Apache-2.0 */
#include "units.h"

#include <string.h>

struct unit {
    const char *name;
    uint64_t value;
};

/* The digits at the start of *text, which is moved behind them. */
static bool parse_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *out = value;
    return true;
}

bool nzd_parse_count(const char *text, uint64_t *out)
{
    return parse_digits(&text, out) && !*text;
}

static bool parse_unit(const char *text, const struct unit *units,
                       uint64_t *out)
{
    uint64_t value;

    if (!parse_digits(&text, &value))
        return false;
    if (!*text) {
        *out = 0;
        return value == 0;
    }
    for (; units->name; units++) {
        if (strcmp(text, units->name) != 0)
            continue;
        if (value > UINT64_MAX / units->value)
            return false;
        *out = value * units->value;
        return true;
    }
    return false;
}

bool nzd_parse_duration(const char *text, uint64_t *out_us)
{
    static const struct unit units[] = {
        {"ms", 1000},         {"s", 1000000},        {"m", 60000000},
        {"h", 3600000000ull}, {"d", 86400000000ull}, {NULL, 0}};

    return parse_unit(text, units, out_us);
}

bool nzd_parse_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"B", 1},          {"K", 1u << 10},
                                        {"M", 1u << 20},   {"G", 1u << 30},
                                        {"T", 1ull << 40}, {NULL, 0}};

    return parse_unit(text, units, out);
}

bool nzd_parse_percent(const char *text, uint64_t *out)
{
    char digits[16];
    size_t size = strlen(text);

    if (size < 2 || size > sizeof digits || text[size - 1] != '%')
        return false;
    memcpy(digits, text, size - 1);
    digits[size - 1] = '\0';
    return nzd_parse_count(digits, out);
}

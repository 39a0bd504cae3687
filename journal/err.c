/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drops what vsnprintf() left of a character that it cut in the middle. */
static void trim_cut(char *text, size_t length)
{
    size_t at = length;

    while (at > 0 && ((unsigned char)text[at - 1] & 0xC0) == 0x80)
        at--;
    if (at > 0 && ((unsigned char)text[at - 1] & 0xC0) == 0xC0)
        text[at - 1] = '\0';
}

static size_t put(char *text, size_t size, const char *format, va_list args)
{
    int length = vsnprintf(text, size, format, args);

    if (length < 0) {
        text[0] = '\0';
        return 0;
    }
    if ((size_t)length >= size)
        trim_cut(text, size - 1);
    return strlen(text);
}

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    size_t length = strlen(more);

    if (length > size - used - 1) {
        length = size - used - 1;
        memcpy(text + used, more, length);
        text[used + length] = '\0';
        trim_cut(text, used + length);
        return;
    }
    memcpy(text + used, more, length + 1);
}

int nzd_err_set(struct nzd_err *err, int code, const char *format, ...)
{
    va_list args;

    if (!err)
        return code;
    if (err->code != NZD_OK)
        return err->code;
    err->code = code;
    va_start(args, format);
    put(err->message, sizeof(err->message), format, args);
    va_end(args);
    return code;
}

int nzd_err_system(struct nzd_err *err, int code, int sys, const char *format,
                   ...)
{
    va_list args;

    if (!err)
        return code;
    if (err->code != NZD_OK)
        return err->code;
    err->code = code;
    err->sys = sys;
    va_start(args, format);
    put(err->message, sizeof(err->message), format, args);
    va_end(args);
    append(err->message, sizeof(err->message), ": ");
    append(err->message, sizeof(err->message), strerror(sys));
    return code;
}

int nzd_err_damage(struct nzd_err *err, const char *format, ...)
{
    va_list args;

    if (!err)
        return NZD_EJOURNAL;
    if (err->code != NZD_OK)
        return err->code;
    err->code = NZD_EJOURNAL;
    err->damage = true;
    va_start(args, format);
    put(err->message, sizeof(err->message), format, args);
    va_end(args);
    return NZD_EJOURNAL;
}

int nzd_err_prefix(struct nzd_err *err, const char *format, ...)
{
    char text[NZD_ERR_MESSAGE];
    va_list args;

    if (!err || err->code == NZD_OK)
        return NZD_OK;
    va_start(args, format);
    put(text, sizeof(text), format, args);
    va_end(args);
    append(text, sizeof(text), ": ");
    append(text, sizeof(text), err->message);
    memcpy(err->message, text, sizeof(text));
    return err->code;
}

void nzd_err_untouched(struct nzd_err *err, const char *format, ...)
{
    va_list args;

    if (!err || err->untouched[0])
        return;
    va_start(args, format);
    put(err->untouched, sizeof(err->untouched), format, args);
    va_end(args);
}

void nzd_err_next(struct nzd_err *err, const char *format, ...)
{
    va_list args;

    if (!err || err->next[0])
        return;
    va_start(args, format);
    put(err->next, sizeof(err->next), format, args);
    va_end(args);
}

void nzd_err_clear(struct nzd_err *err)
{
    if (err)
        memset(err, 0, sizeof(*err));
}

static const struct {
    int exit;
    const char *name;
} codes[] = {
    [-NZD_OK] = {0, "ok"},
    [-NZD_EINTERNAL] = {1, "internal"},
    [-NZD_EUSAGE] = {2, "usage"},
    [-NZD_EBUNDLE] = {3, "bundle"},
    [-NZD_ENODE] = {4, "node"},
    [-NZD_EREFUSED] = {5, "refused"},
    [-NZD_EROLLEDBACK] = {6, "rolled_back"},
    [-NZD_EPENDING] = {7, "pending"},
    [-NZD_EJOURNAL] = {8, "journal"},
    [-NZD_EBUSY] = {9, "busy"},
    [-NZD_EUNSETTLED] = {10, "unsettled"},
    [-NZD_ENOTFOUND] = {1, "not_found"},
    [-NZD_ETIMEOUT] = {4, "timeout"},
    [-NZD_ELOST] = {4, "lost"},
};

static int index_of(int code)
{
    if (code > 0 || code < NZD_ELOST)
        return -NZD_EINTERNAL;
    return -code;
}

int nzd_err_exit(int code)
{
    return codes[index_of(code)].exit;
}

const char *nzd_err_name(int code)
{
    return codes[index_of(code)].name;
}

int nzd_err_memory(struct nzd_err *err)
{
    if (err && err->code == NZD_OK)
        err->sys = ENOMEM;
    return nzd_err_set(err, NZD_EINTERNAL, "out of memory");
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUF_FIRST   64
#define ARENA_CHUNK 8192

/* --- views and the reader --- */

struct nzd_view nzd_view_of(const void *data, size_t size)
{
    return (struct nzd_view){data, size};
}

struct nzd_view nzd_view_text(const char *text)
{
    return nzd_view_of(text, text ? strlen(text) : 0);
}

bool nzd_view_equal(struct nzd_view a, struct nzd_view b)
{
    if (a.size != b.size)
        return false;
    return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
}

void nzd_reader_init(struct nzd_reader *reader, struct nzd_view view)
{
    reader->data = view.data;
    reader->left = view.size;
    reader->failed = false;
}

struct nzd_view nzd_read_bytes(struct nzd_reader *reader, size_t size)
{
    struct nzd_view view = {NULL, 0};

    if (reader->failed || size > reader->left) {
        reader->failed = true;
        return view;
    }
    view = nzd_view_of(reader->data, size);
    if (size > 0)
        reader->data += size;
    reader->left -= size;
    return view;
}

static uint64_t read_number(struct nzd_reader *reader, size_t size)
{
    struct nzd_view view = nzd_read_bytes(reader, size);
    uint64_t value = 0;

    for (size_t i = 0; i < view.size; i++)
        value = value << 8 | view.data[i];
    return value;
}

uint8_t nzd_read_u8(struct nzd_reader *reader)
{
    return (uint8_t)read_number(reader, 1);
}

uint16_t nzd_read_u16(struct nzd_reader *reader)
{
    return (uint16_t)read_number(reader, 2);
}

uint32_t nzd_read_u32(struct nzd_reader *reader)
{
    return (uint32_t)read_number(reader, 4);
}

uint64_t nzd_read_u64(struct nzd_reader *reader)
{
    return read_number(reader, 8);
}

struct nzd_view nzd_read_block(struct nzd_reader *reader, size_t limit)
{
    uint32_t size = nzd_read_u32(reader);

    if (size > limit)
        reader->failed = true;
    return nzd_read_bytes(reader, size);
}

bool nzd_reader_done(const struct nzd_reader *reader)
{
    return !reader->failed && reader->left == 0;
}

/* --- the growing buffer --- */

void nzd_buf_clear(struct nzd_buf *buf)
{
    free(buf->data);
    memset(buf, 0, sizeof(*buf));
}

void nzd_buf_reset(struct nzd_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}

static size_t grown(size_t capacity, size_t need)
{
    size_t next = capacity < BUF_FIRST ? BUF_FIRST : capacity;

    while (next < need) {
        if (next > SIZE_MAX / 2)
            return need;
        next *= 2;
    }
    return next;
}

uint8_t *nzd_buf_reserve(struct nzd_buf *buf, size_t size)
{
    uint8_t *data;
    size_t capacity;

    if (buf->failed)
        return NULL;
    if (buf->data && size <= buf->capacity - buf->size)
        return buf->data + buf->size;
    buf->failed = true;
    if (size > SIZE_MAX - buf->size)
        return NULL;
    capacity = grown(buf->capacity, buf->size + size);
    data = realloc(buf->data, capacity);
    if (!data)
        return NULL;
    buf->data = data;
    buf->capacity = capacity;
    buf->failed = false;
    return buf->data + buf->size;
}

static void put_number(struct nzd_buf *buf, uint64_t value, size_t size)
{
    uint8_t *to = nzd_buf_reserve(buf, size);

    if (!to)
        return;
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    buf->size += size;
}

void nzd_buf_u8(struct nzd_buf *buf, uint8_t value)
{
    put_number(buf, value, 1);
}

void nzd_buf_u16(struct nzd_buf *buf, uint16_t value)
{
    put_number(buf, value, 2);
}

void nzd_buf_u32(struct nzd_buf *buf, uint32_t value)
{
    put_number(buf, value, 4);
}

void nzd_buf_u64(struct nzd_buf *buf, uint64_t value)
{
    put_number(buf, value, 8);
}

void nzd_buf_bytes(struct nzd_buf *buf, const void *data, size_t size)
{
    uint8_t *to = nzd_buf_reserve(buf, size);

    if (!to || size == 0)
        return;
    memcpy(to, data, size);
    buf->size += size;
}

void nzd_buf_text(struct nzd_buf *buf, const char *text)
{
    nzd_buf_bytes(buf, text, text ? strlen(text) : 0);
}

void nzd_buf_block(struct nzd_buf *buf, struct nzd_view view)
{
    if (view.size > UINT32_MAX) {
        buf->failed = true;
        return;
    }
    nzd_buf_u32(buf, (uint32_t)view.size);
    nzd_buf_bytes(buf, view.data, view.size);
}

void nzd_buf_printf(struct nzd_buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    uint8_t *to = NULL;
    int length;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    if (length < 0)
        buf->failed = true;
    else
        to = nzd_buf_reserve(buf, (size_t)length + 1);
    if (to) {
        (void)vsnprintf((char *)to, (size_t)length + 1, format, again);
        buf->size += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

struct nzd_view nzd_buf_view(const struct nzd_buf *buf)
{
    return nzd_view_of(buf->data, buf->size);
}

const char *nzd_buf_string(struct nzd_buf *buf)
{
    uint8_t *end = nzd_buf_reserve(buf, 1);

    if (!end)
        return "";
    *end = '\0';
    return (const char *)buf->data;
}

/* --- the arena --- */

struct nzd_arena_chunk {
    struct nzd_arena_chunk *next;
    size_t size;
    size_t used;
    _Alignas(max_align_t) uint8_t data[];
};

static struct nzd_arena_chunk *chunk_add(struct nzd_arena *arena, size_t size)
{
    struct nzd_arena_chunk *chunk;
    size_t room = size > ARENA_CHUNK ? size : ARENA_CHUNK;

    if (room > SIZE_MAX - sizeof(*chunk))
        return NULL;
    chunk = calloc(1, sizeof(*chunk) + room);
    if (!chunk)
        return NULL;
    chunk->size = room;
    /* A big one goes second, so that the room left in the first still serves */
    if (size >= ARENA_CHUNK && arena->chunks) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    return chunk;
}

void *nzd_arena_alloc(struct nzd_arena *arena, size_t size)
{
    const size_t align = _Alignof(max_align_t);
    struct nzd_arena_chunk *chunk = arena->chunks;
    void *data;

    if (size > SIZE_MAX - align)
        return NULL;
    size = size == 0 ? align : (size + align - 1) / align * align;
    if (arena->most &&
        (arena->total > arena->most || size > arena->most - arena->total)) {
        arena->refused = true;
        return NULL;
    }
    if (!chunk || size > chunk->size - chunk->used)
        chunk = chunk_add(arena, size);
    if (!chunk)
        return NULL;
    data = chunk->data + chunk->used;
    chunk->used += size;
    arena->total += size;
    return data;
}

char *nzd_arena_text(struct nzd_arena *arena, const char *text, size_t size)
{
    char *copy = size == SIZE_MAX ? NULL : nzd_arena_alloc(arena, size + 1);

    if (copy && size > 0)
        memcpy(copy, text, size);
    return copy;
}

char *nzd_arena_printf(struct nzd_arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;
    char *text = NULL;
    int length;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    if (length >= 0)
        text = nzd_arena_alloc(arena, (size_t)length + 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

void nzd_arena_clear(struct nzd_arena *arena)
{
    struct nzd_arena_chunk *chunk = arena->chunks;

    while (chunk) {
        struct nzd_arena_chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
    memset(arena, 0, sizeof(*arena));
}

/* --- hex, files --- */

void nzd_hex(char *out, const uint8_t *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = '\0';
}

static int digit_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool nzd_unhex(uint8_t *out, size_t size, const char *text)
{
    if (strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int nzd_write_all(int fd, const void *data, size_t size)
{
    const uint8_t *from = data;

    while (size > 0) {
        ssize_t done = write(fd, from, size);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        from += done;
        size -= (size_t)done;
    }
    return 0;
}

int nzd_pread_all(int fd, void *data, size_t size, uint64_t offset)
{
    uint8_t *to = data;

    while (size > 0) {
        ssize_t done = pread(fd, to, size, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = EIO;
        if (done <= 0)
            return -1;
        to += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

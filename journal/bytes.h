/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_BYTES_H
#define NZD_JOURNAL_BYTES_H

/*
 * Bounded bytes: the one reader for everything we do not trust and the one
 * growing buffer for everything we write. A view borrows and is never freed.
 */

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nzd_view {
    const uint8_t *data;
    size_t size;
};

struct nzd_view nzd_view_of(const void *data, size_t size);
struct nzd_view nzd_view_text(const char *text); /* without the NUL */
bool nzd_view_equal(struct nzd_view a, struct nzd_view b);

/*
 * A consuming reader. After the first read past the end `failed` stays set,
 * nothing more is consumed and every read gives zeros or empty views: a
 * sequence of reads is checked once, at its end.
 */
struct nzd_reader {
    const uint8_t *data;
    size_t left;
    bool failed;
};

void nzd_reader_init(struct nzd_reader *reader, struct nzd_view view);
uint8_t nzd_read_u8(struct nzd_reader *reader);
uint16_t nzd_read_u16(struct nzd_reader *reader); /* big-endian, all of them */
uint32_t nzd_read_u32(struct nzd_reader *reader);
uint64_t nzd_read_u64(struct nzd_reader *reader);
struct nzd_view nzd_read_bytes(struct nzd_reader *reader, size_t size);
/* A u32 length of at most `limit`, then that many bytes. */
struct nzd_view nzd_read_block(struct nzd_reader *reader, size_t limit);
/* True when all was read, nothing failed and nothing is left. */
bool nzd_reader_done(const struct nzd_reader *reader);

/*
 * A growing buffer. Initialised by zeros; the first failed allocation sets
 * `failed` and later writes do nothing: checked once, at the end. clear()
 * frees; reset() keeps the memory for the next use.
 */
struct nzd_buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void nzd_buf_clear(struct nzd_buf *buf);
void nzd_buf_reset(struct nzd_buf *buf);
/* Room for `size` more bytes; returns where they go, NULL when failed. The
 * size is not moved: the caller adds to buf->size what it wrote there. */
uint8_t *nzd_buf_reserve(struct nzd_buf *buf, size_t size);
void nzd_buf_u8(struct nzd_buf *buf, uint8_t value);
void nzd_buf_u16(struct nzd_buf *buf, uint16_t value); /* big-endian */
void nzd_buf_u32(struct nzd_buf *buf, uint32_t value);
void nzd_buf_u64(struct nzd_buf *buf, uint64_t value);
void nzd_buf_bytes(struct nzd_buf *buf, const void *data, size_t size);
void nzd_buf_text(struct nzd_buf *buf, const char *text);      /* without NUL */
void nzd_buf_block(struct nzd_buf *buf, struct nzd_view view); /* u32, bytes */
void nzd_buf_printf(struct nzd_buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct nzd_view nzd_buf_view(const struct nzd_buf *buf);
/* NUL-terminated text of the buffer, valid until the next write. */
const char *nzd_buf_string(struct nzd_buf *buf);

/*
 * An arena: many small allocations freed at once. Initialised by zeros.
 * alloc() gives zeroed memory aligned for any type, NULL when there is none,
 * or where `total` would pass `most`: then `refused` is set.
 */
struct nzd_arena {
    struct nzd_arena_chunk *chunks;
    size_t total; /* bytes handed out */
    size_t most;  /* 0: as many as there are */
    bool refused;
};

void *nzd_arena_alloc(struct nzd_arena *arena, size_t size);
char *nzd_arena_text(struct nzd_arena *arena, const char *text, size_t size);
char *nzd_arena_printf(struct nzd_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nzd_arena_clear(struct nzd_arena *arena);

/* Lower-case hex of `size` bytes into `out` of 2 * size + 1 bytes. */
void nzd_hex(char *out, const uint8_t *data, size_t size);
/* The reverse; false unless `text` is exactly 2 * size hex digits. */
bool nzd_unhex(uint8_t *out, size_t size, const char *text);

/* write(2), pread(2) until done, EINTR repeated; 0 or -1 with errno. */
int nzd_write_all(int fd, const void *data, size_t size);
int nzd_pread_all(int fd, void *data, size_t size, uint64_t offset);

#endif

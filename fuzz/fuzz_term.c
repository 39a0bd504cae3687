/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The external term format, as it comes from files and from a node. Besides
 * memory errors: what is accepted is written, read again and the same; memory
 * stays in proportion; nothing that a terminal obeys is printed.
 */

#include "../staging/term.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PRINTED      4000
#define MEMORY_TIMES 2048 /* of the input: tails that are lists are copied */

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_printed(const struct nzd_term *term)
{
    struct nzd_buf buf = {0};

    nzd_term_print(term, PRINTED, &buf);
    require(buf.failed || buf.size <= PRINTED + 3);
    for (size_t i = 0; i < buf.size; i++)
        require(buf.data[i] >= 0x20 && buf.data[i] != 0x7f);
    nzd_buf_clear(&buf);
}

static void check_again(const struct nzd_term *term, struct nzd_arena *arena)
{
    const struct nzd_term *again;
    struct nzd_buf buf = {0};
    struct nzd_digest left = nzd_term_digest(term);
    struct nzd_digest right;

    nzd_etf_version(&buf);
    nzd_term_encode(term, &buf);
    require(!buf.failed);
    require(nzd_term_decode(nzd_buf_view(&buf), arena, &again, NULL) == 0);
    right = nzd_term_digest(again);
    require(nzd_term_equal(term, again));
    require(nzd_digest_equal(&left, &right));
    nzd_buf_clear(&buf);
}

static void look_in(const struct nzd_term *term, struct nzd_arena *arena)
{
    const char *text = nzd_term_text(term, arena);
    int64_t number;

    if (text)
        require(nzd_view_text(text).size <= arena->total);
    (void)nzd_term_integer(term, &number);
    (void)nzd_term_get(term, "vsn");
    require(nzd_term_at(term, UINT32_MAX) == NULL);
    for (uint32_t i = 0; i < nzd_term_length(term) && i < 100; i++)
        require(nzd_term_at(term, i) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_term *term = NULL;
    bool compressed = size > 1 && data[1] == 80;
    int rc = nzd_term_decode(nzd_view_of(data, size), &arena, &term, &err);

    require(compressed || arena.total <= MEMORY_TIMES * size + 1024);
    if (rc == 0) {
        check_printed(term);
        check_again(term, &arena);
        look_in(term, &arena);
    } else {
        require(rc == NZD_EBUNDLE && err.message[0] && !term);
    }
    nzd_arena_clear(&arena);
    return 0;
}

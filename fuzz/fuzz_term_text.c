/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Terms as source text: .app, .rel, sys.config. Besides memory errors: what
 * is accepted goes through the external format and comes back the same; a
 * failure names a line that the text has.
 */

#include "../staging/term.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_again(const struct nzd_term *terms, struct nzd_arena *arena)
{
    const struct nzd_term *again;
    struct nzd_buf buf = {0};

    nzd_etf_version(&buf);
    nzd_term_encode(terms, &buf);
    require(!buf.failed);
    require(nzd_term_decode(nzd_buf_view(&buf), arena, &again, NULL) == 0);
    require(nzd_term_equal(terms, again));
    nzd_buf_clear(&buf);
}

static void check_line(const char *message, const uint8_t *data, size_t size)
{
    unsigned lines = 1;
    unsigned line = 0;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    /* NOLINTNEXTLINE(cert-err34-c): our own message */
    require(sscanf(message, "line %u: ", &line) == 1);
    require(line >= 1 && line <= lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_term *terms = NULL;
    int rc = nzd_term_parse(nzd_view_of(data, size), &arena, &terms, &err);

    require(arena.total <= 2048 * size + 1024);
    if (rc == 0) {
        require(terms->kind == NZD_TERM_LIST && !terms->tail);
        check_again(terms, &arena);
    } else {
        require(rc == NZD_EBUNDLE && !terms);
        check_line(err.message, data, size);
    }
    nzd_arena_clear(&arena);
    return 0;
}

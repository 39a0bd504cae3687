/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A sys.config that is made to boot over another release. Besides memory
 * errors: the path of the config provider is replaced, every other term is
 * what it was, and what comes out is taken as it is.
 */

#include "../staging/sys_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct nzd_sys_config_over over = {.version = "1",
                                                .runtime = "/run/runtime.exs"};

static const char head[] =
    "[{config_provider_init,{system,<<\"RELEASE_ROOT\">>,"
    "<<\"/releases/2/runtime.exs\">>}}].\n";

static const char named[] = "releases/2/runtime.exs"; /* by the head */

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Behind the term that names the provider, as it was. */
static void check_rest(const struct nzd_term *terms, struct nzd_view made,
                       struct nzd_arena *arena)
{
    const struct nzd_term *again = NULL;

    require(nzd_term_parse(made, arena, &again, NULL) == 0);
    require(nzd_term_length(again) == nzd_term_length(terms) + 1);
    for (uint32_t i = 0; i < nzd_term_length(terms); i++)
        require(
            nzd_term_equal(nzd_term_at(terms, i), nzd_term_at(again, i + 1)));
}

static bool is_plain(const uint8_t *data, size_t size)
{
    return !memmem(data, size, "system", 6) && !memmem(data, size, "coding", 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    const struct nzd_term *terms = NULL;
    struct nzd_buf text = {0}, made = {0}, again = {0};
    int rc;

    nzd_buf_text(&text, head);
    nzd_buf_bytes(&text, data, size);
    rc = nzd_sys_config_rebase(nzd_buf_view(&text), &over, &made, NULL);
    require(rc == 0 || rc == NZD_EBUNDLE);
    if (rc == 0) {
        require(memmem(data, size, named, strlen(named)) ||
                !memmem(made.data, made.size, named, strlen(named)));
        require(nzd_sys_config_rebase(nzd_buf_view(&made), &over, &again,
                                      NULL) == 0);
        require(nzd_view_equal(nzd_buf_view(&made), nzd_buf_view(&again)));
    }
    if (rc == 0 && is_plain(data, size) &&
        nzd_term_parse(nzd_view_of(data, size), &arena, &terms, NULL) == 0)
        check_rest(terms, nzd_buf_view(&made), &arena);
    nzd_buf_clear(&text);
    nzd_buf_clear(&made);
    nzd_buf_clear(&again);
    nzd_arena_clear(&arena);
    return 0;
}

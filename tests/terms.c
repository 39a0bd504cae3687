/* SPDX-License-Identifier: Apache-2.0 */
#include "terms.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

const struct nzd_term *terms_decode(struct facts *fixture, struct nzd_view view)
{
    const struct nzd_term *term = NULL;

    if (nzd_term_decode(view, &fixture->arena, &term, &fixture->err))
        fail_msg("%s", fixture->err.message);
    return term;
}

void assert_same(const struct nzd_term *a, const struct nzd_term *b)
{
    struct nzd_digest left = nzd_term_digest(a);
    struct nzd_digest right = nzd_term_digest(b);

    assert_true(nzd_term_equal(a, b));
    assert_true(nzd_term_equal(b, a));
    assert_true(nzd_digest_equal(&left, &right));
    assert_false(nzd_digest_is_zero(&left));
}

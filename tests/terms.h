/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_TERMS_H
#define NZD_TESTS_TERMS_H

/* Terms that are read with facts.h, and compared; what does not hold fails the
 * running test. */

#include "../staging/term.h"
#include "facts.h"

/* Into the arena of `fixture`. */
const struct nzd_term *terms_decode(struct facts *fixture,
                                    struct nzd_view view);
/* Equal either way, and of the same digest. */
void assert_same(const struct nzd_term *a, const struct nzd_term *b);

#endif

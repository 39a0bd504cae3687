/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_WORDING_H
#define NZD_TESTS_WORDING_H

/* Can this be said to nzd? Asked of its own helps; needs a stage. */

#include "harness.h"

/* Of "nzd apply --soak 30s ...", up to where the shell goes on: why it cannot
 * be said, or NULL. */
const char *wording_fault(struct harness *harness, const char *text);
/* Is this option, named alone, one of some command? */
bool wording_is_option(struct harness *harness, const char *text);

#endif

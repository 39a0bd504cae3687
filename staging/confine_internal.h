/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_CONFINE_INTERNAL_H
#define NZD_STAGING_CONFINE_INTERNAL_H

/* Inside the room of confinement: one file for each of the kernel's means that
 * has no library. */

#include "confine.h"

/* AddressSanitizer asks for terabytes of addresses, and what it reports needs
 * calls and files that no reader has. */
#if defined(__SANITIZE_ADDRESS__)
#define CONFINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif
#ifndef CONFINE_SANITIZED
#define CONFINE_SANITIZED 0
#endif

/* Each is 0 where it is in force, else -1. Both need PR_SET_NO_NEW_PRIVS. */
int confine_files(const struct nzd_confine *confine);
int confine_calls(const struct nzd_confine *confine);
/* Whether the build has a list of calls for its processor. */
bool confine_knows_calls(void);

#endif

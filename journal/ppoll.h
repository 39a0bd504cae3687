/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_PPOLL_H
#define NZD_JOURNAL_PPOLL_H

/*
 * ppoll(2), for who includes this before anything else. Where words have 32
 * bits nzd asks for a time_t of 64, and the checking ppoll() that glibc puts
 * into the program under _FORTIFY_SOURCE hands such a time to the call that
 * takes one of 32: each wait ends at once (bits/poll2.h of 2.36). So the files
 * that wait are compiled without those checks.
 */

#undef _FORTIFY_SOURCE
#include <poll.h>

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_LIKENESS_H
#define NZD_TESTS_LIKENESS_H

/*
 * Is an output the one that a document shows? Equal but for what differs from
 * run to run and host to host, each where the other has one too: pids, times,
 * durations, sizes, digests, boot ids, how many modules and applications OTP
 * has, versions of OTP and ERTS; and white space, since such things have their
 * columns. A line "..." of the document stands for any lines.
 */

#include "harness.h"

/* NULL, or what differs, as a message. */
const char *likeness_differs(struct harness *harness, const char *shown,
                             const char *seen);

#endif

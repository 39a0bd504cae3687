/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BENCH_VARY_H
#define NZD_TESTS_BENCH_VARY_H

/* Puts other bytes (the low 16 bits of `number`) into the -vsn of a BEAM file
 * as the compiler makes it: its code stays as it is, its digest does not. What
 * cannot be done fails the running test. */
void bench_vary_beam(const char *path, unsigned number);

#endif

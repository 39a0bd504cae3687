/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BENCH_CALLS_H
#define NZD_TESTS_BENCH_CALLS_H

/*
 * What reached the disk, by a report of `strace -f -y`: bytes that were written
 * into files, and calls that waited for the disk: fsync and its kin, and each
 * write to a file that was opened with O_DSYNC. Adds to both.
 */
#define BENCH_CALLS                                                            \
    "trace=openat,write,writev,pwrite64,pwritev,fsync,fdatasync,msync,sync,"   \
    "syncfs,sync_file_range"

void bench_calls_count(const char *report, unsigned *syncs,
                       unsigned long *bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_CONFINE_H
#define NZD_STAGING_CONFINE_H

/*
 * Takes from this process all that reading a bundle does not need, for good:
 * whoever takes it over by what it reads has a processor, some memory, and
 * what it may answer. Knows the kernel's means (seccomp(2), landlock(7),
 * capabilities(7), setrlimit(2), prctl(2)); what the kernel or the build has
 * not is left out and told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What holds this process. */
#define NZD_CONFINED_CALLS                                                     \
    1u /* seccomp: the calls named in confine_calls.c                          \
        */
#define NZD_CONFINED_FILES                                                     \
    2u                          /* Landlock: no file but those below `folders` \
                                 */
#define NZD_CONFINED_USER   4u  /* not root: it never was, or is nobody now */
#define NZD_CONFINED_RIGHTS 8u  /* no new privileges, no capabilities */
#define NZD_CONFINED_LIMITS 16u /* memory, CPU time, files, processes */

struct nzd_confine {
    int answer; /* the one descriptor that may be written to */
    /* Where files may be read, real paths: of a directory that is a bundle.
     * None: no file can be opened. */
    const char *const *folders;
    uint32_t folder_count;
    uint64_t memory; /* bytes that may be allocated from now on */
    unsigned cpu_seconds;
    pid_t parent; /* whose death is ours */
};

/*
 * Never fails: gives what is in force, as NZD_CONFINED_ bits. A call that
 * reading never makes, as of those that open a file for writing, make a
 * process or a socket, ends the process (SIGSYS); others fail (ENOSYS). Opens
 * no descriptor that stays. Where the parent has gone it does not return.
 */
unsigned nzd_confine_self(const struct nzd_confine *confine);

/* "system calls, files, user, rights, limits": those of the bits. */
void nzd_confine_names(unsigned confined, char *out, size_t size);

/* All that this build can do; the kernel may do less. */
unsigned nzd_confine_built(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of nobody and nogroup, by convention; the kernel's overflow ids. */
#define NOBODY 65534

/* A folder is open on each floor of a directory. */
#define OPEN_FILES 1024

/* --- user and rights ----------------------------------------------------- */

/* Of all that root may only `kept`, as bits. */
static int keep_capabilities(uint32_t kept)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    data[0].effective = data[0].permitted = kept;
    return (int)syscall(SYS_capset, &header, data);
}

/* What lets nobody read all files. Containers seldom have the lesser one. */
static uint32_t right_to_read(void)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const uint32_t reads = 1u << CAP_DAC_READ_SEARCH;

    if (syscall(SYS_capget, &header, data) != 0 || data[0].permitted & reads)
        return reads;
    return data[0].permitted & 1u << CAP_DAC_OVERRIDE;
}

/* That one lets write, too: only where something else keeps from it. */
static void keep_no_right_to_write(unsigned confined)
{
    if (!(confined & (NZD_CONFINED_CALLS | NZD_CONFINED_FILES)) &&
        right_to_read() == 1u << CAP_DAC_OVERRIDE)
        keep_capabilities(0);
}

/* A release that only root may read is read all the same: a directory's files
 * are opened one by one. Where they may lie, and that they are not written, the
 * other means see to. */
static bool leave_root(bool reads_files)
{
    uint32_t kept = reads_files ? right_to_read() : 0;
    bool left = true;

    if (geteuid() == 0 || getuid() == 0) {
        prctl(PR_SET_KEEPCAPS, reads_files ? 1 : 0, 0, 0, 0);
        left = setgroups(0, NULL) == 0 &&
               setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
               setresuid(NOBODY, NOBODY, NOBODY) == 0;
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    } else {
        kept = 0;
    }
    if (keep_capabilities(kept) != 0)
        keep_capabilities(0);
    return left;
}

/* --- limits -------------------------------------------------------------- */

/* Address space that is taken already: the journal may be mapped, too. */
static uint64_t taken(void)
{
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    return got <= 0
               ? 0
               : strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool limit(int what, uint64_t soft, uint64_t hard)
{
    struct rlimit now, wanted;

    if (getrlimit(what, &now) != 0)
        return false;
    wanted.rlim_max = hard < now.rlim_max ? (rlim_t)hard : now.rlim_max;
    wanted.rlim_cur = soft < wanted.rlim_max ? (rlim_t)soft : wanted.rlim_max;
    return setrlimit(what, &wanted) == 0;
}

static bool limit_memory(uint64_t now, uint64_t bytes)
{
    uint64_t most = now + bytes;

    if (CONFINE_SANITIZED)
        return true;
    if (most > SIZE_MAX)
        most = SIZE_MAX;
    if (now && !limit(RLIMIT_AS, most, most))
        return false;
    return limit(RLIMIT_DATA, most, most);
}

/* The time is told twice: a signal that nobody takes, and the end. */
static bool limit_all(const struct nzd_confine *confine, uint64_t now)
{
    uint64_t files = confine->folder_count ? OPEN_FILES : 0;

    return limit_memory(now, confine->memory) &&
           limit(RLIMIT_CPU, confine->cpu_seconds, confine->cpu_seconds + 1) &&
           limit(RLIMIT_FSIZE, 0, 0) && limit(RLIMIT_NOFILE, files, files) &&
           limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_NPROC, 0, 0);
}

/* Where memory ends we end, and not the node beside us: proc(5). */
static void go_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "1000", 4);
    close(fd);
}

/* --- all of it ----------------------------------------------------------- */

unsigned nzd_confine_self(const struct nzd_confine *confine)
{
    unsigned confined = 0;
    uint64_t now = taken(); /* as long as files can be opened */

    go_first();
    if (!CONFINE_SANITIZED)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    bool rights = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    if (rights && confine_files(confine) == 0)
        confined |= NZD_CONFINED_FILES;
    if (leave_root(confine->folder_count > 0))
        confined |= NZD_CONFINED_USER;
    if (limit_all(confine, now))
        confined |= NZD_CONFINED_LIMITS;
    /* Leaving root has taken it back: prctl(2). */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != confine->parent)
        _exit(1);
    if (rights && confine_calls(confine) == 0)
        confined |= NZD_CONFINED_CALLS;
    keep_no_right_to_write(confined);
    return confined | (rights ? NZD_CONFINED_RIGHTS : 0);
}

unsigned nzd_confine_built(void)
{
    return NZD_CONFINED_FILES | NZD_CONFINED_USER | NZD_CONFINED_RIGHTS |
           NZD_CONFINED_LIMITS |
           (confine_knows_calls() ? NZD_CONFINED_CALLS : 0);
}

void nzd_confine_names(unsigned confined, char *out, size_t size)
{
    static const char *const names[] = {"system calls", "files", "user",
                                        "rights", "limits"};
    size_t at = 0;

    *out = 0;
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (confined & 1u << i && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "",
                                   names[i]);
}

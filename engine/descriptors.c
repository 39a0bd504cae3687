/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptors.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void nzd_descriptors_close(int first)
{
    struct rlimit limit;
    rlim_t end = 65536;

#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < end)
        end = limit.rlim_cur;
    for (int fd = first; (rlim_t)fd < end; fd++)
        (void)close(fd);
}

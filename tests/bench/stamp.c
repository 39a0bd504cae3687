/* SPDX-License-Identifier: Apache-2.0 */

/* The command that the bench has nzd boot start: says how many microseconds
 * have gone by since NZD_BENCH_BEGIN (nanoseconds of the monotonic clock), and
 * how many of a processor this process and those that it waited for took. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static long long cpu_of(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) != 0)
        return 0;
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

int main(void)
{
    struct timespec now;
    const char *begin = getenv("NZD_BENCH_BEGIN");
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!begin)
        return 1;
    printf(
        "%lld %lld\n",
        (now.tv_sec * 1000000000LL + now.tv_nsec - strtoll(begin, NULL, 10)) /
            1000,
        cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN));
    return 0;
}

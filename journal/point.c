/* SPDX-License-Identifier: Apache-2.0 */
#include "point.h"

#ifdef NZD_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void log_point(unsigned long number, const char *name)
{
    const char *path = getenv("NZD_POINT_LOG");
    char line[256];
    if (!path)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int size = snprintf(line, sizeof line, "%lu %s\n", number, name);
    if (fd < 0 || write(fd, line, (size_t)size) != size)
        abort();
    close(fd);
}

/* One thing to do: the process that is signalled is not waited for. */
static void act(const char *what)
{
    int pid = 0, sig = 0;
    if (sscanf(what, "signal %d %d", &pid, &sig) == 2)
        kill((pid_t)pid, sig);
    else if (strcmp(what, "stop") == 0)
        kill(getpid(), SIGSTOP);
    else
        kill(getpid(), SIGKILL);
}

static const char *our_role = "";
static unsigned long passed;

void nzd_point_role(const char *role)
{
    const char *wanted = getenv("NZD_POINT_ROLE");
    our_role = role;
    passed = 0;
    /* Nor do the programs count that it starts. */
    if (strcmp(wanted ? wanted : "", role) != 0) {
        unsetenv("NZD_POINT_AT");
        unsetenv("NZD_POINT_LOG");
    }
}

void nzd_point(const char *name)
{
    const char *role = getenv("NZD_POINT_ROLE");
    const char *at = getenv("NZD_POINT_AT");
    const char *what = getenv("NZD_POINT_DO");
    char copy[256], *rest = copy;
    if (strcmp(role ? role : "", our_role) != 0)
        return;
    log_point(++passed, name);
    if (!at || strtoul(at, NULL, 10) != passed)
        return;
    snprintf(copy, sizeof copy, "%s", what ? what : "kill");
    for (char *one; (one = strsep(&rest, ";"));)
        act(one);
}

#else

/* ISO C wants a translation unit to declare something. */
typedef int nzd_point_unused;

#endif

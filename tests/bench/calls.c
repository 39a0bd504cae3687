/* SPDX-License-Identifier: Apache-2.0 */
#include "calls.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTORS 256

/* "write(3</path>, ...": the descriptor's path is behind it. */
static bool is_of_file(const char *call)
{
    const char *path = strchr(call, '<');
    return path && path[1] == '/' && strncmp(path, "</dev/", 6) != 0 &&
           strncmp(path, "</proc/", 7) != 0 && !strstr(path, ".log>");
}

static bool is_sync(const char *call)
{
    static const char *const names[] = {
        "fsync", "fdatasync", "msync", "sync", "syncfs", "sync_file_range"};
    size_t length = strcspn(call, "( ");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i]) == length && !strncmp(call, names[i], length))
            return true;
    return false;
}

/* Descriptors that write through to the disk, of which process. */
struct through {
    long pid[DESCRIPTORS], fd[DESCRIPTORS];
    unsigned count;
};

static bool is_through(const struct through *all, long pid, long fd)
{
    for (unsigned i = 0; i < all->count; i++)
        if (all->pid[i] == pid && all->fd[i] == fd)
            return true;
    return false;
}

/* A descriptor that was closed may be another file's now. */
static void note_open(struct through *all, long pid, long fd, const char *line)
{
    for (unsigned i = 0; i < all->count; i++)
        if (all->pid[i] == pid && all->fd[i] == fd)
            all->fd[i] = -1;
    if (all->count == DESCRIPTORS ||
        (!strstr(line, "O_DSYNC") && !strstr(line, "O_SYNC")))
        return;
    all->pid[all->count] = pid;
    all->fd[all->count++] = fd;
}

/* "PID CALL(DESCRIPTOR..., ...) = RESULT"; where another thread was faster its
 * end is "PID <... CALL resumed>) = RESULT". */
static void count_line(const char *line, struct through *all, unsigned *syncs,
                       unsigned long *bytes)
{
    const char *result = strrchr(line, '=');
    const char *call = strchr(line, ' ');
    long pid = strtol(line, NULL, 10);
    long value = result ? strtol(result + 1, NULL, 10) : -1;
    if (!call || value < 0 || strstr(line, "<unfinished ...>"))
        return;
    call += strspn(call, " ");
    if (!strncmp(call, "<... ", 5)) {
        *syncs += is_sync(call + 5);
        return;
    }
    const char *paren = strchr(call, '(');
    long fd = paren ? strtol(paren + 1, NULL, 10) : -1;
    if (!strncmp(call, "openat(", 7)) {
        note_open(all, pid, value, line);
    } else if (is_sync(call)) {
        ++*syncs;
    } else if (is_of_file(call)) {
        *bytes += (unsigned long)value;
        *syncs += is_through(all, pid, fd);
    }
}

void bench_calls_count(const char *report, unsigned *syncs,
                       unsigned long *bytes)
{
    struct through all = {.count = 0};
    char *copy = strdup(report), *rest = copy, *line;
    while (copy && (line = strsep(&rest, "\n")))
        count_line(line, &all, syncs, bytes);
    free(copy);
}

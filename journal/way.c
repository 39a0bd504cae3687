/* SPDX-License-Identifier: Apache-2.0 */
#include "way.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS   40    /* as the kernel follows */
#define UNKNOWN 65534 /* the kernel's overflow id */

struct walk {
    int at; /* the folder that was come to */
    unsigned links;
    char done[PATH_MAX];     /* its name */
    char left[2 * PATH_MAX]; /* what is still to go */
    enum nzd_way way;
};

/* Judged: no more is known, or more need not be. */
#define STOP 1

/* In a name space of users the folders of those outside are of nobody that it
 * knows: whoever made it has chosen them. */
static bool is_from_outside(const struct stat *status)
{
    unsigned long inside = 0;
    unsigned long outside = 0;
    unsigned long count = 0;
    FILE *map;
    int read;

    if (status->st_uid != UNKNOWN)
        return false;
    map = fopen("/proc/self/uid_map", "re");
    read = map ? fscanf(map, "%lu %lu %lu", &inside, &outside, &count) : 0;
    if (map)
        (void)fclose(map);
    return read == 3 && (inside != outside || count < UINT32_MAX);
}

static bool is_ours(const struct stat *status)
{
    return status->st_uid == 0 || status->st_uid == geteuid() ||
           is_from_outside(status);
}

/* Its group may be root's: its members are root. */
static bool is_open(const struct stat *status)
{
    if (status->st_mode & S_ISVTX)
        return false;
    return status->st_mode & S_IWOTH ||
           (status->st_mode & S_IWGRP && status->st_gid != 0);
}

static int judge(struct walk *walk, const struct stat *folder)
{
    if (!is_ours(folder))
        walk->way = NZD_WAY_THEIRS;
    else if (is_open(folder))
        walk->way = NZD_WAY_OPEN;
    return walk->way == NZD_WAY_OURS ? 0 : STOP;
}

/* Goes on in `fd`, which is owned from here on. */
static void enter(struct walk *walk, int fd, const char *name)
{
    size_t size = strlen(walk->done);

    if (walk->at >= 0)
        close(walk->at);
    walk->at = fd;
    if (name[0] == '/')
        size = 0;
    (void)snprintf(walk->done + size, sizeof(walk->done) - size, "%s%s",
                   size > 1 ? "/" : "", name);
}

static int enter_root(struct walk *walk)
{
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return STOP;
    enter(walk, fd, "/");
    return 0;
}

/* What it leads to takes its place in what is left. */
static int follow(struct walk *walk, int link)
{
    char target[2 * PATH_MAX];
    ssize_t size = readlinkat(link, "", target, PATH_MAX);
    size_t left = strlen(walk->left);

    close(link);
    if (size <= 0 || size >= PATH_MAX || ++walk->links > LINKS ||
        (size_t)size + 1 + left >= sizeof(target))
        return STOP;
    target[size] = '/';
    memcpy(target + size + 1, walk->left, left + 1);
    memcpy(walk->left, target, (size_t)size + left + 2);
    return target[0] == '/' ? enter_root(walk) : 0;
}

/* The next name of what is left, "" at the end. */
static void take_name(struct walk *walk, char name[NAME_MAX + 1])
{
    const char *from = walk->left + strspn(walk->left, "/");
    size_t size = strcspn(from, "/");

    (void)snprintf(name, NAME_MAX + 1, "%.*s", (int)size, from);
    memmove(walk->left, from + size, strlen(from + size) + 1);
}

/* In a folder as /tmp each one's is his own. */
static int judge_entry(struct walk *walk, const struct stat *folder,
                       const struct stat *entry, const char *name)
{
    if (!(folder->st_mode & S_ISVTX) || is_ours(entry))
        return 0;
    walk->way = NZD_WAY_THEIRS;
    enter(walk, -1, name);
    return STOP;
}

static int step(struct walk *walk)
{
    struct stat folder;
    struct stat entry;
    char name[NAME_MAX + 1];
    int fd;

    if (fstat(walk->at, &folder) != 0)
        return STOP;
    take_name(walk, name);
    if (!name[0] || judge(walk, &folder) != 0)
        return STOP;
    fd = openat(walk->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return STOP;
    if (fstat(fd, &entry) != 0 ||
        judge_entry(walk, &folder, &entry, name) != 0) {
        close(fd);
        return STOP;
    }
    if (S_ISLNK(entry.st_mode))
        return follow(walk, fd);
    enter(walk, fd, name);
    return 0;
}

static int begin(struct walk *walk, const char *path)
{
    char here[PATH_MAX] = "";

    if (path[0] != '/' && !getcwd(here, sizeof(here)))
        return STOP;
    if ((size_t)snprintf(walk->left, sizeof(walk->left), "%s/%s", here, path) >=
        sizeof(walk->left))
        return STOP;
    return enter_root(walk);
}

enum nzd_way nzd_way_look(const char *path, char *where, size_t size)
{
    struct walk walk = {.at = -1, .way = NZD_WAY_OURS};

    if (begin(&walk, path) == 0)
        while (step(&walk) == 0)
            continue;
    if (walk.at >= 0)
        close(walk.at);
    (void)snprintf(where, size, "%s", walk.done);
    return walk.way;
}

bool nzd_way_counts(void)
{
    return geteuid() == 0;
}

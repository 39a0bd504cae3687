/* SPDX-License-Identifier: Apache-2.0 */
#include "rebuild_place.h"

#include "bytes.h"
#include "journal_internal.h"
#include "store.h"
#include "store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX    ".import-"
#define RANDOM    6 /* letters behind it, as mkdtemp(3) makes them */
#define PAUSE_US  20000
#define GRACE_TRY 25 /* pauses for a killed one's child to let the lock go */

/* --- names ----------------------------------------------------------- */

static char *joined(const char *a, const char *b, const char *c)
{
    char *text = NULL;

    return asprintf(&text, "%s%s%s", a, b, c) < 0 ? NULL : text;
}

/* The name without slashes at its end, or what a name that exists leads to:
 * renaming onto a link would fail. */
static char *clean_name(const char *directory)
{
    char *text = realpath(directory, NULL);
    size_t size;

    if (!text)
        text = strdup(directory);
    size = text ? strlen(text) : 0;
    while (size > 1 && text[size - 1] == '/')
        text[--size] = '\0';
    return text;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static const char *last_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* --- what is there --------------------------------------------------- */

static int refuse(const char *target, const char *found, struct nzd_err *err)
{
    if (strcmp(found, "data.mdb") != 0 && strcmp(found, "lock") != 0) {
        nzd_err_set(err, NZD_EUSAGE, "%s is not empty: it holds %s", target,
                    found);
        nzd_err_next(err, "name a directory of its own: --journal DIR");
        return NZD_EUSAGE;
    }
    nzd_err_set(err, NZD_EBUSY, "there is a journal in %s", target);
    nzd_err_untouched(err, "that journal");
    nzd_err_next(err, "a journal is never written over: name another "
                      "directory (--journal DIR), or move that one away");
    return NZD_EBUSY;
}

/* The name by which a file there is told: the journal's own where it is. */
static void note_entry(char *found, size_t size, const char *name)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    if (!found[0] || strcmp(name, "data.mdb") == 0)
        (void)snprintf(found, size, "%s", name);
}

static int check_absent(const char *target, struct nzd_err *err)
{
    char found[NAME_MAX + 1] = "";
    struct dirent *entry;
    DIR *entries = opendir(target);

    if (!entries && errno == ENOENT)
        return NZD_OK;
    if (!entries && errno == ENOTDIR)
        return nzd_err_set(err, NZD_EUSAGE, "%s is not a directory", target);
    if (!entries)
        return nzd_err_system(err, NZD_EJOURNAL, errno, "open %s", target);
    while ((entry = readdir(entries)) != NULL)
        note_entry(found, sizeof(found), entry->d_name);
    closedir(entries);
    return found[0] ? refuse(target, found, err) : NZD_OK;
}

/* --- leftovers ------------------------------------------------------- */

/* Only what a store makes; a folder that holds more is left alone. */
static void remove_store(int parent, const char *name)
{
    static const char *const files[] = {"data.mdb", "data.mdb.new", "lock.mdb",
                                        "lock"};
    int folder =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (folder < 0)
        return;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlinkat(folder, files[i], 0);
    close(folder);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

static bool is_leftover(const char *name, const char *target)
{
    const char *last = last_of(target);
    size_t size = strlen(last);

    return strncmp(name, last, size) == 0 &&
           strncmp(name + size, SUFFIX, strlen(SUFFIX)) == 0 &&
           strlen(name + size) == strlen(SUFFIX) + RANDOM;
}

/* Nobody else builds here while the parent is locked. */
static void remove_leftovers(const struct nzd_rebuild_place *place)
{
    DIR *entries = opendir(place->parent);
    struct dirent *entry;

    while (entries && (entry = readdir(entries)) != NULL) {
        if (is_leftover(entry->d_name, place->target))
            remove_store(place->lock, entry->d_name);
    }
    if (entries)
        closedir(entries);
}

/* --- taking, filling, leaving ---------------------------------------- */

static int lock_parent(struct nzd_rebuild_place *place, struct nzd_err *err)
{
    const struct timespec pause = {0, PAUSE_US * 1000L};
    int tries = GRACE_TRY;

    place->lock = open(place->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (place->lock < 0)
        return nzd_err_system(err, NZD_EJOURNAL, errno, "open %s",
                              place->parent);
    while (flock(place->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return nzd_err_system(err, NZD_EJOURNAL, errno, "lock %s",
                                  place->parent);
        if (tries-- == 0)
            return nzd_err_set(err, NZD_EBUSY,
                               "another journal is being imported into %s",
                               place->parent);
        (void)nanosleep(&pause, NULL);
    }
    return NZD_OK;
}

static int make_folder(struct nzd_rebuild_place *place, struct nzd_err *err)
{
    char *path = joined(place->target, SUFFIX, "XXXXXX");
    int rc;

    if (!path)
        return nzd_err_memory(err);
    if (mkdtemp(path)) {
        place->path = path;
        return NZD_OK;
    }
    rc =
        nzd_err_system(err, NZD_EJOURNAL, errno, "make the directory %s", path);
    free(path);
    return rc;
}

int nzd_rebuild_place_take(struct nzd_rebuild_place *place,
                           const char *directory, struct nzd_err *err)
{
    int rc;

    place->target = clean_name(directory);
    place->parent = place->target ? parent_of(place->target) : NULL;
    if (!place->parent)
        return nzd_err_memory(err);
    rc = check_absent(place->target, err);
    if (rc == NZD_OK)
        rc = nzd_journal_judge_way(place->target, "made", err);
    if (rc == NZD_OK)
        rc = nzd_store_make_directory(place->parent, err);
    /* What is above may have come about meanwhile, and not by us. */
    if (rc == NZD_OK)
        rc = nzd_journal_judge_way(place->target, "made", err);
    if (rc == NZD_OK)
        rc = lock_parent(place, err);
    if (rc)
        return rc;
    remove_leftovers(place);
    return make_folder(place, err);
}

int nzd_rebuild_place_fill(struct nzd_rebuild_place *place, struct nzd_err *err)
{
    int rc = nzd_store_sync_directory(place->path, err);

    if (rc)
        return rc;
    if (rename(place->path, place->target) != 0) {
        int sys = errno;

        rc = check_absent(place->target, err);
        return rc ? rc
                  : nzd_err_system(err, NZD_EJOURNAL, sys, "rename %s to %s",
                                   place->path, place->target);
    }
    free(place->path);
    place->path = NULL;
    return nzd_store_sync_directory(place->parent, err);
}

void nzd_rebuild_place_leave(struct nzd_rebuild_place *place)
{
    if (place->path)
        remove_store(place->lock, last_of(place->path));
    if (place->lock >= 0)
        close(place->lock);
    free(place->path);
    free(place->parent);
    free(place->target);
}

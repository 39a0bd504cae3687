/* SPDX-License-Identifier: Apache-2.0 */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- another user -------------------------------------------------------- */

/* What the environment of root may tell him: no secrets of root's. */
static bool is_kept(const char *variable)
{
    static const char *const kept[] = {
        "PATH=", "TERM=",  "LANG=",           "LANGUAGE=", "LC_",
        "TZ=",   "NZD_",   "COLUMNS=",        "NO_COLOR=", "ERL_EPMD_PORT=",
        "ASAN_", "UBSAN_", "SSH_CONNECTION=",
    };

    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
        if (strncmp(variable, kept[i], strlen(kept[i])) == 0)
            return true;
    return false;
}

/* Who is at work, as the journal has it: it is still that one. */
static const char *caller(void)
{
    static const char *const names[] = {"SUDO_USER", "USER", "LOGNAME"};
    const char *name = NULL;

    for (size_t i = 0; !name && i < sizeof(names) / sizeof(*names); i++)
        name = getenv(names[i]);
    return name ? name : "root";
}

/* Where a session or a lingering service of his has it: pam_systemd(8). */
static int set_runtime(const struct passwd *user, struct nzd_err *err)
{
    char path[64];
    struct stat status;

    (void)snprintf(path, sizeof(path), "/run/user/%lu",
                   (unsigned long)user->pw_uid);
    if (lstat(path, &status) != 0 || !S_ISDIR(status.st_mode) ||
        status.st_uid != user->pw_uid || (status.st_mode & 077) != 0)
        return 0;
    return setenv("XDG_RUNTIME_DIR", path, 1) == 0 ? 0 : nzd_err_memory(err);
}

static int change_environment(const struct passwd *user, struct nzd_err *err)
{
    extern char **environ;
    const char *called = caller();
    char **at = environ;

    for (char **from = environ; *from; from++)
        if (is_kept(*from))
            *at++ = *from;
    *at = NULL;
    if (setenv("HOME", user->pw_dir, 1) != 0 ||
        setenv("USER", user->pw_name, 1) != 0 ||
        setenv("LOGNAME", user->pw_name, 1) != 0 ||
        setenv("SUDO_USER", called, 1) != 0)
        return nzd_err_memory(err);
    return set_runtime(user, err);
}

static int become(const struct passwd *user, const char *directory,
                  struct nzd_err *err)
{
    if (initgroups(user->pw_name, user->pw_gid) == 0 &&
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) == 0 &&
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0)
        return change_environment(user, err);
    nzd_err_system(err, NZD_EJOURNAL, errno,
                   "journal %s is of user %s, and nzd cannot become that user",
                   directory, user->pw_name);
    nzd_err_next(err, "call nzd as %s", user->pw_name);
    return NZD_EJOURNAL;
}

/* Where there is none yet, the owner of the folder that it is to be made in. */
static uid_t owner_of(const char *directory)
{
    char path[PATH_MAX];
    struct stat status;
    char *slash;

    (void)snprintf(path, sizeof(path), "%s", directory);
    while (stat(path, &status) != 0) {
        slash = strrchr(path, '/');
        if (errno != ENOENT || slash == path || strcmp(path, ".") == 0)
            return 0;
        if (slash)
            *slash = '\0';
        else
            memcpy(path, ".", sizeof("."));
    }
    return status.st_uid;
}

int nzd_owner_become(struct nzd_context *context, struct nzd_err *err)
{
    const char *directory = nzd_journal_path_named(context);
    uid_t owner = directory ? owner_of(directory) : 0;
    const struct passwd *user;
    int code;

    if (geteuid() != 0 || owner == 0)
        return 0;
    user = getpwuid(owner);
    if (!user) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "journal %s is of user %lu, whom this host does not know",
                    directory, (unsigned long)owner);
        nzd_err_next(err, "chown it to the user of the node");
        return NZD_EJOURNAL;
    }
    code = become(user, directory, err);
    /* Not by his home what was looked for by root's. */
    context->config.journal = directory;
    if (code == 0)
        nzd_output_step(&context->output, "user", 0, NULL,
                        "%s, whose journal it is", user->pw_name);
    return code;
}

/* --- a group that reads -------------------------------------------------- */

/* The group first: none but it is let in. */
static int let_read(int folder, const char *name, gid_t group, mode_t mode)
{
    struct stat status;

    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -1;
    if (status.st_gid != group &&
        fchownat(folder, name, (uid_t)-1, group, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if ((status.st_mode & 07777) == mode && status.st_gid == group)
        return 0;
    return fchmodat(folder, name, mode, 0);
}

/* A home or /root is of its owner alone, too: who is let through there meets
 * all that others may read. */
static bool is_nzds(int folder, const struct stat *above)
{
    struct stat named;

    return fstatat(folder, "../../nzd", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           named.st_ino == above->st_ino && named.st_dev == above->st_dev;
}

/* Of its owner alone, as nzd makes it: nobody has said otherwise. */
static int let_through(int folder, gid_t group)
{
    struct stat status;

    if (fstatat(folder, "..", &status, 0) != 0)
        return -1;
    if (status.st_uid != geteuid() || (status.st_mode & 07777) != 0700 ||
        !is_nzds(folder, &status))
        return 0;
    return let_read(folder, "..", group, 0710);
}

int nzd_owner_share(const char *directory, const char *group,
                    struct nzd_err *err)
{
    const struct group *found = getgrnam(group);
    int folder;
    int sys = 0;

    if (!found)
        return nzd_err_set(err, NZD_EUSAGE,
                           "journal_group: this host has no group %s", group);
    folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || let_through(folder, found->gr_gid) != 0 ||
        let_read(folder, "data.mdb", found->gr_gid, 0640) != 0 ||
        let_read(folder, "boot", found->gr_gid, 0640) != 0 ||
        let_read(folder, ".", found->gr_gid, 0750) != 0)
        sys = errno;
    if (folder >= 0)
        close(folder);
    if (!sys)
        return 0;
    nzd_err_system(err, NZD_EJOURNAL, sys,
                   "journal_group: %s cannot be given to group %s", directory,
                   group);
    nzd_err_next(err, "its owner must be root or a member of %s", group);
    return NZD_EJOURNAL;
}

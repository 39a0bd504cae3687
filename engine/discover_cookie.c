/* SPDX-License-Identifier: Apache-2.0 */
#include "discover_internal.h"
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- one file --- */

static bool is_clean(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text == 127)
            return false;
    return true;
}

/* Takes the text of a cookie, the blanks and line ends behind it dropped. */
static int take_text(const char *path, struct nzd_view text,
                     struct nzd_target *out, struct nzd_err *err)
{
    char cookie[NZD_COOKIE_MAX + 1] = "";

    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]))
        text.size--;
    if (text.size > NZD_COOKIE_MAX)
        return nzd_err_set(err, NZD_EUSAGE,
                           "%s: a cookie is at most %d bytes long", path,
                           NZD_COOKIE_MAX);
    if (text.size > 0)
        memcpy(cookie, text.data, text.size);
    if (strlen(cookie) != text.size || text.size == 0 || !is_clean(cookie))
        return nzd_err_set(err, NZD_EUSAGE, "%s does not hold a cookie", path);
    memcpy(out->cookie, cookie, sizeof(cookie));
    (void)snprintf(out->cookie_from, sizeof(out->cookie_from), "%s", path);
    return 0;
}

int nzd_cookie_read(const char *path, struct nzd_target *out, char *warning,
                    size_t warning_size, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    struct stat status;
    int code;

    if (stat(path, &status) != 0)
        return nzd_err_system(
            err,
            errno == ENOENT || errno == ENOTDIR ? NZD_ENOTFOUND : NZD_EUSAGE,
            errno, "%s", path);
    if (!S_ISREG(status.st_mode))
        return nzd_err_set(err, NZD_EUSAGE, "%s is not a file", path);
    if (nzd_host_read(path, 4096, &text) != 0)
        code = nzd_err_system(err, NZD_EUSAGE, errno, "%s", path);
    else
        code = take_text(path, nzd_buf_view(&text), out, err);
    if (code == 0 && (status.st_mode & S_IROTH) && warning_size > 0)
        (void)snprintf(warning, warning_size,
                       "everybody on this host may read the cookie in %s",
                       path);
    nzd_buf_clear(&text);
    return code;
}

/* Looks on when there is no such file, or it is not ours to read. */
static int try_file(const char *path, struct nzd_target *out, char *warning,
                    size_t warning_size, struct nzd_err *err)
{
    struct nzd_err own = NZD_ERR_INIT;
    int code = nzd_cookie_read(path, out, warning, warning_size, &own);

    if (code == 0 || code == NZD_ENOTFOUND)
        return code;
    if (own.sys == EACCES || own.sys == EPERM)
        return NZD_ENOTFOUND;
    return nzd_err_set(err, code, "%s", own.message);
}

int nzd_cookie_of_home(const char *root, const char *home,
                       struct nzd_target *out, char *warning,
                       size_t warning_size, struct nzd_err *err)
{
    static const char *const names[] = {".erlang.cookie",
                                        ".config/erlang/.erlang.cookie"};
    char path[2 * NZD_VM_PATH];
    int code = NZD_ENOTFOUND;

    for (size_t i = 0; i < 2 && code == NZD_ENOTFOUND; i++) {
        (void)snprintf(path, sizeof(path), "%s%s/%s", root, home, names[i]);
        code = try_file(path, out, warning, warning_size, err);
    }
    return code;
}

/* --- a VM's --- */

struct vm {
    struct nzd_vm_arguments arguments;
    struct nzd_buf environment; /* ends in a NUL */
    char root[NZD_VM_PATH];     /* before its absolute paths */
    char cwd[NZD_VM_PATH];      /* before its relative ones */
};

static const char *variable(const struct vm *vm, const char *name)
{
    const char *value =
        nzd_vm_environment(nzd_buf_view(&vm->environment), name);

    return value && *value ? value : NULL;
}

/* Its files are seen through its own root, for the sake of mount namespaces
 * (a unit with PrivateTmp has one); where that is closed to us, through
 * ours. */
static void find_root(const char *proc, int64_t pid, struct vm *vm)
{
    (void)snprintf(vm->root, sizeof(vm->root), "%s/%" PRId64 "/root", proc,
                   pid);
    if (access(vm->root, X_OK) != 0)
        vm->root[0] = '\0';
    (void)snprintf(vm->cwd, sizeof(vm->cwd), "%s/%" PRId64 "/cwd/", proc, pid);
}

static int load(const char *proc, int64_t pid, struct vm *vm,
                struct nzd_err *err)
{
    char path[NZD_VM_PATH];

    find_root(proc, pid, vm);
    (void)snprintf(path, sizeof(path), "%s/%" PRId64 "/environ", proc, pid);
    (void)nzd_host_read(path, NZD_VM_BYTES, &vm->environment);
    nzd_buf_u8(&vm->environment, 0);
    if (vm->environment.failed)
        return nzd_err_memory(err);
    return 0;
}

static int load_arguments(const char *proc, int64_t pid, struct vm *vm)
{
    struct nzd_buf cmdline = {0};
    char path[NZD_VM_PATH];
    bool beam;

    (void)snprintf(path, sizeof(path), "%s/%" PRId64 "/cmdline", proc, pid);
    beam = nzd_host_read(path, NZD_VM_BYTES, &cmdline) == 0 &&
           nzd_vm_parse(nzd_buf_view(&cmdline), &vm->arguments);
    nzd_buf_clear(&cmdline);
    return beam ? 0 : NZD_ENOTFOUND;
}

/* DIR/releases/VSN/start -> DIR/releases */
static bool releases_of_boot(const struct vm *vm, char *out, size_t size)
{
    char path[NZD_VM_PATH];
    char *at;

    memcpy(path, vm->arguments.boot, sizeof(path));
    for (int i = 0; i < 2; i++) {
        at = strrchr(path, '/');
        if (!at)
            return false;
        *at = '\0';
    }
    at = strrchr(path, '/');
    if (strcmp(at ? at + 1 : path, "releases") != 0)
        return false;
    return snprintf(out, size, "%s%s", path[0] == '/' ? vm->root : vm->cwd,
                    path) < (int)size;
}

static int of_release(const struct vm *vm, struct nzd_target *out,
                      char *warning, size_t warning_size, struct nzd_err *err)
{
    const char *root = variable(vm, "RELEASE_ROOT");
    char folder[2 * NZD_VM_PATH];
    char path[2 * NZD_VM_PATH + 16];
    int code = NZD_ENOTFOUND;

    if (root && root[0] == '/' && strlen(root) < NZD_VM_PATH) {
        (void)snprintf(path, sizeof(path), "%s%s/releases/COOKIE", vm->root,
                       root);
        code = try_file(path, out, warning, warning_size, err);
    }
    if (code == NZD_ENOTFOUND && releases_of_boot(vm, folder, sizeof(folder))) {
        (void)snprintf(path, sizeof(path), "%s/COOKIE", folder);
        code = try_file(path, out, warning, warning_size, err);
    }
    return code;
}

static const char *home_of(const struct vm *vm, const char *proc, int64_t pid)
{
    char path[NZD_VM_PATH];
    const char *home = variable(vm, "HOME");
    const struct passwd *user;
    struct stat status;

    if (vm->arguments.home[0] == '/')
        return vm->arguments.home;
    if (home && home[0] == '/' && strlen(home) < NZD_VM_PATH)
        return home;
    (void)snprintf(path, sizeof(path), "%s/%" PRId64, proc, pid);
    if (stat(path, &status) != 0)
        return NULL;
    user = getpwuid(status.st_uid);
    return user ? user->pw_dir : NULL;
}

static int of_vm(const char *proc, int64_t pid, const struct vm *vm,
                 struct nzd_target *out, char *warning, size_t warning_size,
                 struct nzd_err *err)
{
    const char *value = variable(vm, "RELEASE_COOKIE");
    const char *home;
    char from[64];
    int code;

    if (vm->arguments.cookie[0]) {
        (void)snprintf(from, sizeof(from), "-setcookie of process %" PRId64,
                       pid);
        return take_text(from, nzd_view_text(vm->arguments.cookie), out, err);
    }
    if (value) {
        (void)snprintf(from, sizeof(from), "RELEASE_COOKIE of process %" PRId64,
                       pid);
        return take_text(from, nzd_view_text(value), out, err);
    }
    code = of_release(vm, out, warning, warning_size, err);
    if (code != NZD_ENOTFOUND)
        return code;
    home = home_of(vm, proc, pid);
    if (!home)
        return NZD_ENOTFOUND;
    return nzd_cookie_of_home(vm->root, home, out, warning, warning_size, err);
}

int nzd_cookie_of_vm(const char *proc, int64_t pid, struct nzd_target *out,
                     char *warning, size_t warning_size, struct nzd_err *err)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    int code;

    if (!vm)
        return nzd_err_memory(err);
    code = load(proc, pid, vm, err);
    if (code == 0)
        code = load_arguments(proc, pid, vm);
    if (code == 0)
        code = of_vm(proc, pid, vm, out, warning, warning_size, err);
    nzd_buf_clear(&vm->environment);
    free(vm);
    return code;
}

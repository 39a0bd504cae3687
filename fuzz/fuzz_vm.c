/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What other processes of this host say of themselves: the arguments of a VM
 * (a word on each line), its environment, and a file with its cookie, as parts
 * "environ" and "cookie". Besides memory errors: names and cookies are whole.
 */

#include "../engine/discover_internal.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_vm(struct nzd_view cmdline)
{
    struct nzd_vm_arguments vm;
    const char *at;

    if (!nzd_vm_parse(cmdline, &vm))
        return;
    at = strchr(vm.node, '@');
    fuzz_require(!vm.node[0] ||
                 (at && at > vm.node && at[1] && !strchr(at + 1, '@')));
    fuzz_require(strlen(vm.cookie) <= NZD_COOKIE_MAX);
    fuzz_require(memchr(vm.home, 0, sizeof(vm.home)) &&
                 memchr(vm.boot, 0, sizeof(vm.boot)));
}

static void check_environment(struct nzd_view environment)
{
    const char *value;

    if (environment.size == 0 || environment.data[environment.size - 1] != 0)
        return;
    value = nzd_vm_environment(environment, "RELEASE_COOKIE");
    fuzz_require(!value || ((const uint8_t *)value > environment.data &&
                            (const uint8_t *)value <
                                environment.data + environment.size));
}

static void check_cookie(struct nzd_view content)
{
    struct nzd_target target = {0};
    char warning[256] = "";
    struct nzd_err err = NZD_ERR_INIT;
    int rc = nzd_cookie_read(fuzz_file(0, content), &target, warning,
                             sizeof(warning), &err);

    fuzz_require(rc == 0 || err.message[0]);
    if (rc == 0)
        fuzz_require(target.cookie[0] &&
                     strlen(target.cookie) <= NZD_COOKIE_MAX &&
                     !strpbrk(target.cookie, "\n\r"));
}

static void put_file(const char *name, struct nzd_view content)
{
    char path[96];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_require(fd >= 0 && nzd_write_all(fd, content.data, content.size) == 0);
    close(fd);
}

static const char *proc(void)
{
    static bool made;
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/7", fuzz_folder());
    if (!made)
        fuzz_require(mkdir(path, 0700) == 0);
    made = true;
    return fuzz_folder();
}

/* The same as a process of this host; its root is not there. */
static void look_from_outside(struct nzd_view cmdline,
                              struct nzd_view variables)
{
    struct nzd_target target = {0};
    struct nzd_vm_list list;
    struct nzd_err err = NZD_ERR_INIT;
    char warning[256] = "";

    (void)proc();
    put_file("7/cmdline", cmdline);
    put_file("7/environ", variables);
    if (nzd_vm_scan(proc(), &list, &err) == 0)
        fuzz_require(list.count <= NZD_VM_MAX);
    nzd_err_clear(&err);
    if (nzd_cookie_of_vm(proc(), 7, &target, warning, sizeof(warning), &err) ==
        0)
        fuzz_require(strlen(target.cookie) <= NZD_COOKIE_MAX);
}

/* Lines as /proc has words: ended by NUL. */
static struct nzd_view words_of(struct nzd_view text)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)text.data;

    for (size_t i = 0; i < text.size; i++)
        if (bytes[i] == '\n')
            bytes[i] = 0;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_view cmdline = nzd_view_text(""), variables = cmdline;
    struct fuzz_parts parts;

    fuzz_split(nzd_view_of(data, size), &parts);
    for (unsigned i = 0; i < parts.count; i++) {
        const struct fuzz_part *part = &parts.items[i];

        if (strcmp(part->name, "cookie") == 0)
            check_cookie(part->content);
        else if (strcmp(part->name, "environ") == 0)
            check_environment(variables = words_of(part->content));
        else
            check_vm(cmdline = words_of(part->content));
    }
    look_from_outside(cmdline, variables);
    fuzz_parts_clear(&parts);
    return 0;
}

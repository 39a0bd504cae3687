/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_DISCOVER_INTERNAL_H
#define NZD_ENGINE_DISCOVER_INTERNAL_H

/*
 * The parts of discovery: VMs as proc(5) shows them, and cookies. `proc` is
 * the directory where proc(5) is mounted, "/proc" but in tests.
 */

#include "discover.h"

#define NZD_VM_MAX     64           /* VMs of one host that are looked at */
#define NZD_VM_BYTES   (256u << 10) /* of cmdline and environ each */
#define NZD_VM_PATH    4096
#define NZD_COOKIE_MAX 255

/* The arguments of a VM, strings separated by NUL as in /proc/PID/cmdline. */
struct nzd_vm_arguments {
    char node[512]; /* NAME@HOST, or "" when it does not run distributed */
    bool is_long;   /* by -name */
    char cookie[NZD_COOKIE_MAX + 1]; /* of -setcookie, or "" */
    char home[NZD_VM_PATH];          /* of -home */
    char boot[NZD_VM_PATH];          /* of -boot, the first */
};

/* False when these are not the arguments of a BEAM. */
bool nzd_vm_parse(struct nzd_view cmdline, struct nzd_vm_arguments *out);
/* The value of NAME in an environment as of /proc/PID/environ, or NULL; it is
 * NUL-terminated inside `environment`, which must end in a NUL. */
const char *nzd_vm_environment(struct nzd_view environment, const char *name);

struct nzd_vm {
    int64_t pid;
    char node[512];
    bool is_long;
};

struct nzd_vm_list {
    struct nzd_vm vms[NZD_VM_MAX]; /* distributed ones, by ascending pid */
    size_t count;
    int64_t undistributed; /* pid of a BEAM that is not, or 0 */
};

/* VMs of our own network and pid namespaces. */
int nzd_vm_scan(const char *proc, struct nzd_vm_list *out, struct nzd_err *err);

/* One cookie file: NZD_ENOTFOUND when it is not there. */
int nzd_cookie_read(const char *path, struct nzd_target *out, char *warning,
                    size_t warning_size, struct nzd_err *err);
/* What a local VM uses, by its arguments, environment and files. */
int nzd_cookie_of_vm(const char *proc, int64_t pid, struct nzd_target *out,
                     char *warning, size_t warning_size, struct nzd_err *err);
/* Of the home directory `home`; NZD_ENOTFOUND. */
int nzd_cookie_of_home(const char *root, const char *home,
                       struct nzd_target *out, char *warning,
                       size_t warning_size, struct nzd_err *err);

/* nzd_target_find() with proc(5) elsewhere. */
int nzd_target_find_in(const char *proc,
                       const struct nzd_target_options *options,
                       struct nzd_target *out, char *warning,
                       size_t warning_size, struct nzd_err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LAUNCH_H
#define NZD_ENGINE_LAUNCH_H

/*
 * The command that starts a VM, understood well enough to name the release it
 * starts and to have it boot another script, without editing a file:
 *
 *   erl, erlexec    (as erlinit starts it) `-boot OURS` before all arguments;
 *                   of several -boot the first counts. -config and -args_file
 *                   where they name the files beside the release's boot script
 *   mix release     bin/NAME start, daemon ...: RELEASE_BOOT_SCRIPT,
 *                   RELEASE_SYS_CONFIG (Elixir 1.11 and later) and
 *                   RELEASE_VM_ARGS
 *   rebar3, relx    bin/NAME foreground, console, daemon ...: its own
 *                   console_boot and daemon_boot, RELX_CONFIG_PATH and
 *                   VMARGS_PATH
 *
 * An ERTS of the generation's own is started around all of them
 * (launch_erts.h).
 *
 * A flag for all VMs (ERL_AFLAGS) is no way: the scripts start helpers, too.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

#include <limits.h>

enum nzd_launch_kind { NZD_LAUNCH_ERL, NZD_LAUNCH_MIX, NZD_LAUNCH_RELX };
#define NZD_LAUNCH_KINDS 3

struct nzd_launch {
    enum nzd_launch_kind kind;
    char program[PATH_MAX];  /* argv[0], found in PATH, links resolved */
    char root[PATH_MAX];     /* of the release: lib/ and releases/ below it */
    char boot[PATH_MAX];     /* its boot file, ".boot" included */
    char emulator[PATH_MAX]; /* beam.smp */
    char erts[64];           /* "13.1.5" */
    bool detached;           /* the VM is another process than the command's */
};

/* What is to be booted in place of the release's. */
struct nzd_launch_files {
    const char *boot;    /* absolute, without ".boot" */
    const char *config;  /* absolute, ".../sys.config"; NULL: the release's */
    const char *vm_args; /* absolute; NULL: the release's */
    const char *erts; /* folder of another erlexec, absolute; NULL: the base's
                         is started */
};

/* What nzd_launch_instead() may change of the environment; NZD_... is what the
 * operator had there, "" nothing. */
#define NZD_LAUNCH_ENVIRONMENT                                                 \
    "ERL_ZFLAGS", "RELEASE_BOOT_SCRIPT", "NZD_RELEASE_BOOT_SCRIPT",            \
        "RELEASE_SYS_CONFIG", "NZD_RELEASE_SYS_CONFIG", "RELEASE_VM_ARGS",     \
        "NZD_RELEASE_VM_ARGS", "RELX_CONFIG_PATH", "NZD_RELX_CONFIG_PATH",     \
        "VMARGS_PATH", "NZD_VMARGS_PATH", "BINDIR", "NZD_BINDIR", "ROOTDIR",   \
        "EMU", "PROGNAME", "NZD_BASE_ERTS", "NZD_START"

/*
 * Takes back what an earlier one changed, and a VM that it started has handed
 * on to us: heart, say, starts the next VM. Before anything else here.
 */
void nzd_launch_forget(void);

/* NZD_EREFUSED: a command that is none of these, or whose release cannot be
 * told; the message says why. Nothing but files is looked at. */
int nzd_launch_read(char *const argv[], struct nzd_launch *out,
                    struct nzd_err *err);

/*
 * argv with which it boots these files instead, ended by NULL, in the arena;
 * the environment of this process is changed where the command takes them
 * from there. NZD_EREFUSED: the command does not take them, as where it names
 * other files than the release's, or where its script puts values into them
 * before they are read; the message says which. The environment may be changed
 * all the same.
 */
int nzd_launch_instead(const struct nzd_launch *launch, char *const argv[],
                       const struct nzd_launch_files *files,
                       struct nzd_arena *arena, char ***out,
                       struct nzd_err *err);

#endif

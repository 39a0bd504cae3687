/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BOOT_H
#define NZD_ENGINE_BOOT_H

/*
 * What a VM that is about to start shall boot: the generation in force over
 * the release that its command starts, or that release as it is. Settles what
 * an interruption left open, counts the attempt, falls back from a generation
 * that does not become healthy, and lays the overlay out.
 *
 * Nothing here may keep a device from booting: the caller runs it in a child
 * process with a time limit and starts the command as it is when it fails.
 */

#include "command.h"
#include "launch.h"
#include "overlay.h"

struct nzd_boot {
    uint64_t generation; /* 0: the base */
    bool forward;   /* it is an open transaction, to be settled once the VM is
                       up */
    char node[512]; /* its node */
    bool overlay;   /* `boot` is to be booted instead */
    char boot[NZD_OVERLAY_PATH];    /* without ".boot" */
    char config[NZD_OVERLAY_PATH];  /* a sys.config; "": the release's own */
    char vm_args[NZD_OVERLAY_PATH]; /* "": the release's own */
    char erts[NZD_OVERLAY_PATH];    /* the same; folder of an erlexec */
    char journal[PATH_MAX];         /* the journal's folder, "" where none is */
    char root[NZD_OVERLAY_PATH];    /* of the overlay; "" before it was told */
    struct nzd_digest base;
};

/*
 * Returns 0 with what is to be booted. A failure says why the base boots:
 * NZD_EREFUSED (a command that is not understood, or a generation that cannot
 * be counted), NZD_EJOURNAL, NZD_EBUSY (the writer's lock is held), and so on;
 * in `out` is then what was found out before. What is settled, counted and
 * laid out on the way is durable. `launch` holds where out->overlay. The
 * environment of this process may be changed, as nzd_launch_instead() does.
 */
int nzd_boot_decide(struct nzd_context *context, char *const argv[],
                    struct nzd_launch *launch, struct nzd_boot *out,
                    struct nzd_err *err);

/* The files of it, as they are handed to nzd_launch_instead(). */
struct nzd_launch_files nzd_boot_files(const struct nzd_boot *boot);

/* `nzd boot [OPTION...] -- COMMAND...`, with the "--" at argv[dashes]. Does
 * not return when the command was started. */
int nzd_boot_line(int argc, char **argv, int dashes);

#endif

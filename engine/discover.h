/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_DISCOVER_H
#define NZD_ENGINE_DISCOVER_H

/*
 * Which node is meant and what its cookie is, and what can be said of a VM
 * from outside it: proc(5) and epmd, no distribution.
 */

#include "../journal/bytes.h"

struct nzd_target {
    char node[512]; /* NAME@HOST */
    char cookie[256];
    uint16_t port;         /* 0: ask epmd */
    bool local;            /* its VM is on this host */
    int64_t pid;           /* of the local VM when found in /proc, else 0 */
    char cookie_from[256]; /* where the cookie came from, for messages */
};

struct nzd_target_options {
    const char *node;        /* NAME, NAME@HOST, or NULL */
    const char *cookie_file; /* or NULL */
    uint16_t port;
};

/*
 * Without a node name: the only BEAM on this host that runs distributed
 * (-name or -sname in /proc/PID/cmdline of beam.smp, beam; the host part from
 * this host's names); several: NZD_EUSAGE that lists them; none: NZD_ENODE.
 * NAME without host: this host, the form (short or long) the running VM uses,
 * short if it is not to be seen.
 * The cookie: cookie_file; else of the local VM: -setcookie in its arguments,
 * RELEASE_COOKIE in its environment, releases/COOKIE of its release,
 * .erlang.cookie of its user's home; else $HOME/.erlang.cookie. A cookie file
 * that others may read or that is longer than 255 bytes is NZD_EUSAGE (others
 * readable: only a warning is due, through `warning`).
 * After a failure `out` holds what was found until then: the node, mostly.
 */
int nzd_target_find(const struct nzd_target_options *options,
                    struct nzd_target *out, char *warning, size_t warning_size,
                    struct nzd_err *err);

/* Boot id of this host (36 characters). */
int nzd_host_boot_id(char out[40], struct nzd_err *err);
/* Field 22 of /proc/PID/stat; NZD_ENOTFOUND: that process is proven not to be
 * there (a zombie counts as not there); other codes: it cannot be told. */
int nzd_host_process_start(int64_t pid, uint64_t *out, struct nzd_err *err);
/* True when NAME@HOST's host part means this host. */
bool nzd_host_is_local(const char *node);
/* MemAvailable of /proc/meminfo in bytes, 0 unknown. */
uint64_t nzd_host_memory_available(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RESTART_H
#define NZD_ENGINE_RESTART_H

/*
 * What a restart of the VM boots, and how the generation in force has done so
 * far: what plan, apply, status and check say of it.
 */

#include "question.h"

struct nzd_restart {
    uint64_t generation; /* whose code is in force; 0: the base's */
    bool by_nzd_boot;    /* nzd boot started this VM, on this host */
    uint64_t booted;     /* ... with this generation; 0: the base */
    bool in_place;       /* init:restart/0 boots the generation */
    bool counted;        /* a boot of it was counted, or its health told */
    bool healthy;        /* it was, once */
    uint32_t tries;      /* used since; UINT32_MAX: it was told to be bad */
    uint32_t tries_max;  /* then the one before is taken */
};

/* `in_force` with id 0, `journal` NULL: none. Never fails: a count that
 * cannot be read is none. */
void nzd_restart_read(const struct nzd_question *q, struct nzd_journal *journal,
                      const struct nzd_txn *in_force, uint32_t boot_tries,
                      struct nzd_restart *out);

/* "a restart boots generation 7", behind the name of the base. */
void nzd_restart_describe(const struct nzd_restart *restart,
                          struct nzd_buf *out);
/* "healthy, 0 of 3 tries used" */
void nzd_restart_describe_health(const struct nzd_restart *restart,
                                 struct nzd_buf *out);
json_t *nzd_restart_json(const struct nzd_restart *restart);

enum nzd_restart_way {
    NZD_RESTART_NONE,     /* nobody would boot the generation */
    NZD_RESTART_IN_PLACE, /* init:restart/0: the process of the VM stays */
    NZD_RESTART_COMMAND   /* the configured one; nzd boot starts the VM */
};
/* The subject of the evidence where a restart was asked for. */
#define NZD_RESTART_ASKED "--min"
/* How a plan that needs a restart can be carried out on this node. */
enum nzd_restart_way nzd_restart_way(const struct nzd_context *context,
                                     const struct nzd_question *q);

/* Before a commit: init:restart/0 will boot it. */
bool nzd_restart_in_place(const struct nzd_question *q);

#endif

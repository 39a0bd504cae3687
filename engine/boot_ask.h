/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BOOT_ASK_H
#define NZD_ENGINE_BOOT_ASK_H

/*
 * What is to be booted, found out in a child process with a time limit: what
 * a damaged file, a hung disk or a bug of ours does to the one who looks
 * happens there. Only what comes back whole through a pipe counts.
 */

#include "boot.h"

struct nzd_boot_answer {
    struct nzd_boot boot;
    struct nzd_launch launch;
    uint64_t healthy_us;       /* of the configuration */
    int code;                  /* of nzd_boot_decide(); others: no answer */
    char why[NZD_ERR_MESSAGE]; /* of a code that is not 0 */
};

/*
 * Never fails and returns within the limit of the configuration, 10 s until
 * that was read: a child that cannot be made, dies or hangs is a code with
 * the reason. The words before argv[argc] are our own, `command` is what is
 * to be started.
 */
void nzd_boot_ask(int argc, char **argv, char **command,
                  struct nzd_boot_answer *out);

#endif

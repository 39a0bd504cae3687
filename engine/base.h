/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BASE_H
#define NZD_ENGINE_BASE_H

/*
 * The identity of a base: the same whether a running node tells the parts
 * or they are read from the files of a release that is about to start.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

#define NZD_BASE_ELF 20 /* NZD_ELF_HEAD of staging/elf.h */

struct nzd_base_parts {
    const char *name; /* of the boot script: "counter" */
    const char *version;
    struct nzd_view script; /* the boot file's bytes; size 0: none was found */
    const char *erts;       /* "13.1.5" */
    struct nzd_view elf;    /* first bytes of the emulator's file; may be few,
                               then the architecture is not part of it */
};

/* All zeros without memory. */
struct nzd_digest nzd_base_identity(const struct nzd_base_parts *parts);

#endif

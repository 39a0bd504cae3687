/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_ELF_H
#define NZD_STAGING_ELF_H

/*
 * Programs of an emulator as ELF files (elf(5)): for which machine they are,
 * who loads them, and whether they are whole. Both classes and byte orders;
 * nothing is run and no other file is looked at.
 */

#include "../journal/bytes.h"

#define NZD_ELF_HEAD 20 /* bytes up to the machine's */
#define NZD_ELF_MACHINE                                                        \
    4 /* class, byte order, two of e_machine as they are                       \
       */

struct nzd_elf {
    uint8_t machine[NZD_ELF_MACHINE];
    char interpreter[256]; /* "/lib/ld-linux-armhf.so.3"; "": none is needed */
};

/* Of the first bytes of a file. False: too few, or of no ELF file. */
bool nzd_elf_machine(struct nzd_view head, uint8_t out[NZD_ELF_MACHINE]);

/* NZD_ENOTFOUND: it is no ELF file; NZD_EBUNDLE: it cannot be run, as one that
 * ends before its last segment; the message says why, without a name. */
int nzd_elf_read(struct nzd_view file, struct nzd_elf *out,
                 struct nzd_err *err);

#endif

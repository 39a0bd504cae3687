/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_RENAME_H
#define NZD_STAGING_BEAM_RENAME_H

/*
 * A module's code under another name, so that it can be loaded beside the one
 * it is to replace. Bytes in, bytes out; knows how atoms are used:
 *
 *   what a module is called     the first atom of AtU8: renamed; and the first
 *                               operand of each func_info, which is that atom
 *   whom it calls               module atoms of ImpT: renamed where they are of
 *                               the set, by atoms added at the end of AtU8
 *   what it computes with       all other atoms, in Code, LitT, Attr: as they
 *                               were. What meant the first atom means one that
 *                               is added with the old name: an operand, and a
 *                               function that is called as its module is
 *
 * So a name as data (a key, a tag, '__struct__', who is called through a
 * variable) is the real one, equal to what processes hold; a call that names
 * its module goes to the renamed one. module_info tells of the renamed module.
 *
 * A call through a variable would reach the module of the real name. It becomes
 * one of a function that is not there, NZD_RENAME_GUARD of the module whose
 * name is the prefix alone, with module and function behind the arguments; or,
 * of erlang:apply/3, with its three. It raises undef. A `fun M:F/A`, which is a
 * literal, does reach the real one: whoever loads the outcome must know of
 * those (beam_reach.h). The order of all tables stays: nothing else refers to
 * atoms.
 *
 * As compilers of OTP 24 to 28 write it; Dbgi, Docs, CInf and ExCk are left
 * out: they are not for the VM, and would name the old module.
 */

#include "../journal/bytes.h"

#define NZD_RENAME_GUARD "apply"

/* The atoms a module name becomes: `prefix` and the name. */
struct nzd_rename {
    const char *prefix;
    const char *const *modules; /* the set, sorted as strcmp() does */
    uint32_t count;
};

/*
 * Appends the module to `out`, never gzipped. Fails NZD_EBUNDLE where the file
 * does not hold, NZD_EREFUSED where it cannot be renamed: it is not of the
 * set, an instruction is of a newer VM, a name grows too long. `out` holds a
 * part then.
 */
int nzd_beam_rename(struct nzd_view file, const struct nzd_rename *rename,
                    struct nzd_buf *out, struct nzd_err *err);

#endif

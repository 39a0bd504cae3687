/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OWNER_H
#define NZD_ENGINE_OWNER_H

/*
 * Whose the journal is: as whom nzd works, and who else may read. Root that
 * wrote into a folder of another user would follow what that one puts there,
 * and leave files that he cannot write; so root is that user instead, with his
 * groups and his home, as if he had called nzd.
 */

#include "command.h"

/*
 * As root, where the journal that `context` names, or the folder that it is to
 * be made in, is another user's: becomes that user for good, before anything of
 * his is read, and says so. Else does nothing. NZD_EJOURNAL: this host does not
 * know him, or nzd may not.
 */
int nzd_owner_become(struct nzd_context *context, struct nzd_err *err);

/*
 * Lets the members of a group read a journal that is held, and do nothing
 * else: its folder is 0750, data.mdb and boot 0640; the locks stay its owner's
 * alone. The folder above, where it is called nzd and ours alone, lets them
 * through. Done already, it writes nothing. NZD_EUSAGE: no such group;
 * NZD_EJOURNAL.
 */
int nzd_owner_share(const char *directory, const char *group,
                    struct nzd_err *err);

#endif

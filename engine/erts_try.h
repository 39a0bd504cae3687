/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_ERTS_TRY_H
#define NZD_ENGINE_ERTS_TRY_H

/*
 * An ERTS that a transaction would put in force, run once before anything is
 * armed: one built for another C library, or that lacks its loader or a
 * library here, says so now and not at a boot.
 */

#include "transaction.h"

/*
 * Once the rows are made and their content is held. 0: it told the version
 * that it should, or the transaction brings none. NZD_EREFUSED: it does not
 * run here, or there is no room for it; what was laid out is gone then.
 */
int nzd_erts_try(struct nzd_transaction *t, struct nzd_err *err);

#endif

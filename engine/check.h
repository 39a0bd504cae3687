/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CHECK_H
#define NZD_ENGINE_CHECK_H

/*
 * What is refused before anything is touched: a verdict over the limit, calls
 * that would have no target, processes in the way, a bundle that failed
 * before. nzd_transaction_check() of transaction.h lives here.
 */

#include "transaction.h"

/* The level the operator allows: --max, else the configured one. */
enum nzd_level nzd_check_max(const struct nzd_context *context);
/* Raises the plan to the level that --min asks for. */
int nzd_check_raise(struct nzd_transaction *t, struct nzd_err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_PURE_H
#define NZD_STAGING_BEAM_PURE_H

/*
 * What is known of functions of OTP and Elixir without looking at their code:
 * whether a call changes nothing but the process that makes it. A table; what
 * reads the node (application:get_env/2, erlang:system_time/0) is pure here,
 * what reads an ETS table is not: it may be private to another process. Nor is
 * persistent_term:get/1: what it gives is often a fun.
 */

#include <stdint.h>

enum nzd_purity {
    NZD_PURE_BIF,     /* calls no fun it is given */
    NZD_PURE_LIBRARY, /* may call those it is given */
    NZD_IMPURE,
    NZD_PURITY_OF_CODE /* its code has to tell */
};

enum nzd_purity nzd_beam_purity(const char *module, const char *function,
                                uint32_t arity);

#endif

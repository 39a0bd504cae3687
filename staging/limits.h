/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_LIMITS_H
#define NZD_STAGING_LIMITS_H

/*
 * The most we take from bytes we do not trust. Far above what real releases
 * hold (the largest modules of OTP 25 are near 1 MB, an OTP release holds
 * about 50 applications and 2000 modules), low enough for a device.
 */

#define NZD_LIMIT_MODULE_BYTES (32u << 20)  /* one BEAM file, inflated */
#define NZD_LIMIT_TEXT_BYTES   (4u << 20)   /* .app, sys.config, .boot ... */
#define NZD_LIMIT_PRIV_BYTES   (32u << 20)  /* one file of priv in a journal */
#define NZD_LIMIT_PRIV_SPOOL   (256u << 20) /* all of them from one bundle */
#define NZD_LIMIT_BUNDLE_BYTES (4ull << 30) /* all entries of a bundle */
#define NZD_LIMIT_ENTRIES      200000u      /* files of a bundle */
#define NZD_LIMIT_PATH         1024u        /* bytes of one path in it */
#define NZD_LIMIT_MODULES      50000u
#define NZD_LIMIT_APPS         5000u
#define NZD_LIMIT_ATOM_CHARS   255u     /* the VM's own limit */
#define NZD_LIMIT_NAMES        2097152u /* different ones, of all modules */
#define NZD_LIMIT_TERM_DEPTH   200u
#define NZD_LIMIT_TERM_NODES   4000000u
#define NZD_LIMIT_BEAM_ATOMS   1048576u /* per module, as the loader */
#define NZD_LIMIT_BEAM_ENTRIES 262144u  /* exports, imports, lambdas */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_VERSION_H
#define NZD_ENGINE_VERSION_H

/*
 * What this nzd is made of, for people, for tools that ask for it before they
 * use a journal, and for a bill of materials: `nzd --version`. It asks no
 * node and reads no file.
 */

#include "../journal/bytes.h"

/* The answer, lines of text or with `json` one line that holds an object;
 * out->failed where memory is short. */
void nzd_version_tell(bool json, struct nzd_buf *out);

/* No dynamic loader is in this process: the libraries are part of nzd. */
bool nzd_version_is_static(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_HOST_H
#define NZD_ENGINE_HOST_H

/*
 * What this host calls itself, as Erlang would derive it, and its small files.
 * No lookup here asks the network. The public part is in discover.h.
 */

#include "../journal/bytes.h"

#define NZD_HOST_NAME 256 /* bytes, NUL included */

/* The host's name, it up to the first dot, and it with its domain. */
void nzd_host_name(char out[NZD_HOST_NAME]);
void nzd_host_short_name(char out[NZD_HOST_NAME]);
void nzd_host_long_name(char out[NZD_HOST_NAME]);

/* The first `limit` bytes of a file into `out` (reset first); 0, or -1 with
 * errno. For files of proc(5), whose size is not known before. Never waits. */
int nzd_host_read(const char *path, size_t limit, struct nzd_buf *out);

/* NZD_BOOT of a process, as proc(5) shows it: `nzd boot` has started it, with
 * this generation (0: the base). For a VM that cannot be asked. */
bool nzd_host_nzd_boot(int64_t pid, uint64_t *generation);

#endif

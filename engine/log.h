/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LOG_H
#define NZD_ENGINE_LOG_H

/*
 * The system's log: one line per durable move, so that the device's own log
 * tells what happened to its code without the journal. Never blocks, never
 * fails: a line that cannot be written at once is dropped.
 */

#include "../journal/record.h"

/* "transaction 7 armed: counter 0.1.0 -> 0.2.0 on counter@web1", to /dev/log
 * and where nobody listens there to /dev/kmsg. */
void nzd_log_move(const struct nzd_txn *txn);

/* Appends that text, made printable. */
void nzd_log_describe(struct nzd_buf *out, const struct nzd_txn *txn);
/* Writes one line to the datagram socket `socket_path`, else to the device
 * (or, in tests, the file) `kmsg_path`. True when one of them took it. */
bool nzd_log_send(const char *socket_path, const char *kmsg_path, int severity,
                  const char *text);

#endif

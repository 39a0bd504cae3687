/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_TIMELINE_H
#define NZD_ENGINE_TIMELINE_H

/*
 * The events of a transaction since its last durable move: shown as they
 * happen, written with the next move.
 */

#include "output.h"

struct nzd_timeline {
    struct nzd_event *items;
    uint32_t count;
    uint32_t capacity;
    uint64_t opened_us; /* nzd_clock_us() when the transaction was opened */
};

void nzd_timeline_open(struct nzd_timeline *timeline);
/* Adds an event; without memory the event is lost, the transaction is not. */
void nzd_timeline_add(struct nzd_timeline *timeline, enum nzd_event_kind kind,
                      const char *label, uint64_t took_us, const char *format,
                      ...) __attribute__((format(printf, 5, 6)));
/* Gives the last event the output of a hook, cut at `limit` bytes. */
void nzd_timeline_attach(struct nzd_timeline *timeline, struct nzd_view output,
                         size_t limit);
/* Forgets what was written. */
void nzd_timeline_written(struct nzd_timeline *timeline);
void nzd_timeline_clear(struct nzd_timeline *timeline);

#endif

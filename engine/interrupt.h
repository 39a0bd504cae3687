/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_INTERRUPT_H
#define NZD_ENGINE_INTERRUPT_H

/*
 * INT, TERM and HUP: the handler only notes them, and they end a wait early
 * (no SA_RESTART). PIPE is ignored: a link that breaks is an error code.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

void nzd_interrupt_install(void);
/* The first signal that arrived, or 0. */
int nzd_interrupt_pending(void);
/* After armed: later signals are noted, but pending() stays what it was
 * cleared to, so that an undo is not itself interrupted. */
void nzd_interrupt_clear(void);
/* Whether one arrived since this was asked last, whatever was cleared. */
bool nzd_interrupt_noted(void);

/*
 * poll(2) without the gap between asking for a signal and sleeping: with a
 * signal pending it only looks, and one that arrives ends it. Returns 0 then
 * and at the time limit, else as poll(2). The count of `fds` may be 0.
 */
int nzd_interrupt_poll(struct pollfd *fds, unsigned count, uint64_t timeout_us);

/* Clocks in microseconds: CLOCK_BOOTTIME (deadlines, durations), wall. */
uint64_t nzd_clock_us(void);
uint64_t nzd_wall_us(void);
/* The end of a time limit on the first clock, and what is left until then. */
uint64_t nzd_clock_deadline(uint64_t timeout_us);
uint64_t nzd_clock_left(uint64_t deadline);

#endif

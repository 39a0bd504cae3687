/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_INTERRUPT_H
#define NZD_ENGINE_INTERRUPT_H

/*
 * INT, TERM and HUP: the handler only notes them, and they end a wait early
 * (no SA_RESTART). PIPE is ignored: a link that breaks is an error code.
 */

#include <stdbool.h>
#include <stdint.h>

void nzd_interrupt_install(void);
/* The first signal that arrived, or 0. */
int nzd_interrupt_pending(void);
/* After armed: later signals are noted, but pending() stays what it was
 * cleared to, so that an undo is not itself interrupted. */
void nzd_interrupt_clear(void);

/* Clocks in microseconds: CLOCK_BOOTTIME (deadlines, durations), wall. */
uint64_t nzd_clock_us(void);
uint64_t nzd_wall_us(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_TERMINAL_H
#define NZD_TESTS_TERMINAL_H

/*
 * A terminal that a test looks at: a window of a tmux server of its own, in
 * which one command runs after the other. It keeps every byte that a command
 * wrote, and shows what is then to be seen. TERM is "screen" there, the locale
 * C.UTF-8, unless the command's environment says otherwise.
 *
 * As in harness.h, what cannot be done fails the running test, and texts live
 * until the harness is closed.
 */

#include "harness.h"

struct terminal;

/* NULL: there is no tmux here. */
struct terminal *terminal_open(struct harness *harness);

/* A new, empty window of this size, in which the command runs. */
void terminal_begin(struct terminal *terminal, unsigned columns,
                    const char *const *argv, const char *const *environment);
void terminal_resize(struct terminal *terminal, unsigned columns);
/* As typed: "C-c". */
void terminal_type(struct terminal *terminal, const char *key);
/* Waits until the screen shows a match of this pattern. */
void terminal_wait_for(struct terminal *terminal, const char *pattern);
/* Waits for the command's end: its exit status. */
int terminal_end(struct terminal *terminal);

/* All lines of the window that are not empty at its end, those above it too. */
const char *terminal_screen(struct terminal *terminal);
/* The same, lines that the terminal itself has broken put together: where
 * nothing was too wide it is equal. */
const char *terminal_joined(struct terminal *terminal);
/* The bytes as the command wrote them. */
const char *terminal_bytes(struct terminal *terminal);

#endif

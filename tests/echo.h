/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_ECHO_H
#define NZD_TESTS_ECHO_H

/*
 * A link to a real node whose agent answers what it is sent: nzd_test_echo in
 * place of nzd's own, and a module that it does not call. What fails in making,
 * asking or reading fails the running test; the node lives until its harness is
 * closed.
 */

#include "../engine/link.h"
#include "beam_node.h"

#define SECOND 1000000u

struct echo {
    struct harness *harness;
    struct nzd_buf beams[2];
    struct nzd_link_module agent[2]; /* nzd_test_echo is the agent; and one
                                        that it does not call */
    struct nzd_buf request;
    struct nzd_buf reply;
    struct nzd_arena arena;
    struct nzd_link_options options;
    struct nzd_link *link;
    struct nzd_err err;
};

int echo_set_up(void **state);
int echo_tear_down(void **state);
/* The options name this node; the harness' nodes share one cookie. */
void echo_aim(struct echo *fixture, const char *node);
/* Anew, where a link is open; the code of it, which is in `err`. */
int echo_try_open(struct echo *fixture);
void echo_open(struct echo *fixture);
/* Aimed at it. */
struct beam_node *echo_start(struct echo *fixture, int net_ticktime);
/* Signals take a moment to stop all threads of a VM. */
void echo_freeze(struct echo *fixture, struct beam_node *node);
/* Sends `request`; the next message, read into the arena. */
void echo_ask(struct echo *fixture);
const struct nzd_term *echo_answer(struct echo *fixture);
/* {tag, number} comes; and it does to an echo that is asked for. */
void assert_answer(struct echo *fixture, const char *tag, int64_t number);
void assert_echo(struct echo *fixture, int64_t number);
void assert_refused(struct echo *fixture, int code, const char *why);
/* Its name can be given again; nodes/1 forgets it before. */
void echo_close(struct echo *fixture, struct beam_node *node);

#endif

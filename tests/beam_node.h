/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BEAM_NODE_H
#define NZD_TESTS_BEAM_NODE_H

/*
 * Real nodes for tests: started from a release's folder or bare, asked by
 * expressions, put under load, stopped, killed, frozen. A node's name is
 * unique to test program and call, its HOME is the harness' folder, and it dies
 * with the test program.
 *
 * As in harness.h, what cannot be done fails the running test, and texts live
 * until the harness is closed.
 */

#include "harness.h"

#include <stdint.h>

struct beam_node_options {
    const char *release; /* folder with lib/ and releases/; NULL: bare erl */
    const char *version; /* NULL: what releases/start_erl.data names */
    const char *name;    /* how its name begins; NULL: "node" */
    bool interactive;    /* else embedded; a bare erl is always interactive */
    const char *boot;    /* boot script without .boot; NULL: the release's */
    int net_ticktime;    /* seconds; 0: the default of the VM */
    const char *address; /* IPv4 it listens on, and the host of its long name;
                            NULL: 127.0.0.1 and localhost */
    const char *const *prefix;      /* before the VM's command: nzd boot -- */
    const char *const *arguments;   /* more for the VM; NULL-terminated */
    const char *const *environment; /* "NAME=value"; NULL-terminated */
};

/* Starts a node and waits until it has booted and answers. */
struct beam_node *beam_node_start(struct harness *harness,
                                  const struct beam_node_options *options);
/* A node that others start and end, in which nzd_test_ctl listens at `socket`;
 * to be asked. Its pid is 0. */
struct beam_node *beam_node_of_others(struct harness *harness, const char *name,
                                      const char *socket, const char *log);
/* Starts a node that has ended again, same name and options. */
void beam_node_start_again(struct beam_node *node);
/* Where `boot` and `arguments` change for that start; others are kept. */
void beam_node_reconfigure(struct beam_node *node, const char *boot,
                           const char *const *arguments);

const char *
beam_node_name(const struct beam_node *node); /* "n_7_1@localhost" */
pid_t beam_node_pid(const struct beam_node *node);
bool beam_node_alive(const struct beam_node *node);
/* What it has printed since its first start. */
const char *beam_node_log(struct beam_node *node);

/* init:stop(), and waits for the end. */
void beam_node_stop(struct beam_node *node);
void beam_node_kill(struct beam_node *node);   /* SIGKILL, waits */
void beam_node_freeze(struct beam_node *node); /* SIGSTOP */
void beam_node_thaw(struct beam_node *node);   /* SIGCONT */
/* True when its process ended within the limit; waits for nzd's doings. */
bool beam_node_wait_end(struct beam_node *node, int limit_ms);
/* Waits until the VM has gone through init:restart() since it last was seen
 * up by start, start_again or this. */
void beam_node_wait_restart(struct beam_node *node, int limit_ms);

/* The value of an expression as ~0tp prints it; an exception fails the test. */
const char *beam_node_eval(struct beam_node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* NULL where it raises, or the node does not answer within a second. */
const char *beam_node_try(struct beam_node *node, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Fails unless the expression has this value: "{\"0.1.0\",1}". */
#define assert_eval(node, expression, expected)                                \
    beam_node_check((node), (expression), (expected), __FILE__, __LINE__)
void beam_node_check(struct beam_node *node, const char *expression,
                     const char *expected, const char *file, int line);
/* Evaluates until the value is the expected one. */
void beam_node_wait_for(struct beam_node *node, const char *expression,
                        const char *expected, int limit_ms);

/* Fails when a process stays suspended; the VM's own are, for moments, while
 * code is purged. */
void beam_node_wait_unsuspended(struct beam_node *node);

/* Requests in the background. */
struct beam_load_result {
    uint64_t ok;         /* calls that returned */
    uint64_t undef;      /* calls that ended in undef */
    uint64_t fail;       /* calls that raised something else */
    uint64_t killed;     /* workers that did not live until the end */
    uint64_t longest_us; /* the longest call */
    const char *results; /* "[{Result,Count},...]", the first 100 distinct */
    const char *errors;  /* the same of what was raised */
};

struct beam_load;

/* `workers` processes call module:function(arguments), each again after
 * `pause_ms`; arguments is a list's text, "[7]". */
struct beam_load *beam_load_start(struct beam_node *node, unsigned workers,
                                  unsigned pause_ms, const char *module,
                                  const char *function, const char *arguments);
/* Waits until this many more calls have ended. */
void beam_load_wait(struct beam_load *load, uint64_t calls);
struct beam_load_result beam_load_stop(struct beam_load *load);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_HARNESS_H
#define NZD_TESTS_HARNESS_H

/*
 * What tests of the whole program share: a temporary folder, an epmd of the
 * test's own, runs of nzd with everything they printed, and checks that show
 * it when they fail. Nodes are in beam_node.h.
 *
 * A function that cannot do what it says fails the running cmocka test; none
 * returns an error. Texts that are returned live until harness_close().
 */

#include "process.h"

#include <stdbool.h>
#include <stddef.h>

struct harness;
struct beam_node;

/*
 * Makes the temporary folder and, once for the test program, starts an epmd
 * on a free port of 127.0.0.1 and exports ERL_EPMD_PORT, so neither nodes nor
 * nzd ever meet the host's. Close kills what still runs and removes the folder.
 */
struct harness *harness_open(void);
void harness_close(struct harness *harness);

const char *harness_dir(const struct harness *harness);
/* Holds the cookie of all nodes; it is also HOME's .erlang.cookie there. */
const char *harness_cookie_file(struct harness *harness);
/* The journal that harness_nzd() names: "DIR/journal". */
const char *harness_journal(struct harness *harness);
/* A text, and a path in the temporary folder. */
const char *harness_text(struct harness *harness, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *harness_path(struct harness *harness, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A fixture of tests/fixtures/build.sh: "counter-0.1.0.tar.gz". */
const char *harness_fixture(struct harness *harness, const char *name);

void harness_write_file(const char *path, const char *text);
/* The whole file as text, "" when it is not there. */
const char *harness_read_file(struct harness *harness, const char *path);
/* cp -r, rm -rf. */
void harness_copy(struct harness *harness, const char *from, const char *to);
void harness_remove(struct harness *harness, const char *path);

/* What a finished command did. */
struct harness_run {
    const char *command; /* its arguments, for messages */
    int status;          /* exit status, or 128 + the signal that ended it */
    bool timed_out;      /* it was killed at the limit; status is 137 */
    double ms;
    long peak_kb; /* peak RSS, see process.h */
    const char *out;
    const char *err;
};

/*
 * argv of the nzd under test (NZD of the environment, else build/nzd) with the
 * arguments up to NULL; then, where `node` is given, --node, --cookie-file
 * and --journal for it.
 */
const char *const *harness_argv(struct harness *harness,
                                const struct beam_node *node, ...)
    __attribute__((sentinel));
/* Both one after the other: a prefix such as strace, and its command. */
const char *const *harness_concat(struct harness *harness, const char *const *a,
                                  const char *const *b);

/* Time limit of the functions below that take none. */
#define HARNESS_LIMIT_MS 60000

/* harness_argv() and harness_run() in one. */
struct harness_run harness_nzd(struct harness *harness,
                               const struct beam_node *node, ...)
    __attribute__((sentinel));
/* `environment` ("NAME=value", NULL at the end) is added; may be NULL. */
struct harness_run harness_run(struct harness *harness, const char *const *argv,
                               const char *const *environment);

/* The same in two steps, to do something in between. */
struct harness_job;
struct harness_job *harness_begin(struct harness *harness,
                                  const char *const *argv,
                                  const char *const *environment);
pid_t harness_job_pid(const struct harness_job *job);
/* What it has printed so far. */
const char *harness_job_out(struct harness *harness,
                            const struct harness_job *job);
const char *harness_job_err(struct harness *harness,
                            const struct harness_job *job);
/* Kills it at the limit. */
struct harness_run harness_end(struct harness *harness, struct harness_job *job,
                               int limit_ms);

/* Checks. A failing one shows the whole run or text. */
#define assert_status(run, expected)                                           \
    harness_check_status(&(run), (expected), __FILE__, __LINE__)
#define assert_contains(text, part)                                            \
    harness_check_text((text), (part), true, __FILE__, __LINE__)
#define assert_lacks(text, part)                                               \
    harness_check_text((text), (part), false, __FILE__, __LINE__)
/* An extended regular expression; ^ and $ match at each line. */
#define assert_matches(text, pattern)                                          \
    harness_check_pattern((text), (pattern), __FILE__, __LINE__)

void harness_check_status(const struct harness_run *run, int expected,
                          const char *file, int line);
void harness_check_text(const char *text, const char *part, bool expected,
                        const char *file, int line);
void harness_check_pattern(const char *text, const char *pattern,
                           const char *file, int line);

/* Fails the running test with a message. */
void harness_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* Has harness_close() call this first; the last one given is the first. */
void harness_at_close(struct harness *harness, void (*close)(void *),
                      void *argument);
/* Zeroed memory that lives until harness_close(). */
void *harness_alloc(struct harness *harness, size_t size);

#endif

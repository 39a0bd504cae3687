/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_PROCESS_H
#define NZD_TESTS_PROCESS_H

/*
 * Programs that a test starts. Each leads a process group of its own and is
 * killed when the test program ends, however that ends. Its outputs go to
 * files, so a program that prints much never waits for the test to read.
 * Not for tests with threads: a child dies with the thread that started it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct process_command {
    const char *const *argv;        /* NULL-terminated; argv[0] by PATH */
    const char *const *environment; /* "NAME=value", added to ours; or NULL */
    const char *directory;          /* working directory; NULL: ours */
    const char *output;             /* file for stdout; NULL: /dev/null */
    const char *errors;             /* file for stderr; may equal output */
};

struct process_end {
    int status;   /* exit status, or 128 + the signal that ended it */
    double ms;    /* from fork to its end, on the monotonic clock */
    long peak_kb; /* peak RSS; never below what the test program had itself */
};

/* The pid, or -1 with errno. A program that cannot be executed exits 127. */
pid_t process_spawn(const struct process_command *command);

/*
 * Waits up to `limit_ms` for a spawned process: true when it ended, with
 * `end` (may be NULL) filled. False when it still runs.
 */
bool process_wait(pid_t pid, int limit_ms, struct process_end *end);

/* Whether it still runs (a stopped one does); does not reap it. */
bool process_alive(pid_t pid);
/* By SIGSTOP; also one that is not our child. */
bool process_is_stopped(pid_t pid);

/* SIGKILL to the whole group, then waits for its leader. */
void process_kill(pid_t pid);

/* SIGKILL to every process that was started with "NAME=value" in its
 * environment, whatever group or session it went to; waits until they are
 * gone. */
void process_kill_marked(const char *mark);
/* How many of them run this program (an absolute path). */
unsigned process_count_marked(const char *mark, const char *program);
/* A line for each: its pid and its command line. */
void process_list_marked(const char *mark, const char *program, char *out,
                         size_t size);

/* A process whose command line has both of these words; 0: there is none. */
pid_t process_with_words(const char *word, const char *other);

/* Milliseconds of the monotonic clock, and a rest. */
double process_now_ms(void);
void process_sleep_ms(double ms);

#endif

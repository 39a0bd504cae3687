/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_FILM_H
#define NZD_TESTS_FILM_H

/*
 * Commands of nzd that are recorded one after the other, with the journal at
 * FOLDER/data/nzd/journal where nothing but FOLDER is there at first, and the
 * sweep over the cuts of what was recorded last. As in harness.h, what cannot
 * be done fails the running test.
 */

#include "sweep.h"

struct replay;

struct film {
    struct sweep *sweep;
    struct beam_node *node;
    const char *folder;
    const char *journal; /* in it */
    const char *log;
    const char *state;  /* the folder where states are made */
    const char *config; /* of nzd */
    size_t begin;       /* the entry that what is swept begins with */
    struct replay *replay;
};

struct film *film_open(struct sweep *sweep, struct beam_node *node);
void film_close(struct film *film);
/* An nzd.conf of its own instead of the sweep's. */
void film_configure(struct film *film, const char *text);
/* Whether `nzd journal VERB` is known. */
bool film_can(struct film *film, const char *verb);
uint64_t film_journal_bytes(const struct film *film); /* of data.mdb, or 0 */

/* What is recorded from here on is swept together and counts for the row. */
void film_begin(struct film *film, const char *row);
/*
 * Runs nzd and marks its end. A word that names a version of counter is
 * replaced by its bundle. The folder must then be what the log makes of it.
 */
void film_run(struct film *film, const char *const *words, int status,
              const char *const *environment);
/* The point right after the last, the second but last (2) ... durable move
 * of the last whole command. */
unsigned film_commit(struct film *film, unsigned from_last);

/* How many acts, each an entry but the marks, made the journal's file and gave
 * it its name: for NZD_RECORD_KILL_AT. */
unsigned film_acts_to_rename(struct film *film);

struct film_sweep {
    unsigned cuts;   /* of a sample, chosen */
    unsigned most;   /* of them in full; 0: each entry */
    unsigned random; /* states for each cut, in full; one of a sample */
};
/* Fails the test where a state does not hold, after all were tried. */
void film_sweep(struct film *film, const struct film_sweep *how);
/* Counts them; the row has no violations. */
unsigned film_sweep_broken(struct film *film, const struct film_sweep *how);
/* So many states of all that was recorded, each with the real nzd on a node
 * that was started anew. */
void film_go_on(struct film *film, const char *row, unsigned states);

#endif

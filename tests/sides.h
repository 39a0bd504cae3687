/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_SIDES_H
#define NZD_TESTS_SIDES_H

/*
 * Crash proofs of a change whose two sides an expression of the node tells: the
 * states of processes, configuration, applications, files. It is interrupted in
 * the ways of the other proofs, and behind each the node is wholly on one side,
 * which is the one that the journal has in force. What it takes to go there and
 * back is the caller's; the ways to interrupt are here.
 */

#include "hold.h"
#include "network.h"

enum sides_side { SIDES_OLD, SIDES_NEW };

/* An operation that is interrupted. */
struct sides_turn {
    struct operation operation; /* `before` is not looked at */
    enum sides_side from;
    bool stays; /* there is no other side: it never goes there */
    /* Evaluated in the node before each run, and behind it, or NULL. */
    const char *arm;
    const char *disarm;
};

struct sides {
    struct sweep *sweep;
    const char *tells;        /* the expression, for all it costs */
    const char *values[2];    /* what it is on each side */
    struct operation ways[2]; /* uninterrupted, to each side */
    /* What a VM that has started anew needs before it tells, or NULL. */
    void (*restarted)(struct sides *sides);
    bool
        supervised; /* somebody starts a VM that has ended again, by nzd boot */
    int limit_ms;   /* for nzd to come to its end */
    struct network *network; /* to a node of another host, or NULL */
    unsigned last; /* the transaction before the one that is interrupted */
};

/* Adds this word, or puts it in the place of the same option: how long somebody
 * is waited for who may be dead. */
void sides_limit(struct sides_turn *turn, const char *timeout);
/* Goes to that side, where the node is not there already; must succeed. */
void sides_go(struct sides *sides, enum sides_side side);
/* Counts a run, has it settled, and checks: one side, and that of the journal;
 * status, journal; nobody suspended, no old code, nothing of a rehearsal or a
 * soak, no process of nzd left. */
void sides_check(struct sides *sides, const struct sides_turn *turn,
                 const char *after);

/* What is ended at each point. */
enum sides_kind {
    SIDES_NZD,    /* nzd; its recovery, too, and the recovery of that */
    SIDES_AGENT,  /* at points of nzd what of it runs in the node; the link */
    SIDES_INSIDE, /* the same behind each function that the agent calls */
    SIDES_VM,     /* the VM, with nzd or without */
    SIDES_LINK,   /* the network, until both ends have given the other up */
    SIDES_KINDS
};

/* A row: at all points of the operation in full, else at a few. */
void sides_sweep(struct sides *sides, enum sides_kind kind,
                 const struct sides_turn *turn);

/* A case of SIDES_INSIDE: "agent", "both", "guard" killed or the "link" cut
 * behind the first call of "room:function/arity". */
void sides_strike(struct sides *sides, const struct sides_turn *turn,
                  const char *victim, const char *function);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_NODE_SWITCH_H
#define NZD_ENGINE_NODE_SWITCH_H

/*
 * The code of a node, from one side to the other: what the agent is handed
 * before it, the switch, the undo, and what became of who ran it. Knows how the
 * agent says that code, a process or a state did not let it, and hides those
 * answers behind a message and lists of who was in the way.
 *
 * The transaction is open in the agent before (node_act.h). Errors are those of
 * node.h; what is handed over is the caller's, and is not kept.
 */

#include "node.h"

/* Old and new code are sent without waiting; the answers are collected by
 * nzd_node_collect(), which names the first module that was refused. */
enum nzd_node_prepare {
    NZD_PREPARE_AT_UNDO, /* where there is no memory for it before */
    NZD_PREPARE_NOW,     /* who is suspended must not wait for it in an undo */
    NZD_PREPARE_LATER    /* while it is seen whether the new code stays */
};
/* `md5` is the module's, as these bytes have it. */
int nzd_node_put_old(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes,
                     const struct nzd_digest *md5,
                     enum nzd_node_prepare prepare, struct nzd_err *err);
int nzd_node_put_new(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes, bool late,
                     struct nzd_err *err);
int nzd_node_collect(struct nzd_node *node, struct nzd_err *err);

/* What code_change of a module is handed as Extra, either way; NULL: []. */
struct nzd_extra {
    const char *module;
    const struct nzd_term *up;
    const struct nzd_term *down;
};
struct nzd_extras {
    struct nzd_extra *items;
    uint32_t count;
};
/* As a list of {Module, Up, Down}. */
void nzd_node_put_extras(struct nzd_buf *out, const struct nzd_extras *extras);

/* Which way the states of processes go, and how long each is waited for. */
struct nzd_node_way {
    bool down;
    uint64_t limit_us;
    const struct nzd_extras *extras; /* NULL: none */
};
/* The sets of the plan: what was added, removed, the lambdas, and whose
 * processes migrate. */
int nzd_node_put_sets(struct nzd_node *node, const struct nzd_plan *plan,
                      const struct nzd_node_way *way, struct nzd_err *err);

/*
 * The switch. 0: all is loaded, `pause_us` is how long finish_loading took,
 * `blockers` who stayed in the old code. NZD_EREFUSED: nothing is loaded or
 * the agent has undone it; the message says why, `blockers` who was in the way.
 */
int nzd_node_switch(struct nzd_node *node, uint64_t *pause_us,
                    struct nzd_arena *arena, struct nzd_occupant_list *blockers,
                    struct nzd_err *err);
/* 0: old code runs; `left` counts added modules that go later.
 * NZD_EREFUSED: blocked, nothing was loaded, can be repeated. */
int nzd_node_undo(struct nzd_node *node, uint64_t *took_us, uint32_t *left,
                  struct nzd_arena *arena, struct nzd_occupant_list *blockers,
                  struct nzd_err *err);
/* What the last switch or undo did to processes; zeros when nobody was
 * suspended. Asked once: the second time it is all zeros. Texts go into
 * `arena`. */
#define NZD_MOVED_NOTES 20
struct nzd_moved {
    uint32_t users;    /* were suspended for their state */
    uint32_t starters; /* were suspended so that they start no more of them */
    uint32_t changed;  /* were asked for their code_change */
    uint64_t suspend_us;
    uint64_t change_us;
    uint64_t held_us; /* from the first suspension to the last resumption */
    bool put_back;    /* each state is what it was before */
    bool undo;
    struct {
        const char *label;
        const char *text;
    } notes[NZD_MOVED_NOTES];
    uint32_t note_count;
};
int nzd_node_moved(struct nzd_node *node, struct nzd_arena *arena,
                   struct nzd_moved *out, struct nzd_err *err);
/* Who was ended by the operator's word (--kill) since the last time it was
 * asked; appended to `out`. */
int nzd_node_ended(struct nzd_node *node, struct nzd_arena *arena,
                   struct nzd_occupant_list *out, struct nzd_err *err);
/* Applications and registered names are there: 0, or NZD_EROLLEDBACK with
 * what is missing. */
int nzd_node_validate(struct nzd_node *node, struct nzd_err *err);

#endif

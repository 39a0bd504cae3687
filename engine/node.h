/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_NODE_H
#define NZD_ENGINE_NODE_H

/*
 * A node as the transaction sees it: one session with its agent. Requests
 * carry the fence (token of the VM, transaction, epoch); answers are matched
 * by number, so a late answer to an earlier request is never taken for a
 * later one. What the requests and answers look like stands at the top of
 * beam/nzd_agent.erl. The acts of a transaction are rooms of their own,
 * node_act.h and node_switch.h.
 *
 * Terms and texts of an answer are valid until the next request on the same
 * session, unless they went into an inventory or a caller's arena.
 *
 * Errors: NZD_ELOST the link is gone; NZD_ETIMEOUT no answer in time (the
 * request may still be done in the node); NZD_EINTERNAL an answer we do not
 * understand; NZD_EUNSETTLED fenced: somebody else speaks for the node now.
 */

#include "../staging/plan.h"
#include "discover.h"
#include "link.h"

struct nzd_node;

int nzd_node_open(const struct nzd_target *target, uint64_t timeout_us,
                  struct nzd_node **out, struct nzd_err *err);
void nzd_node_close(struct nzd_node *node); /* NULL is fine */
struct nzd_link *nzd_node_link(struct nzd_node *node);
const char *nzd_node_name(const struct nzd_node *node);

struct nzd_fence {
    uint8_t token[16];
    uint64_t txn;
    uint64_t epoch;
};
void nzd_node_set_fence(struct nzd_node *node, const struct nzd_fence *fence);
const struct nzd_fence *nzd_node_fence(const struct nzd_node *node);

/* Sends a request (one term, without the 131) and waits for its answer.
 * `timeout_us` 0: the session's. */
int nzd_node_ask(struct nzd_node *node, const struct nzd_buf *request,
                 uint64_t timeout_us, const struct nzd_term **answer,
                 struct nzd_err *err);
/* Sends only; `number` is for nzd_node_answer(). */
int nzd_node_send(struct nzd_node *node, const struct nzd_buf *request,
                  uint64_t *number, struct nzd_err *err);
int nzd_node_answer(struct nzd_node *node, uint64_t number, uint64_t timeout_us,
                    const struct nzd_term **answer, struct nzd_err *err);
/* An error of an answer that is none of the expected ones. */
int nzd_node_unexpected(const struct nzd_node *node, const char *what,
                        const struct nzd_term *answer, struct nzd_err *err);

/* --- questions -------------------------------------------------------- */

struct nzd_hello {
    char phase[16]; /* of the agent: idle, open, switched, trial, keeping,
                       expired, undone; see beam/nzd_agent.erl */
    uint64_t txn;
    uint64_t epoch;
    uint64_t left_us; /* of a trial; 0: the old code may come back by itself */
    bool begun;       /* and it was told that the journal has it */
    bool has_token, has_owner;
    uint8_t token[16];
    uint8_t owner[16]; /* uuid of the journal that owns the node */
    bool embedded;
    bool overlay;        /* what init:restart/0 boots is an overlay */
    bool starting;       /* its boot script has not come to its end */
    bool stopping;       /* it is being stopped or restarted */
    bool by_nzd_boot;    /* nzd boot started this VM */
    uint64_t nzd_booted; /* the generation it booted; 0: the base */
    char otp[16];
    char erts[32];
    char arch[64];
    char script_name[128];
    char script_version[128];
    char release_root[1024];
    uint64_t os_pid;
    uint64_t uptime_us;
    uint64_t processes;
    uint64_t memory;   /* bytes the VM has allocated */
    uint64_t old_code; /* modules that have old code */
};
int nzd_node_hello(struct nzd_node *node, struct nzd_hello *out,
                   struct nzd_err *err);
/* CLOCK_BOOTTIME of the node's host, to 10 ms, and what is left of a trial at
 * that instant. boot_id "": that host has no such clock. */
struct nzd_node_clock {
    char boot_id[NZD_BOOT_ID];
    uint64_t now_us;
    uint64_t left_us;
};
int nzd_node_clock(struct nzd_node *node, struct nzd_node_clock *out,
                   struct nzd_err *err);
/* NZD_EBUSY: the node belongs to the journal of this uuid. */
int nzd_node_foreign(const struct nzd_node *node,
                     const struct nzd_digest *owner, struct nzd_err *err);

/* Applications and loaded modules, sorted. `out` is initialised here. */
int nzd_node_inventory(struct nzd_node *node, struct nzd_inventory *out,
                       struct nzd_err *err);
/* Adds those of `names` that are on the node's code path but not loaded;
 * the caller sorts again. */
int nzd_node_on_disk(struct nzd_node *node, const char *const *names,
                     uint32_t count, struct nzd_inventory *out,
                     struct nzd_err *err);
/* What lies in these files, one for each name; what is not there is not in
 * `out`, which is initialised here. */
int nzd_node_held(struct nzd_node *node, const char *const *names,
                  const char *const *paths, uint32_t count,
                  struct nzd_inventory *out, struct nzd_err *err);
/* Names of the modules in the folders of these applications, `each` called
 * for one after the other; the text is valid during the call only. */
int nzd_node_beams(struct nzd_node *node, const char *const *apps,
                   uint32_t count, int (*each)(void *context, const char *name),
                   void *context, struct nzd_err *err);
/* What the file of each module holds, where code:which/1 names one. */
int nzd_node_files(struct nzd_node *node, const char *const *names,
                   uint32_t count, struct nzd_inventory *out,
                   struct nzd_err *err);
/* Boot script, configuration and .app files of the base, into `out`, whatever
 * the VM has booted in their place. The identity of the base and the path it
 * lies in are filled too. */
struct nzd_base {
    struct nzd_digest identity;
    char path[1024];
    char boot_file[1024]; /* "": none was found */
    char name[128];
    char version[128];
    char erts[32]; /* its own, whichever one runs */
};
int nzd_node_base(struct nzd_node *node, const struct nzd_hello *hello,
                  struct nzd_inventory *out, struct nzd_base *base,
                  struct nzd_err *err);
/* priv files of these applications, as the base has them, into `out`; the
 * caller sorts again. */
struct nzd_node_folder {
    const char *app;
    const char *folder; /* of one that is not on the code path, or "" */
};
int nzd_node_priv(struct nzd_node *node, const struct nzd_node_folder *apps,
                  uint32_t count, struct nzd_inventory *out,
                  struct nzd_err *err);
/* The .appup files of these applications, where the node finds one: in `out`,
 * of those whose version it is of. */
int nzd_node_appups(struct nzd_node *node, const char *const *apps,
                    uint32_t count, struct nzd_inventory *out,
                    struct nzd_err *err);

enum nzd_object_state {
    NZD_OBJECT_FOUND,
    NZD_OBJECT_DIFFERS, /* the file is not what runs */
    NZD_OBJECT_MISSING
};
/* The bytes that run, or of one that is not loaded those that would; without
 * them where they are not found. */
struct nzd_object {
    enum nzd_object_state state;
    struct nzd_view bytes; /* valid during the call only */
    struct nzd_digest md5; /* of the module */
};
/* One call of `each` per name, in order. */
typedef int (*nzd_object_fn)(void *context, uint32_t index,
                             const struct nzd_object *object,
                             struct nzd_err *err);
int nzd_node_objects(struct nzd_node *node, const char *const *names,
                     uint32_t count, nzd_object_fn each, void *context,
                     struct nzd_err *err);

/* Loaded code outside `plan`, but for the modules of `except`, whose file
 * calls what the plan removes: into its gaps. */
int nzd_node_callers(struct nzd_node *node, struct nzd_plan *plan,
                     const char *const *except, uint32_t except_count,
                     struct nzd_err *err);

enum nzd_occupant_kind {
    NZD_OCCUPANT_LINGERING, /* in old code of an earlier reload */
    NZD_OCCUPANT_RESIDENT,  /* in code that is about to become old */
    NZD_OCCUPANT_CLOSURE,   /* somebody holds closures of old code */
    NZD_OCCUPANT_HOLDER,    /* ... of current code: blocks nothing now */
    NZD_OCCUPANT_USER,      /* runs a changed callback module */
    NZD_OCCUPANT_LAST_USER  /* runs a removed one, which stays for it */
};
struct nzd_occupant {
    enum nzd_occupant_kind kind;
    char pid[32];     /* "" of closures */
    const char *name; /* registered, or "" */
    const char *module;
    const char *function;
    uint32_t arity;
    uint32_t count; /* of closures */
};
struct nzd_occupant_list {
    struct nzd_occupant *items;
    uint32_t count;
    uint32_t capacity;
};
/* Looks again until nobody is left who may stay, for about 50 ms at most. Texts
 * go into `arena`. */
int nzd_node_occupants(struct nzd_node *node, const struct nzd_plan *plan,
                       struct nzd_arena *arena, struct nzd_occupant_list *out,
                       struct nzd_err *err);
/* Processes that a change of their callback module migrates, by its
 * code_change, or, of a supervisor, its init/1; and those whose callback module
 * is removed. */
int nzd_node_users(struct nzd_node *node, const struct nzd_plan *plan,
                   struct nzd_arena *arena, struct nzd_occupant_list *out,
                   struct nzd_err *err);

/* Calls each code_change on copies of the states of those that run its module,
 * in code that is loaded for that under other names, and gone when this
 * returns. NZD_EREFUSED: it could not be done. */
struct nzd_rehearse_part {
    const char *module;
    const char *shadow; /* the name that its code is loaded under */
    bool calls_funs;    /* states that hold funs are to be left out */
    const struct nzd_term *attributes; /* of what a downgrade leads to; NULL:
                                          it goes up */
    const struct nzd_term *extra;      /* that it is handed; NULL: [] */
};
struct nzd_rehearse_code {
    const char *shadow;
    struct nzd_view bytes;
};
struct nzd_rehearse_job {
    const struct nzd_rehearse_part *parts;
    uint32_t part_count;
    const struct nzd_rehearse_code *code;
    uint32_t code_count;
    uint32_t processes; /* at most, of each module */
    uint64_t read_us;   /* for a process to tell its state */
    uint64_t change_us; /* for a code_change */
    uint64_t all_us;
    uint64_t bytes; /* of memory, for a state and its code_change */
};
struct nzd_rehearsal_note {
    bool failed;     /* else left out */
    const char *pid; /* "": of none alone */
    const char *name;
    const char *why;
    const char *shape; /* types, keys and sizes of the state */
    const char *stack; /* "f:g/1 line 3, from ..." */
};
struct nzd_rehearsal_part {
    const char *module;
    uint32_t processes;
    uint32_t well;
    uint64_t us;
    struct nzd_rehearsal_note *notes;
    uint32_t note_count;
};
struct nzd_rehearsal {
    bool done;
    struct nzd_rehearsal_part *parts;
    uint32_t part_count;
};
/* Fills `out` of the job's number of parts, in its order. */
int nzd_node_rehearse(struct nzd_node *node, const struct nzd_rehearse_job *job,
                      struct nzd_arena *arena, struct nzd_rehearsal_part *out,
                      struct nzd_err *err);
/* A struct whose keys are others in the new code, and who holds some. */
struct nzd_struct_holder {
    const char *pid;
    const char *name;  /* registered, or "" */
    const char *where; /* "state" or "process dictionary" */
    bool migrates;     /* it runs a changed module */
};
struct nzd_struct_change {
    const char *module;
    bool gone; /* it defines no struct any more */
    const char *const *added;
    uint32_t added_count;
    const char *const *removed;
    uint32_t removed_count;
    uint32_t holders;
    struct nzd_struct_holder *named; /* the first of them */
    uint32_t named_count;
};
struct nzd_structs {
    struct nzd_struct_change *items;
    uint32_t count;
    bool told;       /* the numbers below are */
    uint32_t looked; /* processes; and those that were left out: */
    uint32_t large;
    uint32_t asleep;
    uint32_t timed; /* wait with a timeout */
    uint32_t silent;
    uint32_t left;
};
/* Fills in who holds them, and what was looked at. Takes the node a few seconds
 * at most, at low priority. */
int nzd_node_holders(struct nzd_node *node, struct nzd_structs *structs,
                     struct nzd_arena *arena, struct nzd_err *err);
/* {Pid, Name, Module, Function, Arity} tuples of an answer. */
int nzd_node_read_occupants(const struct nzd_term *list,
                            enum nzd_occupant_kind kind,
                            struct nzd_arena *arena,
                            struct nzd_occupant_list *out, struct nzd_err *err);

struct nzd_running {
    bool loaded;
    struct nzd_digest md5;
    struct nzd_digest attrs;
};
/* What runs, for each name. */
int nzd_node_md5s(struct nzd_node *node, const char *const *names,
                  uint32_t count, struct nzd_running *out, struct nzd_err *err);

/* How a node does, as far as it can be read off. `crashes` and `restarts`
 * since it is watched, the rest at this instant. */
struct nzd_reading {
    uint64_t us;       /* since when it is watched */
    uint64_t crashes;  /* processes whose crash was reported */
    uint64_t restarts; /* children that a supervisor reported as ended */
    uint64_t processes;
    uint64_t memory;     /* bytes */
    uint64_t queue;      /* messages in the longest queue */
    uint64_t run_queue;  /* processes that wait for a scheduler */
    uint64_t latency_us; /* until a process that was started has run */
    bool reports;        /* what crashes is logged at all */
    char queue_of[64];   /* whose the longest queue is: name or pid */
    char said[256];      /* the first crash or end that was reported, or "" */
};
int nzd_node_readings(struct nzd_node *node, struct nzd_reading *out,
                      struct nzd_err *err);

#endif

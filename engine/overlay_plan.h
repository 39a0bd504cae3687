/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_PLAN_H
#define NZD_ENGINE_OVERLAY_PLAN_H

/*
 * What an overlay holds, before a file is written: the rows in force over a
 * base, or what an open transaction would put in force, by the folder that
 * each module and file lies in.
 */

#include "overlay.h"

struct nzd_overlay_module {
    const char *name;
    struct nzd_digest blob; /* zero: it is removed */
    bool added;             /* the base has none of this name */
    bool moved;             /* removed here, as it lies in another folder now */
    uint32_t folder;        /* index */
};

/* An application whose specification is not the base's. */
struct nzd_overlay_app {
    const char *name;
    struct nzd_digest blob;      /* zero: the application is removed */
    bool added;                  /* the base has it not */
    const struct nzd_term *spec; /* {application, Name, Keys}; NULL: removed */
};

/* A file of an application's priv. */
struct nzd_overlay_file {
    const char *app;
    const char *path;       /* below priv: "static/app.js" */
    struct nzd_digest blob; /* zero: it is removed */
    bool executable;
    uint32_t folder; /* index of the application's */
};

struct nzd_overlay_place {
    const char *base;   /* "/srv/counter/lib/counter-0.1.0/ebin" */
    const char *tail;   /* "counter-0.1.0/ebin" */
    const char *within; /* "lib/counter-0.2.0/ebin", below the overlay */
    const char *app;    /* "counter"; "" of consolidated protocols */
    bool added;         /* an application that the base has not */
};

/* What a release has one of. */
enum nzd_overlay_text {
    NZD_OVERLAY_SCRIPT,
    NZD_OVERLAY_SYS_CONFIG,
    NZD_OVERLAY_VM_ARGS,
    NZD_OVERLAY_RUNTIME,
    NZD_OVERLAY_ERTS /* its version */
};
#define NZD_OVERLAY_TEXTS 5

struct nzd_overlay_own {
    bool differs;           /* from the base's */
    struct nzd_digest blob; /* zero: there is none */
};

struct nzd_overlay_plan {
    struct nzd_arena arena;
    struct nzd_overlay_own texts[NZD_OVERLAY_TEXTS];
    struct nzd_overlay_module *modules;
    uint32_t module_count;
    uint32_t module_capacity;
    struct nzd_overlay_file *files;
    uint32_t file_count;
    uint32_t file_capacity;
    struct nzd_overlay_program *programs; /* in the order of their paths */
    uint32_t program_count;
    uint32_t program_capacity;
    struct nzd_overlay_place *places;
    uint32_t place_count;
    uint32_t place_capacity;
    struct nzd_overlay_app *apps;
    uint32_t app_count;
    uint32_t app_capacity;
    bool differs; /* from the base, in anything */
};

/* What is in force over the base; or, where `generation` is an open
 * transaction over it, what its commit would put in force. NZD_EJOURNAL: rows
 * that do not hold. clear() is due in any case. */
int nzd_overlay_plan_read(struct nzd_journal *journal,
                          const struct nzd_overlay_base *base,
                          uint64_t generation, struct nzd_overlay_plan *out,
                          struct nzd_err *err);
void nzd_overlay_plan_clear(struct nzd_overlay_plan *plan);
/* The application where its specification is not the base's, or NULL. */
const struct nzd_overlay_app *
nzd_overlay_plan_app(const struct nzd_overlay_plan *plan, const char *name);

/* --- places (overlay_plan_place.c) --------------------------------------- */

#define NZD_OVERLAY_NOWHERE UINT32_MAX

/* `items` with room for one more, or NULL without memory. */
void *nzd_overlay_plan_grow(void *items, uint32_t count, uint32_t *capacity,
                            size_t size);
/* "counter" of ".../counter-0.1.0/ebin"; "" of a folder that is no
 * application's; NULL without memory. */
const char *nzd_overlay_plan_owner(struct nzd_overlay_plan *plan,
                                   const char *folder);
/* The index of a folder of the base, which gets a place where it has none;
 * NZD_OVERLAY_NOWHERE without memory. */
uint32_t nzd_overlay_plan_folder(struct nzd_overlay_plan *plan,
                                 const char *folder);
/* The same of an application's, by its name: the one it has, the one that the
 * base's boot script names, that of its specification in force.
 * NZD_OVERLAY_NOWHERE with the error set. */
uint32_t nzd_overlay_plan_home(struct nzd_overlay_plan *plan,
                               const struct nzd_overlay_base *base,
                               const char *app, struct nzd_err *err);
/* Once all are known: what they are called below the overlay. NZD_EJOURNAL
 * where two are the same. */
int nzd_overlay_plan_name(struct nzd_overlay_plan *plan, struct nzd_err *err);

#endif

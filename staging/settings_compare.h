/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SETTINGS_COMPARE_H
#define NZD_STAGING_SETTINGS_COMPARE_H

/*
 * Inside the settings room: one comparison and what its parts share. The
 * first failure stays in `code`; parts need not check it.
 */

#include "script.h"
#include "settings.h"

struct settings_compare {
    const struct nzd_inventory *old;
    const struct nzd_inventory *new;
    const bool *old_held; /* nzd_inventory_held() */
    const bool *new_held;
    bool both; /* full releases: what one side lacks is a difference */
    struct nzd_arena *arena; /* of the evidence */
    struct nzd_arena scratch;
    struct nzd_evidence_list *out;
    struct nzd_err *err;
    int code;
    uint32_t said;        /* lines of the current group */
    uint32_t omitted;     /* what its limit dropped */
    enum nzd_need need;   /* the highest of them */
    enum nzd_need config; /* of the environment of applications: SWITCH or
                             RESTART */
    enum nzd_level level; /* of what is live, where it is not hot; 0: hot */
    bool files;           /* it is about priv */
    const char *restarts; /* the application that starts anew for it, or NULL */
};

/* One difference: live where no more than the switch is needed, else at
 * restart-vm. */
void settings_say(struct settings_compare *compare, enum nzd_need need,
                  const char *subject, const char *old, const char *new,
                  const char *source);
/* Ends a group of lines: what was over the limit is counted in one more. */
void settings_end(struct settings_compare *compare, const char *subject);
void settings_memory(struct settings_compare *compare);

/* A text whose value is nobody's business on a screen or in a journal. */
bool settings_is_secret(const char *text);

/* The text with this side's own versions ("releases/0.1.0", "counter-0.1.0",
 * RELEASE_VSN=0.1.0) replaced by a mark; "" without memory. */
const char *settings_mark_text(struct settings_compare *compare,
                               const struct nzd_inventory *side,
                               const char *text, size_t size);
/* The same in all strings and binaries of a term. */
const struct nzd_term *settings_mark_term(struct settings_compare *compare,
                                          const struct nzd_inventory *side,
                                          const struct nzd_term *term);

/* Whether the node can have both sides' environments without a boot. */
enum nzd_need settings_config_need(const struct settings_compare *compare);
/* It is not without them that a VM runs: kernel, stdlib, sasl. */
bool settings_is_of_boot(const char *app);
/* The same of this application's, and by itself. */
enum nzd_need settings_env_need(const struct settings_compare *compare,
                                const char *app);

/* Says where two terms differ, by key as deep as keys go. `path` is what the
 * way down is called so far; "" at the top, whose keys are applications: they
 * need less than `need` where they are live. */
void settings_diff(struct settings_compare *compare, enum nzd_need need,
                   const char *subject, const char *path,
                   const struct nzd_term *old, const struct nzd_term *new);
/* On one line, cut; "" for NULL. */
const char *settings_print(struct settings_compare *compare,
                           const struct nzd_term *term);

enum settings_style { SETTINGS_ARGS, SETTINGS_SHELL, SETTINGS_ELIXIR };

void settings_text(struct settings_compare *compare, enum nzd_need need,
                   const char *subject, enum settings_style style,
                   struct nzd_view old, struct nzd_view new);
void settings_boot(struct settings_compare *compare);
/* Files of priv, by their content. */
void settings_priv(struct settings_compare *compare);
void settings_protocols(struct settings_compare *compare);
/* The keys of {application, ...}; `seen` has a bit for each key that was
 * said already, and gets those that are said now. */
void settings_spec(struct settings_compare *compare, const char *app,
                   const struct nzd_term *old, const struct nzd_term *new,
                   bool starts, unsigned *seen);

#endif

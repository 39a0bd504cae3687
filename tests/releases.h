/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_RELEASES_H
#define NZD_TESTS_RELEASES_H

/*
 * Two releases as inventories, made of texts, and what nzd_settings_compare()
 * says of them. They differ in their version alone; a test changes one side.
 * The texts live in the inventory's arena. What fails here fails the running
 * test.
 */

#include "../staging/settings.h"

struct releases {
    struct nzd_inventory old;
    struct nzd_inventory new;
    struct nzd_arena arena;
    struct nzd_evidence_list list;
    struct nzd_err err;
};

/* What a boot script has of both applications. */
#define STARTS                                                                 \
    "{apply, {application, start_boot, [kernel, permanent]}},"                 \
    "{apply, {application, start_boot, [counter, permanent]}},"

/* The line behind those of files of priv that are exchanged in the node. */
#define READERS                                                                \
    "priv|||code:priv_dir/1 leads to the new files; who has one open, or "     \
    "keeps a path from before, reads the old ones"

const struct nzd_term *side_parse(struct nzd_inventory *side, const char *text);
void side_set_boot(struct nzd_inventory *side, const char *version,
                   const char *spec, const char *commands);
void side_set_config(struct nzd_inventory *side, const char *text);
void side_set_spec(struct nzd_inventory *side, const char *keys);
void side_add_module(struct nzd_inventory *side, const char *name, uint8_t md5);
void side_add_app(struct nzd_inventory *side, const char *name,
                  const char *version);
void side_add_priv(struct nzd_inventory *side, const char *path, uint8_t md5);
int releases_set_up(void **state);
int releases_tear_down(void **state);

/* The evidence must be these lines, each "subject|old|new|source". */
void expect_lines(struct releases *fixture, const char *const *lines,
                  uint32_t count);
void expect_line(struct releases *fixture, const char *line);
void expect_none(struct releases *fixture);

#endif

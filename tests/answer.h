/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_ANSWER_H
#define NZD_TESTS_ANSWER_H

/*
 * What nzd answers to programs: its JSON, read by Jansson, and a journal's
 * records by it. What is not as it was asked for fails the running test;
 * values live until the harness is closed.
 */

#include "beam_node.h"

#include <jansson.h>
#include <stdint.h>

/* The one object that `text` holds; "nzd" in it is 1. */
json_t *answer_object(struct harness *harness, const char *text);
/* The one line of `text`, each an object, whose "event" this is. */
json_t *answer_event(struct harness *harness, const char *text,
                     const char *event);
/* Members by a path, "base.version" or "modules.0.name"; the kind must fit. */
json_t *answer_get(json_t *object, const char *path);
const char *answer_text(json_t *object, const char *path);
int64_t answer_number(json_t *object, const char *path);
/* Fails unless the object has each of the names, separated by spaces. */
void answer_has(json_t *object, const char *names);

/* `journal show N --json`, and the transactions of `journal show`. */
json_t *answer_txn(struct harness *harness, struct beam_node *node,
                   unsigned id);
json_t *answer_txns(struct harness *harness, struct beam_node *node);
/* "committed" and so on of transaction N. */
#define assert_txn(harness, node, id, expected)                                \
    assert_string_equal(                                                       \
        answer_text(answer_txn((harness), (node), (id)), "state"), expected)

/* The journal is whole, `status --check` finds nothing once the old code is
 * gone, and no process of the node is suspended. */
void answer_settled(struct harness *harness, struct beam_node *node);

#endif

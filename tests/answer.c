/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void drop(void *object)
{
    json_decref(object);
}

static json_t *parse(struct harness *harness, const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        harness_fail("not JSON: %s in: %s", error.text, text);
    harness_at_close(harness, drop, object);
    if (json_integer_value(json_object_get(object, "nzd")) != 1)
        harness_fail("no object of nzd: %s", text);
    return object;
}

json_t *answer_object(struct harness *harness, const char *text)
{
    const char *end = strchr(text, '\n');
    if (!end || end[1])
        harness_fail("not one line: %s", text);
    return parse(harness, text);
}

json_t *answer_event(struct harness *harness, const char *text,
                     const char *event)
{
    json_t *found = NULL;
    const char *rest = text;
    while (*rest) {
        size_t size = strcspn(rest, "\n");
        json_t *line =
            parse(harness, harness_text(harness, "%.*s", (int)size, rest));
        const char *name = json_string_value(json_object_get(line, "event"));
        if (name && !strcmp(name, event)) {
            if (found)
                harness_fail("%s twice in: %s", event, text);
            found = line;
        }
        rest += size + (rest[size] == '\n');
    }
    if (!found)
        harness_fail("no %s in: %s", event, text);
    return found;
}

/* --- members --- */

static json_t *find(json_t *object, const char *path)
{
    char name[64];
    while (object && *path) {
        size_t size = strcspn(path, ".");
        assert_true(size < sizeof name);
        memcpy(name, path, size);
        name[size] = '\0';
        object = json_is_array(object)
                     ? json_array_get(object, strtoul(name, NULL, 10))
                     : json_object_get(object, name);
        path += size + (path[size] == '.');
    }
    return object;
}

static json_t *get(json_t *object, const char *path, json_type type)
{
    json_t *found = answer_get(object, path);
    if (json_typeof(found) != type)
        harness_fail("\"%s\" is of another kind", path);
    return found;
}

json_t *answer_get(json_t *object, const char *path)
{
    json_t *found = find(object, path);
    if (!found) {
        char *text = json_dumps(object, JSON_COMPACT);
        print_error("%s\n", text);
        free(text);
        harness_fail("no \"%s\" in it", path);
    }
    return found;
}

const char *answer_text(json_t *object, const char *path)
{
    return json_string_value(get(object, path, JSON_STRING));
}

int64_t answer_number(json_t *object, const char *path)
{
    return json_integer_value(get(object, path, JSON_INTEGER));
}

void answer_has(json_t *object, const char *names)
{
    char name[64];
    while (*names) {
        size_t size = strcspn(names, " ");
        assert_true(size < sizeof name);
        memcpy(name, names, size);
        name[size] = '\0';
        answer_get(object, name);
        names += size + (names[size] == ' ');
    }
}

/* --- the journal --- */

json_t *answer_txn(struct harness *harness, struct beam_node *node, unsigned id)
{
    const char *number = harness_text(harness, "%u", id);
    struct harness_run run =
        harness_nzd(harness, node, "journal", "show", number, "--json", NULL);
    assert_status(run, 0);
    json_t *txn = answer_object(harness, run.out);
    assert_int_equal(answer_number(txn, "txn"), id);
    return txn;
}

json_t *answer_txns(struct harness *harness, struct beam_node *node)
{
    struct harness_run run =
        harness_nzd(harness, node, "journal", "show", "--json", NULL);
    assert_status(run, 0);
    return get(answer_object(harness, run.out), "transactions", JSON_ARRAY);
}

void answer_settled(struct harness *harness, struct beam_node *node)
{
    struct harness_run run =
        harness_nzd(harness, node, "journal", "verify", NULL);
    assert_status(run, 0);
    beam_node_wait_for(node,
                       "[M || {M, _} <- code:all_loaded(), "
                       "erlang:check_old_code(M)]",
                       "[]", 10000);
    run = harness_nzd(harness, node, "status", "--check", NULL);
    assert_status(run, 0);
    beam_node_wait_unsuspended(node);
    assert_true(beam_node_alive(node));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "in_the_way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

int way_set_up(void **state)
{
    static const char *const arguments[] = {"-mode", "embedded", NULL};
    struct harness *harness = harness_open();
    struct way *way = harness_alloc(harness, sizeof *way);
    struct beam_node_options options = {.name = "way", .arguments = arguments};
    way->harness = harness;
    way->config = harness_path(harness, "nzd.conf");
    harness_write_file(way->config, "");
    way->node = beam_node_start(harness, &options);
    beam_node_eval(way->node,
                   "true = code:add_patha(\"%s\"), ok = application:load(way), "
                   "[{module, M} = code:load_file(M) || "
                   "M <- [way_hold, way_same, way_srv]]",
                   harness_fixture(harness, "way-1/lib/way-1.0.0/ebin"));
    *state = way;
    return 0;
}

int way_tear_down(void **state)
{
    struct way *way = *state;
    harness_close(way->harness);
    return 0;
}

const char *way_fixture(struct way *way, int version)
{
    return harness_fixture(way->harness,
                           harness_text(way->harness, "way-%d", version));
}

const char *way_begin(struct way *way, const char *name, const char *body)
{
    return beam_node_eval(way->node,
                          "P = spawn(fun() -> %s end), true = register(%s, P), "
                          "timer:sleep(20), {nzd_text, pid_to_list(P)}",
                          body, name);
}

void way_alive(struct way *way, const char *name, bool expected)
{
    beam_node_check(way->node,
                    harness_text(way->harness, "is_pid(whereis(%s))", name),
                    expected ? "true" : "false", __FILE__, __LINE__);
}

void way_runs(struct way *way, int version)
{
    const char *expected =
        harness_text(way->harness, "{%d,%d}", version, version);
    assert_eval(way->node, "{way_hold:version(), way_srv:version()}", expected);
}

void way_old_code(struct way *way, const char *module, bool expected)
{
    beam_node_check(
        way->node,
        harness_text(way->harness, "erlang:check_old_code(%s)", module),
        expected ? "true" : "false", __FILE__, __LINE__);
}

void way_event(struct way *way, unsigned id, const char *label,
               const char *part)
{
    json_t *txn = answer_txn(way->harness, way->node, id);
    json_t *each;
    size_t i;
    json_array_foreach(json_object_get(txn, "events"), i, each)
    {
        if (!strcmp(answer_text(each, "label"), label) &&
            strstr(answer_text(each, "text"), part))
            return;
    }
    harness_fail("no %s of %s in %s", label, part, json_dumps(txn, 0));
}

void way_refused(struct way *way, struct harness_run run, int version)
{
    assert_status(run, 5);
    assert_contains(run.err, "untouched  nothing was touched, no process was "
                             "ended");
    way_runs(way, version);
}

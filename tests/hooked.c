/* SPDX-License-Identifier: Apache-2.0 */
#include "hooked.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void assert_rolled_back(struct scene *scene, const struct harness_run *run,
                        unsigned id, const char *why)
{
    harness_check_status(run, 6, __FILE__, __LINE__);
    assert_contains(run->out,
                    harness_text(scene->harness,
                                 "rolled back %u: counter 0.1.0 runs on %s, "
                                 "as before\n",
                                 id, beam_node_name(scene->node)));
    assert_contains(run->out,
                    harness_text(scene->harness, "  why   hook %s", why));
    assert_runs(scene, "0.1.0");
    const char *record = scene_record(scene, id, "rolled_back");
    assert_contains(record, "\"exit\":6");
    assert_contains(record, "\"label\":\"undo\"");
    scene_settled(scene);
}

void assert_committed(struct scene *scene, const struct harness_run *run,
                      unsigned id)
{
    harness_check_status(run, 0, __FILE__, __LINE__);
    assert_contains(run->out,
                    harness_text(scene->harness, "committed %u:", id));
    scene_wait_removed(scene);
    assert_runs(scene, "0.2.0");
    scene_record(scene, id, "committed");
    scene_settled(scene);
}

void assert_aborted(struct scene *scene, const struct harness_run *run,
                    unsigned id)
{
    harness_check_status(run, 5, __FILE__, __LINE__);
    assert_contains(run->err, "untouched  no code was loaded");
    assert_runs(scene, "0.1.0");
    assert_eval(scene->node, "erlang:module_loaded(counter_rate)", "false");
    assert_eval(scene->node,
                "[M || M <- [counter_text, counter_http, counter_legacy], "
                "erlang:check_old_code(M)]",
                "[]");
    const char *record = scene_record(scene, id, "aborted");
    assert_contains(record, "\"exit\":5");
    assert_contains(record, "\"armed\":null");
    scene_settled(scene);
}

size_t hooked_output_of(const char *record, const char *label,
                        const char *begins)
{
    json_t *json = json_loads(record, 0, NULL);
    size_t index, size = 0;
    unsigned found = 0;
    json_t *event;
    assert_non_null(json);
    json_array_foreach(json_object_get(json, "events"), index, event)
    {
        const char *text = json_string_value(json_object_get(event, "output"));
        if (strcmp(json_string_value(json_object_get(event, "label")), label) !=
            0)
            continue;
        if (strncmp(text, begins, strlen(begins)) != 0)
            fail_msg("output of %s: %.200s", label, text);
        size = strlen(text);
        found++;
    }
    json_decref(json);
    assert_in_range(found, 1, 10);
    return size;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "verdict.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

int verdict_set_up(void **state)
{
    struct harness *harness = harness_open();
    struct verdict *verdict = harness_alloc(harness, sizeof *verdict);
    verdict->harness = harness;
    *state = verdict;
    return 0;
}

int verdict_tear_down(void **state)
{
    struct verdict *verdict = *state;
    harness_close(verdict->harness);
    return 0;
}

void verdict_start(struct verdict *verdict, const char *release)
{
    struct beam_node_options options = {.release = release};
    verdict->node = beam_node_start(verdict->harness, &options);
    verdict->before = beam_node_eval(verdict->node, LOADED);
}

const char *verdict_fixture(struct verdict *verdict, const char *name)
{
    return harness_fixture(verdict->harness, name);
}

void verdict_untouched(struct verdict *verdict, struct harness_run run)
{
    assert_contains(run.err, "\n  untouched  nothing was touched\n");
    assert_eval(verdict->node, LOADED, verdict->before);
    assert_int_equal(
        json_array_size(answer_txns(verdict->harness, verdict->node)), 0);
    run = verdict_nzd(verdict, "journal", "verify");
    assert_status(run, 0);
}

const char *verdict_copy(struct verdict *verdict, const char *release,
                         const char *name)
{
    const char *to = harness_path(verdict->harness, "%s", name);
    harness_copy(verdict->harness, verdict_fixture(verdict, release), to);
    return to;
}

void verdict_shell(struct verdict *verdict, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct harness_run run = harness_run(verdict->harness, argv, NULL);
    assert_status(run, 0);
}

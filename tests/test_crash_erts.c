/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A generation that runs on an ERTS of its own (other_erts.h), brought about by
 * a restart that a command makes: nzd is killed at each of its points and in
 * the recovery that follows, the VM at each point, while somebody starts it
 * again by nzd boot. VM and code are both old then, or both new.
 */
#include "lanes.h"
#include "other_erts.h"
#include "sides.h"
#include "supervised.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT_MS 90000
#define THROUGH  "--wait=20s", "--max", "restart-vm"

/* The VM, its code, and whose programs it starts. */
#define TELLS                                                                  \
    "{erlang:system_info(version), counter_text:version(), "                   \
    "string:find(os:getenv(\"BINDIR\"), \"/native/\") =/= nomatch}"

static const char *own_version(struct harness *harness)
{
    const char *own = strstr(other_erts_own(harness), "/erts-") + 6;
    return harness_text(harness, "%.*s", (int)strcspn(own, "/"), own);
}

static void configure(struct sweep *sweep)
{
    struct harness *harness = sweep->harness;
    harness_write_file(
        sweep->config,
        harness_text(harness,
                     "hook \"well\" {\n  phase = post\n"
                     "  call = \"persistent_term:get\"\n"
                     "  args = {\"nzd_test_well\", \"true\"}\n}\n"
                     "boot {\n healthy = 0\n tries = 1000\n}\n"
                     "restart {\n command = {%s}\n"
                     " timeout = 40s\n}\n",
                     supervised_restart(harness)));
}

static int setup(void **state)
{
    struct sweep *sweep = sweep_open_bare();
    struct harness *harness = sweep->harness;
    struct sides *sides = harness_alloc(harness, sizeof *sides);
    const char *bundle = harness_path(harness, "bundle");
    const struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0"),
        .name = "counter",
        /* This nzd boot is not the one under test: its points are others'
         * rows. */
        .prefix = supervised_words(harness, sweep->nzd,
                                   harness_journal(harness), sweep->config)};
    configure(sweep);
    other_erts_release(harness, "counter-0.2.0", bundle);
    sweep->node = beam_node_start(harness, &options);
    *sides = (struct sides){
        .sweep = sweep,
        .tells = TELLS,
        .values = {harness_text(harness, "{\"%s\",\"0.1.0\",false}",
                                own_version(harness)),
                   harness_text(harness, "{\"%s\",\"0.2.0\",true}",
                                other_erts_version(harness))},
        .ways = {{"rollback to the own ERTS",
                  NULL,
                  {"rollback", "--to=0", THROUGH},
                  NULL,
                  0},
                 {"apply of another ERTS",
                  NULL,
                  {"apply", bundle, "--retry", THROUGH},
                  NULL,
                  0}},
        .supervised = true,
        .limit_ms = LIMIT_MS,
    };
    *state = sides;
    return 0;
}

static int teardown(void **state)
{
    struct sides *sides = *state;
    harness_close(sides->sweep->harness);
    return 0;
}

/* In full side by side; of a sample one. */
static void sweep(void **state, enum sides_kind kind)
{
    struct sides *sides = *state;
    for (unsigned side = SIDES_OLD; side <= SIDES_NEW; side++) {
        const struct sides_turn turn = {.operation = sides->ways[!side],
                                        .from = side};
        if (sweep_takes(sides->sweep, side, 2) && lanes_take(side))
            sides_sweep(sides, kind, &turn);
    }
}

static void nzd_is_killed(void **state)
{
    sweep(state, SIDES_NZD);
}

static void the_vm_is_killed(void **state)
{
    sweep(state, SIDES_VM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nzd_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(the_vm_is_killed, setup, teardown),
    };
    cmocka_set_test_filter(getenv("NZD_CRASH_TESTS"));
    int status = lanes_run(2);
    if (status >= 0)
        return status;
    return tally_report(cmocka_run_group_tests(tests, NULL, NULL));
}

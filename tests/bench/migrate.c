/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Processes whose state changes with the code, 1, 100 and 10,000 of them: how
 * long a change takes, from the command on, and the longest that a call of one
 * of them took meanwhile; nzd, nzd with a rehearsal, and release_handler with
 * the same change as an appup. Medians of some runs. `make bench-migrate`.
 */
#include "../beam_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RUNS 5
#define MODULES                                                                \
    "[moves_do, moves_event, moves_loop, moves_machine, moves_pool, "          \
    "moves_srv, moves_sup]"

struct bench {
    struct harness *harness;
    struct beam_node *node;
    const char *old; /* lib/moves-1.0.0 */
    const char *new; /* lib/moves-2.0.0, of the bundle, with an appup */
    const char *bundle;
};

/* The same steps for both: what nzd finds by itself is written down here. */
static const char appup[] =
    "{\"2.0.0\",\n"
    " [{\"1.0.0\", [{load_module, moves_do}, {load_module, moves_pool},\n"
    "   {update, moves_srv, {advanced, []}},\n"
    "   {update, moves_machine, {advanced, []}},\n"
    "   {update, moves_event, {advanced, []}},\n"
    "   {update, moves_loop, {advanced, []}}]}],\n"
    " [{\"1.0.0\", [{load_module, moves_do}, {load_module, moves_pool},\n"
    "   {update, moves_srv, {advanced, []}},\n"
    "   {update, moves_machine, {advanced, []}},\n"
    "   {update, moves_event, {advanced, []}},\n"
    "   {update, moves_loop, {advanced, []}}]}]}.\n";

static void make_bundle(struct bench *bench)
{
    struct harness *harness = bench->harness;
    bench->old = harness_fixture(harness, "moves-1/lib/moves-1.0.0");
    bench->bundle = harness_path(harness, "bundle");
    harness_copy(harness, harness_fixture(harness, "moves-2"), bench->bundle);
    bench->new = harness_text(harness, "%s/lib/moves-2.0.0", bench->bundle);
    harness_write_file(harness_text(harness, "%s/ebin/moves.appup", bench->new),
                       appup);
}

static void start(struct bench *bench, unsigned processes)
{
    static const char *const arguments[] = {"-mode", "embedded", "+P", "200000",
                                            NULL};
    const struct beam_node_options options = {.name = "moves",
                                              .arguments = arguments};
    bench->node = beam_node_start(bench->harness, &options);
    beam_node_eval(
        bench->node,
        "true = code:add_patha(\"%s/ebin\"), "
        "[{module, M} = code:load_file(M) || M <- " MODULES "], "
        "Sasl = filelib:wildcard(code:root_dir() ++ \"/lib/sasl-*/ebin\"), "
        "code:add_pathsz(Sasl), "
        "[{module, _} = code:load_abs(filename:rootname(F)) || D <- Sasl, "
        "F <- filelib:wildcard(D ++ \"/*.beam\")], "
        "ok = application:start(sasl), ok = application:start(moves)",
        bench->old);
    if (processes > 1)
        beam_node_eval(bench->node, "ok = moves_do:start(%u)", processes - 1);
}

/* --- the ways ------------------------------------------------------------ */

typedef void way_fn(struct bench *bench);

static void nzd_up(struct bench *bench)
{
    struct harness_run run =
        harness_nzd(bench->harness, bench->node, "apply", "--retry", "-q",
                    "--timeout", "60s", bench->bundle, NULL);
    assert_status(run, 0);
}

static void nzd_up_rehearsed(struct bench *bench)
{
    struct harness_run run =
        harness_nzd(bench->harness, bench->node, "apply", "--retry", "-q",
                    "--timeout", "60s", "--rehearse", bench->bundle, NULL);
    assert_status(run, 0);
}

static void nzd_down(struct bench *bench)
{
    struct harness_run run =
        harness_nzd(bench->harness, bench->node, "rollback", "-q", "--timeout",
                    "60s", NULL);
    assert_status(run, 0);
}

static void handler_up(struct bench *bench)
{
    assert_eval(bench->node,
                harness_text(bench->harness,
                             "element(1, release_handler:upgrade_app(moves, "
                             "\"%s\"))",
                             bench->new),
                "ok");
}

static void handler_down(struct bench *bench)
{
    assert_eval(bench->node,
                harness_text(bench->harness,
                             "element(1, release_handler:downgrade_app(moves, "
                             "\"1.0.0\", \"%s\"))",
                             bench->old),
                "ok");
}

/* --- a row --------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double middle(double values[RUNS])
{
    qsort(values, RUNS, sizeof values[0], compare);
    return values[RUNS / 2];
}

static void row(const char *name, unsigned processes, way_fn *up, way_fn *down)
{
    struct bench bench = {.harness = harness_open()};
    double wall[RUNS], longest[RUNS];
    make_bundle(&bench);
    start(&bench, processes);
    for (int i = 0; i < RUNS; i++) {
        struct beam_load *load = beam_load_start(bench.node, 1, 1, "moves_srv",
                                                 "count", "[moves_srv]");
        beam_load_wait(load, 50);
        double begin = process_now_ms();
        up(&bench);
        wall[i] = process_now_ms() - begin;
        struct beam_load_result result = beam_load_stop(load);
        longest[i] = (double)result.longest_us / 1000;
        if (result.fail || result.undef)
            harness_fail("%s: requests failed: %s", name, result.errors);
        down(&bench);
    }
    printf("%-28s %9u %9.1f %9.1f\n", name, processes, middle(wall),
           middle(longest));
    fflush(stdout);
    harness_close(bench.harness);
}

static void bench_migrate(void **state)
{
    static const unsigned counts[] = {1, 100, 10000};
    (void)state;
    printf("%-28s %9s %9s %9s\n", "ms", "processes", "wall", "longest");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        row("nzd apply", counts[i], nzd_up, nzd_down);
        row("nzd apply --rehearse", counts[i], nzd_up_rehearsed, nzd_down);
        row("release_handler", counts[i], handler_up, handler_down);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench_migrate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

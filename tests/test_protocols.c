/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/*
 * Elixir's protocols, which a release consolidates, over builds: what
 * `mix compile` leaves in _build/prod/lib, with protocols consolidated there
 * and without. One node for all; each test begins and ends with greeter 0.1.0.
 */
struct protocols {
    struct harness *harness;
    struct beam_node *node;
};

static int setup(void **state)
{
    struct harness *harness = harness_open();
    struct protocols *all = harness_alloc(harness, sizeof *all);
    all->harness = harness;
    all->node = beam_node_start(
        harness, &(struct beam_node_options){
                     .release = harness_fixture(harness, "greeter-0.1.0"),
                     .name = "protocols"});
    *state = all;
    return 0;
}

static int teardown(void **state)
{
    struct protocols *all = *state;
    harness_close(all->harness);
    return 0;
}

static void sh(struct protocols *all, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(all->harness, argv, NULL);
    assert_status(run, 0);
}

/* A build of this version of greeter; `more` is done in it. */
static const char *build(struct protocols *all, const char *name,
                         const char *version, const char *more)
{
    const char *folder = harness_path(all->harness, "%s", name);
    const char *release = harness_fixture(
        all->harness, harness_text(all->harness, "greeter-%s", version));
    sh(all,
       harness_text(all->harness,
                    "mkdir -p %s/lib/greeter && cd %s/lib/greeter && "
                    "cp -r %s/lib/greeter-%s/ebin %s/releases/%s/"
                    "consolidated . && %s",
                    folder, folder, release, version, release, version, more));
    return folder;
}

static struct harness_run nzd(struct protocols *all, const char *command,
                              const char *bundle)
{
    return harness_nzd(all->harness, all->node, command, bundle, NULL);
}

#define HELLO                                                                  \
    "{element(2, 'Elixir.Greeter':hello(ada)), "                               \
    "'Elixir.Greeter.Polite':'__protocol__'('consolidated?'), "                \
    "'Elixir.Enumerable':'__protocol__'('consolidated?')}"
static const char before[] = "{<<\"Hello :ada\">>,true,true}";

static void refused(struct protocols *all, const char *bundle, const char *why)
{
    struct harness_run run = nzd(all, "plan", bundle);
    assert_status(run, 0);
    assert_contains(run.out, "verdict: restart-vm");
    assert_matches(run.out, why);
    run = nzd(all, "apply", bundle);
    assert_status(run, 5);
    assert_contains(run.err, "protocol consolidation");
    assert_eval(all->node, HELLO, before);
}

/* A new implementation comes with the protocol that knows it. */
static void one_is_consolidated_anew(void **state)
{
    struct protocols *all = *state;
    struct harness_run run =
        nzd(all, "apply", build(all, "whole", "0.2.0", "true"));
    assert_status(run, 0);
    assert_eval(all->node, HELLO, "{<<\"Hello esteemed ada\">>,true,true}");
    run = harness_nzd(all->harness, all->node, "rollback", NULL);
    assert_status(run, 0);
    assert_eval(all->node, HELLO, before);
}

/* It would be found in another way, and more slowly, from then on. */
static void one_is_not_consolidated(void **state)
{
    struct protocols *all = *state;
    refused(all, build(all, "as_compiled", "0.2.0", "rm -r consolidated"),
            "protocol consolidation +consolidated -> as compiled +"
            "Elixir.Greeter.Polite");
}

/* Protocols of others stay what they are. */
static void those_of_others_stay(void **state)
{
    struct protocols *all = *state;
    struct harness_run run =
        nzd(all, "apply",
            build(all, "own", "0.2.0",
                  "find consolidated -type f ! -name '*Polite.beam' -delete"));
    assert_status(run, 0);
    assert_eval(all->node, HELLO, "{<<\"Hello esteemed ada\">>,true,true}");
    run = harness_nzd(all->harness, all->node, "rollback", NULL);
    assert_status(run, 0);
    assert_eval(all->node, HELLO, before);
}

/* Consolidated before the implementation was there. */
static void an_implementation_is_not_known(void **state)
{
    struct protocols *all = *state;
    const char *late = harness_text(
        all->harness, "cp %s/lib/greeter-0.2.0/ebin/*Polite.Atom.beam ebin",
        harness_fixture(all->harness, "greeter-0.2.0"));
    refused(all, build(all, "late", "0.1.0", late),
            "Elixir.Greeter.Polite.Atom +the consolidated "
            "Elixir.Greeter.Polite does not know it");
}

static void an_implementation_is_gone(void **state)
{
    struct protocols *all = *state;
    refused(all, build(all, "gone", "0.1.0", "rm ebin/*Polite.BitString.beam"),
            "Elixir.Greeter.Polite.BitString.*the consolidated "
            "Elixir.Greeter.Polite still leads to it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_consolidated_anew),
        cmocka_unit_test(one_is_not_consolidated),
        cmocka_unit_test(those_of_others_stay),
        cmocka_unit_test(an_implementation_is_not_known),
        cmocka_unit_test(an_implementation_is_gone),
    };
    return cmocka_run_group_tests_name("protocols", tests, setup, teardown);
}

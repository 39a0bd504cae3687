/* SPDX-License-Identifier: Apache-2.0 */
#include "desk.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* --- applications --- */

static void an_added_application(void **state)
{
    struct desk *desk = *state;
    const char *base = desk_fixture(desk, "counter-0.2.0");
    const char *app = desk_fixture(desk, "counter-0.2.0-app");
    desk_start(desk, base);
    desk_plan(desk, app);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, false), "+counter_extra");
    assert_string_equal(
        desk_row_of(desk, "counter_extra")->new_path,
        harness_text(desk->harness,
                     "%s/lib/counter_extra-1.0.0/ebin/counter_extra.beam",
                     base));
    assert_string_equal(desk_rows_of(desk, true), "+/app/counter_extra ~/boot");
    desk_apply(desk, 0);
    assert_string_equal(desk_live(desk), "/app/counter_extra /boot");

    /* Back, by the bundle and by the journal: the node only lacks the code. */
    desk->runs = true;
    desk_plan_back(desk, 0);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_RESTART_APP);
    assert_contains(desk_rows_of(desk, true), "~/boot=base");
    desk_commit(desk, 1, 0);
    assert_lacks(desk_live(desk), "/boot");
}

static void a_removed_application(void **state)
{
    struct desk *desk = *state;
    desk_start(desk, desk_fixture(desk, "counter-0.2.0-app"));
    desk_plan(desk, desk_fixture(desk, "counter-0.2.0"));
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_RESTART_APP);
    assert_string_equal(desk_rows_of(desk, false), "-counter_extra");
    assert_string_equal(desk_rows_of(desk, true), "-/app/counter_extra ~/boot");
    desk_apply(desk, 0);
    assert_string_equal(desk_live(desk), "-/app/counter_extra /boot");

    /* The base has it; the node still runs it, so nothing else is to do. */
    desk_plan_back(desk, 0);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/app/counter_extra ~/boot=base");
    desk_commit(desk, 0, 0);
    assert_string_equal(desk_live(desk), "");
}

/* --- Mix --- */

static void runtime_configuration(void **state)
{
    struct desk *desk = *state;
    const char *one = desk_fixture(desk, "greeter-0.2.0-runtime");
    const char *two = desk_copy(desk, "greeter-0.2.0-runtime", "two");
    desk_start(desk, desk_fixture(desk, "greeter-0.2.0"));
    desk_plan(desk, one);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot +/runtime.exs ~/sys.config");
    desk_apply(desk, 0);
    expect_content(desk, "/runtime.exs",
                   harness_text(desk->harness,
                                "%s/releases/0.2.0-runtime/runtime.exs", one));
    desk->runs = true;
    desk_plan(desk, one);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_NOTHING);
    desk_shell(desk, harness_text(desk->harness,
                                  "echo 'config :greeter, again: 1' >> "
                                  "%s/releases/0.2.0-runtime/runtime.exs",
                                  two));
    desk_plan(desk, two);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true), "~/runtime.exs");
    desk_apply(desk, 1);
    desk_plan_back(desk, 1);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_HOT);
    assert_string_equal(desk_rows_of(desk, true), "~/runtime.exs");
    expect_content(desk, "/runtime.exs",
                   harness_text(desk->harness,
                                "%s/releases/0.2.0-runtime/runtime.exs", one));
    desk_plan_back(desk, 0);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/boot=base -/runtime.exs ~/sys.config=base");
    desk_commit(desk, 2, 0);
    assert_string_equal(desk_live(desk), "");
}

/* --- vm.args --- */

static void arguments_of_the_vm(void **state)
{
    struct desk *desk = *state;
    const char *new = desk_copy(desk, "counter-0.2.0", "new");
    const char *args =
        harness_text(desk->harness, "%s/releases/0.2.0/vm.args", new);
    desk_start(desk, desk_fixture(desk, "counter-0.2.0"));
    /* A comment is no difference, and no start is due for it. */
    desk_shell(desk, harness_text(desk->harness,
                                  "echo '# a comment' >> %s; echo 2 > "
                                  "%s/lib/counter-0.2.0/priv/motd.txt",
                                  args, new));
    desk_plan(desk, new);
    assert_int_equal(desk_need(desk), NZD_NEED_SWITCH);
    assert_string_equal(desk_rows_of(desk, true), "~/priv/counter/motd.txt");
    desk_shell(desk,
               harness_text(desk->harness, "echo '+P 500000' >> %s", args));
    desk_plan(desk, new);
    assert_int_equal(desk_need(desk), NZD_NEED_START);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/vm.args ~/priv/counter/motd.txt");
    desk_apply(desk, 0);
    expect_content(desk, "/vm.args", args);
    desk->runs = true;
    desk_plan(desk, new);
    assert_int_equal(desk_verdict(desk), NZD_LEVEL_NOTHING);
    desk_plan_back(desk, 0);
    assert_int_equal(desk_need(desk), NZD_NEED_START);
    assert_string_equal(desk_rows_of(desk, true),
                        "~/vm.args=base ~/priv/counter/motd.txt=base");
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, desk_set_up, desk_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_added_application),
        TEST(a_removed_application),
        TEST(runtime_configuration),
        TEST(arguments_of_the_vm),
    };
    return cmocka_run_group_tests_name("file rows of a release", tests, NULL,
                                       NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/sys_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A sys.config of Mix over another release's files. */

static const struct nzd_sys_config_over over = {
    .version = "0.1.0", .runtime = "/run/o/current/runtime.exs"};

static void check(const char *text, const char *expected)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf out = {0};
    int code = nzd_sys_config_rebase(nzd_view_text(text), &over, &out, &err);
    if (code)
        fail_msg("%s", err.message);
    assert_string_equal(nzd_buf_string(&out), expected);
    nzd_buf_clear(&out);
}

static void check_fails(const char *text, const char *runtime, const char *part)
{
    const struct nzd_sys_config_over none = {.version = "0.1.0",
                                             .runtime = runtime};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf out = {0};
    assert_int_equal(
        nzd_sys_config_rebase(nzd_view_text(text), &none, &out, &err),
        NZD_EBUNDLE);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    nzd_buf_clear(&out);
}

#define PROVIDER(path)                                                         \
    "[{elixir,[{config_provider_init,#{'__struct__' => "                       \
    "'Elixir.Config.Provider',providers => [{'Elixir.Config.Reader',{" path    \
    ",[{env,prod}]}}]}}]}].\n"
#define ROOT(path) "{system,<<\"RELEASE_ROOT\">>,<<\"" path "\">>}"
#define OURS       "<<\"/run/o/current/runtime.exs\">>"

/* Byte for byte, whatever it is. */
static void without_providers(void **state)
{
    (void)state;
    check("", "");
    check("%% \xE9\n[{a,[{b,\"c\"}]}].", "%% \xE9\n[{a,[{b,\"c\"}]}].");
    check("no term at all", "no term at all");
}

static void another_version(void **state)
{
    (void)state;
    check(PROVIDER(ROOT("/releases/0.2.0/runtime.exs")),
          "%% coding: utf-8\n" PROVIDER(OURS));
    check(PROVIDER(ROOT("/releases/0.1.0/runtime.exs")),
          "%% coding: utf-8\n" PROVIDER(OURS));
}

/* As Mix prints it, and the line by which its script knows that Elixir
 * writes to the file. */
static void as_it_is_written(void **state)
{
    (void)state;
    check("%% coding: utf-8\n%% RUNTIME_CONFIG=true\n" PROVIDER(
              "{system,<<82,69,76,69,65,83,69,95,82,79,79,84>>,<<47,114,101,"
              "108,101,97,115,101,115,47,48,46,50,46,48,45,114,117,110,116,"
              "105,109,101,47,114,117,110,116,105,109,101,46,101,120,115>>}"),
          "%% coding: utf-8\n%% RUNTIME_CONFIG=true\n" PROVIDER(OURS));
}

/* What else there is stays what it was. */
static void the_rest(void **state)
{
    (void)state;
    check(
        "[{a,[{f,fun lists:map/2},{g,<<\"x\">>},{h,\"s\\n\"},{i,-1.5},"
        "{j,16#ff},{k,'A b'},{l,[a|b]}]},{elixir,[{config_provider_init,"
        "{" ROOT("/releases/2/runtime.exs") "," ROOT(
            "/extra.exs") ","
                          "{system,<<\"OTHER\">>,<<\"/releases/2/x\">>}}}]}].",
        "%% coding: utf-8\n"
        "[{a,[{f,fun lists:map/2},{g,<<\"x\">>},{h,\"s\\n\"},{i,-1.5},"
        "{j,255},{k,'A b'},{l,[a|b]}]},{elixir,[{config_provider_init,"
        "{" OURS "," ROOT("/extra.exs") ","
                                        "{system,<<\"OTHER\">>,<<\"/releases/2/"
                                        "x\">>}}}]}].\n");
}

static void another_file(void **state)
{
    (void)state;
    check(PROVIDER(ROOT("/releases/0.1.0/more.exs")),
          PROVIDER(ROOT("/releases/0.1.0/more.exs")));
    check_fails(PROVIDER(ROOT("/releases/0.2.0/more.exs")), "/r/runtime.exs",
                "releases/0.2.0/more.exs, which is not there");
    check_fails(PROVIDER(ROOT("/releases/0.10/x/runtime.exs")),
                "/r/runtime.exs", "releases/0.10/x/runtime.exs");
    check_fails(PROVIDER(ROOT("/releases/0.2.0/runtime.exs")), NULL,
                "releases/0.2.0/runtime.exs, which is not there");
}

static void no_terms(void **state)
{
    (void)state;
    check_fails("[{config_provider_init, ]}.", "/r", "line 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_providers), cmocka_unit_test(another_version),
        cmocka_unit_test(as_it_is_written),  cmocka_unit_test(the_rest),
        cmocka_unit_test(another_file),      cmocka_unit_test(no_terms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* What bash and zsh offer at Tab: each command and each option there is. */

#include "../engine/options.h"
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const commands[] = {
    "apply",   "plan", "rollback", "confirm", "status",
    "recover", "boot", "check",    "health",  "journal"};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static struct harness *harness;

/* One of the two, and how it is asked. */
static const char *const *shell;
static const char *const bash[] = {"bash", "--norc",
                                   "tests/tools/complete.bash", NULL};
static const char *const zsh[] = {"zsh", "-f", "tests/tools/complete.zsh",
                                  NULL};

static int set_up(void **state)
{
    const char *bin;

    (void)state;
    harness = harness_open();
    bin = harness_path(harness, "nzd");
    harness_write_file(bin, harness_text(harness, "#!/bin/sh\nexec %s \"$@\"\n",
                                         harness_argv(harness, NULL, NULL)[0]));
    harness_run(harness, (const char *const[]){"chmod", "+x", bin, NULL}, NULL);
    return setenv(
        "PATH",
        harness_text(harness, "%s:%s", harness_dir(harness), getenv("PATH")),
        1);
}

static int tear_down(void **state)
{
    (void)state;
    harness_close(harness);
    return 0;
}

/* What is offered for the last word, each in a line of its own. */
static const char *offered(const char *const *words)
{
    struct harness_run run =
        harness_run(harness, harness_concat(harness, shell, words), NULL);

    assert_status(run, 0);
    assert_string_equal(run.err, "");
    return harness_text(harness, "\n%s", run.out);
}

#define OFFERED(...) offered((const char *const[]){"nzd", __VA_ARGS__, NULL})

static bool has(const char *list, const char *word)
{
    return strstr(list, harness_text(harness, "\n%s\n", word)) != NULL;
}

static size_t lines(const char *list)
{
    size_t count = 0;

    for (const char *at = list + 1; (at = strchr(at, '\n')); at++)
        count++;
    return count;
}

static void check_offer(const char *list, const char *const *words)
{
    size_t count = 0;

    for (; words[count]; count++) {
        if (!has(list, words[count]))
            harness_fail("%s is not offered:%s", words[count], list);
    }
    if (lines(list) != count)
        harness_fail("only %zu should be offered:%s", count, list);
}

#define CHECK(list, ...)                                                       \
    check_offer((list), (const char *const[]){__VA_ARGS__, NULL})

static void each_command(void)
{
    const char *list = OFFERED("");

    for (size_t i = 0; i < COMMANDS; i++)
        assert_true(has(list, commands[i]));
    assert_int_equal(lines(list), COMMANDS);
    CHECK(OFFERED("st"), "status");
    CHECK(OFFERED("--json", "re"), "recover");
    CHECK(OFFERED("--journal", "/tmp", "--color", "never", "app"), "apply");
}

/* In a line of its own, be it behind its short form. */
static bool is_described(const char *help, const char *name)
{
    return strstr(help, harness_text(harness, "\n  %s ", name)) ||
           strstr(help, harness_text(harness, ", %s ", name));
}

/* The help of a command and the table of all, against what is offered. */
static void each_option(void)
{
    bool met[NZD_OPTION_COUNT] = {false};

    for (size_t i = 0; i < COMMANDS; i++) {
        const char *list = OFFERED(commands[i], "--");
        struct harness_run help =
            harness_nzd(harness, NULL, commands[i], "--help", NULL);
        size_t count = 0;

        for (unsigned o = 0; o < NZD_OPTION_COUNT; o++) {
            const char *name = harness_text(
                harness, "--%s", nzd_option_name((enum nzd_option)o));
            bool there = is_described(help.out, name);

            count += there;
            met[o] = met[o] || there;
            if (has(list, name) != there)
                harness_fail("nzd %s: %s:%s", commands[i], name, list);
        }
        assert_int_equal(lines(list), count);
    }
    for (unsigned o = 0; o < NZD_OPTION_COUNT; o++)
        assert_true(met[o] || o == NZD_OPTION_VERSION);
}

static void each_value(void)
{
    CHECK(OFFERED("plan", "--max", "restart"), "restart-app", "restart-vm");
    CHECK(OFFERED("apply", "--min", ""), "hot", "migrate", "restart-app",
          "restart-vm", "reboot");
    CHECK(OFFERED("--color", ""), "auto", "always", "never");
    CHECK(OFFERED("status", "--port", ""), NULL);
    CHECK(OFFERED("--journal", "/tmp", "journal", ""), "show", "verify",
          "export", "import", "gc");
    CHECK(OFFERED("health", ""), "ok", "bad", "lift");
}

static void of_bash(void **state)
{
    (void)state;
    shell = bash;
    each_command();
    each_option();
    each_value();
}

static void of_zsh(void **state)
{
    (void)state;
    if (system("command -v zsh >/dev/null") != 0)
        skip();
    shell = zsh;
    each_command();
    each_option();
    each_value();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_bash),
        cmocka_unit_test(of_zsh),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */

/* The command line as its user meets it: the program itself is run. */

#include "answer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
    *state = harness_open();
    return 0;
}

static int tear_down(void **state)
{
    harness_close(*state);
    return 0;
}

static const char *const commands[] = {
    "apply",   "plan", "rollback", "confirm", "status",
    "recover", "boot", "check",    "health",  "journal"};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void check_overall_help(const struct harness_run *run)
{
    assert_status(*run, 0);
    assert_string_equal(run->err, "");
    assert_matches(run->out, "^usage: nzd COMMAND");
    for (size_t i = 0; i < COMMANDS; i++)
        assert_contains(run->out, commands[i]);
    assert_lacks(run->out, "  sync ");
}

static void nzd_alone_helps(void **state)
{
    struct harness *harness = *state;
    struct harness_run run = harness_nzd(harness, NULL, NULL);

    check_overall_help(&run);
    run = harness_nzd(harness, NULL, "help", NULL);
    check_overall_help(&run);
    run = harness_nzd(harness, NULL, "--help", NULL);
    check_overall_help(&run);
    run = harness_nzd(harness, NULL, "--json", "-h", NULL);
    check_overall_help(&run);
}

static void every_command_helps(void **state)
{
    struct harness *harness = *state;

    for (size_t i = 0; i < COMMANDS; i++) {
        struct harness_run long_form =
            harness_nzd(harness, NULL, commands[i], "--help", NULL);
        struct harness_run word =
            harness_nzd(harness, NULL, "help", commands[i], NULL);

        assert_status(long_form, 0);
        assert_string_equal(long_form.err, "");
        assert_contains(long_form.out,
                        harness_text(harness, "usage: nzd %s ", commands[i]));
        assert_contains(long_form.out, "--json");
        assert_string_equal(long_form.out, word.out);
    }
}

static void help_is_no_wider_than_a_terminal(void **state)
{
    struct harness *harness = *state;

    for (size_t i = 0; i <= COMMANDS; i++) {
        struct harness_run run = harness_nzd(
            harness, NULL, "help", i < COMMANDS ? commands[i] : NULL, NULL);

        assert_status(run, 0);
        for (const char *at = run.out; *at; at += strcspn(at, "\n") + 1) {
            if (strcspn(at, "\n") > 80)
                fail_msg("over 80 columns: %.*s", (int)strcspn(at, "\n"), at);
        }
    }
}

/* Each library with its version and a licence. */
static void check_libraries(struct harness *harness, const char *json)
{
    json_t *answer = answer_object(harness, json);
    json_t *libraries = json_object_get(answer, "libraries"), *library;
    size_t i;

    assert_true(json_array_size(libraries) >= 9);
    json_array_foreach(libraries, i, library)
    {
        assert_matches(answer_text(library, "name"), "^[a-z0-9_]+$");
        assert_matches(answer_text(library, "version"), "^([0-9.]+|unknown)$");
        assert_string_not_equal(answer_text(library, "license"), "NOASSERTION");
    }
    assert_true(json_is_boolean(json_object_get(answer, "static")));
    assert_int_equal(answer_number(answer, "journal_format"), 1);
    answer_has(answer, "version license word_bits agent links slots");
}

static void the_version_is_told(void **state)
{
    struct harness_run run = harness_nzd(*state, NULL, "--version", NULL);

    assert_status(run, 0);
    assert_matches(run.out, "^nzd [0-9]+\\.[0-9]+\\.[0-9]+");
    assert_matches(run.out, "^journal format 1 of (32|64) bits$");
    assert_matches(run.out, "^link distribution$");
    assert_matches(run.out, "^agent nzd_agent_[0-9a-f]{12}$");
    assert_matches(run.out, "^confinement .*files, user, rights, limits$");
    assert_matches(run.out, "^built (with|statically of) lmdb [0-9.]+ ");
    assert_matches(run.out, " erl_interface [0-9.]+( |$)");
    run = harness_nzd(*state, NULL, "--version", "--json", NULL);
    assert_status(run, 0);
    check_libraries(*state, run.out);
}

struct mistake {
    const char *arguments[6];
    const char *message;
};

static const struct mistake mistakes[] = {
    {{"aply", "b"},
     "nzd: unknown command 'aply'\n  next       did you mean "
     "'apply'?\n"},
    {{"deploy"}, "nzd: unknown command 'deploy'\n  next       nzd --help"},
    {{"help", "watch"}, "nzd: unknown command 'watch'"},
    {{"confirm", "7"}, "nzd confirm: '7' is too much"},
    {{"status", "--confirm", "1m"}, "nzd status takes no --confirm"},
    {{"apply", "--attend", "b"}, "nzd apply takes no --attend"},
    {{"apply", "--confirm", "31d"}, "--confirm 31d: 30d is the most"},
    {{"apply", "--confirm", "10"},
     "--confirm 10: a duration with its unit is needed"},
    {{"status", "--chekc"}, "did you mean --check?"},
    {{"status", "--kill", "all"},
     "nzd: nzd status takes no --kill\n  next     "
     "  nzd status --help\n"},
    {{"journal", "show", "--dry-run"}, "nzd journal show takes no --dry-run"},
    {{"journal", "verify", "--wait", "1s"},
     "nzd journal verify takes no "
     "--wait"},
    {{"journal", "show", "--port", "4"}, "nzd journal takes no --port"},
    {{"plan", "b", "--dry-run"}, "nzd plan takes no --dry-run"},
    {{"apply", "b", "--to", "3"}, "nzd apply takes no --to"},
    {{"apply", "b", "--check"}, "nzd apply takes no --check"},
    {{"apply"}, "nzd apply needs BUNDLE"},
    {{"apply", "a", "b"}, "nzd apply: 'b' is too much"},
    {{"plan"}, "nzd plan needs BUNDLE | OLD NEW"},
    {{"plan", "a", "b", "c"}, "nzd plan: 'c' is too much"},
    {{"rollback", "3"}, "nzd rollback: '3' is too much"},
    {{"status", "x"}, "nzd status: 'x' is too much"},
    {{"journal"},
     "nzd journal needs show [N]|verify|export [FILE]|import FILE|gc"},
    {{"journal", "list"}, "unknown command 'journal list'"},
    {{"journal", "verify", "3"}, "'3' is too much"},
    {{"journal", "import"}, "nzd journal import needs FILE"},
    {{"journal", "export", "-", "more"}, "nzd journal: 'more' is too much"},
    {{"journal", "show", "last"}, "'last' is not the number"},
    {{"apply", "b", "--min", "reboot", "--max", "hot"},
     "--min reboot is above --max hot"},
    {{"status", "--color", "pink"}, "--color pink: one of"},
    {{"status", "a\033[31m"}, "'a\\x1b[31m' is too much"},
};

static const char *const *line_of(struct harness *harness,
                                  const struct mistake *mistake)
{
    const char *const *argv = harness_argv(harness, NULL, NULL);
    const char **out = harness_alloc(harness, 16 * sizeof(*out));
    size_t count = 0;

    out[count++] = argv[0];
    for (size_t i = 0; i < 6 && mistake->arguments[i]; i++)
        out[count++] = mistake->arguments[i];
    return out;
}

static void mistakes_are_exit_2(void **state)
{
    struct harness *harness = *state;

    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        struct harness_run run =
            harness_run(harness, line_of(harness, &mistakes[i]), NULL);

        assert_status(run, 2);
        assert_string_equal(run.out, "");
        assert_contains(run.err, mistakes[i].message);
    }
}

static void mistakes_in_json(void **state)
{
    struct harness_run run =
        harness_nzd(*state, NULL, "status", "--nope", "--json", NULL);

    assert_status(run, 2);
    assert_string_equal(run.err, "");
    assert_string_equal(run.out,
                        "{\"nzd\":1,\"error\":{\"exit\":2,\"code\":\"usage\","
                        "\"message\":\"unknown option --nope\","
                        "\"untouched\":\"\",\"next\":\"did you mean "
                        "--node?\"}}\n");
}

static void a_bad_configuration_is_exit_2(void **state)
{
    struct harness *harness = *state;
    const char *path = harness_path(harness, "nzd.conf");
    struct harness_run run;

    harness_write_file(path, "drain = 5s\n\ndarin = 5s\n");
    run = harness_nzd(harness, NULL, "journal", "show", "--config", path, NULL);
    assert_status(run, 2);
    assert_string_equal(
        run.err,
        harness_text(harness, "nzd: %s:3: unknown key 'darin'\n", path));
    run =
        harness_nzd(harness, NULL, "status", "--config", "/nonexistent", NULL);
    assert_status(run, 2);
    assert_contains(run.err, "/nonexistent: No such file");
}

static void the_configuration_names_the_journal(void **state)
{
    struct harness *harness = *state;
    const char *path = harness_path(harness, "nzd.conf");
    struct harness_run run;

    harness_write_file(path, "journal = \"/nonexistent/${HOME}\"\n");
    run = harness_nzd(harness, NULL, "journal", "show", "--config", path, NULL);
    assert_status(run, 0);
    assert_string_equal(run.out, "no journal in /nonexistent/${HOME}: nothing "
                                 "was ever applied here\n");
}

/* nzd with the rest of the line as a shell reads it. */
static struct harness_run shell(struct harness *harness, const char *line)
{
    const char *nzd = harness_argv(harness, NULL, NULL)[0];
    const char *argv[] = {"sh", "-c",
                          harness_text(harness, "exec %s %s", nzd, line), NULL};

    return harness_run(harness, argv, NULL);
}

static void an_answer_that_is_lost_is_exit_1(void **state)
{
    struct harness *harness = *state;
    struct harness_run run;

    run = shell(harness, "journal show --journal /nonexistent >/dev/full");
    assert_status(run, 1);
    assert_contains(run.err, "not all of the answer could be written");
    run =
        shell(harness, "journal show --json --journal /nonexistent >/dev/full");
    assert_status(run, 1);
    run = shell(harness, "help >/dev/full");
    assert_status(run, 1);
    run = shell(harness, "journal show --journal /nonexistent >&-");
    assert_status(run, 1);
}

static void closed_streams_are_no_files(void **state)
{
    struct harness_run run =
        shell(*state, "journal show --journal /nonexistent <&- 2>&-");

    assert_status(run, 0);
    assert_contains(run.out, "no journal in /nonexistent");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(nzd_alone_helps),
        CASE(every_command_helps),
        CASE(help_is_no_wider_than_a_terminal),
        CASE(the_version_is_told),
        CASE(mistakes_are_exit_2),
        CASE(mistakes_in_json),
        CASE(a_bad_configuration_is_exit_2),
        CASE(the_configuration_names_the_journal),
        CASE(an_answer_that_is_lost_is_exit_1),
        CASE(closed_streams_are_no_files),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}

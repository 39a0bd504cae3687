/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WORDS 100

/* Splits `text` at spaces, "nzd" before it, and parses that. argv points
 * into static memory, as out does. */
static int parse(const char *text, struct nzd_command_line *out,
                 struct nzd_err *err)
{
    static char copy[2048];
    static char name[] = "nzd";
    char *argv[WORDS + 1] = {name};
    int argc = 1;

    nzd_err_clear(err);
    assert_true(strlen(text) < sizeof(copy));
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " "); word && argc < WORDS;
         word = strtok(NULL, " "))
        argv[argc++] = word;
    return nzd_options_parse(argc, argv, out, err);
}

static void everything_in_any_order(void **state)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_options *options = &line.options;

    (void)state;
    assert_int_equal(
        parse("--json apply --max reboot b.tar.gz --min=hot --drain 200ms "
              "--kill all --kill counter_feed --accept-gap --adopt --retry "
              "--wait 1m --timeout 0 --node a@b --cookie-file c --port 4370 "
              "--journal d --config e --color never -qv --dry-run "
              "--confirm 10m --attend",
              &line, &err),
        0);
    assert_string_equal(line.command, "apply");
    assert_int_equal(options->arg_count, 1);
    assert_string_equal(options->args[0], "b.tar.gz");
    assert_true(options->has_max && options->max == NZD_LEVEL_REBOOT);
    assert_true(options->has_min && options->min == NZD_LEVEL_HOT);
    assert_true(options->has_drain && options->drain_us == 200000);
    assert_int_equal(options->kill_count, 2);
    assert_string_equal(options->kill[1], "counter_feed");
    assert_true(options->accept_gap && options->adopt && options->retry);
    assert_int_equal(options->wait_us, 60000000);
    assert_true(options->has_confirm && options->attend);
    assert_int_equal(options->confirm_us, 600000000);
    assert_int_equal(options->timeout_us, 0);
    assert_string_equal(options->node, "a@b");
    assert_string_equal(options->cookie_file, "c");
    assert_int_equal(options->port, 4370);
    assert_string_equal(options->journal, "d");
    assert_string_equal(options->config, "e");
    assert_int_equal(options->color, NZD_COLOR_NEVER);
    assert_true(options->json && options->quiet && options->verbose);
    assert_true(options->dry_run && !options->check && !options->has_to);
    assert_true(line.seen & NZD_OPTION_BIT(NZD_OPTION_PORT));
    assert_false(line.seen & NZD_OPTION_BIT(NZD_OPTION_HELP));
}

static void nothing_is_an_answer_too(void **state)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    assert_int_equal(parse("", &line, &err), 0);
    assert_null(line.command);
    assert_int_equal(line.seen, 0);
    assert_int_equal(parse("rollback --to 0", &line, &err), 0);
    assert_true(line.options.has_to && line.options.to == 0);
    assert_int_equal(parse("plan -- --odd -x", &line, &err), 0);
    assert_int_equal(line.options.arg_count, 2);
    assert_string_equal(line.options.args[0], "--odd");
    assert_int_equal(parse("-h status -V", &line, &err), 0);
    assert_true(line.seen & NZD_OPTION_BIT(NZD_OPTION_HELP));
    assert_true(line.seen & NZD_OPTION_BIT(NZD_OPTION_VERSION));
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *line, *message, *next;
    } rows[] = {
        {"status --chekc", "unknown option --chekc", "did you mean --check?"},
        {"status --chekc=5", "unknown option --chekc", "--check?"},
        {"status --zzz", "unknown option --zzz", ""},
        {"status -x", "unknown option -x", ""},
        {"status -qx", "unknown option -x", ""},
        {"status --json=yes", "--json takes no value", ""},
        {"apply b --max", "--max needs a value: LEVEL", ""},
        {"apply b --max hottest", "--max hottest: one of hot,", ""},
        {"apply b --max nothing", "--max nothing: one of hot,", ""},
        {"apply b --min warm", "--min warm: one of", ""},
        {"apply b --drain 5", "--drain 5: a duration with its unit", ""},
        {"apply b --wait -5s", "--wait -5s: a duration", ""},
        {"apply b --timeout s", "--timeout s: a duration", ""},
        {"apply b --port 65536", "--port 65536: that is no", ""},
        {"apply b --port 0", "--port 0: that is no", ""},
        {"rollback --to -1", "--to -1: that is no", ""},
        {"rollback --to 18446744073709551616", "--to 18446744073709551616", ""},
        {"status --color red", "--color red: one of auto", ""},
        {"status --node=", "--node \"\": an empty value", ""},
        {"a 1 2 3 4 5 6 7 8 9", "too many arguments", ""},
    };
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rc = parse(rows[i].line, &line, &err);

        if (rc != NZD_EUSAGE || !strstr(err.message, rows[i].message) ||
            !strstr(err.next, rows[i].next))
            fail_msg("%s: %d, %s, %s", rows[i].line, rc, err.message, err.next);
    }
}

static void json_counts_behind_a_mistake(void **state)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;

    (void)state;
    assert_int_equal(parse("status --nope --max x --json", &line, &err),
                     NZD_EUSAGE);
    assert_true(line.options.json);
    assert_string_equal(err.message, "unknown option --nope");
}

/* It would be two words for whoever recovers: "a" and "all". */
static void kill_is_one_word(void **state)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;
    char *argv[] = {"nzd", "apply", "x", "--kill", "a kill=all", NULL};
    (void)state;
    assert_int_equal(nzd_options_parse(5, argv, &line, &err), NZD_EUSAGE);
    assert_non_null(strstr(err.message, "without white space"));
    assert_int_equal(line.options.kill_count, 0);
}

static void kill_is_bounded(void **state)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf text = {0};

    (void)state;
    nzd_buf_text(&text, "apply b");
    for (int i = 0; i < NZD_KILL_MAX; i++)
        nzd_buf_text(&text, " --kill=x");
    assert_int_equal(parse(nzd_buf_string(&text), &line, &err), 0);
    assert_int_equal(line.options.kill_count, NZD_KILL_MAX);
    nzd_buf_text(&text, " --kill=x");
    assert_int_equal(parse(nzd_buf_string(&text), &line, &err), NZD_EUSAGE);
    assert_int_equal(line.options.kill_count, NZD_KILL_MAX);
    nzd_buf_clear(&text);
}

static void near_words(void **state)
{
    static const char *const words[] = {"apply", "plan", "rollback", "status",
                                        "journal"};

    (void)state;
    assert_string_equal(nzd_nearest("aply", words, 5), "apply");
    assert_string_equal(nzd_nearest("statsu", words, 5), "status");
    assert_string_equal(nzd_nearest("roll", words, 5), "rollback");
    assert_null(nzd_nearest("deploy", words, 5));
    assert_null(nzd_nearest("", words, 5));
    assert_null(nzd_nearest("x", words, 5));
    assert_null(
        nzd_nearest("0123456789012345678901234567890123456789", words, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_in_any_order),
        cmocka_unit_test(nothing_is_an_answer_too),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(json_counts_behind_a_mistake),
        cmocka_unit_test(kill_is_one_word),
        cmocka_unit_test(kill_is_bounded),
        cmocka_unit_test(near_words),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}

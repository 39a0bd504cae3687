/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/config.h"
#include "../engine/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char directory[64];
    char path[96];
    struct nzd_config config;
    struct nzd_err err;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    snprintf(fixture->directory, sizeof(fixture->directory),
             "/tmp/nzd-config.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/nzd.conf",
             fixture->directory);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    nzd_config_clear(&fixture->config);
    unlink(fixture->path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void write_file(struct fixture *fixture, const char *text, size_t size)
{
    FILE *file = fopen(fixture->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int load(struct fixture *fixture, const char *text)
{
    write_file(fixture, text, strlen(text));
    nzd_config_clear(&fixture->config);
    nzd_err_clear(&fixture->err);
    return nzd_config_load(fixture->path, &fixture->config, &fixture->err);
}

static void load_well(struct fixture *fixture, const char *text)
{
    int rc = load(fixture, text);

    if (rc < 0)
        fail_msg("%s", fixture->err.message);
}

/* The whole file of the samples. */
static const char sample[] =
    "node        = \"counter@web1\"      # default: the only BEAM release\n"
    "cookie_file = \"/srv/counter/releases/COOKIE\"\n"
    "journal     = \"/var/lib/nzd/journal\"\n"
    "journal_group = \"nzd\"\n"
    "max         = migrate             # hot migrate restart-app ...\n"
    "drain       = 5s                  # then refuse; nothing is killed\n"
    "keep        = 20                  # transactions\n"
    "journal_max = 64M\n"
    "\n"
    "hook \"selftest\" {\n"
    "    phase   = post                # pre | post | outcome\n"
    "    call    = \"counter_check:run\" # Elixir: \"Counter.Check.run\"\n"
    "    args    = {\"quick\", \"[{limit,100}]\"}   # one Erlang term each\n"
    "    timeout = 10s\n"
    "}\n"
    "hook \"http\" {\n"
    "    phase   = post\n"
    "    command = {\"/usr/bin/curl\", \"-fsS\", "
    "\"http://127.0.0.1:8080/health\"}\n"
    "    timeout = 5s\n"
    "}\n"
    "boot {\n"
    "    tries   = 4\n"
    "    timeout = 12s\n"
    "}\n"
    "restart {\n"
    "    command = {\"systemctl\", \"restart\", \"counter\"}\n"
    "    timeout = 90s\n"
    "}\n"
    "soak {\n"
    "    for       = 30s\n"
    "    before    = 2s\n"
    "    hooks     = 4s\n"
    "    crashes   = 1\n"
    "    restarts  = 2\n"
    "    queue     = 3\n"
    "    run_queue = 4\n"
    "    latency   = 5ms\n"
    "    memory    = 6%\n"
    "    processes = 700%\n"
    "}\n"
    "trial {\n"
    "    confirm    = 10m\n"
    "    hung       = restart\n"
    "    hung_after = 1m\n"
    "}\n";

static void takes_the_sample(void **state)
{
    struct fixture *fixture = *state;
    const struct nzd_config *config = &fixture->config;

    load_well(fixture, sample);
    assert_string_equal(config->node, "counter@web1");
    assert_string_equal(config->cookie_file, "/srv/counter/releases/COOKIE");
    assert_string_equal(config->journal, "/var/lib/nzd/journal");
    assert_int_equal(config->max, NZD_LEVEL_MIGRATE);
    assert_int_equal(config->drain_us, 5000000);
    assert_int_equal(config->keep, 20);
    assert_string_equal(config->journal_group, "nzd");
    assert_int_equal(config->journal_max, 64 << 20);
    assert_int_equal(config->boot_tries, 4);
    assert_int_equal(config->boot_timeout_us, 12000000);
    assert_int_equal(config->restart_words, 3);
    assert_string_equal(config->restart_command[2], "counter");
    assert_null(config->restart_command[3]);
    assert_int_equal(config->restart_timeout_us, 90000000);
    assert_int_equal(config->soak_us, 30000000);
    assert_int_equal(config->soak_before_us, 2000000);
    assert_int_equal(config->soak_hooks_us, 4000000);
    assert_int_equal(config->soak.crashes, 1);
    assert_int_equal(config->soak.restarts, 2);
    assert_int_equal(config->soak.queue, 3);
    assert_int_equal(config->soak.run_queue, 4);
    assert_int_equal(config->soak.latency_us, 5000);
    assert_int_equal(config->soak.memory_percent, 6);
    assert_int_equal(config->soak.processes_percent, 700);
    assert_int_equal(config->trial_confirm_us, 600000000);
    assert_true(config->trial_hung_restart);
    assert_int_equal(config->trial_hung_after_us, 60000000);
    assert_int_equal(config->hook_count, 2);
    assert_string_equal(config->hooks[0].name, "selftest");
    assert_int_equal(config->hooks[0].phase, NZD_HOOK_POST);
    assert_string_equal(config->hooks[0].module, "counter_check");
    assert_string_equal(config->hooks[0].function, "run");
    assert_int_equal(config->hooks[0].arg_count, 2);
    assert_string_equal(config->hooks[0].args[1], "[{limit,100}]");
    assert_null(config->hooks[0].args[2]);
    assert_int_equal(config->hooks[0].timeout_us, 10000000);
    assert_null(config->hooks[1].module);
    assert_int_equal(config->hooks[1].arg_count, 3);
    assert_string_equal(config->hooks[1].args[2],
                        "http://127.0.0.1:8080/health");
    assert_false(config->hooks[1].from_bundle);
}

static void defaults_hold_without_a_line(void **state)
{
    struct fixture *fixture = *state;

    load_well(fixture, "");
    assert_null(fixture->config.node);
    assert_null(fixture->config.journal);
    assert_int_equal(fixture->config.max, NZD_LEVEL_MIGRATE);
    assert_int_equal(fixture->config.drain_us, 5000000);
    assert_int_equal(fixture->config.keep, 20);
    assert_int_equal(fixture->config.journal_max, 64 << 20);
    assert_int_equal(fixture->config.boot_tries, 3);
    assert_int_equal(fixture->config.boot_timeout_us, 10000000);
    assert_int_equal(fixture->config.soak_us, 0);
    assert_int_equal(fixture->config.soak.memory_percent, 50);
    assert_int_equal(fixture->config.trial_confirm_us, 0);
    assert_false(fixture->config.trial_hung_restart);
    assert_int_equal(fixture->config.trial_hung_after_us, 30000000);
    assert_int_equal(fixture->config.hook_count, 0);
}

static void a_named_file_must_be_there(void **state)
{
    struct fixture *fixture = *state;
    int rc = nzd_config_load(fixture->path, &fixture->config, &fixture->err);

    assert_int_equal(rc, NZD_EUSAGE);
    assert_non_null(strstr(fixture->err.message, fixture->path));
    nzd_err_clear(&fixture->err);
    rc = nzd_config_load(fixture->directory, &fixture->config, &fixture->err);
    assert_int_equal(rc, NZD_EUSAGE);
}

static const char *hook_word(struct fixture *fixture, const char *quoted)
{
    char text[512];

    snprintf(text, sizeof(text),
             "hook h {\nphase = pre\ncommand = {run, %s}\n}\n", quoted);
    load_well(fixture, text);
    assert_int_equal(fixture->config.hooks[0].arg_count, 2);
    return fixture->config.hooks[0].args[1];
}

static void nothing_is_expanded(void **state)
{
    struct fixture *fixture = *state;

    setenv("NZD_TEST_SECRET", "leaked", 1);
    assert_string_equal(hook_word(fixture, "\"${NZD_TEST_SECRET}\""),
                        "${NZD_TEST_SECRET}");
    assert_string_equal(hook_word(fixture, "\"\\${NZD_TEST_SECRET}\""),
                        "${NZD_TEST_SECRET}");
    assert_string_equal(hook_word(fixture, "'${NZD_TEST_SECRET}'"),
                        "${NZD_TEST_SECRET}");
    assert_string_equal(hook_word(fixture, "\"a\\\\${NZD_TEST_SECRET:-x}\""),
                        "a\\${NZD_TEST_SECRET:-x}");
    assert_string_equal(hook_word(fixture, "\"$HOME $$ ${\""), "$HOME $$ ${");
    assert_int_equal(load(fixture, "node = ${NZD_TEST_SECRET}\n"), NZD_EUSAGE);
    assert_non_null(strstr(fixture->err.message, ":1: ${...} is not expanded"));
    assert_int_equal(load(fixture, "node = a${NZD_TEST_SECRET}\n"), NZD_EUSAGE);
    unsetenv("NZD_TEST_SECRET");
}

static void strings_mean_what_they_say(void **state)
{
    struct fixture *fixture = *state;

    assert_string_equal(hook_word(fixture, "\"a\\n\\t\\x41\\101\\\"\\'\""),
                        "a\n\tAA\"'");
    assert_string_equal(hook_word(fixture, "'a\\n\\'\\\\ \"b\"'"),
                        "a\\n'\\ \"b\"");
    assert_string_equal(hook_word(fixture, "\"gr\xC3\xBC\xC3\x9F\""),
                        "gr\xC3\xBC\xC3\x9F");
    assert_string_equal(hook_word(fixture, "\"# // /* } no comment\""),
                        "# // /* } no comment");
    assert_string_equal(hook_word(fixture, "\"\""), "");
    assert_string_equal(hook_word(fixture, "\"C:\\x5cdir\""), "C:\\dir");
}

struct bad {
    const char *text;
    const char *message; /* behind the path */
};

static const struct bad bad_files[] = {
    {"node = x\n\nnodes = y\n", ":3: unknown key 'nodes'"},
    {"/* one\n two */\n# three\nnodes = y\n", ":4: unknown key 'nodes'"},
    {"// c\n\nhook \"a\" {\n phase = pre\n fase = x\n}\n",
     ":5: unknown key 'fase'"},
    {"boot {\n tries = 1\n wait = 5s\n}\n", ":3: unknown key 'wait'"},
    {"restart {\n command = {\"\"}\n}\n",
     ":3: restart: the command has no name"},
    {"restart {\n timeout = 0s\n}\n", ":2: timeout"},
    {"\ndrain = 5\n", ":2: drain = \"5\": a duration with its unit"},
    {"drain = 5 s\n", ":1: '=' or '{' behind the key expected"},
    {"drain = -5s\n", ":1: drain = \"-5s\""},
    {"drain = 99999999999999999999s\n", ":1: drain"},
    {"journal_max = 64\n", ":1: journal_max = \"64\": a size"},
    {"journal_max = 64MB\n", ":1: journal_max"},
    {"journal_max = 1K\n", ":1: journal_max"},
    {"journal = run/nzd\n", ":1: journal = \"run/nzd\": an absolute path"},
    {"node = \"\"\n", ":1: node"},
    {"max = hottest\n", ":1: max = \"hottest\": one of hot"},
    {"max = nothing\n", ":1: max"},
    {"keep = 0\n", ":1: keep"},
    {"keep = 20x\n", ":1: keep"},
    {"keep = 5\nkeep = 6\n", ":2: 'keep' is given twice"},
    {"boot { }\nboot { }\n", ":2: 'boot' is given twice"},
    {"trial { confirm = 31d }\n", ":1: confirm = \"31d\": a duration of at "
                                  "most 30d"},
    {"soak { for = 2d }\n", ":1: for = \"2d\": a duration of at most 1d"},
    {"soak { memory = 50 }\n", ":1: memory = \"50\": a percentage"},
    {"soak { memory = 5000000% }\n", ":1: memory"},
    {"soak { crashes = -1 }\n", ":1: crashes"},
    {"soak { hooks = 0 }\n", ":1: hooks"},
    {"trial {\n hung = kill\n}\n", ":2: hung = \"kill\": one of wait"},
    {"trial { hung_after = 0s }\n", ":1: hung_after"},
    {"keep 20\n", ":1: '=' behind the key, or '{' behind the title, expected"},
    {"keep = {1, 2}\n", ":1: unexpected token '{'"},
    {"node = \"open\n", ":1: a string that does not end on its line"},
    {"node = \"a\\\nb\"\n", ":1: a string that does not end on its line"},
    {"\n/* open\n\n", ":2: a comment that does not end"},
    {"node = 'open\nhook", ":1: a string that does not end"},
    {"node = \"\\x00\"\n", ":1: a bad escape"},
    {"node = \"\\777\"\n", ":1: a bad escape"},
    {"node = \"\\9\"\n", ":1: a bad escape"},
    {"keep += 3\n", ":1: '+=' is not for this file"},
    {"include(\"/etc/shadow\")\n", ":1: a value with special characters"},
    {"include = \"/etc/shadow\"\n", ":1: unknown key 'include'"},
    {"\"boot|tries\" = 3\n", ":1: a key expected"},
    {"boot|tries = 3\n", ":1: that is no key"},
    {"journal = /var//lib\n", ":1: a value with special characters"},
    {"boot {\n", ":2: a section that does not end"},
    {"}\n", ":1: '}' without a section"},
    {"boot {\nboot {\n} }\n", ":2: a section within a section"},
    {"node = a\rkeep = 5\n", ":1: a carriage return"},
    {"node = \"a\x01\"\n", ":1: a control character"},
    {"\nnode = \"\xFF\"\n", ":2: text that is not UTF-8"},
    {"hook { }\n", ":1: missing title"},
    {"hook \"a\" { }\n", ":1: hook \"a\": needs a phase"},
    {"hook \"\" { phase = pre call = \"a:b\" }\n", ":1: the name of a hook"},
    {"hook a {phase=pre call=\"a:b\"}\nhook a {phase=pre call=\"a:b\"}\n",
     ":2: found duplicate title"},
    {"hook a {\nphase = now\n}\n", ":2: phase = \"now\": one of pre"},
    {"hook a { phase = pre }\n", ":1: hook \"a\": needs a call or a command"},
    {"hook a { phase = pre call = \"a:b\" command = {x} }\n",
     ":1: hook \"a\": has both"},
    {"hook a { phase = pre command = {x} args = {\"1\"} }\n",
     ":1: hook \"a\": args belong"},
    {"hook a { phase = pre command = {} }\n", "needs a call or a command"},
    {"hook a { phase = pre command = {\"\"} }\n", "the command has no name"},
    {"hook a { phase = pre call = \"run\" }\n", "call is \"module:function\""},
    {"hook a { phase = pre call = \"a:run/1\" }\n", "call is"},
    {"hook a { phase = pre call = \"a:\" }\n", "call is"},
    {"hook a { phase = pre call = \"a b:run\" }\n", "call is"},
    {"hook a { phase = pre call = \"counter.run\" }\n", "call is"},
    {"hook a { phase = pre call = \"Counter..run\" }\n", "call is"},
    {"hook a { phase = pre call = \":.run\" }\n", "call is"},
    {"hook a { phase = pre timeout = 0s call = \"a:b\" }\n", ":1: timeout"},
    {"hook a { phase = pre timeout = 10 call = \"a:b\" }\n", ":1: timeout"},
    {"hook a { phase = pre call = \"a:b\" args = {\"[1,\"} }\n",
     "argument 1 is no Erlang term"},
    {"hook a { phase = pre call = \"a:b\" args = {\"1\", \"1. 2\"} }\n",
     "argument 2 is no Erlang term"},
    {"hook a { phase = pre call = \"a:b\" args = {\"ok.\"} }\n",
     "argument 1 is no Erlang term"},
    {"hook a { phase = pre call = \"a:b\" args = {\"\"} }\n",
     "argument 1 is no Erlang term"},
    {"hook a { phase = pre call = \"a:b\" args = {\"halt()\"} }\n",
     "argument 1 is no Erlang term"},
};

static void says_what_is_wrong_and_where(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        const struct bad *bad = &bad_files[i];
        int rc = load(fixture, bad->text);

        if (rc != NZD_EUSAGE || !strstr(fixture->err.message, bad->message))
            fail_msg("%s\ngave %d: %s\nnot %s", bad->text, rc,
                     fixture->err.message, bad->message);
        if (strncmp(fixture->err.message, fixture->path,
                    strlen(fixture->path)) != 0)
            fail_msg("no file in: %s", fixture->err.message);
        assert_int_equal(fixture->config.hook_count, 0);
    }
}

static void a_failed_parse_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(load(fixture, "node = \"open"), NZD_EUSAGE);
        assert_int_equal(load(fixture, "boot { tries = what }"), NZD_EUSAGE);
        load_well(fixture, sample);
        assert_int_equal(fixture->config.hook_count, 2);
    }
}

static void odd_but_fine(void **state)
{
    struct fixture *fixture = *state;

    load_well(fixture, "\xEF\xBB\xBFnode=a@b //c\r\nkeep=7# x\r\n");
    assert_string_equal(fixture->config.node, "a@b");
    assert_int_equal(fixture->config.keep, 7);
    load_well(fixture, "drain = 0");
    assert_int_equal(fixture->config.drain_us, 0);
    load_well(fixture, "hook a { phase = pre call = \"a:b\" args = \"ok\" }");
    assert_int_equal(fixture->config.hooks[0].arg_count, 1);
    load_well(fixture, "hook a { phase = pre call = \"a:b\" "
                       "args = {\"{a,\\\"b\\\"} % why\", \"#{k => 1.5}\"} }");
    assert_int_equal(fixture->config.hooks[0].arg_count, 2);
}

static void calls_of_both_languages(void **state)
{
    static const struct {
        const char *call, *module, *function;
    } rows[] = {
        {"counter_check:run", "counter_check", "run"},
        {"Counter.Check.run", "Elixir.Counter.Check", "run"},
        {"Counter.ok?", "Elixir.Counter", "ok?"},
        {"Elixir.Counter.run", "Elixir.Counter", "run"},
        {":counter_check.run", "counter_check", "run"},
        {"'Elixir.Counter.Check':run", "Elixir.Counter.Check", "run"},
        {"Elixir.Counter:run", "Elixir.Counter", "run"},
    };
    struct fixture *fixture = *state;
    char text[256];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "hook a { phase = outcome call = \"%s\" }",
                 rows[i].call);
        load_well(fixture, text);
        assert_string_equal(fixture->config.hooks[0].module, rows[i].module);
        assert_string_equal(fixture->config.hooks[0].function,
                            rows[i].function);
        assert_int_equal(fixture->config.hooks[0].phase, NZD_HOOK_OUTCOME);
        assert_int_equal(fixture->config.hooks[0].timeout_us, 10000000);
    }
}

static void sizes_are_capped(void **state)
{
    struct fixture *fixture = *state;
    size_t size = (256 << 10) + 1;
    char *text = malloc(size);
    struct nzd_buf hooks = {0};

    memset(text, '#', size);
    write_file(fixture, text, size);
    assert_int_equal(
        nzd_config_load(fixture->path, &fixture->config, &fixture->err),
        NZD_EUSAGE);
    assert_non_null(strstr(fixture->err.message, "more than 256 KB"));
    free(text);
    for (int i = 0; i < 65; i++)
        nzd_buf_printf(&hooks, "hook h%d { phase = pre call = \"a:b\" }\n", i);
    assert_int_equal(load(fixture, nzd_buf_string(&hooks)), NZD_EUSAGE);
    assert_non_null(strstr(fixture->err.message, "65 hooks"));
    nzd_buf_reset(&hooks);
    nzd_buf_text(&hooks, "hook h { phase = pre command = {x");
    for (int i = 0; i < 32; i++)
        nzd_buf_text(&hooks, ", y");
    nzd_buf_text(&hooks, "} }\n");
    assert_int_equal(load(fixture, nzd_buf_string(&hooks)), NZD_EUSAGE);
    nzd_buf_clear(&hooks);
}

/* --- hooks of a bundle ----------------------------------------------- */

static int add(struct fixture *fixture, const char *text)
{
    nzd_err_clear(&fixture->err);
    return nzd_config_add_bundle_hooks(&fixture->config, nzd_view_text(text),
                                       &fixture->err);
}

static void a_bundle_adds_calls(void **state)
{
    struct fixture *fixture = *state;

    load_well(fixture, sample);
    assert_int_equal(add(fixture, "hook \"own\" {\n phase = post\n"
                                  " call = \"Counter.Check.run\"\n"
                                  " timeout = 60s\n}\n"),
                     0);
    assert_int_equal(fixture->config.hook_count, 3);
    assert_string_equal(fixture->config.hooks[2].name, "own");
    assert_string_equal(fixture->config.hooks[2].module,
                        "Elixir.Counter.Check");
    assert_true(fixture->config.hooks[2].from_bundle);
    assert_false(fixture->config.hooks[1].from_bundle);
}

static void a_bundle_may_not(void **state)
{
    static const struct bad rows[] = {
        {"hook a { phase = pre command = {\"/bin/sh\"} }", "programs"},
        {"hook a { phase = pre call = \"a:b\" timeout = 61s }", "above 60s"},
        {"hook selftest { phase = pre call = \"a:b\" }", "taken"},
        {"node = \"other@host\"", ":1: unknown key 'node'"},
        {"boot { tries = 1 }", ":1: unknown key 'boot'"},
        {"hook a { phase = pre call = \"a:b\" args = {\"${HOME}\"} }",
         "no Erlang term"},
        {"hook a { phase = pre call = \"a:b\" } hook a { }", "duplicate"},
    };
    struct fixture *fixture = *state;

    load_well(fixture, sample);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int rc = add(fixture, rows[i].text);

        if (rc != NZD_EBUNDLE || !strstr(fixture->err.message, rows[i].message))
            fail_msg("%s\ngave %d: %s", rows[i].text, rc, fixture->err.message);
        assert_int_equal(fixture->config.hook_count, 2);
    }
}

static void a_bundle_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_buf text = {0};

    load_well(fixture, sample);
    for (int i = 0; i < 17; i++)
        nzd_buf_printf(&text, "hook h%d { phase = pre call = \"a:b\" }\n", i);
    assert_int_equal(add(fixture, nzd_buf_string(&text)), NZD_EBUNDLE);
    assert_non_null(strstr(fixture->err.message, "17 hooks, at most 16"));
    nzd_buf_reset(&text);
    for (int i = 0; i < 65537; i++)
        nzd_buf_u8(&text, '{');
    assert_int_equal(add(fixture, nzd_buf_string(&text)), NZD_EBUNDLE);
    assert_non_null(strstr(fixture->err.message, "more than 64 KB"));
    text.size = 65535;
    assert_int_equal(add(fixture, nzd_buf_string(&text)), NZD_EBUNDLE);
    nzd_buf_clear(&text);
    assert_int_equal(nzd_config_add_bundle_hooks(
                         &fixture->config, nzd_view_of("hook\0a", 6), NULL),
                     NZD_EBUNDLE);
    assert_int_equal(fixture->config.hook_count, 2);
}

static void units(void **state)
{
    uint64_t out = 7;

    (void)state;
    assert_true(nzd_parse_duration("200ms", &out) && out == 200000);
    assert_true(nzd_parse_duration("5s", &out) && out == 5000000);
    assert_true(nzd_parse_duration("10m", &out) && out == 600000000);
    assert_true(nzd_parse_duration("2h", &out) && out == 7200000000ull);
    assert_true(nzd_parse_duration("1d", &out) && out == 86400000000ull);
    assert_true(nzd_parse_duration("0", &out) && out == 0);
    assert_true(nzd_parse_duration("00", &out) && out == 0);
    assert_false(nzd_parse_duration("", &out));
    assert_false(nzd_parse_duration("5", &out));
    assert_false(nzd_parse_duration("s", &out));
    assert_false(nzd_parse_duration(" 5s", &out));
    assert_false(nzd_parse_duration("5s ", &out));
    assert_false(nzd_parse_duration("5S", &out));
    assert_false(nzd_parse_duration("1.5s", &out));
    assert_false(nzd_parse_duration("213503983d", &out));
    assert_false(nzd_parse_duration("18446744073709551616ms", &out));
    assert_true(nzd_parse_size("100B", &out) && out == 100);
    assert_true(nzd_parse_size("512K", &out) && out == 524288);
    assert_true(nzd_parse_size("64M", &out) && out == 67108864);
    assert_true(nzd_parse_size("1G", &out) && out == 1073741824);
    assert_false(nzd_parse_size("64", &out));
    assert_false(nzd_parse_size("17179869184G", &out));
    assert_true(nzd_parse_count("18446744073709551615", &out));
    assert_false(nzd_parse_count("18446744073709551616", &out));
    assert_false(nzd_parse_count("7x", &out));
    assert_false(nzd_parse_count("", &out));
    assert_false(nzd_parse_count("+7", &out));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(takes_the_sample),
        CASE(defaults_hold_without_a_line),
        CASE(a_named_file_must_be_there),
        CASE(nothing_is_expanded),
        CASE(strings_mean_what_they_say),
        CASE(says_what_is_wrong_and_where),
        CASE(a_failed_parse_leaves_nothing_behind),
        CASE(odd_but_fine),
        CASE(calls_of_both_languages),
        CASE(sizes_are_capped),
        CASE(a_bundle_adds_calls),
        CASE(a_bundle_may_not),
        CASE(a_bundle_is_bounded),
        CASE(units),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

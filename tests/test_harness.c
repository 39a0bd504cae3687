/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_node.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = harness_open();
    return 0;
}

static int teardown(void **state)
{
    harness_close(*state);
    return 0;
}

static struct beam_node *start_counter(struct harness *harness,
                                       bool interactive)
{
    struct beam_node_options options = {
        .release = harness_fixture(harness, "counter-0.1.0"),
        .name = "counter",
        .interactive = interactive,
    };
    return beam_node_start(harness, &options);
}

static void check_counter(struct harness *harness, bool interactive,
                          const char *mode)
{
    double begin = process_now_ms();
    struct beam_node *node = start_counter(harness, interactive);
    double took = process_now_ms() - begin;
    /* Two seconds, and five times that on a busy machine. */
    if (took > 10000)
        fail_msg("%s: up after %.0f ms", mode, took);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    assert_eval(node, "code:get_mode()", mode);
    assert_eval(node, "net_kernel:longnames()", "false");
    assert_string_equal(
        beam_node_eval(node, "node()"),
        harness_text(harness, "%s",
                     beam_node_eval(node, "'%s'", beam_node_name(node))));
    /* Its own copy of every application, kernel too. */
    assert_contains(beam_node_eval(node, "code:which(gen_server)"),
                    "counter-0.1.0/lib/stdlib");
}

static void starts_embedded(void **state)
{
    check_counter(*state, false, "embedded");
}

static void starts_interactive(void **state)
{
    check_counter(*state, true, "interactive");
}

static void starts_elixir(void **state)
{
    struct harness *harness = *state;
    const char *const greeting[] = {"GREETING=Salut", NULL};
    struct beam_node_options options = {
        .release = harness_fixture(harness, "greeter-0.1.0")};
    struct beam_node *node = beam_node_start(harness, &options);
    assert_eval(node, "'Elixir.Greeter.Counter':greet(<<\"Ada\">>)",
                "{1,{<<\"0.1.0\">>,<<\"Hello dear Ada\">>}}");
    assert_contains(beam_node_eval(node, "code:which('Elixir.Greeter.Polite')"),
                    "releases/0.1.0/consolidated");

    options.release = harness_fixture(harness, "greeter-0.2.0-runtime");
    options.environment = greeting;
    node = beam_node_start(harness, &options);
    assert_eval(node, "'Elixir.Greeter':hello(ada)",
                "{<<\"0.2.0\">>,<<\"Salut esteemed ada\">>}");
}

static void starts_many(void **state)
{
    struct harness *harness = *state;
    struct beam_node_options options = {
        .release = harness_fixture(harness, "many-10-1")};
    struct beam_node *node = beam_node_start(harness, &options);
    assert_eval(node, "many_001:pair()", "{1,1}");
    assert_eval(node,
                "[M || {M, _} <- code:all_loaded(), "
                "lists:prefix(\"many_\", atom_to_list(M))] -- "
                "element(2, application:get_key(many, modules))",
                "[]");
}

static void starts_bare(void **state)
{
    struct harness *harness = *state;
    const char *const arguments[] = {
        "-pa", harness_fixture(harness, "many-1-2/lib/many-2.0.0/ebin"), NULL};
    struct beam_node_options options = {
        .name = "bare", .arguments = arguments, .net_ticktime = 8};
    struct beam_node *node = beam_node_start(harness, &options);
    assert_eval(node, "many_001:pair()", "{2,2}");
    assert_eval(node, "net_kernel:get_net_ticktime()", "8");
    options.prefix = (const char *const[]){"env", "PREFIX=there", NULL};
    node = beam_node_start(harness, &options);
    assert_eval(node, "os:getenv(\"PREFIX\")", "\"there\"");
}

static void all_fixtures_boot(void **state)
{
    static const char *const versions[] = {
        "0.2.0",     "0.3.0",     "0.2.0-conf", "0.2.0-priv",
        "0.2.0-app", "0.2.0-gap", "0.2.0-state"};
    struct harness *harness = *state;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        const char *name = harness_text(harness, "counter-%s", versions[i]);
        struct beam_node_options options = {.release =
                                                harness_fixture(harness, name)};
        struct beam_node *node = beam_node_start(harness, &options);
        bool third = strcmp(versions[i], "0.3.0") == 0;
        assert_eval(node, "counter_srv:call()",
                    third ? "{\"0.3.0\",1}" : "{\"0.2.0\",1}");
        assert_eval(node, "counter_check:run(quick, [{limit,100}])",
                    third ? "{error,{limit,120}}" : "ok");
        beam_node_kill(node);
    }
}

static void evaluates(void **state)
{
    struct beam_node *node = start_counter(*state, false);
    assert_eval(node, "X = 20, X + 22", "42");
    assert_eval(node, "[\"\u00fc\"]", "[\"\u00fc\"]");
    assert_null(beam_node_try(node, "error(no)"));
    assert_null(beam_node_try(node, "exit(normal)"));
    assert_null(beam_node_try(node, "this is not Erlang"));
    assert_null(beam_node_try(node, "timer:sleep(2000), late"));
    /* The late answer is not taken for this one. */
    assert_eval(node, "now_answered", "now_answered");
    assert_int_equal(
        strlen(beam_node_eval(node, "lists:duplicate(100000, $x)")), 100002);
}

static void lives_and_dies(void **state)
{
    struct beam_node *node = start_counter(*state, false);
    pid_t first = beam_node_pid(node);
    assert_eval(node, "os:getpid()",
                harness_text(*state, "\"%d\"", (int)first));

    beam_node_freeze(node);
    assert_null(beam_node_try(node, "1"));
    assert_true(beam_node_alive(node));
    beam_node_thaw(node);
    assert_eval(node, "1", "1");

    beam_node_kill(node);
    assert_false(beam_node_alive(node));
    assert_int_equal(kill(first, 0), -1);
    beam_node_start_again(node);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");
    assert_int_not_equal(beam_node_pid(node), first);

    beam_node_eval(node, "init:restart()");
    beam_node_wait_restart(node, 10000);
    assert_eval(node, "counter_srv:call()", "{\"0.1.0\",1}");

    beam_node_stop(node);
    assert_false(beam_node_alive(node));
}

static void names_are_its_own(void **state)
{
    struct beam_node *a = start_counter(*state, false);
    struct beam_node *b = start_counter(*state, true);
    assert_string_not_equal(beam_node_name(a), beam_node_name(b));
    assert_string_equal(
        beam_node_eval(a, "net_adm:ping('%s')", beam_node_name(b)), "pong");
    /* Both are known to this epmd and not to the one of the host. */
    assert_string_not_equal(getenv("ERL_EPMD_PORT"), "4369");
    assert_string_equal(
        beam_node_eval(a, "length(element(2, net_adm:names(localhost)))"), "2");
    struct stat status;
    assert_int_equal(stat(harness_cookie_file(*state), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0400);
}

static void counts_load(void **state)
{
    struct beam_node *node = start_counter(*state, false);
    struct beam_load *good =
        beam_load_start(node, 4, 0, "counter_http", "get", "[7]");
    struct beam_load *calls =
        beam_load_start(node, 2, 1, "counter_srv", "call", "[]");
    struct beam_load *missing =
        beam_load_start(node, 1, 1, "counter_http", "missing", "[]");
    struct beam_load *wrong =
        beam_load_start(node, 1, 1, "erlang", "hd", "[[]]");
    beam_load_wait(good, 1000);
    beam_load_wait(calls, 20);
    beam_load_wait(missing, 5);
    beam_load_wait(wrong, 5);

    struct beam_load_result result = beam_load_stop(good);
    assert_in_range(result.ok, 1000, UINT32_MAX);
    assert_int_equal(result.undef + result.fail + result.killed, 0);
    assert_in_range(result.longest_us, 1, 10000000);
    assert_matches(result.results,
                   "^\\[\\{\\{\"0\\.1\\.0\",\"0\\.1\\.0\",\"hello hello, "
                   "counted 7\"\\},[0-9]+\\}\\]$");
    assert_string_equal(result.errors, "[]");

    result = beam_load_stop(calls);
    assert_string_equal(
        beam_node_eval(node, "counter_srv:value()"),
        harness_text(*state, "%llu", (unsigned long long)result.ok));

    result = beam_load_stop(missing);
    assert_int_equal(result.ok + result.fail + result.killed, 0);
    assert_in_range(result.undef, 5, UINT32_MAX);
    assert_contains(result.errors, "counter_http,missing");

    result = beam_load_stop(wrong);
    assert_int_equal(result.ok + result.undef + result.killed, 0);
    assert_contains(result.errors, "{error,badarg}");
}

static void sees_a_torn_reload(void **state)
{
    struct harness *harness = *state;
    struct beam_node *node = start_counter(harness, false);
    const char *ebin =
        harness_fixture(harness, "counter-0.2.0/lib/counter-0.2.0/ebin");
    struct beam_load *load =
        beam_load_start(node, 2, 0, "counter_http", "get", "[7]");
    beam_load_wait(load, 100);
    beam_node_eval(node,
                   "[begin code:purge(M), code:load_abs(\"%s/\" ++ "
                   "atom_to_list(M)), timer:sleep(50) end || "
                   "M <- [counter_text, counter_rate, counter_http]]",
                   ebin);
    beam_load_wait(load, 100);
    struct beam_load_result result = beam_load_stop(load);
    assert_contains(result.results, "{\"0.1.0\",\"0.1.0\",");
    assert_contains(result.results, "{\"0.1.0\",\"0.2.0\",");
    assert_contains(result.results, "{\"0.2.0\",\"0.2.0\",");
}

static void sees_a_killed_worker(void **state)
{
    struct beam_node *node = start_counter(*state, false);
    struct beam_load *load = beam_load_start(
        node, 3, 1, "erlang", "apply", "[fun() -> exit(self(), kill) end, []]");
    process_sleep_ms(50);
    struct beam_load_result result = beam_load_stop(load);
    assert_int_equal(result.killed, 3);
}

static void stays_in_old_code(void **state)
{
    struct beam_node *node = start_counter(*state, false);
    beam_node_eval(node, "counter_feed:start(10)");
    beam_node_eval(node, "{module,_} = code:load_abs(filename:rootname("
                         "code:which(counter_http)))");
    assert_eval(node,
                "erlang:check_process_code(whereis(counter_feed), "
                "counter_http)",
                "true");
    assert_eval(node, "code:soft_purge(counter_http)", "false");
    assert_eval(node, "counter_feed:stop()", "normal");
    assert_eval(node, "code:soft_purge(counter_http)", "true");
}

static void runs_commands(void **state)
{
    struct harness *harness = *state;
    const char *const argv[] = {
        "sh", "-c", "echo \"out $WORD\"; echo err >&2; sleep 0.1; exit 5",
        NULL};
    const char *const words[] = {"WORD=said", NULL};
    struct harness_run run = harness_run(harness, argv, words);
    assert_status(run, 5);
    assert_string_equal(run.out, "out said\n");
    assert_string_equal(run.err, "err\n");
    assert_true(run.ms >= 100 && run.ms < 1000);
    assert_in_range(run.peak_kb, 100, 1000000);

    const char *const sleeper[] = {"sh", "-c", "echo on; sleep 100", NULL};
    struct harness_job *job = harness_begin(harness, sleeper, NULL);
    run = harness_end(harness, job, 200);
    assert_true(run.timed_out);
    assert_int_equal(run.status, 128 + SIGKILL);
    assert_string_equal(run.out, "on\n");

    const char *const absent[] = {"nzd-no-such-program", NULL};
    run = harness_run(harness, absent, NULL);
    assert_status(run, 127);
}

static void names_the_node_to_nzd(void **state)
{
    struct harness *harness = *state;
    setenv("NZD", "/bin/echo", 1);
    struct beam_node *node = start_counter(harness, false);
    struct harness_run run = harness_nzd(harness, node, "apply", "x.nzb", NULL);
    assert_string_equal(
        run.out,
        harness_text(harness,
                     "apply x.nzb --node %s --cookie-file %s --journal %s\n",
                     beam_node_name(node), harness_cookie_file(harness),
                     harness_journal(harness)));
}

/* Ended, though whoever inherited it may not have reaped it yet. */
static bool is_gone(pid_t pid)
{
    char state_of[8] = "Z", path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file) {
        assert_int_equal(fscanf(file, "%*d %*s %7s", state_of), 1);
        fclose(file);
    }
    return state_of[0] == 'Z';
}

/* A program that leaves its group and session is ended all the same. */
static void nothing_is_left(void **state)
{
    (void)state;
    struct harness *harness = harness_open();
    const char *dir = strdup(harness_dir(harness));
    struct beam_node *node = start_counter(harness, false);
    const char *const argv[] = {"sh", "-c", "setsid sleep 1000 & echo $!",
                                NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    pid_t node_pid = beam_node_pid(node);
    pid_t stray = (pid_t)atoi(run.out);
    assert_int_equal(kill(stray, 0), 0);
    assert_int_equal(kill(node_pid, 0), 0);
    harness_close(harness);

    assert_int_equal(kill(node_pid, 0), -1);
    assert_true(is_gone(stray));
    assert_int_equal(access(dir, F_OK), -1);
    free((char *)dir);
}

/* A killed test program takes its nodes along. */
static void dies_with_the_test(void **state)
{
    struct harness *harness = *state;
    const char *pid_file = harness_path(harness, "pid");
    pid_t program = fork();
    if (program == 0) {
        struct beam_node *node = start_counter(harness, false);
        harness_write_file(
            pid_file, harness_text(harness, "%d\n", (int)beam_node_pid(node)));
        pause();
        _exit(0);
    }
    for (int i = 0; i < 1000 && access(pid_file, F_OK) != 0; i++)
        process_sleep_ms(10);
    process_sleep_ms(20);
    pid_t node = (pid_t)atoi(harness_read_file(harness, pid_file));
    assert_true(node > 1);
    process_kill(program);
    for (int i = 0; i < 200 && kill(node, 0) == 0; i++)
        process_sleep_ms(10);
    assert_int_equal(kill(node, 0), -1);
}

#define real(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        real(starts_embedded),
        real(starts_interactive),
        real(starts_elixir),
        real(starts_many),
        real(starts_bare),
        real(all_fixtures_boot),
        real(evaluates),
        real(lives_and_dies),
        real(names_are_its_own),
        real(counts_load),
        real(sees_a_torn_reload),
        real(sees_a_killed_worker),
        real(stays_in_old_code),
        real(runs_commands),
        real(names_the_node_to_nzd),
        cmocka_unit_test(nothing_is_left),
        real(dies_with_the_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A release that systemd starts, by a unit with the drop-in that ships: what
 * runs after each way to start and to end it. */

static struct harness *harness;
static const char *lacking;
static struct machine *machine; /* for all tests */

/* Whoever made a release has such a unit, but for the last line. */
static const char *counter_unit(const char *before)
{
    char beam[4096];
    const char *given = getenv("NZD_TEST_BEAM");
    if (!realpath(given ? given : "build/tests/beam", beam))
        harness_fail("the tests' BEAM modules are not built: make tests");
    return harness_text(
        harness,
        "[Unit]\nDescription=counter\nAfter=systemd-journald.service\n"
        "[Service]\n%s"
        "ExecStart=/srv/counter/bin/counter foreground\n"
        "Environment=HOME=/root\n"
        "Environment=\"ERL_FLAGS=-eval '{module,_}=code:load_abs("
        "\\\"%s/nzd_test_ctl\\\"),nzd_test_ctl:start(\\\"/run/ctl\\\").'\"\n",
        before, beam);
}

static int boot(void **state)
{
    (void)state;
    harness = harness_open();
    lacking = machine_lacks(harness);
    if (lacking[0]) {
        print_message("no systemd can be run here: %s\n", lacking);
        return 0;
    }
    const char *const units[][2] = {
        {"counter.service", counter_unit("")},
        {"counter.service.d/10-nzd.conf",
         harness_read_file(harness, "engine/systemd/10-nzd.conf")},
        {"counter.service.d/20-sooner.conf", "[Service]\nRestartSec=50ms\n"},
        {"plain.service",
         counter_unit("ExecStartPre=-/usr/bin/nzd recover --before-start\n")},
        {NULL, NULL}};
    static const char *const bundles[] = {"0.2.0", "0.2.0-conf", NULL};
    machine = machine_boot(harness, "0.1.0", bundles, units);
    return 0;
}

static int switch_off(void **state)
{
    (void)state;
    harness_close(harness);
    return 0;
}

static void configure(const char *text)
{
    harness_write_file(machine_path(machine, "/etc/nzd.conf"), text);
}

/* As after an installation. */
static int forget(void **state)
{
    (void)state;
    if (!machine)
        return 0;
    machine_systemctl(machine, "stop", "counter", "plain");
    machine_systemctl(machine, "reset-failed");
    machine_must(machine, (const char *const[]){"rm", "-rf", "/var/lib/nzd",
                                                "/run/nzd", NULL});
    configure("");
    return 0;
}

/* --- what is asserted ---------------------------------------------------- */

#define assert_boots(version, generation)                                      \
    check_boots((version), (generation), __FILE__, __LINE__)

static void check_boots(const char *version, const char *generation,
                        const char *file, int line)
{
    scene_check_runs(&machine->scene, version, file, line);
    beam_node_check(machine->scene.node, "os:getenv(\"NZD_BOOT\")", generation,
                    file, line);
}

static void settled(void)
{
    struct harness_run run = machine_nzd(machine, "status", "--check");
    assert_status(run, 0);
    run = machine_nzd(machine, "journal", "verify");
    assert_status(run, 0);
    assert_contains(run.out, "/var/lib/nzd/journal");
}

static void is_in(const char *id, const char *state)
{
    struct harness_run run =
        machine_nzd(machine, "journal", "show", id, "--json");
    assert_status(run, 0);
    assert_contains(run.out, harness_text(harness, "\"state\":\"%s\"", state));
}

static void apply(void)
{
    struct harness_run run = machine_nzd(machine, "apply", "/srv/0.2.0");
    assert_status(run, 0);
}

static int start(const char *unit)
{
    machine_systemctl(machine, "start", unit);
    return machine_wait_vm(machine, unit, 0);
}

/* The VM dies; systemd starts it again. */
static int die(int vm)
{
    machine_systemctl(machine, "kill", "-s", "KILL", "--kill-who=main",
                      "counter");
    return machine_wait_vm(machine, "counter", vm);
}

static bool begin(void)
{
    if (!machine)
        skip();
    return machine != NULL;
}

/* --- the cases ----------------------------------------------------------- */

static void the_base(void **state)
{
    (void)state;
    if (!begin())
        return;
    start("counter");
    assert_boots("0.1.0", "\"0\"");
    struct harness_run run = machine_nzd(machine, "check");
    assert_status(run, 0);
    assert_contains(run.out, "nzd boot started the VM");
    machine_systemctl(machine, "is-active", "counter");
}

/* Started anew, after it died, and ended: nothing is left in its group. */
static void what_was_committed(void **state)
{
    (void)state;
    if (!begin())
        return;
    int vm = start("counter");
    apply();
    machine_systemctl(machine, "restart", "counter");
    vm = machine_wait_vm(machine, "counter", vm);
    assert_boots("0.2.0", "\"1\"");
    struct harness_run run = machine_nzd(machine, "health", "ok");
    assert_status(run, 0);
    die(vm);
    assert_boots("0.2.0", "\"1\"");
    settled();
    double begun = process_now_ms();
    machine_systemctl(machine, "stop", "counter");
    assert_true(process_now_ms() - begun < 10000);
    run = machine_systemctl(machine, "show", "-p", "Result,ActiveState",
                            "counter");
    assert_contains(run.out, "Result=success");
    assert_contains(run.out, "ActiveState=inactive");
}

static void without_health(void **state)
{
    (void)state;
    if (!begin())
        return;
    configure("boot {\n tries = 2\n healthy = 0\n}\n");
    int vm = start("counter");
    apply();
    vm = die(vm);
    assert_boots("0.2.0", "\"1\"");
    vm = die(vm);
    assert_boots("0.2.0", "\"1\"");
    die(vm);
    assert_boots("0.1.0", "\"0\"");
    is_in("1", "quarantined");
    assert_contains(machine_log(machine),
                    "generation 1 did not become healthy in 2 boots");
    settled();
}

/* What only another start of the VM brings, by the unit's restart. */
static void through_a_restart(void **state)
{
    (void)state;
    if (!begin())
        return;
    configure("restart {\n command = {\"/usr/bin/systemctl\", \"restart\", "
              "\"counter\"}\n}\n");
    int vm = start("counter");
    struct harness_run run =
        machine_nzd(machine, "apply", "--min", "restart-vm", "--max",
                    "restart-vm", "/srv/0.2.0-conf");
    assert_status(run, 0);
    machine_wait_vm(machine, "counter", vm);
    assert_boots("0.2.0", "\"1\"");
    is_in("1", "committed");
    settled();
}

/* nzd dies, and the VM, in the midst of an apply; plain.service has only a
 * step before its start. */
static void before_the_start(void **state)
{
    (void)state;
    if (!begin())
        return;
    configure(SCENE_CALL("rest", "post", "timer:sleep", "\"20000\""));
    int vm = start("plain");
    machine_must(machine, (const char *const[]){
                              "sh", "-c",
                              "/usr/bin/nzd apply /srv/0.2.0 >/dev/null 2>&1 & "
                              "echo $! >/run/apply",
                              NULL});
    beam_node_wait_for(machine->scene.node,
                       "erlang:module_loaded(counter_rate)", "true", 10000);
    machine_must(machine, (const char *const[]){
                              "sh", "-c",
                              "kill -9 $(cat /run/apply); systemctl kill -s "
                              "KILL plain",
                              NULL});
    is_in("1", "armed");
    configure("");
    machine_systemctl(machine, "start", "plain");
    machine_wait_vm(machine, "plain", vm);
    is_in("1", "rolled_back");
    assert_boots("0.1.0", "false");
    settled();
}

#define on(test) cmocka_unit_test_setup(test, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on(the_base),          on(what_was_committed), on(without_health),
        on(through_a_restart), on(before_the_start),
    };
    return cmocka_run_group_tests(tests, boot, switch_off);
}

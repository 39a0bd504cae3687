/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define SCRIPT   "tests/machine.sh"

static struct harness_run run_script(struct harness *harness, const char *word)
{
    const char *const argv[] = {SCRIPT, word, NULL};
    return harness_run(harness, argv, NULL);
}

static const char *first_line(struct harness *harness, const char *text)
{
    return harness_text(harness, "%.*s", (int)strcspn(text, "\n"), text);
}

const char *machine_lacks(struct harness *harness)
{
    struct harness_run run = run_script(harness, "lacks");
    assert_status(run, 0);
    return first_line(harness, run.out);
}

/* --- what is laid over the root filesystem ------------------------------- */

static void put(struct harness *harness, const char *path, const char *text)
{
    const char *whole = harness_path(harness, "files/%s", path);
    const char *const argv[] = {"mkdir", "-p",
                                harness_text(harness, "%.*s",
                                             (int)(strrchr(whole, '/') - whole),
                                             whole),
                                NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    harness_write_file(whole, text);
}

/* Without what units want by themselves; but start scripts write to the log. */
static const char *const own_units[][2] = {
    {"machine.target",
     "[Unit]\nDefaultDependencies=no\nWants=systemd-journald.socket "
     "systemd-journald-dev-log.socket systemd-journald.service\n"},
    {NULL, NULL}};

static void put_units(struct harness *harness, const char *const (*units)[2])
{
    for (; (*units)[0]; units++)
        put(harness,
            harness_text(harness, "etc/systemd/system/%s", (*units)[0]),
            (*units)[1]);
}

/* The start script wants the node's name in vm.args. */
static void put_release(struct machine *machine, const char *version,
                        const char *name)
{
    struct harness *harness = machine->scene.harness;
    harness_copy(harness, scene_bundle(&machine->scene, version),
                 harness_path(harness, "files/srv/%s", name));
    put(harness,
        harness_text(harness, "srv/%s/releases/%s/vm.args", name, version),
        "-sname counter@localhost\n-setcookie nzdtestcookie\n+sbwt none\n"
        "-kernel inet_dist_use_interface {127,0,0,1}\n");
}

static void put_files(struct machine *machine, const char *version,
                      const char *const *bundles, const char *const (*units)[2])
{
    struct harness *harness = machine->scene.harness;
    put(harness, "root/.erlang.cookie", "nzdtestcookie");
    chmod(harness_path(harness, "files/root/.erlang.cookie"), 0400);
    put(harness, "usr/bin/nzd", "");
    put(harness, "srv/README", "");
    put_units(harness, own_units);
    put_units(harness, units);
    harness_copy(harness, harness_argv(harness, NULL, NULL)[0],
                 harness_path(harness, "files/usr/bin/nzd"));
    chmod(harness_path(harness, "files/usr/bin/nzd"), 0755);
    put_release(machine, version, "counter");
    for (; *bundles; bundles++)
        put_release(machine, *bundles, *bundles);
}

/* --- on and off ---------------------------------------------------------- */

static void switch_off(void *context)
{
    struct machine *machine = context;
    double until = process_now_ms() + LIMIT_MS;
    const char *const remove[] = {
        "find",  machine->group, "-depth", "-type", "d",
        "-exec", "rmdir",        "{}",     "+",     NULL};
    if (machine->holder > 0)
        process_kill(machine->holder);
    machine->holder = 0;
    /* Its last processes may take a moment to go. */
    while (access(machine->group, F_OK) == 0 && process_now_ms() < until) {
        harness_run(machine->scene.harness, remove, NULL);
        process_sleep_ms(5);
    }
}

static const char *beam_folder(struct harness *harness)
{
    const char *given = getenv("NZD_TEST_BEAM");
    char absolute[4096];
    if (!realpath(given ? given : "build/tests/beam", absolute))
        harness_fail("the tests' BEAM modules are not built: make tests");
    return harness_text(harness, "%s", absolute);
}

static void power_on(struct machine *machine)
{
    struct harness *harness = machine->scene.harness;
    const char *const argv[] = {"unshare",
                                "--fork",
                                "--kill-child",
                                "--pid",
                                SCRIPT,
                                "enter",
                                machine->group,
                                harness_path(harness, "machine"),
                                harness_path(harness, "files"),
                                harness_fixture(harness, "."),
                                beam_folder(harness),
                                NULL};
    const struct process_command command = {
        .argv = argv, .output = machine->console, .errors = machine->console};
    mkdir(harness_path(harness, "machine"), 0700);
    if (mkdir(machine->group, 0755) != 0)
        harness_fail("%s: %s", machine->group, strerror(errno));
    harness_at_close(harness, switch_off, machine);
    machine->holder = process_spawn(&command);
    if (machine->holder < 0)
        harness_fail("unshare: %s", strerror(errno));
}

static pid_t find_init(const struct machine *machine)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children",
             (int)machine->holder, (int)machine->holder);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

static bool is_up(struct machine *machine)
{
    static const char *const argv[] = {"systemctl", "is-active",
                                       "machine.target", NULL};
    machine->init = find_init(machine);
    if (!machine->init ||
        access(machine_path(machine, "/run/systemd/private"), F_OK) != 0)
        return false;
    return machine_run(machine, argv).status == 0;
}

struct machine *machine_boot(struct harness *harness, const char *version,
                             const char *const *bundles,
                             const char *const (*units)[2])
{
    struct machine *machine = harness_alloc(harness, sizeof *machine);
    double until = process_now_ms() + LIMIT_MS;
    machine->scene.harness = harness;
    machine->console = harness_path(harness, "console");
    machine->group = harness_text(
        harness, "%s%d", first_line(harness, run_script(harness, "group").out),
        (int)getpid());
    put_files(machine, version, bundles, units);
    power_on(machine);
    while (!is_up(machine)) {
        if (!process_alive(machine->holder) || process_now_ms() > until)
            harness_fail("the machine does not boot:\n%s",
                         harness_read_file(harness, machine->console));
        process_sleep_ms(10);
    }
    machine->scene.node = beam_node_of_others(harness, "counter@localhost",
                                              machine_path(machine, "/run/ctl"),
                                              machine->console);
    return machine;
}

const char *machine_path(struct machine *machine, const char *path)
{
    return harness_text(machine->scene.harness, "/proc/%d/root%s",
                        (int)machine->init, path);
}

/* --- inside -------------------------------------------------------------- */

struct harness_run machine_run(struct machine *machine, const char *const *argv)
{
    struct harness *harness = machine->scene.harness;
    const char *options = getenv("ASAN_OPTIONS");
    const char *const prefix[] = {
        "env",
        "-i",
        "HOME=/root",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "SYSTEMD_PAGER=",
        harness_text(harness, "ASAN_OPTIONS=%s", options ? options : ""),
        "nsenter",
        "--mount",
        "--pid",
        "--uts",
        "--net",
        "--ipc",
        "--cgroup",
        "--root",
        "--wd",
        "--target",
        harness_text(harness, "%d", (int)machine->init),
        NULL};
    return harness_run(harness, harness_concat(harness, prefix, argv), NULL);
}

struct harness_run machine_must(struct machine *machine,
                                const char *const *argv)
{
    struct harness_run run = machine_run(machine, argv);
    if (run.status != 0)
        harness_fail("%s: exit status %d\n%s%s\n%s", run.command, run.status,
                     run.out, run.err, machine_log(machine));
    return run;
}

static int main_pid(struct machine *machine, const char *unit)
{
    struct harness_run run =
        machine_systemctl(machine, "show", "--value", "-p", "MainPID", unit);
    return (int)strtol(run.out, NULL, 10);
}

int machine_wait_vm(struct machine *machine, const char *unit, int before)
{
    double until = process_now_ms() + LIMIT_MS;
    int pid = 0;
    for (;;) {
        const char *answer = beam_node_try(
            machine->scene.node, "begin {started, _} = init:get_status(), "
                                 "list_to_integer(os:getpid()) end");
        pid = answer ? (int)strtol(answer, NULL, 10) : 0;
        if (pid && pid != before && pid == main_pid(machine, unit))
            return pid;
        if (process_now_ms() > until)
            harness_fail("%s does not start:\n%s", unit, machine_log(machine));
        process_sleep_ms(20);
    }
}

const char *machine_log(struct machine *machine)
{
    static const char *const argv[] = {"journalctl", "--no-pager", "-q", NULL};
    struct harness *harness = machine->scene.harness;
    return harness_text(harness, "%s%s", machine_run(machine, argv).out,
                        harness_read_file(harness, machine->console));
}

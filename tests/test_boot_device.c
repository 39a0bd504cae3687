/* SPDX-License-Identifier: Apache-2.0 */
#include "answer.h"
#include "device.h"
#include "other_erts.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A device whose init starts the VM by `nzd boot --`: each history ends in a
 * boot, and what was booted is what the journal promises, module by module. */

static const char *lacking;

static int setup(void **state)
{
    *state = lacking ? NULL : device_new(harness_open(), "0.1.0");
    return 0;
}

static int teardown(void **state)
{
    struct device *device = *state;
    if (device)
        harness_close(device->scene.harness);
    return 0;
}

/* --- what is asserted ---------------------------------------------------- */

/* All that is loaded and lies in the release's other applications is what
 * they hold. */
static void the_rest_is_the_base(struct device *device)
{
    assert_eval(device->scene.node,
                "begin "
                "Loaded = [{M, F} || {M, F} <- code:all_loaded(), is_list(F), "
                "string:find(F, \"/srv/erlang/\") =:= F, "
                "string:find(F, \"/counter-\") =:= nomatch], "
                "{length(Loaded) > 50, [M || {M, F} <- Loaded, "
                "element(2, beam_lib:md5(F)) =/= "
                "{M, M:module_info(md5)}]} end",
                "{true,[]}");
}

#define assert_boots(device, version, generation)                              \
    check_boots((device), (version), (generation), __FILE__, __LINE__)

static void check_boots(struct device *device, const char *version,
                        unsigned generation, const char *file, int line)
{
    struct harness *harness = device->scene.harness;
    scene_check_runs(&device->scene, version, file, line);
    beam_node_check(device->scene.node, "os:getenv(\"NZD_BOOT\")",
                    harness_text(harness, "\"%u\"", generation), file, line);
    the_rest_is_the_base(device);
}

/* The journal says so too, and is whole. */
static void settled(struct device *device)
{
    struct harness_run run = device_nzd(device, "status", "--check");
    assert_status(run, 0);
    run = device_nzd(device, "journal", "verify");
    assert_status(run, 0);
    assert_contains(run.out, "/data/nzd/journal");
}

static void is_in(struct device *device, const char *id, const char *state)
{
    struct harness_run run =
        device_nzd(device, "journal", "show", id, "--json");
    assert_status(run, 0);
    assert_contains(run.out, harness_text(device->scene.harness,
                                          "\"state\":\"%s\"", state));
}

static void apply(struct device *device, const char *version)
{
    struct harness_run run =
        device_nzd(device, "apply", scene_bundle(&device->scene, version));
    assert_status(run, 0);
}

static struct device *begin(void **state)
{
    struct device *device = *state;
    if (!device) {
        skip();
        return NULL;
    }
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    return device;
}

/* --- reloads, and a boot ------------------------------------------------- */

static void the_base(void **state)
{
    struct device *device = begin(state);
    struct harness_run run = device_nzd(device, "health", "ok");
    assert_status(run, 5);
    device_reboot(device);
    assert_boots(device, "0.1.0", 0);
    assert_string_equal(device_kernel_log(device), "");
}

static void reloads_and_a_reboot(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    apply(device, "0.3.0");
    struct harness_run run = device_nzd(device, "rollback");
    assert_status(run, 0);
    assert_runs(&device->scene, "0.2.0");
    device_reboot(device);
    assert_boots(device, "0.2.0", 3);
    settled(device);
    run = device_nzd(device, "rollback", "--to", "0");
    assert_status(run, 0);
    device_reboot(device);
    assert_runs(&device->scene, "0.1.0");
    settled(device);
}

static void a_reload_and_a_power_cut(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_cut_power(device);
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
    settled(device);
    apply(device, "0.3.0");
    device_cut_power(device);
    device_boot(device);
    assert_boots(device, "0.3.0", 2);
    settled(device);
}

/* Cut off in the midst: what was armed is undone by the boot. */
static void a_power_cut_in_a_reload(void **state)
{
    struct device *device = *state;
    if (!device) {
        skip();
        return;
    }
    device->config = harness_path(device->scene.harness, "nzd.conf");
    harness_write_file(device->config,
                       SCENE_CALL("rest", "post", "timer:sleep", "\"4000\""));
    device_boot(device);
    const char *const argv[] = {
        "sh", "-c",
        harness_text(device->scene.harness, "/usr/bin/nzd apply %s &",
                     scene_bundle(&device->scene, "0.2.0")),
        NULL};
    struct harness_run run = device_run(device, argv);
    assert_status(run, 0);
    beam_node_wait_for(device->scene.node, "erlang:module_loaded(counter_rate)",
                       "true", 10000);
    device_cut_power(device);
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    is_in(device, "1", "rolled_back");
    settled(device);
}

/* --- health -------------------------------------------------------------- */

static void falls_back(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    for (int i = 0; i < 3; i++) {
        device_cut_power(device);
        device_boot(device);
        assert_boots(device, "0.2.0", 1);
    }
    device_cut_power(device);
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    is_in(device, "1", "quarantined");
    settled(device);
    device_reboot(device);
    assert_boots(device, "0.1.0", 0);
}

static void health_is_kept(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_reboot(device);
    struct harness_run run = device_nzd(device, "health", "ok");
    assert_status(run, 0);
    for (int i = 0; i < 4; i++) {
        device_cut_power(device);
        device_boot(device);
        assert_boots(device, "0.2.0", 1);
    }
    /* From what was never healthy back to what was, not to the base. */
    apply(device, "0.3.0");
    device_reboot(device);
    run = device_nzd(device, "health", "bad");
    assert_status(run, 0);
    device_cut_power(device);
    device_boot(device);
    assert_runs(&device->scene, "0.2.0");
    settled(device);
}

/* --- the keeper ---------------------------------------------------------- */

static void wait_for_console(struct device *device, const char *text)
{
    double until = process_now_ms() + 10000;
    while (!strstr(harness_read_file(device->scene.harness, device->console),
                   text)) {
        if (process_now_ms() > until)
            harness_fail(
                "not on the console: %s\n%s", text,
                harness_read_file(device->scene.harness, device->console));
        process_sleep_ms(20);
    }
}

/* How many run nzd, and how many are dead and not reaped. */
static const char *leftovers(struct device *device)
{
    return beam_node_eval(
        device->scene.node,
        "begin Stats = [B || D <- filelib:wildcard(\"/proc/[0-9]*/stat\"), "
        "{ok, B} <- [file:read_file(D)]], "
        "{length([B || B <- Stats, "
        "binary:match(B, <<\"(nzd)\">>) =/= nomatch]), "
        "length([B || B <- Stats, "
        "binary:match(B, <<\") Z \">>) =/= nomatch])} end");
}

static void the_keeper_does_not_hang_the_end(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_reboot(device);
    assert_string_equal(leftovers(device), "{1,0}");
    double begun = process_now_ms();
    const char *said = device_shut_down(device);
    assert_contains(said, "the VM ended: status 0");
    assert_contains(said, "init: reboot");
    assert_lacks(said, "killed");
    assert_true(process_now_ms() - begun < 10000);
}

static void the_keeper_is_reaped(void **state)
{
    struct device *device = *state;
    if (!device) {
        skip();
        return;
    }
    device->config = harness_path(device->scene.harness, "nzd.conf");
    harness_write_file(device->config,
                       "boot {\n tries = 1\n healthy = 300ms\n}\n");
    device_boot(device);
    apply(device, "0.2.0");
    device_reboot(device);
    wait_for_console(device, "init: reaped");
    beam_node_wait_for(device->scene.node, "ok", "ok", 100);
    process_sleep_ms(500);
    assert_string_equal(leftovers(device), "{0,0}");
    device_cut_power(device);
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
}

/* --- another base -------------------------------------------------------- */

static void another_base(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_shut_down(device);
    device_set_base(device, "0.3.0");
    device_boot(device);
    assert_boots(device, "0.3.0", 0);
    settled(device);
    device_shut_down(device);
    device_set_base(device, "0.1.0");
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
    settled(device);
}

/* --- another ERTS --------------------------------------------------------- */

/* The VM's end is the device's. */
static const char end_the_vm[] =
    "for p in /proc/[0-9]*; do read -r comm <$p/comm; "
    "[ \"$comm\" != beam.smp ] || kill -9 ${p#/proc/}; done\n";

static void runs_other_erts(struct device *device)
{
    struct harness *harness = device->scene.harness;
    const char *version = other_erts_version(harness);
    assert_boots(device, "0.2.0", 1);
    assert_eval(device->scene.node, "erlang:system_info(version)",
                harness_text(harness, "\"%s\"", version));
    assert_contains(beam_node_eval(device->scene.node, "os:getenv(\"BINDIR\")"),
                    "/data/nzd/native/");
}

/* nzd ends with the device; who boots next finds the change under way. */
static void another_erts(void **state)
{
    struct device *device = *state;
    if (!device) {
        skip();
        return;
    }
    struct harness *harness = device->scene.harness;
    device->config = harness_path(harness, "nzd.conf");
    harness_write_file(device->config,
                       "boot {\n healthy = 300ms\n}\nrestart {\n command = "
                       "{\"/bin/sh\", \"/data/end\"}\n}\n");
    device_boot(device);
    harness_write_file(device_path(device, "/data/end"), end_the_vm);
    other_erts_release(harness, "counter-0.2.0",
                       device_path(device, "/data/bundle"));
    device_nzd(device, "apply", "--max", "restart-vm", "/data/bundle");
    assert_true(process_wait(device->holder, 20000, NULL));
    device->holder = 0;
    device_boot(device);
    runs_other_erts(device);
    /* The keeper of nzd boot may be at it. */
    struct harness_run run = device_nzd(device, "recover", "--wait", "20s");
    assert_status(run, 0);
    is_in(device, "1", "committed");
    device_cut_power(device);
    device_boot(device);
    runs_other_erts(device);
    settled(device);
}

/* --- the data partition -------------------------------------------------- */

static void data_is_missing(void **state)
{
    struct device *device = begin(state);
    const char *data = device->data;
    apply(device, "0.2.0");
    device_shut_down(device);
    device->data = NULL;
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    device_shut_down(device);
    device->data = data;
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
}

/* A boot that cannot be counted is only of what was healthy once. */
static void data_is_read_only(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_shut_down(device);
    device->read_only = true;
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    assert_contains(device_kernel_log(device), "the base boots: ");
    device_shut_down(device);
    device->read_only = false;
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
    struct harness_run run = device_nzd(device, "health", "ok");
    assert_status(run, 0);
    device_shut_down(device);
    device->read_only = true;
    device_boot(device);
    assert_boots(device, "0.2.0", 1);
}

/* To the last byte, while the device is on. */
static void fill_data(struct device *device)
{
    static const char zeros[4096];
    int fd = open(device_path(device, "/data/filler"),
                  O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t size = sizeof zeros; size; size /= 2)
        while (write(fd, zeros, size) == (ssize_t)size)
            ;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fsync(fd), 0);
    close(fd);
}

static void data_is_full(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    fill_data(device);
    for (int i = 0; i < 3; i++) {
        device_cut_power(device);
        device_boot(device);
        assert_boots(device, "0.2.0", 1);
    }
    device_cut_power(device);
    device_boot(device);
    assert_runs(&device->scene, "0.1.0");
}

/* All of a file. */
static void write_over(const char *path)
{
    char block[4096];
    struct stat file;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    memset(block, '#', sizeof block);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &file), 0);
    for (off_t at = 0; at < file.st_size; at += sizeof block)
        assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
    close(fd);
}

static void data_is_garbage(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    device_shut_down(device);
    write_over(device->data);
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    device_shut_down(device);
    /* As nerves_runtime does then. */
    device_format_data(device);
    device_boot(device);
    assert_boots(device, "0.1.0", 0);
    apply(device, "0.3.0");
    device_reboot(device);
    assert_boots(device, "0.3.0", 1);
    settled(device);
}

static void the_journal_is_garbage(void **state)
{
    struct device *device = begin(state);
    apply(device, "0.2.0");
    write_over(device_path(device, "/data/nzd/journal/data.mdb"));
    device_reboot(device);
    assert_boots(device, "0.1.0", 0);
    assert_contains(device_kernel_log(device), "the base boots: ");
}

#define on(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on(the_base),
        on(reloads_and_a_reboot),
        on(a_reload_and_a_power_cut),
        on(a_power_cut_in_a_reload),
        on(falls_back),
        on(health_is_kept),
        on(the_keeper_does_not_hang_the_end),
        on(the_keeper_is_reaped),
        on(another_base),
        on(another_erts),
        on(data_is_missing),
        on(data_is_read_only),
        on(data_is_full),
        on(data_is_garbage),
        on(the_journal_is_garbage),
    };
    lacking = device_lacks();
    if (lacking)
        print_message("no device can be booted here: %s\n", lacking);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

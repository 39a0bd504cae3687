/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOOT_LIMIT_MS 30000
#define END_LIMIT_MS  20000
#define DATA_SIZE     "32M"

/* Mounts a squashfs by a loop device in a mount namespace. */
static const char can_do[] =
    "d=$(mktemp -d) && mkdir $d/r && mksquashfs $d/r $d/i -quiet -no-progress "
    ">/dev/null && unshare --mount --pid --fork --uts --net "
    "mount -t squashfs -o loop,ro $d/i $d/r; s=$?; rm -rf $d; exit $s";

const char *device_lacks(void)
{
    if (geteuid() != 0)
        return "only root may mount";
    if (system("command -v mksquashfs mkfs.ext4 nsenter unshare >/dev/null"))
        return "mksquashfs, mkfs.ext4, unshare or nsenter is not there";
    if (system(can_do) != 0)
        return "no squashfs can be mounted from a loop device in a namespace";
    return NULL;
}

/* --- images -------------------------------------------------------------- */

static void must(struct harness *harness, const char *const *argv)
{
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

static const char *beam_folder(struct harness *harness)
{
    const char *given = getenv("NZD_TEST_BEAM");
    char absolute[4096];
    if (!realpath(given ? given : "build/tests/beam", absolute))
        harness_fail("the tests' BEAM modules are not built: make tests");
    return harness_text(harness, "%s", absolute);
}

static const char *fixtures(struct harness *harness)
{
    return harness_fixture(harness, ".");
}

static const char *nzd(struct harness *harness)
{
    return harness_argv(harness, NULL, NULL)[0];
}

/* Root filesystems are made once for the test program. */
static char images[64];

static void remove_images(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", images);
    if (images[0] && system(command) != 0)
        perror(images);
}

static const char *images_folder(void)
{
    if (!images[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(images, sizeof images, "%.40s/nzd-bases-XXXXXX",
                 tmp ? tmp : "/tmp");
        if (!mkdtemp(images))
            harness_fail("%s: %s", images, strerror(errno));
        atexit(remove_images);
    }
    return images;
}

void device_set_base(struct device *device, const char *version)
{
    struct harness *harness = device->scene.harness;
    device->base = harness_text(harness, "%s/%s%s.squashfs", images_folder(),
                                version, device->nzd ? "-other" : "");
    const char *const argv[] = {"tests/device/root.sh",
                                device->base,
                                scene_bundle(&device->scene, version),
                                device->nzd ? device->nzd : nzd(harness),
                                fixtures(harness),
                                beam_folder(harness),
                                NULL};
    if (access(device->base, F_OK) != 0)
        must(harness, argv);
}

void device_format_data(struct device *device)
{
    struct harness *harness = device->scene.harness;
    device->data = harness_path(harness, "data.img");
    /* Nothing is left for the kernel to write some time. */
    const char *const argv[] = {
        "mkfs.ext4",          "-q",         "-F",      "-E",
        "lazy_itable_init=0", device->data, DATA_SIZE, NULL};
    harness_remove(harness, device->data);
    must(harness, argv);
}

void device_switch_off(struct device *device)
{
    if (device->holder)
        process_kill(device->holder);
    device->holder = 0;
}

static void switch_off(void *device)
{
    device_switch_off(device);
}

struct device *device_new(struct harness *harness, const char *version)
{
    return device_new_with(harness, version, NULL);
}

struct device *device_new_with(struct harness *harness, const char *version,
                               const char *nzd_of_it)
{
    struct device *device = harness_alloc(harness, sizeof *device);
    device->scene.harness = harness;
    device->nzd = nzd_of_it;
    device->console = harness_path(harness, "console");
    mkdir(harness_path(harness, "root"), 0700);
    device_set_base(device, version);
    device_format_data(device);
    harness_at_close(harness, switch_off, device);
    return device;
}

/* --- on ------------------------------------------------------------------ */

static const char *erl_flags(struct harness *harness)
{
    const char *beam = beam_folder(harness);
    return harness_text(
        harness,
        "-noinput +sbwt none -mode embedded -sname counter@localhost "
        "-kernel inet_dist_use_interface {127,0,0,1} -eval "
        "'{module,_}=code:load_abs(\"%s/nzd_test_ctl\"),"
        "nzd_test_ctl:start(\"/run/ctl\").'",
        beam);
}

/* The only child of the program that made the namespaces; 0: not yet. */
static pid_t find_init(const struct device *device)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children",
             (int)device->holder, (int)device->holder);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

static void wait_for_init(struct device *device)
{
    struct harness *harness = device->scene.harness;
    double until = process_now_ms() + BOOT_LIMIT_MS;
    while (!(device->init = find_init(device))) {
        if (process_now_ms() > until || !process_alive(device->holder))
            harness_fail("the device has no init:\n%s",
                         harness_read_file(harness, device->console));
        process_sleep_ms(2);
    }
}

/* Beside the nzd under test. */
static const char *init_program(struct harness *harness)
{
    const char *program = nzd(harness);
    return harness_text(harness, "%.*s/tests/device/init",
                        (int)(strrchr(program, '/') - program), program);
}

static void power_on(struct device *device)
{
    struct harness *harness = device->scene.harness;
    const char *argv[32] = {"unshare",      "--fork",
                            "--kill-child", "--pid",
                            "--mount",      "--uts",
                            "--net",        init_program(harness),
                            "--root",       device->base,
                            "--at",         harness_path(harness, "root"),
                            "--share",      fixtures(harness),
                            "--share",      beam_folder(harness),
                            "--flags",      erl_flags(harness)};
    size_t count = 18;
    const char *const more[][2] = {{"--data", device->data},
                                   {"--config", device->config},
                                   {"--marks", device->marks}};
    for (size_t i = 0; i < 3; i++)
        if (more[i][1]) {
            argv[count++] = more[i][0];
            argv[count++] = more[i][1];
        }
    if (device->read_only)
        argv[count] = "--read-only";
    const struct process_command command = {
        .argv = argv, .output = device->console, .errors = device->console};
    device->holder = process_spawn(&command);
    if (device->holder < 0)
        harness_fail("unshare: %s", strerror(errno));
    wait_for_init(device);
}

static void wait_for_vm(struct device *device)
{
    struct harness *harness = device->scene.harness;
    double until = process_now_ms() + BOOT_LIMIT_MS;
    device->scene.node = beam_node_of_others(
        harness, "counter@localhost",
        harness_text(harness, "/proc/%d/root/run/ctl", (int)device->init),
        device->console);
    while (!beam_node_try(device->scene.node,
                          "{started, _} = init:get_status()")) {
        if (!process_alive(device->holder) || process_now_ms() > until)
            harness_fail("the device does not boot:\n%s",
                         harness_read_file(harness, device->console));
        process_sleep_ms(10);
    }
}

void device_boot(struct device *device)
{
    if (device->holder)
        harness_fail("the device is on");
    power_on(device);
    wait_for_vm(device);
}

/* --- off ----------------------------------------------------------------- */

static size_t size_of(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? (size_t)file.st_size : 0;
}

const char *device_shut_down(struct device *device)
{
    struct harness *harness = device->scene.harness;
    size_t before = size_of(device->console);
    beam_node_eval(device->scene.node, "init:stop()");
    if (!process_wait(device->holder, END_LIMIT_MS, NULL))
        harness_fail("the device does not shut down:\n%s",
                     harness_read_file(harness, device->console));
    device->holder = 0;
    return harness_read_file(harness, device->console) + before;
}

/* The mount's end would write what the cut keeps from being written: of the
 * image is taken what it is before that. */
void device_cut_power(struct device *device)
{
    struct harness *harness = device->scene.harness;
    const char *cut = harness_path(harness, "cut.img");
    const char *const argv[] = {"cp", "--sparse=always", device->data, cut,
                                NULL};
    must(harness, argv);
    device_switch_off(device);
    if (rename(cut, device->data) != 0)
        harness_fail("%s: %s", cut, strerror(errno));
}

void device_reboot(struct device *device)
{
    device_shut_down(device);
    device_boot(device);
}

/* --- inside -------------------------------------------------------------- */

struct harness_run device_run(struct device *device, const char *const *argv)
{
    struct harness *harness = device->scene.harness;
    const char *options = getenv("ASAN_OPTIONS");
    const char *const prefix[] = {
        "env",
        "-i",
        "HOME=/root",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        harness_text(harness, "ASAN_OPTIONS=%s", options ? options : ""),
        device->marks ? "NZD_POINT_LOG=/dev/marks" : "TERM=dumb",
        "nsenter",
        "--mount",
        "--pid",
        "--uts",
        "--net",
        "--root",
        "--wd",
        "--target",
        harness_text(harness, "%d", (int)device->init),
        NULL};
    return harness_run(harness, harness_concat(harness, prefix, argv), NULL);
}

const char *device_path(struct device *device, const char *path)
{
    return harness_text(device->scene.harness, "/proc/%d/root%s",
                        (int)device->init, path);
}

const char *device_kernel_log(struct device *device)
{
    return harness_read_file(device->scene.harness,
                             device_path(device, "/dev/kmsg"));
}

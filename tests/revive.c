/* SPDX-License-Identifier: Apache-2.0 */
#include "revive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT      "0.2.0-gap"
#define ANSWER_MS 20000

struct revival *revive_open(struct harness *harness, struct device *device)
{
    struct revival *revival = harness_alloc(harness, sizeof *revival);
    revival->device = device;
    revival->image = harness_path(harness, "state.img");
    revival->mount = harness_path(harness, "state");
    if (mkdir(revival->mount, 0700) != 0)
        harness_fail("%s: %s", revival->mount, strerror(errno));
    return revival;
}

static struct harness *harness_of(const struct revival *revival)
{
    return revival->device->scene.harness;
}

/* --- looking ------------------------------------------------------------- */

static bool attach(struct revival *revival)
{
    const char *const argv[] = {"mount",        "-o",           "loop",
                                revival->image, revival->mount, NULL};
    return harness_run(harness_of(revival), argv, NULL).status == 0;
}

static void detach(struct revival *revival)
{
    const char *const argv[] = {"umount", revival->mount, NULL};
    struct harness_run run = harness_run(harness_of(revival), argv, NULL);
    assert_status(run, 0);
}

struct power_finding revive_look(struct revival *revival,
                                 const struct disk *disk)
{
    struct power_finding finding = {.text = ""};
    disk_write(disk, revival->image);
    if (!attach(revival)) {
        snprintf(finding.why, sizeof finding.why, "it cannot be mounted");
        return finding;
    }
    finding = power_look(
        harness_text(harness_of(revival), "%s/nzd/journal", revival->mount));
    detach(revival);
    return finding;
}

/* --- booting ------------------------------------------------------------- */

void revive_boot(struct revival *revival, const struct disk *disk)
{
    disk_write(disk, revival->image);
    revival->device->data = revival->image;
    device_boot(revival->device);
}

void revive_end(struct revival *revival)
{
    device_switch_off(revival->device);
}

/* "true", "false"; "" where the VM does not answer. */
static const char *ask(struct revival *revival, const char *expression)
{
    double until = process_now_ms() + ANSWER_MS;
    const char *value = NULL;
    while (!value && process_now_ms() < until)
        value = beam_node_try(revival->device->scene.node, "%s", expression);
    return value ? value : "";
}

static const char *runs(struct revival *revival, const char *version)
{
    struct scene *scene = &revival->device->scene;
    return ask(revival, harness_text(scene->harness, "{true,[],[]} =:= %s",
                                     scene_differing(scene, version)));
}

bool revive_runs(struct revival *revival, const char *version)
{
    return strcmp(runs(revival, version), "true") == 0;
}

static const char *rest_is_base(struct revival *revival)
{
    return ask(
        revival,
        "begin L = [{M, F} || {M, F} <- code:all_loaded(), is_list(F), "
        "string:find(F, \"/srv/erlang/\") =:= F, "
        "string:find(F, \"/counter-\") =:= nomatch], length(L) > 50 andalso "
        "[] =:= [M || {M, F} <- L, element(2, beam_lib:md5(F)) =/= "
        "{M, M:module_info(md5)}] end");
}

static void told(const char *by, const struct harness_run *run,
                 struct power_finding *finding)
{
    snprintf(finding->why, sizeof finding->why, "%s: %.250s%.250s", by,
             run->out, run->err);
}

static bool check_code(struct revival *revival, const char *version,
                       struct power_finding *finding)
{
    const char *counter = runs(revival, version), *rest = "";
    if (strcmp(counter, "true") == 0)
        rest = rest_is_base(revival);
    if (strcmp(rest, "true") == 0)
        return true;
    if (!counter[0] || (!rest[0] && strcmp(counter, "true") == 0))
        snprintf(finding->why, sizeof finding->why, "the VM does not answer");
    else if (rest[0])
        snprintf(finding->why, sizeof finding->why,
                 "other code than the base's runs");
    else
        snprintf(finding->why, sizeof finding->why, "%s does not run", version);
    return false;
}

void revive_check(struct revival *revival, const char *version,
                  struct power_finding *finding)
{
    struct device *device = revival->device;
    struct harness_run status = device_nzd(device, "status", "--check");
    struct harness_run verify = device_nzd(device, "journal", "verify");
    const char *log = device_kernel_log(device);
    char *why = finding->why;
    if (!check_code(revival, version, finding))
        return;
    if (status.status != 0)
        told("status", &status, finding);
    else if (verify.status != 0)
        told("verify", &verify, finding);
    else if (strstr(log, "the base boots"))
        snprintf(why, sizeof finding->why, "%.400s", log);
    else if (access(device_path(device, "/data/nzd/journal.bad-1"), F_OK) == 0)
        snprintf(why, sizeof finding->why, "the journal was set aside");
}

void revive_go_on(struct revival *revival, struct power_finding *finding)
{
    struct device *device = revival->device;
    struct harness_run run =
        device_nzd(device, "apply", "--retry", "--accept-gap",
                   scene_bundle(&device->scene, NEXT));
    if (run.status != 0) {
        told("the next apply", &run, finding);
        return;
    }
    device_reboot(device);
    if (!revive_runs(revival, NEXT))
        snprintf(finding->why, sizeof finding->why,
                 "the next apply does not boot");
}

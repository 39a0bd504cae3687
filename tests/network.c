/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HERE     "10.213.0.1"
#define NEAR_END "nzd0"
#define FAR_END  "nzd1"
/* A queue without room drops what an end sends. */
#define DROP(end) "tc qdisc replace dev " end " root pfifo limit 0"
#define PASS(end) "tc qdisc del dev " end " root 2>/dev/null; true"

#define LIMIT_MS 5000

struct network {
    struct harness *harness;
    pid_t holder; /* keeps the other namespace */
    pid_t epmd;
    const char *const *prefix;
};

/* --- the test's own namespace -------------------------------------------- */

static int run_alone(const char *const *argv)
{
    struct process_command command = {.argv = argv};
    struct process_end end = {.status = 127};
    pid_t pid = process_spawn(&command);
    if (pid > 0 && !process_wait(pid, LIMIT_MS, &end))
        process_kill(pid);
    return end.status;
}

bool network_enter(const char **why)
{
    static const char *const look[] = {"tc", "-V", NULL};
    static const char *const try[] = {
        "sh", "-c",
        "ip link set lo up && "
        "ip link add " NEAR_END " type veth peer name " FAR_END
        " && " DROP(NEAR_END) " && ip link del " NEAR_END,
        NULL};
    if (run_alone(look) != 0)
        *why = "ip and tc (iproute2) are not installed";
    else if (unshare(CLONE_NEWNET) != 0)
        *why = strerror(errno);
    else if (run_alone(try) != 0)
        *why = "the kernel has no veth pair for us";
    else
        return true;
    return false;
}

/* --- the other host --------------------------------------------------------
 */

static void run(struct network *network, bool there, const char *words)
{
    struct harness *harness = network->harness;
    const char *const argv[] = {"sh", "-c", words, NULL};
    const char *const *all =
        there ? harness_concat(harness, network->prefix, argv) : argv;
    struct harness_run run = harness_run(harness, all, NULL);
    assert_status(run, 0);
}

static void close_network(void *argument)
{
    struct network *network = argument;
    if (network->epmd > 0)
        process_kill(network->epmd);
    process_kill(network->holder);
}

static const char *namespace_of(struct harness *harness, pid_t pid)
{
    char target[64] = "";
    const char *path = harness_text(harness, "/proc/%d/ns/net", (int)pid);
    ssize_t size = readlink(path, target, sizeof target - 1);
    return harness_text(harness, "%.*s", size > 0 ? (int)size : 0, target);
}

static void hold_namespace(struct network *network)
{
    struct harness *harness = network->harness;
    static const char *const argv[] = {"unshare", "--net", "sleep", "infinity",
                                       NULL};
    struct process_command command = {.argv = argv};
    const char *own = namespace_of(harness, getpid()), *other;
    double until = process_now_ms() + LIMIT_MS;
    network->holder = process_spawn(&command);
    do {
        if (network->holder < 0 || process_now_ms() > until)
            harness_fail("no other namespace");
        process_sleep_ms(2);
        other = namespace_of(harness, network->holder);
    } while (!other[0] || strcmp(own, other) == 0);
}

static void name_prefix(struct network *network)
{
    struct harness *harness = network->harness;
    const char **prefix = harness_alloc(harness, 3 * sizeof *prefix);
    prefix[0] = "nsenter";
    prefix[1] =
        harness_text(harness, "--net=/proc/%d/ns/net", (int)network->holder);
    network->prefix = prefix;
}

/* A link that an earlier network has left goes with its namespace, soon. */
static void lay_cable(struct network *network)
{
    struct harness *harness = network->harness;
    run(network, false,
        harness_text(harness,
                     "ip link del " NEAR_END " 2>/dev/null;"
                     "ip link add " NEAR_END " type veth peer name " FAR_END
                     " netns %d && ip addr add " HERE "/30 dev " NEAR_END
                     " && ip link set " NEAR_END " up",
                     (int)network->holder));
    run(network, true,
        "ip addr add " NETWORK_ADDRESS "/30 dev " FAR_END
        " && ip link set " FAR_END " up && ip link set lo up");
}

/* At the port of the harness' own epmd. */
static void start_epmd(struct network *network)
{
    const char *const argv[] = {"epmd", "-port", getenv("ERL_EPMD_PORT"), NULL};
    struct process_command command = {
        .argv = harness_concat(network->harness, network->prefix, argv)};
    network->epmd = process_spawn(&command);
    run(network, true,
        "for i in $(seq 500); do epmd -names >/dev/null 2>&1 && exit 0; "
        "sleep 0.01; done; exit 1");
}

struct network *network_open(struct harness *harness)
{
    struct network *network = harness_alloc(harness, sizeof *network);
    network->harness = harness;
    hold_namespace(network);
    harness_at_close(harness, close_network, network);
    name_prefix(network);
    lay_cable(network);
    start_epmd(network);
    return network;
}

const char *const *network_prefix(const struct network *network)
{
    return network->prefix;
}

/* --- the cable -------------------------------------------------------------
 */

void network_cut(struct network *network, enum network_cut how)
{
    if (how != NETWORK_FROM)
        run(network, false, DROP(NEAR_END));
    if (how != NETWORK_TO)
        run(network, true, DROP(FAR_END));
}

void network_heal(struct network *network)
{
    run(network, false, PASS(NEAR_END));
    run(network, true, PASS(FAR_END));
}

bool network_reset(struct network *network)
{
    static const char *const argv[] = {
        "sh", "-c",
        "ss -K -t dst " NETWORK_ADDRESS " >/dev/null 2>&1;"
        "test -z \"$(ss -H -t state established dst " NETWORK_ADDRESS ")\"",
        NULL};
    return harness_run(network->harness, argv, NULL).status == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define BOOT_LIMIT_MS 60000
#define EVAL_LIMIT_MS 30000
#define TRY_LIMIT_MS  1000
#define VALUES_MAX    96

struct beam_node {
    struct harness *harness;
    struct beam_node_options options;
    const char *release; /* absolute; NULL: none */
    const char *version;
    const char *name;
    const char *socket; /* where nzd_test_ctl listens */
    const char *log;
    const char *boot_mark; /* the listener's pid when last seen up */
    pid_t pid;             /* 0 while it is down */
    int fd;                /* to nzd_test_ctl, -1: not connected */
};

struct beam_load {
    struct beam_node *node;
    unsigned number;
};

static unsigned node_count, load_count;

/* The emulator of this host. */

static struct {
    char root[512]; /* "/usr/lib/erlang" */
    char erts[64];  /* "erts-13.1.5" */
} host;

static void find_host(void)
{
    if (host.root[0])
        return;
    FILE *erl = popen("erl -noshell -eval 'io:format(\"~s erts-~s\", "
                      "[code:root_dir(), erlang:system_info(version)]), "
                      "halt().'",
                      "r");
    if (!erl || fscanf(erl, "%511s %63s", host.root, host.erts) != 2)
        harness_fail("erl does not start");
    pclose(erl);
}

/* A growing argv or environment. */

struct values {
    struct harness *harness;
    const char *items[VALUES_MAX];
    size_t count;
};

static void add(struct values *values, const char *value)
{
    if (values->count == VALUES_MAX - 1)
        harness_fail("too many arguments for a node");
    values->items[values->count++] = value;
}

static void add_pair(struct values *values, const char *option,
                     const char *value)
{
    add(values, option);
    add(values, value);
}

static void add_all(struct values *values, const char *const *more)
{
    for (; more && *more; more++)
        add(values, *more);
}

#define TEXT(values, ...) harness_text((values)->harness, __VA_ARGS__)

static void add_release(struct values *argv, const struct beam_node *node)
{
    const char *root = node->release;
    const char *folder = TEXT(argv, "%s/releases/%s", root, node->version);
    const char *boot = node->options.boot;
    add_pair(argv, "-boot", boot ? boot : TEXT(argv, "%s/start", folder));
    add(argv, "-boot_var");
    add_pair(argv, "RELEASE_LIB", TEXT(argv, "%s/lib", root));
    add(argv, "-boot_var");
    add_pair(argv, "REL", root);
    if (access(TEXT(argv, "%s/sys.config", folder), R_OK) == 0)
        add_pair(argv, "-config", TEXT(argv, "%s/sys", folder));
    if (access(TEXT(argv, "%s/vm.args", folder), R_OK) == 0)
        add_pair(argv, "-args_file", TEXT(argv, "%s/vm.args", folder));
}

static const char *beam_folder(struct harness *harness)
{
    const char *given = getenv("NZD_TEST_BEAM");
    char absolute[4096];
    if (!realpath(given ? given : "build/tests/beam", absolute))
        harness_fail("the tests' BEAM modules are not built: make tests");
    return harness_text(harness, "%s", absolute);
}

static const char *bin_folder(const struct beam_node *node)
{
    const char *own =
        harness_text(node->harness, "%s/%s/bin",
                     node->release ? node->release : "", host.erts);
    if (access(own, X_OK) == 0)
        return own;
    return harness_text(node->harness, "%s/%s/bin", host.root, host.erts);
}

static void add_name(struct values *argv, const struct beam_node *node)
{
    const char *address = node->options.address;
    unsigned a = 127, b = 0, c = 0, d = 1;
    if (address && sscanf(address, "%u.%u.%u.%u", &a, &b, &c, &d) != 4)
        harness_fail("%s is not an address", address);
    add_pair(argv, address ? "-name" : "-sname", node->name);
    add(argv, "-kernel");
    add_pair(argv, "inet_dist_use_interface",
             TEXT(argv, "{%u,%u,%u,%u}", a, b, c, d));
}

static void fill_argv(struct values *argv, const struct beam_node *node)
{
    const struct beam_node_options *options = &node->options;
    const char *beam = beam_folder(argv->harness);
    add_all(argv, options->prefix);
    add(argv, TEXT(argv, "%s/erlexec", bin_folder(node)));
    add(argv, "-noinput");
    add_pair(argv, "+sbwt", "none");
    if (node->release) {
        add_pair(argv, "-mode",
                 options->interactive ? "interactive" : "embedded");
        add_release(argv, node);
    } else if (options->boot) {
        add_pair(argv, "-boot", options->boot);
    }
    add_name(argv, node);
    if (options->net_ticktime) {
        add(argv, "-kernel");
        add_pair(argv, "net_ticktime", TEXT(argv, "%d", options->net_ticktime));
    }
    add_all(argv, options->arguments);
    add_pair(argv, "-eval",
             TEXT(argv,
                  "{module,_}=code:load_abs(\"%s/nzd_test_ctl\"),"
                  "nzd_test_ctl:load(\"%s/nzd_test_load\"),"
                  "nzd_test_ctl:start(\"%s\").",
                  beam, beam, node->socket));
}

static bool has_own_kernel(const struct beam_node *node)
{
    if (!node->release)
        return false;
    const char *const argv[] = {"sh", "-c",
                                "ls -d \"$0\"/lib/kernel-* >/dev/null 2>&1",
                                node->release, NULL};
    return harness_run(node->harness, argv, NULL).status == 0;
}

static void fill_environment(struct values *environment,
                             const struct beam_node *node)
{
    const char *home = harness_dir(node->harness);
    const char *release = node->release;
    add(environment, TEXT(environment, "ROOTDIR=%s",
                          has_own_kernel(node) ? release : host.root));
    add(environment, TEXT(environment, "BINDIR=%s", bin_folder(node)));
    add(environment, "EMU=beam");
    add(environment, "PROGNAME=erl");
    add(environment, TEXT(environment, "HOME=%s", home));
    add(environment, "ERL_CRASH_DUMP_SECONDS=0");
    if (release) {
        add(environment, TEXT(environment, "RELEASE_ROOT=%s", release));
        add(environment, TEXT(environment, "RELEASE_VSN=%s", node->version));
        add(environment,
            TEXT(environment, "RELEASE_SYS_CONFIG=%s/releases/%s/sys", release,
                 node->version));
        add(environment, TEXT(environment, "RELEASE_TMP=%s/tmp", home));
    }
    add_all(environment, node->options.environment);
}

/* The control connection. */

static void disconnect(struct beam_node *node)
{
    if (node->fd >= 0)
        close(node->fd);
    node->fd = -1;
}

static bool connected(struct beam_node *node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (node->fd >= 0)
        return true;
    if (strlen(node->socket) >= sizeof address.sun_path)
        harness_fail("%s: too long for a socket", node->socket);
    memcpy(address.sun_path, node->socket, strlen(node->socket));
    node->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(node->fd, (struct sockaddr *)&address, sizeof address) < 0)
        disconnect(node);
    return node->fd >= 0;
}

static bool receive(int fd, void *data, size_t size)
{
    return recv(fd, data, size, MSG_WAITALL) == (ssize_t)size;
}

/* The answer with its kind before it ("o..." or "e..."), NULL when the node
 * did not give one; then the connection is closed, so that a late answer is
 * never taken for the next one. */
static char *exchange(struct beam_node *node, const char *text, int limit_ms)
{
    size_t size = strlen(text);
    struct timeval limit = {limit_ms / 1000, limit_ms % 1000 * 1000};
    uint32_t length = htonl((uint32_t)size);
    setsockopt(node->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(node->fd, &length, 4, MSG_NOSIGNAL | MSG_MORE) == 4 &&
        send(node->fd, text, size, MSG_NOSIGNAL) == (ssize_t)size &&
        receive(node->fd, &length, 4)) {
        char *answer = harness_alloc(node->harness, ntohl(length) + 1);
        if (receive(node->fd, answer, ntohl(length)))
            return answer;
    }
    disconnect(node);
    return NULL;
}

/* A connection that a restart of the VM has closed is opened again. */
static char *ask(struct beam_node *node, const char *text, int limit_ms)
{
    bool fresh = node->fd < 0;
    if (!connected(node))
        return NULL;
    double begin = process_now_ms();
    char *answer = exchange(node, text, limit_ms);
    if (answer || fresh || process_now_ms() - begin >= limit_ms)
        return answer;
    return connected(node) ? exchange(node, text, limit_ms) : NULL;
}

static const char *format_values(struct beam_node *node, const char *format,
                                 va_list list)
{
    char *text;
    if (vasprintf(&text, format, list) < 0)
        abort();
    const char *copy = harness_text(node->harness, "%s", text);
    free(text);
    return copy;
}

static const char *eval(struct beam_node *node, const char *text)
{
    char *answer = ask(node, text, EVAL_LIMIT_MS);
    if (!answer)
        harness_fail("%s does not answer to %s\n%s", node->name, text,
                     beam_node_log(node));
    if (answer[0] != 'o')
        harness_fail("%s raised %s\n%s", text, answer + 1, beam_node_log(node));
    return answer + 1;
}

const char *beam_node_eval(struct beam_node *node, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const char *text = format_values(node, format, list);
    va_end(list);
    return eval(node, text);
}

const char *beam_node_try(struct beam_node *node, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const char *text = format_values(node, format, list);
    va_end(list);
    char *answer = ask(node, text, TRY_LIMIT_MS);
    return answer && answer[0] == 'o' ? answer + 1 : NULL;
}

void beam_node_check(struct beam_node *node, const char *expression,
                     const char *expected, const char *file, int line)
{
    const char *value = eval(node, expression);
    if (strcmp(value, expected) == 0)
        return;
    print_error("%s:%d: %s is %s, expected %s\n", file, line, expression, value,
                expected);
    _fail(file, line);
}

void beam_node_wait_for(struct beam_node *node, const char *expression,
                        const char *expected, int limit_ms)
{
    double until = process_now_ms() + limit_ms;
    const char *value;
    for (;;) {
        value = beam_node_try(node, "%s", expression);
        if (value && strcmp(value, expected) == 0)
            return;
        if (process_now_ms() >= until)
            break;
        process_sleep_ms(5);
    }
    harness_fail("%s: %s is %s after %d ms, expected %s", node->name,
                 expression, value ? value : "not answered", limit_ms,
                 expected);
}

/* Start and end. */

/* Up: booted, and under another listener than the one last seen. */
static bool is_up(struct beam_node *node)
{
    const char *mark = beam_node_try(
        node, "{{started,_},P} = {init:get_status(),whereis(nzd_test_ctl)},"
              "true = is_pid(P), P");
    if (!mark || strcmp(mark, node->boot_mark) == 0)
        return false;
    node->boot_mark = mark;
    return true;
}

static void wait_up(struct beam_node *node, int limit_ms)
{
    double until = process_now_ms() + limit_ms;
    while (!is_up(node)) {
        if (!process_alive(node->pid))
            harness_fail("%s ended at its start:\n%s", node->name,
                         beam_node_log(node));
        if (process_now_ms() >= until)
            harness_fail("%s is not up after %d ms:\n%s", node->name, limit_ms,
                         beam_node_log(node));
        process_sleep_ms(5);
    }
}

static void launch(struct beam_node *node)
{
    struct values argv = {.harness = node->harness};
    struct values environment = {.harness = node->harness};
    find_host();
    fill_argv(&argv, node);
    fill_environment(&environment, node);
    unlink(node->socket);
    node->boot_mark = "";
    struct process_command command = {
        .argv = argv.items,
        .environment = environment.items,
        .directory = harness_dir(node->harness),
        .output = node->log,
        .errors = node->log,
    };
    node->pid = process_spawn(&command);
    if (node->pid < 0)
        harness_fail("%s: %s", argv.items[0], strerror(errno));
    wait_up(node, BOOT_LIMIT_MS);
}

static const char *version_of(struct harness *harness, const char *release)
{
    const char *path =
        harness_text(harness, "%s/releases/start_erl.data", release);
    char version[128];
    if (sscanf(harness_read_file(harness, path), "%*s %127s", version) != 1)
        harness_fail("%s names no version", path);
    return harness_text(harness, "%s", version);
}

static void end_node(struct beam_node *node)
{
    disconnect(node);
    if (node->pid)
        process_kill(node->pid);
    node->pid = 0;
}

static void close_node(void *node)
{
    end_node(node);
}

static void find_release(struct beam_node *node)
{
    char absolute[4096];
    if (!node->options.release)
        return;
    if (!realpath(node->options.release, absolute))
        harness_fail("%s: %s", node->options.release, strerror(errno));
    node->release = harness_text(node->harness, "%s", absolute);
    node->version = node->options.version
                        ? node->options.version
                        : version_of(node->harness, node->release);
}

struct beam_node *beam_node_start(struct harness *harness,
                                  const struct beam_node_options *options)
{
    struct beam_node *node = harness_alloc(harness, sizeof *node);
    unsigned number = ++node_count;
    const char *name = options->name ? options->name : "node";
    node->harness = harness;
    node->options = *options;
    node->fd = -1;
    node->name =
        harness_text(harness, "%s_%d_%u@%s", name, (int)getpid(), number,
                     options->address ? options->address : "localhost");
    node->socket = harness_path(harness, "n%u.ctl", number);
    node->log = harness_path(harness, "n%u.log", number);
    find_release(node);
    harness_cookie_file(harness);
    harness_at_close(harness, close_node, node);
    launch(node);
    return node;
}

struct beam_node *beam_node_of_others(struct harness *harness, const char *name,
                                      const char *socket, const char *log)
{
    struct beam_node *node = harness_alloc(harness, sizeof *node);
    node->harness = harness;
    node->fd = -1;
    node->name = name;
    node->socket = socket;
    node->log = log;
    harness_at_close(harness, close_node, node);
    return node;
}

void beam_node_start_again(struct beam_node *node)
{
    if (node->pid)
        harness_fail("%s still runs", node->name);
    launch(node);
}

void beam_node_reconfigure(struct beam_node *node, const char *boot,
                           const char *const *arguments)
{
    node->options.boot = boot;
    node->options.arguments = arguments;
}

const char *beam_node_name(const struct beam_node *node)
{
    return node->name;
}

pid_t beam_node_pid(const struct beam_node *node)
{
    return node->pid;
}

bool beam_node_alive(const struct beam_node *node)
{
    return node->pid && process_alive(node->pid);
}

const char *beam_node_log(struct beam_node *node)
{
    return harness_read_file(node->harness, node->log);
}

bool beam_node_wait_end(struct beam_node *node, int limit_ms)
{
    if (node->pid && !process_wait(node->pid, limit_ms, NULL))
        return false;
    disconnect(node);
    node->pid = 0;
    return true;
}

void beam_node_stop(struct beam_node *node)
{
    beam_node_eval(node, "init:stop()");
    if (!beam_node_wait_end(node, BOOT_LIMIT_MS))
        harness_fail("%s does not stop", node->name);
}

void beam_node_kill(struct beam_node *node)
{
    end_node(node);
}

void beam_node_wait_unsuspended(struct beam_node *node)
{
    beam_node_wait_for(node,
                       "[P || P <- erlang:processes(), "
                       "process_info(P, status) =:= {status, suspended}]",
                       "[]", 3000);
}

/* All its threads have stopped. */
static bool is_frozen(const struct beam_node *node)
{
    const char *stat = harness_read_file(
        node->harness,
        harness_text(node->harness, "/proc/%d/stat", (int)node->pid));
    const char *state = strrchr(stat, ')');
    return state && state[1] == ' ' && state[2] == 'T';
}

void beam_node_freeze(struct beam_node *node)
{
    kill(node->pid, SIGSTOP);
    for (int i = 0; i < 500 && !is_frozen(node); i++)
        usleep(2000);
}

void beam_node_thaw(struct beam_node *node)
{
    kill(node->pid, SIGCONT);
}

void beam_node_wait_restart(struct beam_node *node, int limit_ms)
{
    wait_up(node, limit_ms);
}

/* Load. */

struct beam_load *beam_load_start(struct beam_node *node, unsigned workers,
                                  unsigned pause_ms, const char *module,
                                  const char *function, const char *arguments)
{
    struct beam_load *load = harness_alloc(node->harness, sizeof *load);
    load->node = node;
    load->number = ++load_count;
    beam_node_eval(node,
                   "register(nzd_test_load_%u, "
                   "nzd_test_load:start(%u, %u, '%s', '%s', %s))",
                   load->number, workers, pause_ms, module, function,
                   arguments);
    return load;
}

static uint64_t calls_of(struct beam_load *load)
{
    const char *calls = beam_node_eval(
        load->node, "nzd_test_load:calls(nzd_test_load_%u)", load->number);
    return strtoull(calls, NULL, 10);
}

void beam_load_wait(struct beam_load *load, uint64_t calls)
{
    double until = process_now_ms() + EVAL_LIMIT_MS;
    uint64_t target = calls_of(load) + calls;
    while (calls_of(load) < target) {
        if (process_now_ms() >= until)
            harness_fail("the load does not get on");
        process_sleep_ms(2);
    }
}

struct beam_load_result beam_load_stop(struct beam_load *load)
{
    struct beam_load_result result = {0};
    const char *text = beam_node_eval(
        load->node, "nzd_test_load:report(nzd_test_load_%u)", load->number);
    unsigned long long n[5];
    const char *lines[3] = {text, strchr(text, '\n'), NULL};
    if (lines[1])
        lines[2] = strchr(lines[1] + 1, '\n');
    if (!lines[2] || sscanf(text, "%llu %llu %llu %llu %llu", &n[0], &n[1],
                            &n[2], &n[3], &n[4]) != 5)
        harness_fail("no report of the load: %s", text);
    result.ok = n[0];
    result.undef = n[1];
    result.fail = n[2];
    result.killed = n[3];
    result.longest_us = n[4];
    result.results = harness_text(load->node->harness, "%.*s",
                                  (int)(lines[2] - lines[1] - 1), lines[1] + 1);
    result.errors = harness_text(load->node->harness, "%s", lines[2] + 1);
    return result;
}

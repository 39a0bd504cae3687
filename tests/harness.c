/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "../journal/bytes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 64

struct closer {
    void (*close)(void *);
    void *argument;
    struct closer *next;
};

struct harness_job {
    struct harness_job *next;
    pid_t pid; /* 0 once it has ended */
    const char *command;
    const char *out;
    const char *err;
};

struct harness {
    struct nzd_arena arena;
    char dir[96];
    struct closer *closers;
    struct harness_job *jobs;
    unsigned job_count;
};

static pid_t epmd;

void harness_fail(const char *format, ...)
{
    char message[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    fail_msg("%s", message);
    abort();
}

/* The test's own epmd. */

static int bind_loopback(struct sockaddr_in *address, in_port_t port)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->sin_port = port;
    if (fd < 0 || bind(fd, (struct sockaddr *)address, size) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) < 0)
        harness_fail("no free port: %s", strerror(errno));
    return fd;
}

static bool connects(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool done =
        connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    close(fd);
    return done;
}

static void kill_epmd(void)
{
    if (epmd > 0)
        process_kill(epmd);
    epmd = 0;
}

/* False when the port was taken after all. */
static bool try_epmd(void)
{
    struct sockaddr_in address;
    char port[16];
    close(bind_loopback(&address, 0));
    snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    const char *const argv[] = {"epmd",     "-port",     port,
                                "-address", "127.0.0.1", NULL};
    struct process_command command = {.argv = argv};
    epmd = process_spawn(&command);
    for (int i = 0; i < 1000 && process_alive(epmd); i++) {
        if (connects(&address)) {
            setenv("ERL_EPMD_PORT", port, 1);
            return true;
        }
        process_sleep_ms(5);
    }
    kill_epmd();
    return false;
}

static void ensure_epmd(void)
{
    if (epmd > 0 && process_alive(epmd))
        return;
    static bool registered;
    if (!registered)
        atexit(kill_epmd);
    registered = true;
    for (int i = 0; i < 5; i++)
        if (try_epmd())
            return;
    harness_fail("epmd does not start");
}

/* Folder and memory. */

struct harness *harness_open(void)
{
    struct harness *harness = calloc(1, sizeof *harness);
    const char *tmp = getenv("TMPDIR");
    if (!harness)
        abort();
    /* Short, because the path of a Unix socket has room for 107 bytes. */
    if (!tmp || strlen(tmp) > 48)
        tmp = "/tmp";
    snprintf(harness->dir, sizeof harness->dir, "%s/nzd-XXXXXX", tmp);
    if (!mkdtemp(harness->dir))
        harness_fail("mkdtemp %s: %s", harness->dir, strerror(errno));
    ensure_epmd();
    setenv("NZD_TEST_DIR", harness->dir, 1);
    return harness;
}

void harness_close(struct harness *harness)
{
    if (!harness)
        return;
    for (struct harness_job *job = harness->jobs; job; job = job->next)
        if (job->pid)
            process_kill(job->pid);
    for (struct closer *closer = harness->closers; closer;
         closer = closer->next)
        closer->close(closer->argument);
    char mark[sizeof harness->dir + 16];
    snprintf(mark, sizeof mark, "NZD_TEST_DIR=%s", harness->dir);
    process_kill_marked(mark);
    harness_remove(harness, harness->dir);
    nzd_arena_clear(&harness->arena);
    free(harness);
}

void *harness_alloc(struct harness *harness, size_t size)
{
    void *memory = nzd_arena_alloc(&harness->arena, size);
    if (!memory)
        abort();
    return memory;
}

void harness_at_close(struct harness *harness, void (*close)(void *),
                      void *argument)
{
    struct closer *closer = harness_alloc(harness, sizeof *closer);
    closer->close = close;
    closer->argument = argument;
    closer->next = harness->closers;
    harness->closers = closer;
}

static const char *format_text(struct harness *harness, const char *before,
                               const char *format, va_list list)
{
    va_list again;
    va_copy(again, list);
    size_t head = strlen(before);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = harness_alloc(harness, head + (size_t)size + 1);
    memcpy(text, before, head);
    vsnprintf(text + head, (size_t)size + 1, format, list);
    return text;
}

const char *harness_text(struct harness *harness, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const char *text = format_text(harness, "", format, list);
    va_end(list);
    return text;
}

const char *harness_path(struct harness *harness, const char *format, ...)
{
    char before[sizeof harness->dir + 1];
    snprintf(before, sizeof before, "%s/", harness->dir);
    va_list list;
    va_start(list, format);
    const char *text = format_text(harness, before, format, list);
    va_end(list);
    return text;
}

const char *harness_dir(const struct harness *harness)
{
    return harness->dir;
}

const char *harness_journal(struct harness *harness)
{
    return harness_path(harness, "journal");
}

const char *harness_cookie_file(struct harness *harness)
{
    const char *path = harness_path(harness, ".erlang.cookie");
    if (access(path, F_OK) == 0)
        return path;
    harness_write_file(path, "nzdtestcookie");
    chmod(path, 0400);
    return path;
}

const char *harness_fixture(struct harness *harness, const char *name)
{
    const char *folder = getenv("NZD_FIXTURES");
    const char *path = harness_text(harness, "%s/%s",
                                    folder ? folder : "build/fixtures", name);
    char absolute[4096];
    if (!realpath(path, absolute))
        harness_fail("%s is not there: make fixtures", path);
    return harness_text(harness, "%s", absolute);
}

/* Files. */

void harness_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        harness_fail("write %s: %s", path, strerror(errno));
}

const char *harness_read_file(struct harness *harness, const char *path)
{
    struct stat status;
    FILE *file = fopen(path, "r");
    if (!file || fstat(fileno(file), &status) < 0) {
        if (file)
            fclose(file);
        return "";
    }
    char *text = harness_alloc(harness, (size_t)status.st_size + 1);
    text[fread(text, 1, (size_t)status.st_size, file)] = '\0';
    fclose(file);
    return text;
}

void harness_copy(struct harness *harness, const char *from, const char *to)
{
    const char *const argv[] = {"cp", "-r", from, to, NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    remove(path);
    return 0;
}

void harness_remove(struct harness *harness, const char *path)
{
    (void)harness;
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Commands. */

static const char *nzd_path(struct harness *harness)
{
    const char *given = getenv("NZD");
    char absolute[4096];
    if (!realpath(given ? given : "build/nzd", absolute))
        harness_fail("%s: %s", given ? given : "build/nzd", strerror(errno));
    return harness_text(harness, "%s", absolute);
}

/* beam_node.c tells the name; declared there for tests. */
const char *beam_node_name(const struct beam_node *node);

static size_t add_arguments(const char **argv, va_list list)
{
    size_t count = 1;
    const char *argument;
    while ((argument = va_arg(list, const char *))) {
        if (count == ARGUMENTS_MAX - 8)
            harness_fail("too many arguments");
        argv[count++] = argument;
    }
    return count;
}

static const char *const *make_argv(struct harness *harness,
                                    const struct beam_node *node, va_list list)
{
    const char **argv = harness_alloc(harness, ARGUMENTS_MAX * sizeof *argv);
    size_t count = add_arguments(argv, list);
    argv[0] = nzd_path(harness);
    if (node) {
        argv[count++] = "--node";
        argv[count++] = beam_node_name(node);
        argv[count++] = "--cookie-file";
        argv[count++] = harness_cookie_file(harness);
        argv[count++] = "--journal";
        argv[count++] = harness_journal(harness);
    }
    return argv;
}

const char *const *harness_argv(struct harness *harness,
                                const struct beam_node *node, ...)
{
    va_list list;
    va_start(list, node);
    const char *const *argv = make_argv(harness, node, list);
    va_end(list);
    return argv;
}

static size_t count_of(const char *const *argv)
{
    size_t count = 0;
    while (argv && argv[count])
        count++;
    return count;
}

const char *const *harness_concat(struct harness *harness, const char *const *a,
                                  const char *const *b)
{
    size_t head = count_of(a), tail = count_of(b);
    const char **both =
        harness_alloc(harness, (head + tail + 1) * sizeof *both);
    if (head)
        memcpy(both, a, head * sizeof *both);
    if (tail)
        memcpy(both + head, b, tail * sizeof *both);
    return both;
}

static const char *command_text(struct harness *harness,
                                const char *const *argv)
{
    struct nzd_buf buf = {0};
    for (; *argv; argv++)
        nzd_buf_printf(&buf, "%s%s", buf.size ? " " : "", *argv);
    const char *text = harness_text(harness, "%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return text;
}

struct harness_job *harness_begin(struct harness *harness,
                                  const char *const *argv,
                                  const char *const *environment)
{
    struct harness_job *job = harness_alloc(harness, sizeof *job);
    unsigned number = ++harness->job_count;
    job->command = command_text(harness, argv);
    job->out = harness_path(harness, "run-%u.out", number);
    job->err = harness_path(harness, "run-%u.err", number);
    struct process_command command = {.argv = argv,
                                      .environment = environment,
                                      .output = job->out,
                                      .errors = job->err};
    job->pid = process_spawn(&command);
    if (job->pid < 0)
        harness_fail("%s: %s", job->command, strerror(errno));
    job->next = harness->jobs;
    harness->jobs = job;
    return job;
}

pid_t harness_job_pid(const struct harness_job *job)
{
    return job->pid;
}

const char *harness_job_out(struct harness *harness,
                            const struct harness_job *job)
{
    return harness_read_file(harness, job->out);
}

const char *harness_job_err(struct harness *harness,
                            const struct harness_job *job)
{
    return harness_read_file(harness, job->err);
}

struct harness_run harness_end(struct harness *harness, struct harness_job *job,
                               int limit_ms)
{
    struct harness_run run = {.command = job->command};
    struct process_end end = {0};
    if (!process_wait(job->pid, limit_ms, &end)) {
        run.timed_out = true;
        kill(-job->pid, SIGKILL);
        process_wait(job->pid, 10000, &end);
    }
    job->pid = 0;
    run.status = end.status;
    run.ms = end.ms;
    run.peak_kb = end.peak_kb;
    run.out = harness_job_out(harness, job);
    run.err = harness_job_err(harness, job);
    return run;
}

struct harness_run harness_run(struct harness *harness, const char *const *argv,
                               const char *const *environment)
{
    struct harness_job *job = harness_begin(harness, argv, environment);
    return harness_end(harness, job, HARNESS_LIMIT_MS);
}

struct harness_run harness_nzd(struct harness *harness,
                               const struct beam_node *node, ...)
{
    va_list list;
    va_start(list, node);
    const char *const *argv = make_argv(harness, node, list);
    va_end(list);
    return harness_run(harness, argv, NULL);
}

/* Checks. */

void harness_check_status(const struct harness_run *run, int expected,
                          const char *file, int line)
{
    if (run->status == expected && !run->timed_out)
        return;
    print_error("%s:%d: exit status %d%s, expected %d\n$ %s\n%s%s\n", file,
                line, run->status, run->timed_out ? " (at its time limit)" : "",
                expected, run->command, run->out, run->err);
    _fail(file, line);
}

void harness_check_text(const char *text, const char *part, bool expected,
                        const char *file, int line)
{
    if ((strstr(text, part) != NULL) == expected)
        return;
    print_error("%s:%d: %s \"%s\" in:\n%s\n", file, line,
                expected ? "no" : "unexpected", part, text);
    _fail(file, line);
}

void harness_check_pattern(const char *text, const char *pattern,
                           const char *file, int line)
{
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE | REG_NOSUB))
        harness_fail("bad pattern: %s", pattern);
    int found = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (found == 0)
        return;
    print_error("%s:%d: nothing matches \"%s\" in:\n%s\n", file, line, pattern,
                text);
    _fail(file, line);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* When each was started, for its duration. Slots of ended ones are reused. */
static struct {
    pid_t pid;
    double start;
} started[256];

double process_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static struct timespec timespec_of(double ms)
{
    struct timespec time = {0, 0};
    if (ms > 0) {
        time.tv_sec = (time_t)(ms / 1e3);
        time.tv_nsec = (long)((ms - (double)time.tv_sec * 1e3) * 1e6);
    }
    return time;
}

void process_sleep_ms(double ms)
{
    struct timespec left = timespec_of(ms);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static int redirect(const char *path, int to)
{
    int fd = open(path ? path : "/dev/null", O_RDWR | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        return -1;
    close(fd);
    return 0;
}

static void become(const struct process_command *command, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);

    for (const char *const *e = command->environment; e && *e; e++)
        putenv((char *)*e);
    if (redirect(NULL, STDIN_FILENO) ||
        redirect(command->output, STDOUT_FILENO))
        _exit(127);
    if (redirect(command->errors, STDERR_FILENO))
        _exit(127);
    if (command->directory && chdir(command->directory) < 0)
        _exit(127);
    execvp(command->argv[0], (char *const *)command->argv);
    _exit(127);
}

static void note_start(pid_t pid)
{
    for (size_t i = 0; i < sizeof started / sizeof started[0]; i++) {
        if (started[i].pid)
            continue;
        started[i].pid = pid;
        started[i].start = process_now_ms();
        return;
    }
}

static double take_start(pid_t pid)
{
    for (size_t i = 0; i < sizeof started / sizeof started[0]; i++) {
        if (started[i].pid != pid)
            continue;
        started[i].pid = 0;
        return started[i].start;
    }
    return process_now_ms();
}

pid_t process_spawn(const struct process_command *command)
{
    /* Blocked, so that process_wait() can wait for it with a time limit. */
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);

    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(command, parent);
    if (pid > 0) {
        setpgid(pid, pid);
        note_start(pid);
    }
    return pid;
}

static void fill_end(pid_t pid, int status, const struct rusage *usage,
                     struct process_end *end)
{
    double start = take_start(pid);
    if (!end)
        return;
    end->status =
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    end->ms = process_now_ms() - start;
    end->peak_kb = usage->ru_maxrss;
}

bool process_wait(pid_t pid, int limit_ms, struct process_end *end)
{
    double until = process_now_ms() + limit_ms;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        int status;
        struct rusage usage;
        if (wait4(pid, &status, WNOHANG, &usage) == pid) {
            fill_end(pid, status, &usage, end);
            return true;
        }
        double left = until - process_now_ms();
        if (left <= 0)
            return false;
        /* Signals of several children become one: look again anyway. */
        struct timespec rest = timespec_of(left < 50 ? left : 50);
        sigtimedwait(&child, NULL, &rest);
    }
}

bool process_alive(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

bool process_is_stopped(pid_t pid)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    const char *name_end = strrchr(text, ')');
    return name_end && strncmp(name_end, ") T", 3) == 0;
}

void process_kill(pid_t pid)
{
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    process_wait(pid, 10000, NULL);
}

static bool is_marked(pid_t pid, const char *mark)
{
    static char environment[1 << 16];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t size = fread(environment, 1, sizeof environment, file);
    fclose(file);
    return memmem(environment, size, mark, strlen(mark) + 1) != NULL;
}

static bool is_program(pid_t pid, const char *program)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return false;
    path[size] = '\0';
    return strcmp(path, program) == 0;
}

/* Calls `visit` for each, by its pid. How many there are. */
static unsigned each_marked(const char *mark, const char *program,
                            void (*visit)(pid_t pid, void *context),
                            void *context)
{
    unsigned found = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid <= 1 || pid == getpid() || !is_marked(pid, mark) ||
            (program && !is_program(pid, program)))
            continue;
        if (visit)
            visit(pid, context);
        found++;
    }
    if (proc)
        closedir(proc);
    return found;
}

static void end_one(pid_t pid, void *context)
{
    (void)context;
    kill(pid, SIGKILL);
}

void process_kill_marked(const char *mark)
{
    for (int i = 0; i < 400 && each_marked(mark, NULL, end_one, NULL); i++)
        process_sleep_ms(5);
}

static bool has_words(pid_t pid, const char *word, const char *other)
{
    char path[64], words[4096];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t size = fread(words, 1, sizeof words, file);
    fclose(file);
    return memmem(words, size, word, strlen(word) + 1) &&
           memmem(words, size, other, strlen(other) + 1);
}

pid_t process_with_words(const char *word, const char *other)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    pid_t found = 0;
    while (proc && !found && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 1 && has_words(pid, word, other))
            found = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

unsigned process_count_marked(const char *mark, const char *program)
{
    return each_marked(mark, program, NULL, NULL);
}

struct words {
    char *out;
    size_t size;
};

/* The words lie behind each other, each with its NUL. */
static void add_words(pid_t pid, void *context)
{
    struct words *words = context;
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FILE *file = fopen(path, "r");
    size_t size = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        fclose(file);
    for (size_t i = 0; i < size; i++)
        line[i] = line[i] ? line[i] : ' ';
    line[size] = '\0';
    size_t used = strlen(words->out);
    snprintf(words->out + used, words->size - used, "\n%d: %s", (int)pid, line);
}

void process_list_marked(const char *mark, const char *program, char *out,
                         size_t size)
{
    struct words words = {.out = out, .size = size};
    out[0] = '\0';
    each_marked(mark, program, add_words, &words);
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd boot -- COMMAND...: whatever happens, the command is started, with the
 * generation in force or, where that is not known, as it is. Nothing here
 * waits for anybody: what may, is asked for in a child (boot_ask.h).
 */
#include "../journal/point.h"
#include "boot_ask.h"
#include "keeper.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what is said -------------------------------------------------------- */

/* Only where it is taken at once: a console may stand still. */
static void write_line(const char *line)
{
    struct pollfd wait = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&wait, 1, 0) == 1 && (wait.revents & POLLOUT))
        (void)!write(STDERR_FILENO, line, strlen(line));
}

static void say(const char *format, const char *what)
{
    char text[NZD_ERR_MESSAGE + 64], line[sizeof text + 8];
    snprintf(text, sizeof text, format, what);
    snprintf(line, sizeof line, "nzd: %s\n", text);
    write_line(line);
    nzd_log_send("/dev/log", "/dev/kmsg", 4, text);
}

/* --- the environment ----------------------------------------------------- */

/* What booting a generation may change, as it was. */
struct kept {
    const char *name;
    char *value; /* NULL: it was not set */
};

static const char *const changed[] = {"NZD_BOOT", NZD_LAUNCH_ENVIRONMENT};
/* Where only `nzd health ok` says that a VM is healthy. */
#define SETTLE_AFTER_US 10000000u
#define KEPT            (sizeof changed / sizeof changed[0])

static bool keep_environment(struct kept kept[KEPT])
{
    bool whole = true;
    for (size_t i = 0; i < KEPT; i++) {
        const char *value = getenv(changed[i]);
        kept[i].name = changed[i];
        kept[i].value = value ? strdup(value) : NULL;
        whole = whole && (!value || kept[i].value);
    }
    return whole;
}

static void restore_environment(const struct kept kept[KEPT])
{
    for (size_t i = 0; i < KEPT; i++) {
        if (kept[i].value)
            setenv(kept[i].name, kept[i].value, 1);
        else
            unsetenv(kept[i].name);
    }
}

static bool set_generation(uint64_t generation)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, generation);
    return setenv("NZD_BOOT", text, 1) == 0;
}

/* --- the command --------------------------------------------------------- */

struct starting {
    struct nzd_boot_answer answer;
    struct nzd_arena arena;
    struct kept kept[KEPT];
    char **options;       /* our own words, with the program's name */
    size_t dashes;        /* how many */
    char **command;       /* the base, as it was given */
    char **instead;       /* the generation; NULL: the base is meant */
    int keeper;           /* nzd_keeper_leave(), or -1 */
    void (*on_pipe)(int); /* before ours; it is the VM's */
};

/* argv of the generation, its environment set. */
static void prepare(struct starting *s)
{
    struct nzd_err err = NZD_ERR_INIT;
    const struct nzd_boot *boot = &s->answer.boot;
    const struct nzd_launch_files files = nzd_boot_files(boot);
    if (s->answer.code) {
        say("the base boots: %s", s->answer.why);
        return;
    }
    if (!boot->overlay)
        return;
    if (keep_environment(s->kept) && set_generation(boot->generation) &&
        !nzd_launch_instead(&s->answer.launch, s->command, &files, &s->arena,
                            &s->instead, &err))
        return;
    s->instead = NULL;
    restore_environment(s->kept);
    say("the base boots: %s", err.message[0] ? err.message : "out of memory");
}

/* Who boots, for `nzd health`; nobody where that is another process. */
static void mark(const struct starting *s, bool generation)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    const struct nzd_boot *boot = &s->answer.boot;
    bool known = generation && !s->answer.launch.detached;
    if (boot->root[0])
        nzd_overlay_set_booted(boot->root, known ? boot->generation : 0,
                               &ignored);
}

/* `nzd recover` with the options that we were given. */
static char **settle_words(struct starting *s)
{
    static const char *const first[] = {"nzd",    "recover", "--quiet",
                                        "--wait", "10s",     "--node"};
    const size_t fixed = sizeof first / sizeof first[0];
    size_t count = fixed, at = 1;
    bool named = false;
    char **words =
        nzd_arena_alloc(&s->arena, (fixed + s->dashes + 2) * sizeof *words);
    if (!words)
        return NULL;
    for (size_t i = 0; i < fixed; i++)
        words[i] = (char *)(uintptr_t)first[i];
    words[count++] = s->answer.boot.node;
    for (; at < s->dashes; at++)
        if (named || strcmp(s->options[at], "boot") != 0)
            words[count++] = s->options[at];
        else
            named = true;
    words[count] = NULL;
    return words;
}

static void leave_keeper(struct starting *s)
{
    const struct nzd_boot *boot = &s->answer.boot;
    struct nzd_keeper keeper = {.journal = boot->journal,
                                .base = boot->base,
                                .generation = boot->generation,
                                .healthy_us = s->answer.healthy_us};
    if (boot->forward) {
        keeper.settle = settle_words(s);
        keeper.healthy_us =
            keeper.healthy_us ? keeper.healthy_us : SETTLE_AFTER_US;
    }
    if (keeper.healthy_us && !s->answer.launch.detached)
        s->keeper = nzd_keeper_leave(&keeper);
}

static int start(const struct starting *s, char **argv)
{
    signal(SIGPIPE, s->on_pipe);
    execvp(argv[0], argv);
    int sys = errno;
    signal(SIGPIPE, SIG_IGN);
    return sys;
}

/* Returns when what the generation needs is not there; the base may be. */
static void start_generation(struct starting *s)
{
    mark(s, true);
    nzd_point("who boots is marked");
    leave_keeper(s);
    nzd_point("before the generation starts");
    int sys = start(s, s->instead);
    nzd_keeper_dismiss(s->keeper);
    restore_environment(s->kept);
    say("the base boots: %s", strerror(sys));
}

static int start_base(struct starting *s)
{
    char text[NZD_ERR_MESSAGE];
    mark(s, false);
    set_generation(0);
    if (s->answer.boot.forward)
        leave_keeper(s);
    nzd_point("before the base starts");
    int sys = start(s, s->command);
    nzd_keeper_dismiss(s->keeper);
    snprintf(text, sizeof text, "nzd: %.400s: %s\n", s->command[0],
             strerror(sys));
    write_line(text);
    return sys == ENOENT ? 127 : 126;
}

int nzd_boot_line(int argc, char **argv, int dashes)
{
    static struct starting s = {.keeper = -1};
    s.options = argv;
    s.dashes = (size_t)dashes;
    s.command = argv + dashes + 1;
    (void)argc;
    if (!s.command[0]) {
        fprintf(stderr, "nzd: boot needs a command behind --\n");
        return nzd_err_exit(NZD_EUSAGE);
    }
    /* Who no longer reads what we say must not end us. */
    s.on_pipe = signal(SIGPIPE, SIG_IGN);
    nzd_launch_forget();
    nzd_point("before it is asked who boots");
    nzd_boot_ask(dashes, argv, s.command, &s.answer);
    prepare(&s);
    if (s.instead)
        start_generation(&s);
    return start_base(&s);
}

int nzd_cmd_boot(struct nzd_context *context)
{
    struct nzd_err err = NZD_ERR_INIT;
    nzd_err_set(&err, NZD_EUSAGE, "nzd boot needs -- and a command behind it");
    nzd_err_next(&err, "nzd boot -- /srv/erlang/erts-13.1.5/bin/erlexec ...");
    nzd_output_error(&context->output, &err);
    return nzd_err_exit(NZD_EUSAGE);
}

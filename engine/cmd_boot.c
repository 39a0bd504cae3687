/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd boot -- COMMAND...: whatever happens, the command is started. All that
 * can go wrong happens in a child with a time limit; what it found out comes
 * back through a pipe, and only that decides what is started.
 */
#include "boot.h"
#include "interrupt.h"
#include "keeper.h"
#include "log.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_US     10000000u /* before the configuration was read */
#define LIMIT_MAX_US 120000000u

/* What the child says: first the limit it may take, then what it found. */
struct found {
    struct nzd_boot boot;
    struct nzd_launch launch;
    uint64_t healthy_us;
    int code; /* of nzd_boot_decide() */
    char why[NZD_ERR_MESSAGE];
};

static void say(const char *text)
{
    fprintf(stderr, "nzd: %s\n", text);
    nzd_log_send("/dev/log", "/dev/kmsg", 4, text);
}

/* --- the child ----------------------------------------------------------- */

static int decide(int argc, char **argv, char **command, int pipe,
                  struct found *found, struct nzd_err *err)
{
    struct nzd_command_line line;
    struct nzd_context context = {0};
    int code = nzd_options_parse(argc, argv, &line, err);
    context.options = line.options;
    nzd_output_init(&context.output, false, line.options.quiet,
                    line.options.verbose, line.options.color);
    if (!code)
        code = nzd_config_load(context.options.config, &context.config, err);
    if (code)
        return code;
    uint64_t limit = context.config.boot_timeout_us;
    if (write(pipe, &limit, sizeof limit) != (ssize_t)sizeof limit)
        return NZD_EINTERNAL;
    found->healthy_us = context.config.boot_healthy_us;
    code = nzd_boot_decide(&context, command, &found->boot, err);
    if (!code && found->boot.overlay)
        code = nzd_launch_read(command, &found->launch, err);
    return code;
}

static void be_child(int argc, char **argv, char **command, int pipe)
{
    struct found *found = calloc(1, sizeof *found);
    struct nzd_err err = NZD_ERR_INIT;
    setpgid(0, 0);
    nzd_interrupt_install();
    if (!found)
        _exit(1);
    found->code = decide(argc, argv, command, pipe, found, &err);
    snprintf(found->why, sizeof found->why, "%s", err.message);
    _exit(nzd_write_all(pipe, found, sizeof *found) ? 1 : 0);
}

/* --- what it says -------------------------------------------------------- */

/* Reads `size` bytes until the deadline; false when they do not come. */
static bool receive(int pipe, void *to, size_t size, uint64_t deadline)
{
    uint8_t *at = to;
    while (size) {
        struct pollfd wait = {.fd = pipe, .events = POLLIN};
        uint64_t left = nzd_clock_left(deadline);
        int ready = poll(&wait, 1, (int)(left / 1000));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return false;
        ssize_t got = read(pipe, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

static bool listen_to(int pipe, struct found *found)
{
    uint64_t begin = nzd_clock_us(), limit = 0;
    if (!receive(pipe, &limit, sizeof limit, begin + LIMIT_US))
        return false;
    if (limit > LIMIT_MAX_US)
        limit = LIMIT_MAX_US;
    return receive(pipe, found, sizeof *found, begin + limit);
}

/* Runs the child to its end, which is its limit at the latest. */
static bool ask_child(int argc, char **argv, char **command,
                      struct found *found)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return false;
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(argc, argv, command, ends[1]);
    }
    close(ends[1]);
    bool told = child > 0 && listen_to(ends[0], found);
    close(ends[0]);
    if (child > 0) {
        if (!told) {
            kill(-child, SIGKILL);
            kill(child, SIGKILL);
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return told;
}

/* --- the command --------------------------------------------------------- */

static void set_generation(uint64_t generation)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, generation);
    setenv("NZD_BOOT", text, 1);
}

/* argv of the generation, or of the base as it was given. */
static char **choose(const struct found *found, bool told, char **command,
                     struct nzd_arena *arena)
{
    struct nzd_err err = NZD_ERR_INIT;
    char text[NZD_ERR_MESSAGE + 64];
    char **argv = command;
    set_generation(0);
    if (!told || found->code) {
        snprintf(text, sizeof text, "the base boots: %s",
                 !told           ? "the journal took too long"
                 : found->why[0] ? found->why
                                 : "it cannot be told why");
        say(text);
        return command;
    }
    if (!found->boot.overlay)
        return command;
    if (nzd_launch_instead(&found->launch, command, found->boot.boot, arena,
                           &argv, &err)) {
        say("the base boots: out of memory");
        return command;
    }
    set_generation(found->boot.generation);
    return argv;
}

static void leave_keeper(const struct found *found)
{
    const struct nzd_keeper keeper = {.journal = found->boot.journal,
                                      .generation = found->boot.generation,
                                      .healthy_us = found->healthy_us};
    if (keeper.healthy_us && !found->launch.detached)
        nzd_keeper_leave(&keeper);
}

static int start(char **argv)
{
    execvp(argv[0], argv);
    fprintf(stderr, "nzd: %s: %s\n", argv[0], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}

int nzd_boot_line(int argc, char **argv, int dashes)
{
    static struct found found;
    struct nzd_arena arena = {0};
    char **command = argv + dashes + 1;
    if (!command[0]) {
        fprintf(stderr, "nzd: boot needs a command behind --\n");
        return nzd_err_exit(NZD_EUSAGE);
    }
    bool told = ask_child(dashes, argv, command, &found);
    char **chosen = choose(&found, told, command, &arena);
    if (told && chosen != command)
        leave_keeper(&found);
    (void)argc;
    int status = start(chosen);
    /* What the overlay needed is not there: the base may be. */
    return chosen == command ? status : start(command);
}

int nzd_cmd_boot(struct nzd_context *context)
{
    struct nzd_err err = NZD_ERR_INIT;
    nzd_err_set(&err, NZD_EUSAGE, "nzd boot needs -- and a command behind it");
    nzd_err_next(&err, "nzd boot -- /srv/erlang/erts-13.1.5/bin/erlexec ...");
    nzd_output_error(&context->output, &err);
    return nzd_err_exit(NZD_EUSAGE);
}

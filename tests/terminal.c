/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define POLL_MS  20
#define ROWS     "200" /* nothing scrolls away */

struct terminal {
    struct harness *harness;
    const char *socket;
    const char *bytes; /* files */
    const char *status;
    unsigned windows;
};

static struct harness_run tmux(struct terminal *terminal,
                               const char *const *arguments)
{
    const char *const head[] = {"tmux", "-u",        "-S", terminal->socket,
                                "-f",   "/dev/null", NULL};
    const char *const environment[] = {"LC_ALL=C.UTF-8", NULL};

    return harness_run(terminal->harness,
                       harness_concat(terminal->harness, head, arguments),
                       environment);
}

#define TMUX(terminal, ...)                                                    \
    tmux((terminal), (const char *[]){__VA_ARGS__, NULL})

static void kill_server(void *argument)
{
    (void)TMUX(argument, "kill-server");
}

static bool has_tmux(struct harness *harness)
{
    static const char *const argv[] = {"tmux", "-V", NULL};
    return harness_run(harness, argv, NULL).status == 0;
}

struct terminal *terminal_open(struct harness *harness)
{
    struct terminal *terminal;

    if (!has_tmux(harness))
        return NULL;
    terminal = harness_alloc(harness, sizeof(*terminal));
    terminal->harness = harness;
    terminal->socket = harness_path(harness, "tmux");
    terminal->bytes = harness_path(harness, "terminal.bytes");
    terminal->status = harness_path(harness, "terminal.status");
    /* A window that stays, so that the server does. */
    if (TMUX(terminal, "new-session", "-d", "-s", "keep", "sleep", "1000")
            .status != 0)
        harness_fail("tmux does not start");
    harness_at_close(harness, kill_server, terminal);
    (void)TMUX(terminal, "set-option", "-g", "status", "off");
    return terminal;
}

static void quote(char *out, const char *word)
{
    *out++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(out, "'\\''", 4);
            out += 4;
        } else {
            *out++ = *word;
        }
    }
    memcpy(out, "' ", 3);
}

static const char *quoted(struct harness *harness, const char *const *words)
{
    size_t size = 1;
    char *text;

    for (size_t i = 0; words && words[i]; i++)
        size += 4 * strlen(words[i]) + 4;
    text = harness_alloc(harness, size);
    for (size_t i = 0; words && words[i]; i++)
        quote(text + strlen(text), words[i]);
    return text;
}

/* The command waits until its bytes are recorded. */
static const char *script(struct terminal *terminal, const char *const *argv,
                          const char *const *environment)
{
    struct harness *harness = terminal->harness;
    const char *path = harness_path(harness, "terminal.sh");

    harness_write_file(
        path, harness_text(harness,
                           "trap : INT\n"
                           "tmux -S '%s' wait-for go\n"
                           "export TERM=screen LC_ALL=C.UTF-8\n"
                           "env %s %s\n"
                           "echo $? >'%s.new'; mv '%s.new' '%s'\n"
                           "exec sleep 1000\n",
                           terminal->socket, quoted(harness, environment),
                           quoted(harness, argv), terminal->status,
                           terminal->status, terminal->status));
    return path;
}

void terminal_begin(struct terminal *terminal, unsigned columns,
                    const char *const *argv, const char *const *environment)
{
    struct harness *harness = terminal->harness;
    const char *width = harness_text(harness, "%u", columns);

    (void)unlink(terminal->bytes);
    (void)unlink(terminal->status);
    if (terminal->windows++ > 0)
        (void)TMUX(terminal, "kill-session", "-t", "screen");
    if (TMUX(terminal, "new-session", "-d", "-s", "screen", "-x", width, "-y",
             ROWS, "sh", script(terminal, argv, environment))
            .status != 0)
        harness_fail("no new window in tmux");
    (void)TMUX(terminal, "pipe-pane", "-t", "screen", "-o",
               harness_text(harness, "exec cat >'%s'", terminal->bytes));
    (void)TMUX(terminal, "wait-for", "-S", "go");
}

void terminal_resize(struct terminal *terminal, unsigned columns)
{
    (void)TMUX(terminal, "resize-window", "-t", "screen", "-x",
               harness_text(terminal->harness, "%u", columns));
}

void terminal_type(struct terminal *terminal, const char *key)
{
    (void)TMUX(terminal, "send-keys", "-t", "screen", key);
}

static const char *capture(struct terminal *terminal, const char *flag)
{
    char *text = (char *)(uintptr_t)TMUX(terminal, "capture-pane", "-t",
                                         "screen", "-p", "-S", "-", flag)
                     .out;
    size_t size = strlen(text);

    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' '))
        text[--size] = '\0';
    return text;
}

const char *terminal_screen(struct terminal *terminal)
{
    return capture(terminal, "-q");
}

/* -J keeps the spaces at the ends of lines, where others are cut. */
const char *terminal_joined(struct terminal *terminal)
{
    char *text = (char *)(uintptr_t)capture(terminal, "-J");
    char *to = text;

    for (char *at = text; *at; at++) {
        if (*at == '\n')
            while (to > text && to[-1] == ' ')
                to--;
        *to++ = *at;
    }
    *to = '\0';
    return text;
}

const char *terminal_bytes(struct terminal *terminal)
{
    return harness_read_file(terminal->harness, terminal->bytes);
}

void terminal_wait_for(struct terminal *terminal, const char *pattern)
{
    double end = process_now_ms() + LIMIT_MS;
    regex_t regex;
    const char *screen;

    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
        harness_fail("no pattern: %s", pattern);
    for (;;) {
        screen = terminal_screen(terminal);
        if (regexec(&regex, screen, 0, NULL, 0) == 0)
            break;
        if (process_now_ms() > end)
            harness_fail("the screen never shows %s:\n%s", pattern, screen);
        process_sleep_ms(POLL_MS);
    }
    regfree(&regex);
}

int terminal_end(struct terminal *terminal)
{
    double end = process_now_ms() + 3 * LIMIT_MS;

    while (access(terminal->status, F_OK) != 0) {
        if (process_now_ms() > end)
            harness_fail("no end; the screen:\n%s", terminal_screen(terminal));
        process_sleep_ms(POLL_MS);
    }
    /* What was written last is in the pipe before the status is there, but
     * may not be on the screen: what answers is behind it. */
    (void)TMUX(terminal, "pipe-pane", "-t", "screen");
    return (int)strtol(harness_read_file(terminal->harness, terminal->status),
                       NULL, 10);
}

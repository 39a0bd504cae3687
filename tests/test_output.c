/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/output.h"

#include <fcntl.h>
#include <pty.h>
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

/* Both streams go to files while a test writes, and are read back. */
struct fixture {
    char directory[64];
    int saved[3];
    char text[3][8192];
    struct nzd_output output;
};

static void path_of(const struct fixture *fixture, const char *name,
                    char out[128])
{
    snprintf(out, 128, "%s/%s", fixture->directory, name);
}

static void redirect(struct fixture *fixture, int fd, int to)
{
    fixture->saved[fd] = dup(fd);
    assert_true(fixture->saved[fd] >= 0 && dup2(to, fd) == fd);
    close(to);
}

static void restore(struct fixture *fixture, int fd)
{
    if (fixture->saved[fd] < 0)
        return;
    fflush(fd == STDOUT_FILENO ? stdout : stderr);
    dup2(fixture->saved[fd], fd);
    close(fixture->saved[fd]);
    fixture->saved[fd] = -1;
}

static void begin(struct fixture *fixture)
{
    char path[128];

    fflush(stdout);
    for (int fd = 1; fd <= 2; fd++) {
        path_of(fixture, fd == 1 ? "out" : "err", path);
        redirect(fixture, fd, open(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    }
}

static void end(struct fixture *fixture)
{
    char path[128];

    for (int fd = 1; fd <= 2; fd++) {
        FILE *file;
        size_t size;

        restore(fixture, fd);
        path_of(fixture, fd == 1 ? "out" : "err", path);
        file = fopen(path, "r");
        assert_non_null(file);
        size = fread(fixture->text[fd], 1, sizeof(fixture->text[fd]) - 1, file);
        fixture->text[fd][size] = '\0';
        fclose(file);
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    snprintf(fixture->directory, sizeof(fixture->directory),
             "/tmp/nzd-output.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->saved[1] = fixture->saved[2] = -1;
    unsetenv("NO_COLOR");
    setenv("LC_ALL", "C", 1);
    setenv("TERM", "xterm", 1);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char path[128];

    restore(fixture, 1);
    restore(fixture, 2);
    path_of(fixture, "out", path);
    unlink(path);
    path_of(fixture, "err", path);
    unlink(path);
    path_of(fixture, "log", path);
    unlink(path);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void open_output(struct fixture *fixture, bool json)
{
    begin(fixture);
    nzd_output_init(&fixture->output, json, false, false, NZD_COLOR_AUTO);
}

static void steps_stand_in_columns(void **state)
{
    struct fixture *fixture = *state;

    open_output(fixture, false);
    nzd_output_step(&fixture->output, "plan", 9100, NULL, "counter %s, hot",
                    "0.1.0 -> 0.2.0");
    nzd_output_step(&fixture->output, "hook pre", 12400, NULL, "disk ok");
    nzd_output_step(&fixture->output, "keep", 0, NULL, "asked");
    nzd_output_step(&fixture->output, "hook outcome", 1200, NULL, "told");
    end(fixture);
    assert_string_equal(fixture->text[1], "");
    assert_string_equal(fixture->text[2],
                        "plan       counter 0.1.0 -> 0.2.0, hot            "
                        "                     9.1 ms\n"
                        "hook pre   disk ok                                "
                        "                    12.4 ms\n"
                        "keep       asked\n"
                        "hook outcome told                                 "
                        "                     1.2 ms\n");
}

static void a_long_step_is_whole_where_nobody_looks(void **state)
{
    struct fixture *fixture = *state;

    open_output(fixture, false);
    nzd_output_step(&fixture->output, "undo", 1400, NULL, "%0100d", 7);
    end(fixture);
    assert_non_null(strstr(fixture->text[2], "00007  1.4 ms\n"));
    assert_int_equal(strlen(fixture->text[2]), 11 + 100 + 2 + 6 + 1);
}

static void quiet_has_no_steps(void **state)
{
    struct fixture *fixture = *state;

    begin(fixture);
    nzd_output_init(&fixture->output, false, true, false, NZD_COLOR_ALWAYS);
    nzd_output_step(&fixture->output, "plan", 1, json_object(), "hot");
    nzd_output_bar(&fixture->output, "load", 1, 2);
    nzd_output_line(&fixture->output, "answer");
    end(fixture);
    assert_string_equal(fixture->text[1], "answer\n");
    assert_string_equal(fixture->text[2], "");
}

static void json_lines(void **state)
{
    struct fixture *fixture = *state;

    open_output(fixture, true);
    nzd_output_step(&fixture->output, "hook pre", 412,
                    json_pack("{s:i}", "txn", 7), "disk \"ok\"\033");
    nzd_output_step(&fixture->output, "armed", 0, NULL, "%s", "");
    nzd_output_line(&fixture->output, "for people");
    nzd_output_row(&fixture->output, "for", "people", "", 80);
    nzd_output_warn(&fixture->output, "gr\xC3\xBC\xFF\x7F");
    nzd_output_json(&fixture->output,
                    json_pack("{s:i, s:o}", "zeta", 1, "alpha",
                              nzd_json_text("b\xFF\x7F")));
    end(fixture);
    assert_string_equal(fixture->text[2], "");
    assert_string_equal(
        fixture->text[1],
        "{\"nzd\":1,\"event\":\"hook_pre\",\"txn\":7,"
        "\"text\":\"disk \\\"ok\\\"\\\\x1b\",\"us\":412}\n"
        "{\"nzd\":1,\"event\":\"armed\"}\n"
        "{\"nzd\":1,\"event\":\"warning\",\"text\":\"gr\\\\u{fc}"
        "\\\\xff\\\\x7f\""
        "}\n"
        "{\"nzd\":1,\"zeta\":1,\"alpha\":\"b\\uFFFD\\u007f\"}\n");
}

static void errors_for_people(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_err err = NZD_ERR_INIT;

    nzd_err_set(&err, NZD_EREFUSED, "refused\033[31m");
    nzd_err_untouched(&err, "the node");
    nzd_err_next(&err, "nzd plan");
    open_output(fixture, false);
    nzd_output_error(&fixture->output, &err);
    nzd_output_warn(&fixture->output, "look\n");
    end(fixture);
    assert_string_equal(fixture->text[1], "");
    assert_string_equal(fixture->text[2], "nzd: refused\\x1b[31m\n"
                                          "  untouched  the node\n"
                                          "  next       nzd plan\n"
                                          "nzd: warning: look\n");
}

static void errors_for_programs(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_err err = NZD_ERR_INIT;

    nzd_err_set(&err, NZD_EROLLEDBACK, "hook failed");
    open_output(fixture, true);
    nzd_output_error(&fixture->output, &err);
    end(fixture);
    assert_string_equal(fixture->text[2], "");
    assert_string_equal(fixture->text[1],
                        "{\"nzd\":1,\"error\":{\"exit\":6,\"code\":"
                        "\"rolled_back\",\"message\":\"hook failed\","
                        "\"untouched\":\"\",\"next\":\"\"}}\n");
}

static void only_our_colours_pass(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_output *output = &fixture->output;

    begin(fixture);
    nzd_output_init(output, false, false, false, NZD_COLOR_ALWAYS);
    nzd_output_line(output, "%sgood%s \033[5m \033", nzd_color(output, 'g'),
                    nzd_color(output, '0'));
    nzd_output_init(output, false, false, false, NZD_COLOR_AUTO);
    nzd_output_line(output, "%sgood\033[32m%s\n", nzd_color(output, 'g'),
                    nzd_color(output, '0'));
    nzd_output_line(output, "one\ntwo");
    end(fixture);
    assert_string_equal(fixture->text[1], "\033[32mgood\033[0m \\x1b[5m \\x1b\n"
                                          "good\\x1b[32m\n"
                                          "one\\ntwo\n");
}

static void rows_are_wrapped(void **state)
{
    struct fixture *fixture = *state;

    open_output(fixture, false);
    nzd_output_row(&fixture->output, "  why  ", "one two three four", "1 ms",
                   26);
    nzd_output_row(&fixture->output, "a ", "b", "c", 8);
    nzd_output_row(&fixture->output, "", "0123456789abcdef", "", 10);
    end(fixture);
    assert_string_equal(fixture->text[1], "  why  one two three\n"
                                          "       four           1 ms\n"
                                          "a b    c\n"
                                          "0123456789\nabcdef\n");
}

static void utf8_passes_where_the_locale_has_it(void **state)
{
    struct fixture *fixture = *state;

    setenv("LC_ALL", "C.UTF-8", 1);
    open_output(fixture, false);
    nzd_output_line(&fixture->output, "gr\xC3\xBC\xC3\x9F\xFF");
    end(fixture);
    if (!fixture->output.utf8)
        skip();
    assert_string_equal(fixture->text[1], "gr\xC3\xBC\xC3\x9F\\xff\n");
}

/* What a bundle says in error messages, steps, rows and warnings alike: no C1
 * control, nothing that turns the direction of writing. */
static void utf8_holds_no_controls(void **state)
{
    static const char name[] = "x\xC2\x9B\x32Jy\xE2\x80\xAEz";
    static const char safe[] = "x\\u{9b}2Jy\\u{202e}z";
    struct fixture *fixture = *state;
    struct nzd_err err = NZD_ERR_INIT;

    setenv("LC_ALL", "C.UTF-8", 1);
    nzd_err_set(&err, NZD_EBUNDLE, "%s", name);
    open_output(fixture, false);
    nzd_output_error(&fixture->output, &err);
    nzd_output_warn(&fixture->output, "%s", name);
    nzd_output_step(&fixture->output, "plan", 0, NULL, "%s", name);
    nzd_output_row(&fixture->output, name, name, name, 80);
    end(fixture);
    for (int fd = 1; fd <= 2; fd++) {
        const char *at = fixture->text[fd];

        for (int i = 0; i < 3; i++) {
            at = strstr(at, safe);
            assert_non_null(at);
            at += sizeof(safe) - 1;
        }
        assert_null(strpbrk(fixture->text[fd], "\xC2\xE2"));
    }
}

static void a_full_disk_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    int full = open("/dev/full", O_WRONLY);
    bool flushed;

    if (full < 0)
        skip();
    fflush(stdout);
    redirect(fixture, 1, full);
    nzd_output_init(&fixture->output, true, false, false, NZD_COLOR_AUTO);
    nzd_output_json(&fixture->output, json_object());
    flushed = nzd_output_flush(&fixture->output);
    restore(fixture, 1);
    clearerr(stdout);
    assert_false(flushed);
    assert_true(fixture->output.broken);
}

/* --- on a terminal --------------------------------------------------- */

static void read_terminal(int master, char *out, size_t size)
{
    size_t used = 0;
    ssize_t got;

    fcntl(master, F_SETFL, O_NONBLOCK);
    while (used + 1 < size &&
           (got = read(master, out + used, size - used - 1)) > 0)
        used += (size_t)got;
    out[used] = '\0';
}

static void a_terminal_gets_a_bar_and_its_width(void **state)
{
    struct fixture *fixture = *state;
    struct winsize size = {.ws_row = 24, .ws_col = 40};
    struct nzd_output *output = &fixture->output;
    char text[4096];
    int master;
    int slave;

    if (openpty(&master, &slave, NULL, NULL, &size) != 0)
        skip();
    redirect(fixture, 2, slave);
    nzd_output_init(output, false, false, false, NZD_COLOR_NEVER);
    nzd_output_bar(output, "prepare", 1, 2);
    nzd_output_bar(output, "prepare", 1, 2);
    nzd_output_step(output, "prepare", 6000, NULL,
                    "three new modules and as many old ones");
    restore(fixture, 2);
    read_terminal(master, text, sizeof(text));
    close(master);
    assert_true(output->bar);
    assert_int_equal(output->width, 40);
    assert_string_equal(text, "\r\033[Kprepare    [##########..........] 50%"
                              "\r\033[K"
                              "prepare    three new modules\r\n"
                              "           and as many old ones  6.0 ms\r\n");
}

/* --- the log --------------------------------------------------------- */

static void the_log_says_what_moved(void **state)
{
    struct nzd_txn txn = {.id = 7,
                          .state = NZD_STATE_ARMED,
                          .release = "counter",
                          .from_version = "0.1.0",
                          .to_version = "0.2.0",
                          .node = "counter@web1\n"};
    struct nzd_buf out = {0};

    (void)state;
    nzd_log_describe(&out, &txn);
    assert_string_equal(
        nzd_buf_string(&out),
        "transaction 7 armed: counter 0.1.0 -> 0.2.0 on counter@web1\\n");
    nzd_buf_clear(&out);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void the_log_is_a_datagram_that_never_waits(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    char line[256];
    ssize_t got;
    int fd;
    bool sent = true;

    path_of(fixture, "log", path);
    fd = listen_at(path);
    assert_true(nzd_log_send(path, "/nonexistent", 5, "hello"));
    got = recv(fd, line, sizeof(line) - 1, 0);
    assert_true(got > 0);
    line[got] = '\0';
    assert_memory_equal(line, "<29>", 4);
    assert_non_null(strstr(line, " nzd["));
    assert_non_null(strstr(line, "]: hello"));
    /* Nobody reads: the queue fills, and the call still returns. */
    for (int i = 0; i < 100000 && sent; i++)
        sent = nzd_log_send(path, "/nonexistent", 5, "more");
    assert_false(sent);
    close(fd);
}

static void without_a_log_the_kernel_is_told(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    char line[64] = "";
    FILE *file;

    path_of(fixture, "log", path);
    file = fopen(path, "w+");
    assert_non_null(file);
    assert_true(nzd_log_send("/nonexistent", path, 4, "hello"));
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_string_equal(line, "<28>nzd: hello\n");
    assert_false(nzd_log_send("/nonexistent", "/nonexistent/x", 4, "hello"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(steps_stand_in_columns),
        CASE(a_long_step_is_whole_where_nobody_looks),
        CASE(quiet_has_no_steps),
        CASE(json_lines),
        CASE(errors_for_people),
        CASE(errors_for_programs),
        CASE(only_our_colours_pass),
        CASE(rows_are_wrapped),
        CASE(utf8_passes_where_the_locale_has_it),
        CASE(utf8_holds_no_controls),
        CASE(a_full_disk_is_noticed),
        CASE(a_terminal_gets_a_bar_and_its_width),
        CASE(the_log_says_what_moved),
        CASE(the_log_is_a_datagram_that_never_waits),
        CASE(without_a_log_the_kernel_is_told),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}

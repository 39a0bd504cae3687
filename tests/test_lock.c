/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/lock.h"
#include "tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct tree tree;
    struct nzd_err err;
    int lock;
    pid_t child;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    tree_open(&fixture->tree);
    fixture->lock = -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->child > 0) {
        kill(fixture->child, SIGKILL);
        waitpid(fixture->child, NULL, 0);
    }
    nzd_lock_release(fixture->lock);
    tree_close(&fixture->tree);
    free(fixture);
    return 0;
}

static int take(struct fixture *fixture, uint64_t wait_us)
{
    nzd_err_clear(&fixture->err);
    return nzd_lock_take(fixture->tree.root, "nzd test", wait_us,
                         &fixture->lock, &fixture->err);
}

/* A child that holds the lock for a while, and has it when this returns. */
static void hold(struct fixture *fixture, unsigned ms)
{
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    fixture->child = fork();
    if (fixture->child == 0) {
        struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

        if (nzd_lock_take(fixture->tree.root, "nzd apply x", 0, &fixture->lock,
                          NULL) != 0)
            _exit(1);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        nanosleep(&time, NULL);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
}

static void test_held_by_another(void **state)
{
    struct fixture *fixture = *state;
    char text[64];

    hold(fixture, 5000);
    assert_int_equal(take(fixture, 0), NZD_EBUSY);
    (void)snprintf(text, sizeof(text), "held by pid %d (nzd apply x) since 2",
                   (int)fixture->child);
    assert_non_null(strstr(fixture->err.message, text));
    assert_non_null(strstr(fixture->err.next, "--wait"));
    assert_int_equal(fixture->lock, -1);
}

static void test_waits(void **state)
{
    struct fixture *fixture = *state;

    hold(fixture, 300);
    assert_int_equal(take(fixture, 50000), NZD_EBUSY);
    assert_int_equal(take(fixture, 5000000), NZD_OK);
}

/* kill -9: the lock goes with its holder, and its name is not believed. */
static void test_killed_holder(void **state)
{
    struct fixture *fixture = *state;
    int other = -1;

    hold(fixture, 5000);
    kill(fixture->child, SIGKILL);
    waitpid(fixture->child, NULL, 0);
    fixture->child = 0;
    assert_int_equal(take(fixture, 0), NZD_OK);
    tree_text(&fixture->tree, "lock", "999999999 1 1700000000 nzd apply");
    assert_int_equal(
        nzd_lock_take(fixture->tree.root, NULL, 0, &other, &fixture->err),
        NZD_EBUSY);
    assert_non_null(strstr(fixture->err.message, "held by another process"));
}

static void test_rubbish_in_the_file(void **state)
{
    struct fixture *fixture = *state;
    char text[1000];
    int other = -1;

    assert_int_equal(take(fixture, 0), NZD_OK);
    memset(text, 'x', sizeof(text));
    tree_write(&fixture->tree, "lock", text, sizeof(text));
    assert_int_equal(
        nzd_lock_take(fixture->tree.root, NULL, 0, &other, &fixture->err),
        NZD_EBUSY);
}

/* A program that is started and outlives us must not keep it. */
static void test_closed_on_exec(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    char byte;

    assert_int_equal(take(fixture, 0), NZD_OK);
    assert_int_equal(pipe(ends), 0);
    fixture->child = fork();
    if (fixture->child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", "echo x; exec sleep 5", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    nzd_lock_release(fixture->lock);
    fixture->lock = -1;
    assert_int_equal(take(fixture, 0), NZD_OK);
}

/* --- ending who holds it --- */

/* This one takes the lock as any nzd would, but it is none. */
static void test_nobody_else_is_ended(void **state)
{
    struct fixture *fixture = *state;
    int64_t pid = 0;

    hold(fixture, 5000);
    assert_int_equal(
        nzd_lock_end_holder(fixture->tree.root, &pid, &fixture->err),
        NZD_EBUSY);
    assert_int_equal(waitpid(fixture->child, NULL, WNOHANG), 0);
    assert_int_equal(pid, 0);
}

static void test_nobody_holds_it(void **state)
{
    struct fixture *fixture = *state;
    int64_t pid = 0;

    assert_int_equal(take(fixture, 0), NZD_OK);
    nzd_lock_release(fixture->lock);
    fixture->lock = -1;
    assert_int_equal(
        nzd_lock_end_holder(fixture->tree.root, &pid, &fixture->err),
        NZD_EBUSY);
}

static void on_alarm(int number)
{
    (void)number;
}

static void test_interrupted_wait(void **state)
{
    struct fixture *fixture = *state;
    struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval none = {.it_value = {.tv_sec = 0}};
    /* Again and again: the first may come before it waits. */
    const struct itimerval often = {.it_value = {.tv_usec = 500000},
                                    .it_interval = {.tv_usec = 500000}};

    sigaction(SIGALRM, &action, NULL);
    hold(fixture, 5000);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(take(fixture, 4000000), NZD_EREFUSED);
    setitimer(ITIMER_REAL, &none, NULL);
    assert_non_null(strstr(fixture->err.message, "interrupted"));
}

static void test_no_directory(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(
        nzd_lock_take("/dev/null/none", NULL, 0, &fixture->lock, &fixture->err),
        NZD_EJOURNAL);
    nzd_lock_release(-1);
}

#define IN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN(test_held_by_another), IN(test_waits),
        IN(test_killed_holder),   IN(test_rubbish_in_the_file),
        IN(test_closed_on_exec),  IN(test_interrupted_wait),
        IN(test_no_directory),    IN(test_nobody_else_is_ended),
        IN(test_nobody_holds_it),
    };

    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}

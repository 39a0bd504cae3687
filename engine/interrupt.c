/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/ppoll.h"

#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static const int noted[] = {SIGINT, SIGTERM, SIGHUP};

#define NOTED_COUNT (sizeof(noted) / sizeof(noted[0]))

static volatile sig_atomic_t first;
static volatile sig_atomic_t deaf;
static volatile sig_atomic_t noted_one;

static void note(int number)
{
    noted_one = 1;
    if (!deaf && first == 0)
        first = number;
}

/* A signal that our parent had us ignore (nohup, a shell's background job)
 * stays ignored. */
static void catch_unless_ignored(int number, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(number, action, NULL);
}

void nzd_interrupt_install(void)
{
    struct sigaction action;

    first = 0;
    deaf = 0;
    memset(&action, 0, sizeof(action));
    sigemptyset(&action.sa_mask);
    action.sa_handler = note;
    for (size_t i = 0; i < NOTED_COUNT; i++)
        catch_unless_ignored(noted[i], &action);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &action, NULL);
}

int nzd_interrupt_pending(void)
{
    return first;
}

void nzd_interrupt_clear(void)
{
    deaf = 1;
    first = 0;
}

bool nzd_interrupt_noted(void)
{
    bool was = noted_one != 0;

    noted_one = 0;
    return was;
}

static struct timespec span_of(uint64_t us)
{
    struct timespec span;

    if (us > (uint64_t)INT32_MAX * 1000000)
        us = (uint64_t)INT32_MAX * 1000000;
    span.tv_sec = (time_t)(us / 1000000);
    span.tv_nsec = (long)(us % 1000000) * 1000;
    return span;
}

int nzd_interrupt_poll(struct pollfd *fds, unsigned count, uint64_t timeout_us)
{
    struct timespec span = span_of(timeout_us);
    sigset_t blocked;
    sigset_t before;
    int ready;
    int sys;

    sigemptyset(&blocked);
    for (size_t i = 0; i < NOTED_COUNT; i++)
        sigaddset(&blocked, noted[i]);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    if (first != 0)
        span = span_of(0);
    ready = ppoll(fds, count, &span, &before);
    sys = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = sys;
    if (ready < 0 && sys == EINTR) {
        for (unsigned i = 0; i < count; i++)
            fds[i].revents = 0;
        return 0;
    }
    return ready;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    if (clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t nzd_clock_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t nzd_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t nzd_clock_deadline(uint64_t timeout_us)
{
    uint64_t now = nzd_clock_us();

    return timeout_us > UINT64_MAX - now ? UINT64_MAX : now + timeout_us;
}

uint64_t nzd_clock_left(uint64_t deadline)
{
    uint64_t now = nzd_clock_us();

    return deadline > now ? deadline - now : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "dial.h"
#include "interrupt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EPMD_PORT       4369
#define EPMD_PORT2_REQ  122
#define EPMD_PORT2_RESP 119

int nzd_dial_wait(int fd, short events, uint64_t deadline)
{
    for (;;) {
        struct pollfd poll = {.fd = fd, .events = events};
        uint64_t left = nzd_clock_left(deadline);
        int ready = nzd_interrupt_poll(&poll, 1, left);

        if (ready < 0)
            return errno;
        if (ready > 0)
            return 0;
        if (nzd_interrupt_pending())
            return ECANCELED;
        if (left == 0)
            return ETIMEDOUT;
    }
}

/* What a wait or a call on `what` failed with. */
static int fail(int sys, const char *what, struct nzd_err *err)
{
    if (sys == ECANCELED)
        return nzd_err_set(err, NZD_EREFUSED, "interrupted");
    if (sys == ETIMEDOUT)
        return nzd_err_set(err, NZD_ENODE, "%s does not answer", what);
    if (sys == ECONNREFUSED)
        return nzd_err_system(err, NZD_ENODE, sys, "nothing listens on %s",
                              what);
    return nzd_err_system(err, NZD_ENODE, sys, "%s", what);
}

/* --- names --- */

static void collect(const struct addrinfo *list, struct nzd_dial_host *host)
{
    for (; list && host->count < NZD_DIAL_ADDRESSES; list = list->ai_next) {
        struct sockaddr_in in;

        if (list->ai_family != AF_INET || list->ai_addrlen < sizeof(in))
            continue;
        memcpy(&in, list->ai_addr, sizeof(in));
        host->addresses[host->count++] = in.sin_addr;
    }
}

static void __attribute__((noreturn)) look_up(const char *name, int fd)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct nzd_dial_host host;

    memset(&host, 0, sizeof(host));
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getaddrinfo(name, NULL, &hints, &list) == 0)
        collect(list, &host);
    (void)nzd_write_all(fd, &host, sizeof(host));
    _exit(0);
}

static int read_answer(const char *name, int fd, uint64_t deadline,
                       struct nzd_dial_host *out, struct nzd_err *err)
{
    struct nzd_dial_host host;
    int sys = nzd_dial_wait(fd, POLLIN, deadline);

    if (sys == ETIMEDOUT)
        return nzd_err_set(err, NZD_ENODE,
                           "no answer in time to what address %s has", name);
    if (sys != 0)
        return fail(sys, name, err);
    if (read(fd, &host, sizeof(host)) != (ssize_t)sizeof(host) ||
        host.count == 0)
        return nzd_err_set(err, NZD_ENODE, "host %s has no IPv4 address", name);
    for (size_t i = 0; i < host.count && out->count < NZD_DIAL_ADDRESSES; i++)
        out->addresses[out->count++] = host.addresses[i];
    return 0;
}

int nzd_dial_resolve(const char *host, uint64_t deadline,
                     struct nzd_dial_host *out, struct nzd_err *err)
{
    int ends[2];
    pid_t child;
    int code;

    if (out->count < NZD_DIAL_ADDRESSES &&
        inet_pton(AF_INET, host, &out->addresses[out->count]) == 1) {
        out->count++;
        return 0;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return nzd_err_system(err, NZD_ENODE, errno, "resolve %s: pipe", host);
    child = fork();
    if (child == 0)
        look_up(host, ends[1]);
    close(ends[1]);
    if (child < 0) {
        code = nzd_err_system(err, NZD_ENODE, errno, "resolve %s: fork", host);
    } else {
        code = read_answer(host, ends[0], deadline, out, err);
        kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    close(ends[0]);
    return code;
}

/* --- TCP --- */

static int finish_connect(int fd, uint64_t deadline)
{
    socklen_t size = sizeof(int);
    int sys = nzd_dial_wait(fd, POLLOUT, deadline);
    int failed = 0;

    if (sys != 0)
        return sys;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0)
        return errno;
    return failed;
}

int nzd_dial_connect(struct in_addr address, uint16_t port, uint64_t deadline,
                     int *out, struct nzd_err *err)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
    char text[INET_ADDRSTRLEN] = "";
    char what[INET_ADDRSTRLEN + 16];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    int sys = 0;

    inet_ntop(AF_INET, &address, text, sizeof(text));
    (void)snprintf(what, sizeof(what), "%s port %u", text, port);
    if (fd < 0)
        return nzd_err_system(err, NZD_ENODE, errno, "%s: socket", what);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
        sys = errno;
    if (sys == EINPROGRESS || sys == EINTR)
        sys = finish_connect(fd, deadline);
    if (sys != 0) {
        close(fd);
        return fail(sys, what, err);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *out = fd;
    return 0;
}

/* --- epmd --- */

static uint16_t epmd_port(void)
{
    const char *text = getenv("ERL_EPMD_PORT");
    long port = text ? strtol(text, NULL, 10) : EPMD_PORT;

    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : EPMD_PORT;
}

/* Reads until `size` bytes, the end of the stream (then *got is less), or
 * the deadline; 0 or errno. */
static int read_up_to(int fd, uint8_t *to, size_t size, uint64_t deadline,
                      size_t *got)
{
    for (*got = 0; *got < size;) {
        int sys = nzd_dial_wait(fd, POLLIN, deadline);
        ssize_t done = sys ? -1 : read(fd, to + *got, size - *got);

        if (sys != 0)
            return sys;
        if (done < 0 && errno != EAGAIN && errno != EINTR)
            return errno;
        if (done == 0)
            return 0;
        if (done > 0)
            *got += (size_t)done;
    }
    return 0;
}

/* PORT_PLEASE2_REQ is small: it goes out in one piece or not at all. */
static int ask(int fd, const char *name, uint64_t deadline, uint8_t answer[4],
               size_t *got)
{
    size_t length = strlen(name);
    uint8_t request[3 + 255];

    if (length > 255)
        return ENAMETOOLONG;
    request[0] = (uint8_t)((length + 1) >> 8);
    request[1] = (uint8_t)(length + 1);
    request[2] = EPMD_PORT2_REQ;
    memcpy(request + 3, name, length);
    if (send(fd, request, 3 + length, MSG_NOSIGNAL) != (ssize_t)(3 + length))
        return EIO;
    return read_up_to(fd, answer, 4, deadline, got);
}

static int judge(const uint8_t *answer, size_t got, const char *name,
                 const char *what, uint16_t *out, struct nzd_err *err)
{
    if (got < 2 || answer[0] != EPMD_PORT2_RESP)
        return nzd_err_set(err, NZD_ENODE, "what listens on %s is not an epmd",
                           what);
    if (answer[1] != 0)
        return nzd_err_set(err, NZD_ENODE, "epmd on %s does not know %s", what,
                           name);
    if (got < 4)
        return nzd_err_set(err, NZD_ENODE, "epmd on %s ended its answer early",
                           what);
    *out = (uint16_t)(answer[2] << 8 | answer[3]);
    return 0;
}

int nzd_dial_epmd(struct in_addr address, const char *name, uint64_t deadline,
                  uint16_t *out, struct nzd_err *err)
{
    char text[INET_ADDRSTRLEN] = "";
    char what[INET_ADDRSTRLEN + 16];
    uint8_t answer[4] = {0};
    size_t got = 0;
    int fd = -1;
    int code;
    int sys;

    inet_ntop(AF_INET, &address, text, sizeof(text));
    (void)snprintf(what, sizeof(what), "%s port %u", text, epmd_port());
    code = nzd_dial_connect(address, epmd_port(), deadline, &fd, err);
    if (code != 0) {
        nzd_err_prefix(err, "epmd");
        return code;
    }
    sys = ask(fd, name, deadline, answer, &got);
    close(fd);
    if (sys != 0) {
        code = fail(sys, what, err);
        nzd_err_prefix(err, "epmd");
        return code;
    }
    return judge(answer, got, name, what, out, err);
}

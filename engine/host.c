/* SPDX-License-Identifier: Apache-2.0 */
#include "host.h"
#include "discover.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENVIRON_MAX (256u << 10) /* bytes of it that are looked at */

int nzd_host_read(const char *path, size_t limit, struct nzd_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t got = -1;

    nzd_buf_reset(out);
    if (fd < 0)
        return -1;
    while (out->size < limit) {
        size_t room = limit - out->size < 4096 ? limit - out->size : 4096;
        uint8_t *to = nzd_buf_reserve(out, room);

        if (!to) {
            errno = ENOMEM;
            got = -1;
            break;
        }
        got = read(fd, to, room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        out->size += (size_t)got;
    }
    if (got < 0) {
        int sys = errno;

        close(fd);
        errno = sys;
        return -1;
    }
    close(fd);
    return 0;
}

int nzd_host_boot_id(char out[40], struct nzd_err *err)
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    struct nzd_buf text = {0};
    int code = 0;

    if (nzd_host_read(path, 64, &text) != 0)
        code = nzd_err_system(err, NZD_EINTERNAL, errno, "%s", path);
    else if (text.size < 36)
        code = nzd_err_set(err, NZD_EINTERNAL, "%s is too short", path);
    if (code == 0) {
        memcpy(out, text.data, 36);
        out[36] = '\0';
    }
    nzd_buf_clear(&text);
    return code;
}

/* ESRCH is proof; a process that /proc does not show (hidepid) is none. */
static int prove_gone(int64_t pid, struct nzd_err *err)
{
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
        return nzd_err_set(err, NZD_ENOTFOUND, "no process %" PRId64, pid);
    return nzd_err_set(err, NZD_EINTERNAL,
                       "process %" PRId64 " is there, but /proc does not "
                       "show it",
                       pid);
}

/* The name in the second field may hold anything, so the rest is counted from
 * its last parenthesis. */
static bool parse_stat(const char *text, char *state, uint64_t *start)
{
    const char *at = strrchr(text, ')');
    char *end;

    if (!at || at[1] != ' ' || at[2] == '\0')
        return false;
    *state = at[2];
    at += 2;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    errno = 0;
    *start = strtoull(at, &end, 10);
    return end != at && errno == 0;
}

int nzd_host_process_start(int64_t pid, uint64_t *out, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    char path[64];
    char state = 0;
    uint64_t start = 0;
    int code = 0;

    if (pid <= 0 || pid > INT32_MAX)
        return nzd_err_set(err, NZD_ENOTFOUND, "no process %" PRId64, pid);
    (void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    if (nzd_host_read(path, 4096, &text) != 0)
        code = prove_gone(pid, err);
    else if (!parse_stat(nzd_buf_string(&text), &state, &start))
        code = nzd_err_set(err, NZD_EINTERNAL, "%s cannot be read", path);
    else if (state == 'Z' || state == 'X' || state == 'x')
        code = nzd_err_set(err, NZD_ENOTFOUND, "process %" PRId64 " has ended",
                           pid);
    if (code == 0)
        *out = start;
    nzd_buf_clear(&text);
    return code;
}

uint64_t nzd_host_memory_available(void)
{
    struct nzd_buf text = {0};
    uint64_t bytes = 0;
    const char *at;

    if (nzd_host_read("/proc/meminfo", 16384, &text) == 0) {
        at = strstr(nzd_buf_string(&text), "MemAvailable:");
        if (at)
            bytes = strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024;
    }
    nzd_buf_clear(&text);
    return bytes;
}

bool nzd_host_nzd_boot(int64_t pid, uint64_t *generation)
{
    static const char name[] = "NZD_BOOT=";
    struct nzd_buf environment = {0};
    char path[64];
    bool found = false;
    const char *text;

    (void)snprintf(path, sizeof(path), "/proc/%" PRId64 "/environ", pid);
    if (nzd_host_read(path, ENVIRON_MAX, &environment) != 0)
        nzd_buf_reset(&environment);
    text = nzd_buf_string(&environment);
    for (size_t at = 0; at < environment.size; at += strlen(text + at) + 1) {
        if (strncmp(text + at, name, sizeof(name) - 1) != 0)
            continue;
        *generation = strtoull(text + at + sizeof(name) - 1, NULL, 10);
        found = true;
    }
    nzd_buf_clear(&environment);
    return found;
}

/* --- names --- */

void nzd_host_name(char out[NZD_HOST_NAME])
{
    if (gethostname(out, NZD_HOST_NAME) != 0 || out[0] == '\0')
        (void)snprintf(out, NZD_HOST_NAME, "localhost");
    out[NZD_HOST_NAME - 1] = '\0';
}

void nzd_host_short_name(char out[NZD_HOST_NAME])
{
    nzd_host_name(out);
    out[strcspn(out, ".")] = '\0';
}

/* The domain as inet_db takes it: the last `domain` or `search` of
 * resolv.conf. */
static void resolv_domain(char *out, size_t size)
{
    struct nzd_buf text = {0};
    char *save = NULL;
    char *line;

    out[0] = '\0';
    if (nzd_host_read("/etc/resolv.conf", 65536, &text) == 0 &&
        *nzd_buf_string(&text)) {
        line = strtok_r((char *)text.data, "\n", &save);
        for (; line; line = strtok_r(NULL, "\n", &save)) {
            char word[NZD_HOST_NAME];

            if (sscanf(line, "domain %255s", word) == 1 ||
                sscanf(line, "search %255s", word) == 1)
                (void)snprintf(out, size, "%s", word);
        }
    }
    nzd_buf_clear(&text);
}

void nzd_host_long_name(char out[NZD_HOST_NAME])
{
    char domain[NZD_HOST_NAME];
    size_t used;

    nzd_host_name(out);
    if (strchr(out, '.'))
        return;
    resolv_domain(domain, sizeof(domain));
    used = strlen(out);
    if (domain[0] && snprintf(out + used, NZD_HOST_NAME - used, ".%s",
                              domain) >= (int)(NZD_HOST_NAME - used))
        out[used] = '\0';
}

static bool is_own_address(struct in_addr address)
{
    struct ifaddrs *list = NULL;
    bool own = false;

    if ((ntohl(address.s_addr) >> 24) == 127)
        return true;
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *at = list; at && !own; at = at->ifa_next) {
        struct sockaddr_in in;

        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&in, at->ifa_addr, sizeof(in));
        own = in.sin_addr.s_addr == address.s_addr;
    }
    freeifaddrs(list);
    return own;
}

bool nzd_host_is_local(const char *node)
{
    const char *at = strchr(node, '@');
    char name[NZD_HOST_NAME];
    struct in_addr address;

    if (!at)
        return true;
    at++;
    if (strcasecmp(at, "localhost") == 0 ||
        strcasecmp(at, "localhost.localdomain") == 0)
        return true;
    if (inet_pton(AF_INET, at, &address) == 1)
        return is_own_address(address);
    nzd_host_name(name);
    if (strcasecmp(at, name) == 0)
        return true;
    nzd_host_short_name(name);
    if (strcasecmp(at, name) == 0)
        return true;
    nzd_host_long_name(name);
    return strcasecmp(at, name) == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "format.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* By hand, because syslog(3) blocks when the log's daemon hangs. The header
 * is what the C library writes: RFC 3164 without the host's name. */
static bool to_socket(const char *path, int priority, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct nzd_buf line = {0};
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    ssize_t sent = -1;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (localtime_r(&now, &tm))
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S ", &tm);
    nzd_buf_printf(&line, "<%d>%snzd[%ld]: %s", priority, stamp, (long)getpid(),
                   text);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && !line.failed)
        sent = sendto(fd, line.data, line.size, MSG_NOSIGNAL,
                      (struct sockaddr *)&address, sizeof(address));
    if (fd >= 0)
        close(fd);
    nzd_buf_clear(&line);
    return sent >= 0;
}

static bool to_kmsg(const char *path, int priority, const char *text)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct nzd_buf line = {0};
    ssize_t written = -1;

    if (fd < 0)
        return false;
    nzd_buf_printf(&line, "<%d>nzd: %s\n", priority, text);
    /* One write is one record there. */
    if (!line.failed)
        written = write(fd, line.data, line.size);
    nzd_buf_clear(&line);
    close(fd);
    return written >= 0;
}

bool nzd_log_send(const char *socket_path, const char *kmsg_path, int severity,
                  const char *text)
{
    int priority = LOG_DAEMON | severity;

    return to_socket(socket_path, priority, text) ||
           to_kmsg(kmsg_path, priority, text);
}

static void put(struct nzd_buf *out, const char *text)
{
    nzd_printable(out, nzd_view_text(text ? text : ""));
}

void nzd_log_describe(struct nzd_buf *out, const struct nzd_txn *txn)
{
    nzd_buf_printf(out, "transaction %" PRIu64 " %s: ", txn->id,
                   nzd_state_name(txn->state));
    put(out, txn->release);
    nzd_buf_text(out, " ");
    put(out, txn->from_version);
    nzd_buf_text(out, " -> ");
    put(out, txn->to_version);
    nzd_buf_text(out, " on ");
    put(out, txn->node);
    if (txn->why && txn->why[0]) {
        nzd_buf_text(out, ": ");
        put(out, txn->why);
    }
}

static int severity_of(enum nzd_state state)
{
    switch (state) {
    case NZD_STATE_FAILED:
    case NZD_STATE_QUARANTINED:
        return LOG_ERR;
    case NZD_STATE_UNDOING:
    case NZD_STATE_ROLLED_BACK:
    case NZD_STATE_REBOOT_PENDING:
        return LOG_WARNING;
    default:
        return LOG_NOTICE;
    }
}

void nzd_log_move(const struct nzd_txn *txn)
{
    struct nzd_buf text = {0};

    nzd_log_describe(&text, txn);
    if (!text.failed)
        nzd_log_send("/dev/log", "/dev/kmsg", severity_of(txn->state),
                     nzd_buf_string(&text));
    nzd_buf_clear(&text);
}

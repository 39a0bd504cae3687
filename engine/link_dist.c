/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/term.h"
#include "dial.h"
#include "discover.h"
#include "host.h"
#include "interrupt.h"
#include "link_internal.h"
#include "link_wire.h"

#include <arpa/inet.h>
#include <ei.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A hidden node of erl_interface. It does the handshake, over socket
 * functions of ours: they keep the deadline, and what they read tells why a
 * handshake failed, which erl_interface does not. From then on the messages go
 * over link_wire: ei_receive cannot be bounded in size and loses its place in
 * the stream at a time limit.
 */

struct dist {
    const struct nzd_link_options *options;
    uint64_t deadline; /* of the handshake */
    int fd;
    int sys;            /* errno that ended it; 0 */
    bool ended;         /* by the node */
    bool unsent;        /* it was ours to write, and could not be */
    uint8_t seen[1024]; /* what the node said in it, from the start */
    size_t seen_size;
    char host[NZD_HOST_NAME]; /* ours */
    ei_cnode self;
    struct nzd_buf pid; /* `self` as a term */
    struct nzd_wire wire;
};

/* --- the socket, as erl_interface wants it --- */

static int socket_take(void **context, void *setup)
{
    *context = setup;
    return 0;
}

static int socket_close(void *context)
{
    struct dist *dist = context;

    if (dist->fd >= 0)
        close(dist->fd);
    dist->fd = -1;
    return 0;
}

static int socket_listen(void *context, void *address, int *size, int backlog)
{
    (void)context;
    (void)address;
    (void)size;
    (void)backlog;
    return EOPNOTSUPP;
}

static int socket_accept(void **context, void *address, int *size,
                         unsigned timeout)
{
    (void)context;
    (void)address;
    (void)size;
    (void)timeout;
    return EOPNOTSUPP;
}

/* It is connected already, so that a failure to connect has its own words. */
static int socket_connect(void *context, void *address, int size,
                          unsigned timeout)
{
    (void)context;
    (void)address;
    (void)size;
    (void)timeout;
    return 0;
}

static int failed(struct dist *dist, int sys)
{
    dist->sys = sys;
    return sys;
}

static int socket_write(void *context, const char *bytes, ssize_t *size,
                        unsigned timeout)
{
    struct dist *dist = context;
    ssize_t done;
    int sys;

    (void)timeout;
    do {
        sys = nzd_dial_wait(dist->fd, POLLOUT, dist->deadline);
        if (sys != 0)
            return failed(dist, sys);
        done = send(dist->fd, bytes, (size_t)*size, MSG_NOSIGNAL);
    } while (done < 0 && (errno == EAGAIN || errno == EINTR));
    if (done < 0) {
        dist->unsent = true;
        return failed(dist, errno);
    }
    *size = done;
    return 0;
}

static int socket_read(void *context, char *bytes, ssize_t *size,
                       unsigned timeout)
{
    struct dist *dist = context;
    size_t room = sizeof(dist->seen) - dist->seen_size;
    ssize_t done;
    int sys;

    (void)timeout;
    do {
        sys = nzd_dial_wait(dist->fd, POLLIN, dist->deadline);
        if (sys != 0)
            return failed(dist, sys);
        done = recv(dist->fd, bytes, (size_t)*size, 0);
    } while (done < 0 && (errno == EAGAIN || errno == EINTR));
    if (done < 0)
        return failed(dist, errno);
    dist->ended = done == 0;
    room = (size_t)done < room ? (size_t)done : room;
    memcpy(dist->seen + dist->seen_size, bytes, room);
    dist->seen_size += room;
    *size = done;
    return 0;
}

static int socket_header_size(void *context, int *size)
{
    (void)context;
    *size = 2;
    return 0;
}

static int socket_handshake_done(void *context)
{
    (void)context;
    return 0;
}

static int socket_fd(void *context, int *fd)
{
    const struct dist *dist = context;

    *fd = dist->fd;
    return 0;
}

static ei_socket_callbacks callbacks = {
    .flags = EI_SCLBK_FLG_FULL_IMPL,
    .socket = socket_take,
    .close = socket_close,
    .listen = socket_listen,
    .accept = socket_accept,
    .connect = socket_connect,
    .write = socket_write,
    .read = socket_read,
    .handshake_packet_header_size = socket_header_size,
    .connect_handshake_complete = socket_handshake_done,
    .accept_handshake_complete = socket_handshake_done,
    .get_fd = socket_fd,
};

/* --- what the node said in the handshake --- */

struct said {
    char status[32]; /* "named:...", "not_allowed" ..., "" none */
    bool challenged;
    char name[256]; /* as it calls itself, "" unknown */
};

static void copy_text(char *out, size_t size, struct nzd_view text)
{
    size_t length = text.size < size - 1 ? text.size : size - 1;

    if (length > 0)
        memcpy(out, text.data, length);
    out[length] = '\0';
}

/* "s" STATUS, then "N" flags(8) challenge(4) creation(4) length(2) NAME; each
 * behind its length of two bytes. */
static void listen_to(const struct dist *dist, struct said *said)
{
    struct nzd_reader in;
    struct nzd_reader part;
    struct nzd_view text;

    memset(said, 0, sizeof(*said));
    nzd_reader_init(&in, nzd_view_of(dist->seen, dist->seen_size));
    nzd_reader_init(&part, nzd_read_bytes(&in, nzd_read_u16(&in)));
    if (nzd_read_u8(&part) != 's')
        return;
    copy_text(said->status, sizeof(said->status),
              nzd_read_bytes(&part, part.left));
    nzd_reader_init(&part, nzd_read_bytes(&in, nzd_read_u16(&in)));
    if (nzd_read_u8(&part) != 'N')
        return;
    (void)nzd_read_bytes(&part, 16);
    text = nzd_read_bytes(&part, nzd_read_u16(&part));
    said->challenged = !part.failed;
    copy_text(said->name, sizeof(said->name), text);
}

static int blame_cookie(const struct dist *dist, struct nzd_err *err)
{
    const char *from = dist->options->cookie_from;
    int code;

    code = nzd_err_set(err, NZD_ENODE, "%s refuses our cookie%s%s%s",
                       dist->options->node, from ? " (" : "", from ? from : "",
                       from ? ")" : "");
    nzd_err_next(err, "name the file that holds its cookie: "
                      "--cookie-file FILE");
    return code;
}

static int blame(const struct dist *dist, struct nzd_err *err)
{
    const char *node = dist->options->node;
    struct said said;

    listen_to(dist, &said);
    if (dist->sys == ECANCELED)
        return nzd_err_set(err, NZD_EREFUSED, "interrupted");
    if (dist->sys == ETIMEDOUT) {
        nzd_err_set(err, NZD_ENODE,
                    "%s takes the connection but does not answer: is "
                    "it stopped or hung?",
                    node);
        return nzd_link_silent(err);
    }
    if (strcmp(said.status, "not_allowed") == 0)
        return nzd_err_set(err, NZD_ENODE,
                           "%s allows only certain nodes (net_kernel:allow/1), "
                           "and host %s is not among them",
                           node, dist->host);
    /* It refuses a cookie once it has read our answer to its challenge. */
    if (dist->unsent)
        return nzd_err_system(err, NZD_ENODE, dist->sys,
                              "the connection to %s broke while it was made",
                              node);
    if (said.challenged && (dist->ended || dist->sys))
        return blame_cookie(dist, err);
    if (said.status[0] && strncmp(said.status, "ok", 2) != 0 &&
        strncmp(said.status, "named", 5) != 0)
        return nzd_err_set(err, NZD_ENODE, "%s refuses host %s (%s)", node,
                           dist->host, said.status);
    return nzd_err_set(err, NZD_ENODE,
                       "%s does not speak Erlang's distribution protocol as "
                       "we do (over TLS, or too old)",
                       node);
}

/* --- our name --- */

static const char *host_of(const char *node)
{
    return strchr(node, '@') + 1;
}

/*
 * A node wants names of its own form, short or long. On its own host its own
 * host part is right in any case; elsewhere ours, or where we have no domain
 * the address that it sees.
 */
static void own_host(const struct dist *dist, char out[NZD_HOST_NAME])
{
    const char *host = host_of(dist->options->node);
    struct sockaddr_in own;
    socklen_t size = sizeof(own);

    if (nzd_host_is_local(dist->options->node)) {
        (void)snprintf(out, NZD_HOST_NAME, "%s", host);
    } else if (!strchr(host, '.')) {
        nzd_host_short_name(out);
    } else {
        nzd_host_long_name(out);
        if (!strchr(out, '.') &&
            getsockname(dist->fd, (struct sockaddr *)&own, &size) == 0)
            inet_ntop(AF_INET, &own.sin_addr, out, NZD_HOST_NAME);
    }
}

/*
 * The node names us: it hands out a name that no other link has, and gives it
 * again, with another creation, once that link is gone. A name of our own
 * would be one more atom in the node for each link, for ever, or would have to
 * be guessed free.
 */
static int introduce(struct dist *dist, struct nzd_err *err)
{
    struct in_addr unused = {0};

    own_host(dist, dist->host);
    if (ei_connect_xinit_ussi(&dist->self, dist->host, NULL, NULL, &unused,
                              dist->options->cookie, 0, &callbacks,
                              sizeof(callbacks), dist) < 0)
        return nzd_err_set(err, NZD_EINTERNAL, "erl_interface refuses %s",
                           dist->host);
    return 0;
}

/* --- connecting --- */

static int dial_one(struct dist *dist, struct in_addr address,
                    struct nzd_err *err)
{
    const struct nzd_link_options *options = dist->options;
    char name[256];
    uint16_t port = options->port;
    int code = 0;

    (void)snprintf(name, sizeof(name), "%.*s",
                   (int)(strchr(options->node, '@') - options->node),
                   options->node);
    if (port == 0)
        code = nzd_dial_epmd(address, name, dist->deadline, &port, err);
    if (code == 0)
        code = nzd_dial_connect(address, port, dist->deadline, &dist->fd, err);
    return code;
}

/* The addresses from `from` on, one after the other. */
static int dial_all(struct dist *dist, const struct nzd_dial_host *host,
                    size_t from, struct nzd_err *err)
{
    int code = NZD_ENODE;

    for (size_t i = from; i < host->count && code == NZD_ENODE; i++) {
        nzd_err_clear(err);
        code = dial_one(dist, host->addresses[i], err);
    }
    return code;
}

/*
 * A node of this host is looked for on the loopback first: its own name need
 * not resolve. When it is not there, the name's addresses are tried, and the
 * loopback's failure is the one to tell.
 */
static int dial_node(struct dist *dist, struct nzd_err *err)
{
    const char *node = dist->options->node;
    struct nzd_dial_host host = {.count = 0};
    struct nzd_err own = NZD_ERR_INIT;
    struct nzd_err other = NZD_ERR_INIT;
    bool local = nzd_host_is_local(node);
    int code;

    if (local) {
        host.addresses[host.count++].s_addr = htonl(INADDR_LOOPBACK);
        code = dial_all(dist, &host, 0, &own);
        if (code == 0)
            return 0;
        if (code != NZD_ENODE)
            return nzd_err_set(err, code, "%s", own.message);
    }
    code = nzd_dial_resolve(host_of(node), dist->deadline, &host, &other);
    if (code == 0)
        code = dial_all(dist, &host, local ? 1 : 0, &other);
    if (code == 0)
        return 0;
    if (code == NZD_ENODE && local)
        other = own;
    return nzd_err_set(err, code, "%s is not to be reached: %s", node,
                       other.message);
}

/* --- the handshake --- */

static int shake_hands(struct dist *dist, struct nzd_err *err)
{
    struct in_addr address = {0};
    int code = dial_node(dist, err);

    if (code == 0)
        code = introduce(dist, err);
    if (code == 0 && ei_xconnect_host_port_tmo(&dist->self, &address, 0, 0) < 0)
        code = blame(dist, err);
    if (code != 0)
        socket_close(dist);
    return code;
}

/* With a port given it could be any node that answers there. */
static int check_node(const struct dist *dist, struct nzd_link *link,
                      struct nzd_err *err)
{
    const char *node = dist->options->node;
    size_t name = (size_t)(strchr(node, '@') - node) + 1;
    struct said said;

    listen_to(dist, &said);
    if (strncmp(said.name, node, name) != 0)
        return nzd_err_set(err, NZD_ENODE, "%s answers in place of %s",
                           said.name, node);
    (void)snprintf(link->node, sizeof(link->node), "%s", said.name);
    return 0;
}

/* --- the backend --- */

static void dist_close(struct nzd_link *link)
{
    struct dist *dist = link->state;

    nzd_wire_clear(&dist->wire);
    nzd_buf_clear(&dist->pid);
    if (dist->fd >= 0)
        (void)ei_close_connection(dist->fd);
    explicit_bzero(&dist->self, sizeof(dist->self));
    free(dist);
    link->state = NULL;
}

static int write_pid(struct dist *dist, struct nzd_err *err)
{
    int size = 0;
    uint8_t *to;

    if (ei_encode_pid(NULL, &size, &dist->self.self) != 0)
        return nzd_err_set(err, NZD_EINTERNAL, "erl_interface gives no pid");
    to = nzd_buf_reserve(&dist->pid, (size_t)size);
    if (!to)
        return nzd_err_memory(err);
    dist->pid.size = (size_t)size;
    size = 0;
    (void)ei_encode_pid((char *)to, &size, &dist->self.self);
    return 0;
}

static int dist_open(const struct nzd_link_options *options, uint64_t deadline,
                     struct nzd_link *link, struct nzd_err *err)
{
    struct dist *dist = calloc(1, sizeof(*dist));
    int code;

    if (!dist)
        return nzd_err_memory(err);
    (void)ei_init();
    link->state = dist;
    dist->options = options;
    dist->deadline = deadline;
    dist->fd = -1;
    nzd_wire_init(&dist->wire, -1);
    code = shake_hands(dist, err);
    if (code == 0)
        code = check_node(dist, link, err);
    if (code == 0)
        code = write_pid(dist, err);
    if (code == 0) {
        nzd_wire_init(&dist->wire, dist->fd);
        dist->wire.own = nzd_buf_view(&dist->pid);
    }
    dist->options = NULL;
    if (code != 0)
        dist_close(link);
    return code;
}

static void dist_put_self(const struct nzd_link *link, struct nzd_buf *out)
{
    const struct dist *dist = link->state;

    nzd_buf_bytes(out, dist->pid.data, dist->pid.size);
}

/* {SEND, '', ToPid} or {REG_SEND, FromPid, '', ToName}. */
static void put_control(const struct nzd_link *link, struct nzd_view to,
                        const char *name, struct nzd_buf *out)
{
    nzd_etf_version(out);
    nzd_etf_tuple(out, name ? 4 : 3);
    nzd_etf_integer(out, name ? 6 : 2);
    if (name)
        dist_put_self(link, out);
    nzd_etf_atom(out, "");
    if (name)
        nzd_etf_atom(out, name);
    else
        nzd_buf_bytes(out, to.data, to.size);
}

/* The wire knows no names. */
static int name_lost(const struct nzd_link *link, int code, struct nzd_err *err)
{
    if (code == NZD_ELOST)
        nzd_err_prefix(err, "%s", link->node);
    return code;
}

static int dist_send(struct nzd_link *link, struct nzd_view to,
                     const char *name, struct nzd_view term, uint64_t deadline,
                     struct nzd_err *err)
{
    struct dist *dist = link->state;
    struct nzd_buf control = {0};
    int code;

    put_control(link, to, name, &control);
    if (control.failed)
        code = nzd_err_memory(err);
    else
        code = nzd_wire_send(&dist->wire, nzd_buf_view(&control), term,
                             deadline, err);
    nzd_buf_clear(&control);
    return name_lost(link, code, err);
}

static int dist_receive(struct nzd_link *link, uint64_t deadline,
                        struct nzd_buf *out, struct nzd_err *err)
{
    struct dist *dist = link->state;

    return name_lost(link, nzd_wire_receive(&dist->wire, deadline, out, err),
                     err);
}

static int dist_wait(struct nzd_link *link, int fd, bool messages,
                     uint64_t deadline, struct nzd_err *err)
{
    struct dist *dist = link->state;

    return name_lost(
        link, nzd_wire_wait(&dist->wire, fd, messages, deadline, err), err);
}

static bool dist_is_dead(const struct nzd_link *link)
{
    const struct dist *dist = link->state;

    return dist->wire.dead;
}

const struct nzd_link_backend nzd_link_dist = {
    .name = "distribution",
    .open = dist_open,
    .close = dist_close,
    .send = dist_send,
    .receive = dist_receive,
    .wait = dist_wait,
    .put_self = dist_put_self,
    .is_dead = dist_is_dead,
};

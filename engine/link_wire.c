/* SPDX-License-Identifier: Apache-2.0 */
#include "link_wire.h"
#include "interrupt.h"
#include "link.h"
#include "link_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_FIRST  65536       /* bytes; more when more came already */
#define READS_MAX   32          /* before the clock is looked at again */
#define QUEUE_MAX   (64u << 20) /* bytes; then nothing more is read */
#define REPLIES_MAX (64u << 10) /* bytes a peer may have us owe it */

#define PID_TAIL     12
#define MESSAGE_COST 256 /* bytes that a queued one takes besides its own */

struct nzd_wire_message {
    struct nzd_wire_message *next;
    struct nzd_buf bytes;
    size_t payload; /* where it begins */
};

void nzd_wire_init(struct nzd_wire *wire, int fd)
{
    memset(wire, 0, sizeof(*wire));
    wire->fd = fd;
}

static void die(struct nzd_wire *wire, int sys, const char *why)
{
    if (wire->dead)
        return;
    wire->dead = true;
    if (sys)
        (void)snprintf(wire->why, sizeof(wire->why), "%s: %s", why,
                       strerror(sys));
    else
        (void)snprintf(wire->why, sizeof(wire->why), "%s", why);
}

static int lost(const struct nzd_wire *wire, struct nzd_err *err)
{
    return nzd_err_set(err, NZD_ELOST, "the link is lost: %s", wire->why);
}

/* --- the queue --- */

static void append(struct nzd_wire *wire, struct nzd_wire_message *message)
{
    if (wire->last)
        wire->last->next = message;
    else
        wire->first = message;
    wire->last = message;
    wire->queued += message->bytes.size + MESSAGE_COST;
}

static struct nzd_wire_message *shift(struct nzd_wire *wire)
{
    struct nzd_wire_message *message = wire->first;

    if (message) {
        wire->first = message->next;
        if (!wire->first)
            wire->last = NULL;
        wire->queued -= message->bytes.size + MESSAGE_COST;
    }
    return message;
}

static void release(struct nzd_wire_message *message)
{
    nzd_buf_clear(&message->bytes);
    free(message);
}

void nzd_wire_clear(struct nzd_wire *wire)
{
    struct nzd_wire_message *message;

    while ((message = shift(wire)))
        release(message);
    nzd_buf_clear(&wire->in);
    nzd_buf_clear(&wire->reply);
    nzd_wire_init(wire, -1);
    die(wire, 0, "it is closed");
}

/* --- coming in --- */

static void keep_message(struct nzd_wire *wire, size_t payload)
{
    struct nzd_wire_message *message = calloc(1, sizeof(*message));

    if (!message) {
        die(wire, 0, "out of memory");
        return;
    }
    message->bytes = wire->in;
    message->payload = payload;
    memset(&wire->in, 0, sizeof(wire->in));
    append(wire, message);
}

static void check_replies(struct nzd_wire *wire)
{
    if (wire->reply.failed)
        die(wire, 0, "out of memory");
    else if (wire->reply.size - wire->replied > REPLIES_MAX)
        die(wire, 0, "the node takes no answers");
}

/*
 * A node may give our name to one link after the other; what it sends late to
 * the pid of an earlier one comes to us. Pids end in id, serial and creation
 * (NEW_PID_EXT); the name before them is written in more than one way.
 */
static bool is_ours(const struct nzd_wire *wire,
                    const struct nzd_control *control)
{
    const struct nzd_view *to = &control->arguments[1];
    const struct nzd_view *own = &wire->own;

    if (!nzd_control_is_send(control))
        return false;
    if (own->size == 0)
        return true;
    return to->size > PID_TAIL && own->size > PID_TAIL &&
           memcmp(to->data + to->size - PID_TAIL,
                  own->data + own->size - PID_TAIL, PID_TAIL) == 0;
}

/* What is no message to our pid (links, monitors, exits, messages to
 * names) is for nobody here. */
static void take_message(struct nzd_wire *wire)
{
    struct nzd_control control;

    if (!nzd_control_read(nzd_buf_view(&wire->in), &control)) {
        die(wire, 0, "the node sent what is not a distribution message");
        return;
    }
    if (is_ours(wire, &control))
        keep_message(wire, wire->in.size - control.payload.size);
    else if (control.op == NZD_CONTROL_UNLINK_ID && control.count == 3)
        nzd_control_acknowledge(&control, &wire->reply);
    nzd_buf_clear(&wire->in);
}

static void take_length(struct nzd_wire *wire)
{
    struct nzd_reader reader;

    nzd_reader_init(&reader, nzd_view_of(wire->length, 4));
    wire->need = nzd_read_u32(&reader);
    if (wire->need == 0) {
        wire->length_got = 0;
        nzd_buf_u32(&wire->reply, 0);
    } else if (wire->need > NZD_LINK_MESSAGE_MAX) {
        die(wire, 0, "the node sent a message that is too large");
    }
}

/* Memory grows with what really came, not with what was announced. */
static uint8_t *place(struct nzd_wire *wire, size_t *size)
{
    size_t left = wire->need - wire->in.size;
    size_t most = wire->in.size > READ_FIRST ? wire->in.size : READ_FIRST;

    if (wire->length_got < 4) {
        *size = 4 - wire->length_got;
        return wire->length + wire->length_got;
    }
    *size = left < most ? left : most;
    return nzd_buf_reserve(&wire->in, *size);
}

static void took(struct nzd_wire *wire, size_t size)
{
    if (wire->length_got < 4) {
        wire->length_got += size;
        if (wire->length_got == 4)
            take_length(wire);
    } else {
        wire->in.size += size;
        if (wire->in.size == wire->need) {
            wire->length_got = 0;
            take_message(wire);
        }
    }
    check_replies(wire);
}

static void read_in(struct nzd_wire *wire)
{
    for (int i = 0; i < READS_MAX && !wire->dead; i++) {
        size_t size;
        uint8_t *to = place(wire, &size);
        ssize_t got;

        if (!to) {
            die(wire, 0, "out of memory");
            return;
        }
        got = recv(wire->fd, to, size, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got < 0)
            die(wire, errno, "reading");
        else if (got == 0)
            die(wire, 0, "the node closed the connection");
        else
            took(wire, (size_t)got);
    }
}

/* --- going out --- */

static bool owes_replies(const struct nzd_wire *wire)
{
    return wire->replied < wire->reply.size;
}

static bool has_output(const struct nzd_wire *wire)
{
    return owes_replies(wire) || wire->out[0].size + wire->out[1].size > 0;
}

static ssize_t write_some(struct nzd_wire *wire, struct iovec *parts,
                          size_t count)
{
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t done = sendmsg(wire->fd, &header, MSG_NOSIGNAL);

    if (done >= 0 || errno == EAGAIN || errno == EINTR)
        return done;
    die(wire, errno, "writing");
    return -1;
}

static bool write_replies(struct nzd_wire *wire)
{
    struct iovec part = {wire->reply.data + wire->replied,
                         wire->reply.size - wire->replied};
    ssize_t done = write_some(wire, &part, 1);

    if (done < 0)
        return false;
    wire->replied += (size_t)done;
    if (!owes_replies(wire)) {
        nzd_buf_reset(&wire->reply);
        wire->replied = 0;
    }
    return true;
}

static void advance(struct nzd_view *view, size_t *done)
{
    size_t step = *done < view->size ? *done : view->size;

    if (step == 0)
        return;
    view->data += step;
    view->size -= step;
    *done -= step;
}

static bool write_message(struct nzd_wire *wire)
{
    struct iovec parts[2];
    size_t moved;
    ssize_t done;

    for (int i = 0; i < 2; i++) {
        parts[i].iov_base = (void *)(uintptr_t)wire->out[i].data;
        parts[i].iov_len = wire->out[i].size;
    }
    done = write_some(wire, parts, 2);
    if (done < 0)
        return false;
    moved = (size_t)done;
    wire->out_begun = wire->out_begun || moved > 0;
    advance(&wire->out[0], &moved);
    advance(&wire->out[1], &moved);
    if (wire->out[0].size + wire->out[1].size == 0)
        wire->out_begun = false;
    return true;
}

/* Replies go between messages, never into one. */
static void write_out(struct nzd_wire *wire)
{
    while (!wire->dead && has_output(wire)) {
        bool replies = owes_replies(wire) && !wire->out_begun;

        if (replies ? !write_replies(wire) : !write_message(wire))
            return;
    }
}

/* --- one look --- */

/* Polls once and moves what can be moved; true when `fd` is ready. */
static bool look(struct nzd_wire *wire, int fd, uint64_t timeout_us,
                 bool interruptible)
{
    struct pollfd polls[2] = {{.fd = wire->fd}, {.fd = fd, .events = POLLIN}};
    unsigned count = fd >= 0 ? 2 : 1;
    uint64_t ms = timeout_us / 1000 + (timeout_us % 1000 != 0);
    int ready;

    if (wire->queued < QUEUE_MAX)
        polls[0].events |= POLLIN;
    if (has_output(wire))
        polls[0].events |= POLLOUT;
    ready = interruptible
                ? nzd_interrupt_poll(polls, count, timeout_us)
                : poll(polls, count, ms > INT32_MAX ? INT32_MAX : (int)ms);
    if (ready < 0 && errno != EINTR)
        die(wire, errno, "poll");
    if (ready <= 0)
        return false;
    if (polls[0].revents & POLLIN)
        read_in(wire);
    else if (polls[0].revents & (POLLERR | POLLHUP | POLLNVAL))
        die(wire, 0, "the connection broke");
    write_out(wire);
    return polls[1].revents != 0;
}

/* --- the room's own functions --- */

int nzd_wire_send(struct nzd_wire *wire, struct nzd_view control,
                  struct nzd_view payload, uint64_t deadline,
                  struct nzd_err *err)
{
    struct nzd_buf head = {0};
    uint64_t left = 1;

    if (wire->dead)
        return lost(wire, err);
    if (payload.size > NZD_LINK_MESSAGE_MAX || control.size > READ_FIRST)
        return nzd_err_set(err, NZD_EINTERNAL, "a message of %zu bytes",
                           payload.size);
    nzd_buf_u32(&head, (uint32_t)(1 + control.size + payload.size));
    nzd_buf_u8(&head, NZD_CONTROL_PASS_THROUGH);
    nzd_buf_bytes(&head, control.data, control.size);
    if (head.failed) {
        nzd_buf_clear(&head);
        return nzd_err_memory(err);
    }
    wire->out[0] = nzd_buf_view(&head);
    wire->out[1] = payload;
    write_out(wire);
    while (!wire->dead && left > 0 &&
           wire->out[0].size + wire->out[1].size > 0) {
        left = nzd_clock_left(deadline);
        (void)look(wire, -1, left, false);
    }
    if (wire->out[0].size + wire->out[1].size > 0)
        die(wire, 0, "the node took no message in time");
    memset(wire->out, 0, sizeof(wire->out));
    nzd_buf_clear(&head);
    return wire->dead ? lost(wire, err) : 0;
}

int nzd_wire_wait(struct nzd_wire *wire, int fd, bool messages,
                  uint64_t deadline, struct nzd_err *err)
{
    for (;;) {
        bool had = messages && wire->first;
        uint64_t left = had ? 0 : nzd_clock_left(deadline);
        int bits = 0;

        if (!wire->dead && look(wire, fd, left, true))
            bits |= NZD_LINK_FD;
        if (messages && wire->first)
            bits |= NZD_LINK_MESSAGE;
        if (bits)
            return bits;
        if (wire->dead)
            return lost(wire, err);
        if (left == 0 || nzd_interrupt_pending())
            return 0;
    }
}

static void hand_over(struct nzd_wire_message *message, struct nzd_buf *out)
{
    size_t size = message->bytes.size - message->payload;

    if (size > 0)
        memmove(message->bytes.data, message->bytes.data + message->payload,
                size);
    message->bytes.size = size;
    nzd_buf_clear(out);
    *out = message->bytes;
    free(message);
}

int nzd_wire_receive(struct nzd_wire *wire, uint64_t deadline,
                     struct nzd_buf *out, struct nzd_err *err)
{
    uint64_t left = 1;

    nzd_buf_reset(out);
    while (!wire->first && !wire->dead && left > 0) {
        left = nzd_clock_left(deadline);
        (void)look(wire, -1, left, false);
    }
    if (wire->first) {
        hand_over(shift(wire), out);
        return 0;
    }
    if (wire->dead)
        return lost(wire, err);
    return nzd_err_set(err, NZD_ETIMEOUT, "the node did not answer in time");
}

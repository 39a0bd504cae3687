/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_child_internal.h"

#include "interrupt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* --- waiting ------------------------------------------------------------- */

static int late(struct hearing *h)
{
    if (nzd_interrupt_pending())
        return nzd_err_set(h->err, NZD_EREFUSED, "interrupted by a signal");
    return nzd_err_set(h->err, NZD_EBUNDLE, "%s: not read within %u s", h->path,
                       (unsigned)(bundle_child_limit_us / 1000000));
}

static bool is_late(const struct hearing *h)
{
    return nzd_interrupt_pending() || nzd_clock_left(h->deadline) == 0;
}

static int wait_for(struct hearing *h, int fd, short events)
{
    struct pollfd wait = {.fd = fd, .events = events};
    int ready = nzd_interrupt_poll(&wait, 1, nzd_clock_left(h->deadline));

    if (nzd_interrupt_pending() ||
        (ready <= 0 && nzd_clock_left(h->deadline) == 0))
        return late(h);
    return ready < 0 && errno != EINTR ? CHILD_GONE : 0;
}

/* --- asking -------------------------------------------------------------- */

static int tell(struct hearing *h, const uint8_t *at, size_t size)
{
    int code = 0;

    while (code == 0 && size) {
        ssize_t put = write(h->ask, at, size);

        if (put > 0) {
            at += put;
            size -= (size_t)put;
        } else if (put < 0 && errno == EAGAIN) {
            code = wait_for(h, h->ask, POLLOUT);
        } else if (put == 0 || errno != EINTR) {
            code = CHILD_GONE;
        }
    }
    return code;
}

static int tell_frame(struct hearing *h, unsigned kind, struct nzd_view payload)
{
    struct nzd_buf *frame = &h->payload;

    nzd_buf_u8(frame, (uint8_t)kind);
    nzd_buf_u32(frame, (uint32_t)payload.size);
    nzd_buf_bytes(frame, payload.data, payload.size);
    if (frame->failed)
        return nzd_err_memory(h->err);
    if (kind != CHILD_END && frame->size < CHILD_INPUT)
        return 0;
    int code = tell(h, frame->data, frame->size);
    nzd_buf_reset(frame);
    return code;
}

static int tell_record(void *context, enum nzd_listing_kind kind,
                       struct nzd_view record, struct nzd_err *err)
{
    (void)err;
    return tell_frame(context, kind, record);
}

int hearing_ask(struct hearing *h)
{
    const uint8_t wanted[2] = {h->options->known != NULL,
                               h->options->spool != NULL};
    int code = tell_frame(h, CHILD_ASK, nzd_view_of(wanted, sizeof(wanted)));

    if (code == 0 && h->options->known)
        code =
            nzd_listing_encode(h->options->known, true, tell_record, h, h->err);
    return code ? code : tell_frame(h, CHILD_END, nzd_view_of("", 0));
}

/* --- hearing ------------------------------------------------------------- */

int hearing_unsound(struct hearing *h, const char *what)
{
    return nzd_err_set(h->err, NZD_EBUNDLE,
                       "%s: what its reader answered does not hold: %s",
                       h->path, what);
}

static int fill(struct hearing *h)
{
    /* There may always be more, and then nothing is waited for. */
    int code = is_late(h) ? late(h) : 0;

    while (code == 0) {
        ssize_t got = read(h->answer, h->input, sizeof(h->input));

        if (got > 0) {
            h->at = 0;
            h->end = (size_t)got;
            return 0;
        }
        if (got < 0 && errno == EAGAIN)
            code = wait_for(h, h->answer, POLLIN);
        else if (got == 0 || errno != EINTR)
            code = CHILD_GONE;
    }
    return code;
}

static int hear(struct hearing *h, uint8_t *to, size_t size)
{
    int code = 0;

    while (code == 0 && size) {
        size_t some = h->end - h->at < size ? h->end - h->at : size;

        memcpy(to, h->input + h->at, some);
        h->at += some;
        to += some;
        size -= some;
        if (size)
            code = fill(h);
    }
    return code;
}

int hearing_frame(struct hearing *h, unsigned *kind)
{
    uint8_t bytes[CHILD_HEAD], *to;
    struct nzd_reader head;
    uint32_t size;
    int code = hear(h, bytes, sizeof(bytes));

    if (code)
        return code;
    nzd_reader_init(&head, nzd_view_of(bytes, sizeof(bytes)));
    *kind = nzd_read_u8(&head);
    size = nzd_read_u32(&head);
    if (size > NZD_LISTING_BYTES)
        return hearing_unsound(h, "a length");
    nzd_buf_reset(&h->payload);
    if (size == 0)
        return 0;
    to = nzd_buf_reserve(&h->payload, size);
    if (!to)
        return nzd_err_memory(h->err);
    h->payload.size = size;
    return hear(h, to, size);
}

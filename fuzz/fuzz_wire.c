/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a node writes to a distribution socket. The first byte says in which
 * pieces it comes. Besides memory errors: what is handed over is a part of
 * what came, and the wire ends dead or empty.
 */

#include "../engine/link.h"
#include "../engine/link_control.h"
#include "../engine/link_wire.h"
#include "support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE_MAX_FED 60000 /* a socket takes it without being read */

static void take_all(struct nzd_wire *wire, struct nzd_view all)
{
    struct nzd_buf message = {0};
    int bits;

    while ((bits = nzd_wire_wait(wire, -1, true, 0, NULL)) > 0) {
        fuzz_require(bits == NZD_LINK_MESSAGE);
        fuzz_require(nzd_wire_receive(wire, 0, &message, NULL) == 0);
        fuzz_require(message.size == 0 ||
                     memmem(all.data, all.size, message.data, message.size));
    }
    fuzz_require(bits == 0 || bits == NZD_ELOST);
    fuzz_require((bits == NZD_ELOST) == wire->dead);
    fuzz_require(!wire->dead || wire->why[0]);
    nzd_buf_clear(&message);
}

static void feed(struct nzd_wire *wire, int peer, struct nzd_view all,
                 size_t piece)
{
    char answers[4096];

    for (size_t at = 0; at < all.size; at += piece) {
        size_t left = all.size - at;
        size_t step = left < piece ? left : piece;

        if (write(peer, all.data + at, step) != (ssize_t)step)
            break;
        take_all(wire, all);
        while (read(peer, answers, sizeof(answers)) > 0)
            ;
    }
    if (!wire->dead)
        (void)nzd_wire_send(wire, nzd_view_text("control"), all, 0, NULL);
    (void)shutdown(peer, SHUT_WR);
    /* One look reads only so much. */
    for (size_t i = 0; i <= all.size && !wire->dead; i++)
        take_all(wire, all);
    fuzz_require(wire->dead);
}

static void read_control(struct nzd_view message)
{
    struct nzd_control control;
    struct nzd_buf reply = {0};

    if (nzd_control_read(message, &control)) {
        fuzz_require(control.count <= NZD_CONTROL_ARGUMENTS);
        (void)nzd_control_is_send(&control);
        if (control.op == NZD_CONTROL_UNLINK_ID && control.count == 3)
            nzd_control_acknowledge(&control, &reply);
    }
    nzd_buf_clear(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t own[] = "pid of ours, at its end 12 bytes";
    struct nzd_wire wire;
    int ends[2];

    if (size < 1 || size > SIZE_MAX_FED)
        return 0;
    read_control(nzd_view_of(data + 1, size - 1));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
        return 0;
    nzd_wire_init(&wire, ends[0]);
    if (data[0] & 1)
        wire.own = nzd_view_of(own, sizeof(own) - 1);
    feed(&wire, ends[1], nzd_view_of(data + 1, size - 1),
         data[0] < 128 ? size : 1u + data[0] % 64u);
    nzd_wire_clear(&wire);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

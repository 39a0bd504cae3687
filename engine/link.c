/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"
#include "interrupt.h"
#include "link_internal.h"

#include <stdlib.h>
#include <string.h>

static int check(const struct nzd_link_options *options, struct nzd_err *err)
{
    const char *at = strchr(options->node, '@');
    size_t length = strlen(options->node);

    if (!at || at == options->node || at[1] == '\0' || strchr(at + 1, '@') ||
        length > 255)
        return nzd_err_set(err, NZD_EUSAGE,
                           "\"%s\" is not the name of a node: NAME@HOST",
                           options->node);
    return 0;
}

/* While a link opens, one that breaks is a node that is not reached. */
static int as_node(int code, struct nzd_err *err)
{
    if (code != NZD_ELOST && code != NZD_ETIMEOUT)
        return code;
    if (err && err->code == code)
        err->code = NZD_ENODE;
    return NZD_ENODE;
}

int nzd_link_open(const struct nzd_link_options *options, struct nzd_link **out,
                  struct nzd_err *err)
{
    uint64_t timeout =
        options->timeout_us ? options->timeout_us : NZD_LINK_TIMEOUT;
    struct nzd_link *link;
    int code = check(options, err);

    if (code != 0)
        return code;
    link = calloc(1, sizeof(*link));
    if (!link)
        return nzd_err_memory(err);
    link->backend = &nzd_link_dist;
    code = link->backend->open(options, nzd_clock_deadline(timeout), link, err);
    if (code != 0) {
        free(link);
        return as_node(code, err);
    }
    code = nzd_link_push(link, options, timeout, err);
    if (code != 0) {
        nzd_link_close(link);
        return as_node(code, err);
    }
    *out = link;
    return 0;
}

void nzd_link_close(struct nzd_link *link)
{
    if (!link)
        return;
    link->backend->close(link);
    nzd_buf_clear(&link->agent);
    free(link);
}

const char *nzd_link_node(const struct nzd_link *link)
{
    return link->node;
}

void nzd_link_put_self(const struct nzd_link *link, struct nzd_buf *out)
{
    link->backend->put_self(link, out);
}

int nzd_link_send(struct nzd_link *link, struct nzd_view term,
                  uint64_t timeout_us, struct nzd_err *err)
{
    return link->backend->send(link, nzd_buf_view(&link->agent), NULL, term,
                               nzd_clock_deadline(timeout_us), err);
}

int nzd_link_receive(struct nzd_link *link, uint64_t timeout_us,
                     struct nzd_buf *out, struct nzd_err *err)
{
    return link->backend->receive(link, nzd_clock_deadline(timeout_us), out,
                                  err);
}

int nzd_link_wait(struct nzd_link *link, int fd, uint64_t timeout_us,
                  struct nzd_err *err)
{
    return link->backend->wait(link, fd, true, nzd_clock_deadline(timeout_us),
                               err);
}

int nzd_link_tend(struct nzd_link *link, int fd, uint64_t timeout_us,
                  struct nzd_err *err)
{
    return link->backend->wait(link, fd, false, nzd_clock_deadline(timeout_us),
                               err);
}

bool nzd_link_is_dead(const struct nzd_link *link)
{
    return link->backend->is_dead(link);
}

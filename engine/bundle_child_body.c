/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_child_internal.h"

#include "../journal/point.h"
#include "../staging/confine.h"
#include "../staging/limits.h"
#include "../staging/spool.h"
#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What one bundle may take: its inventory, the largest module and what it
 * inflates to, the dictionaries of zstd and xz. */
#define MEMORY_BYTES (1ull << 30)
/* Records go out together. */
#define SENT_BYTES (64u << 10)

void (*bundle_child_taken_over)(int answer);

/* --- what goes out ------------------------------------------------------- */

static struct nzd_buf waiting;

/* Who no longer listens ends us. */
static void flush(void)
{
    if (waiting.failed ||
        nzd_write_all(CHILD_ANSWER, waiting.data, waiting.size) != 0)
        _exit(1);
    nzd_buf_reset(&waiting);
}

static void send_frame(unsigned kind, struct nzd_view payload)
{
    nzd_buf_u8(&waiting, (uint8_t)kind);
    nzd_buf_u32(&waiting, (uint32_t)payload.size);
    if (payload.size > SENT_BYTES) {
        flush();
        if (nzd_write_all(CHILD_ANSWER, payload.data, payload.size) != 0)
            _exit(1);
        return;
    }
    nzd_buf_bytes(&waiting, payload.data, payload.size);
    if (waiting.size > SENT_BYTES)
        flush();
}

static void send_number(unsigned kind, uint64_t number, bool wide)
{
    struct nzd_buf payload = {0};

    if (wide)
        nzd_buf_u64(&payload, number);
    else
        nzd_buf_u32(&payload, (uint32_t)number);
    if (payload.failed)
        _exit(1);
    send_frame(kind, nzd_buf_view(&payload));
    nzd_buf_clear(&payload);
    flush();
}

static int send_record(void *context, enum nzd_listing_kind kind,
                       struct nzd_view record, struct nzd_err *err)
{
    (void)context;
    (void)err;
    send_frame(kind, record);
    return 0;
}

static int send_bytes(void *context, struct nzd_view view, struct nzd_err *err)
{
    (void)context;
    (void)err;
    send_frame(CHILD_BYTES, view);
    return 0;
}

static void send_failure(const struct nzd_err *err)
{
    struct nzd_buf payload = {0};

    nzd_buf_u32(&payload, (uint32_t)-err->code);
    nzd_buf_block(&payload, nzd_view_text(err->message));
    nzd_buf_block(&payload, nzd_view_text(err->untouched));
    nzd_buf_block(&payload, nzd_view_text(err->next));
    if (payload.failed)
        _exit(1);
    send_frame(CHILD_FAILED, nzd_buf_view(&payload));
    flush();
}

/* --- what is asked ------------------------------------------------------- */

/* Who asks no more has gone, or has no use for us. */
static void take(void *to, size_t size)
{
    uint8_t *at = to;

    while (size) {
        ssize_t got = read(CHILD_ASKED, at, size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            _exit(0);
        at += got;
        size -= (size_t)got;
    }
}

static unsigned take_frame(struct nzd_buf *payload)
{
    uint8_t head[CHILD_HEAD];
    struct nzd_reader in;
    unsigned kind;
    uint32_t size;

    take(head, sizeof(head));
    nzd_reader_init(&in, nzd_view_of(head, sizeof(head)));
    kind = nzd_read_u8(&in);
    size = nzd_read_u32(&in);
    nzd_buf_reset(payload);
    if (size > 0) {
        uint8_t *to = nzd_buf_reserve(payload, size);

        if (!to)
            _exit(1);
        take(to, size);
        payload->size = size;
    }
    return kind;
}

/* Whether bytes are wanted; fills what is known where that is sent. */
static bool take_question(struct nzd_inventory *known, bool *any)
{
    struct nzd_listing_reader listing = {.out = known, .any_names = true};
    struct nzd_buf payload = {0};
    unsigned kind = take_frame(&payload);
    bool bytes;

    nzd_inventory_init(known);
    if (kind != CHILD_ASK || payload.size != 2)
        _exit(1);
    *any = payload.data[0];
    bytes = payload.data[1];
    while ((kind = take_frame(&payload)) != CHILD_END)
        if (nzd_listing_decode(&listing, kind, nzd_buf_view(&payload), NULL) <
            0)
            _exit(1);
    if (nzd_inventory_sort(known, NULL) < 0)
        _exit(1);
    nzd_listing_clear(&listing);
    nzd_buf_clear(&payload);
    return bytes;
}

/* --- its work ------------------------------------------------------------ */

/* Most of a bundle is read while nzd does not yet know what the node has. */
struct work {
    struct nzd_release_options options;
    struct nzd_inventory known;
    bool asked;
};

/* Who has not asked yet does not listen: it could fill the pipe. */
static void send_progress(void *context, unsigned per_mille)
{
    const struct work *work = context;

    if (work->asked)
        send_number(CHILD_PROGRESS, per_mille, false);
}

static void __attribute__((noreturn)) fail(const struct nzd_err *err)
{
    send_failure(err);
    _exit(0);
}

static void hear_question(void *context)
{
    struct work *work = context;
    struct nzd_err err = NZD_ERR_INIT;
    bool any;
    bool bytes = take_question(&work->known, &any);

    work->asked = true;
    work->options.known = any ? &work->known : NULL;
    if (bytes && nzd_spool_open_elsewhere(send_bytes, NULL,
                                          &work->options.spool, &err) < 0)
        fail(&err);
}

static int read_bundle(const struct body *child,
                       const struct nzd_release_options *options,
                       struct nzd_inventory *out, uint64_t *bytes,
                       struct nzd_err *err)
{
    struct nzd_source *source = NULL;
    int code = child->is_directory
                   ? nzd_source_open(child->path, &source, err)
                   : nzd_source_open_file(CHILD_BUNDLE, child->size,
                                          child->path, &source, err);

    if (code == 0)
        code = nzd_release_read(source, options, out, err);
    if (code == 0)
        *bytes = nzd_source_bytes(source);
    return code;
}

/* Some file systems ask who reads, and not what that one may: what root may
 * read there, nobody may not. */
static void advise(const struct body *child, bool was_root, struct nzd_err *err)
{
    if (!was_root || !child->is_directory ||
        (err->sys != EACCES && err->sys != EPERM))
        return;
    nzd_err_next(err, "root's nzd reads a folder as nobody, and this file "
                      "system (NFS, FUSE) has only its owner in: copy it to a "
                      "local disk, or give a tarball of it");
}

static void answer(const struct body *child, bool was_root)
{
    struct work work = {.asked = false};
    struct nzd_inventory out;
    struct nzd_err err = NZD_ERR_INIT;
    uint64_t bytes = 0;
    int code;

    work.options.settle = hear_question;
    work.options.progress = send_progress;
    work.options.context = &work;
    code = read_bundle(child, &work.options, &out, &bytes, &err);
    /* What is damaged is said to who asks, too. */
    if (!work.asked)
        hear_question(&work);
    if (code == 0)
        code = nzd_listing_encode(&out, false, send_record, NULL, &err);
    if (code < 0) {
        advise(child, was_root, &err);
        fail(&err);
    }
    send_number(CHILD_END, bytes, true);
}

/* --- becoming it --------------------------------------------------------- */

/* First out of the way, then to their places: none overwrites another. What
 * is reported by a build that looks for errors is still to be seen. */
static void place_descriptors(const struct body *child)
{
    bool reports = !(nzd_confine_built() & NZD_CONFINED_CALLS);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int from[] = {null,          null,         reports ? 2 : null,
                        child->answer, child->asked, child->bundle};
    int high[6];

    for (int i = 0; i < 6; i++) {
        high[i] =
            from[i] < 0 ? -1 : fcntl(from[i], F_DUPFD_CLOEXEC, CHILD_FREE + 16);
        if (from[i] >= 0 && high[i] < 0)
            _exit(1);
    }
    for (int i = 0; i < 6; i++)
        if (high[i] < 0)
            (void)close(i);
        else if (dup3(high[i], i, O_CLOEXEC) < 0)
            _exit(1);
    nzd_descriptors_close(CHILD_FREE);
}

/* What a terminal or an operator says is said to nzd. */
static void take_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGXCPU, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

struct roots {
    const char **items;
    uint32_t count;
    uint32_t capacity;
};

static bool grow(struct roots *roots)
{
    uint32_t capacity = 2 * roots->capacity + 16;
    const char **items = realloc(roots->items, capacity * sizeof(*items));

    if (!items)
        return false;
    roots->items = items;
    roots->capacity = capacity;
    return true;
}

static void add_root(void *context, const char *root)
{
    struct roots *roots = context;
    const char *copy;

    if (roots->count == NZD_LIMIT_ENTRIES ||
        (roots->count == roots->capacity && !grow(roots)))
        return;
    copy = strdup(root);
    if (copy)
        roots->items[roots->count++] = copy;
}

void bundle_child_be(const struct body *child)
{
    struct roots roots = {NULL, 0, 0};
    struct nzd_confine confine = {.answer = CHILD_ANSWER,
                                  .memory = MEMORY_BYTES,
                                  .cpu_seconds = NZD_BUNDLE_CPU_SECONDS,
                                  .parent = child->parent};
    bool was_root = geteuid() == 0;

    nzd_point_role("reader");
    take_signals();
    place_descriptors(child);
    if (child->is_directory)
        nzd_source_roots(child->path, add_root, &roots);
    confine.folders = roots.items;
    confine.folder_count = roots.count;
    send_number(CHILD_CONFINED, nzd_confine_self(&confine), false);
    if (bundle_child_taken_over)
        bundle_child_taken_over(CHILD_ANSWER);
    if (child->bundle >= 0)
        answer(child, was_root);
    _exit(0);
}

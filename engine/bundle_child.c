/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_child_internal.h"

#include "../staging/limits.h"
#include "../staging/spool.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t bundle_child_limit_us = NZD_BUNDLE_LIMIT_US;

struct nzd_bundle_child {
    char *path;
    pid_t pid; /* 0: none */
    int ask;
    int answer;
    struct nzd_err failure; /* of its making */
};

/* From the end of what it says to its own. */
#define GRACE_US 2000000u
#define LOOK_US  5000u

/* Bytes of one file, as they lie in the spool. */
struct piece {
    uint64_t sent; /* where the child counts it to begin */
    uint64_t offset;
    uint64_t size;
    struct nzd_digest content;
    bool used;
};

struct answer {
    struct hearing h;
    struct nzd_listing_reader listing;
    struct nzd_inventory *out;
    struct piece *pieces;
    uint32_t count;
    uint32_t capacity;
    uint64_t sent;
    uint64_t bytes; /* of the bundle */
    bool ended;
};

/* --- the process --------------------------------------------------------- */

static int reap(struct nzd_bundle_child *child)
{
    int status = 0;

    if (child->ask >= 0)
        close(child->ask);
    if (child->answer >= 0)
        close(child->answer);
    child->ask = child->answer = -1;
    while (child->pid > 0 && waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            break;
    child->pid = 0;
    return status;
}

static void end(struct nzd_bundle_child *child)
{
    if (child->pid > 0)
        kill(child->pid, SIGKILL);
    (void)reap(child);
}

/* Who closes its end of the pipe need not end. */
static bool ends_soon(const struct nzd_bundle_child *child)
{
    uint64_t deadline = nzd_clock_deadline(GRACE_US);
    siginfo_t info;

    do {
        info.si_pid = 0;
        if (waitid(P_PID, (id_t)child->pid, &info,
                   WEXITED | WNOHANG | WNOWAIT) != 0 ||
            info.si_pid)
            return true;
        (void)nzd_interrupt_poll(NULL, 0, LOOK_US);
    } while (!nzd_interrupt_pending() && nzd_clock_left(deadline));
    return false;
}

static int fork_body(struct nzd_bundle_child *child, struct body *body)
{
    int ask[2], answer[2];

    if (pipe2(ask, O_CLOEXEC) != 0)
        return errno;
    if (pipe2(answer, O_CLOEXEC) != 0) {
        int sys = errno;

        close(ask[0]);
        close(ask[1]);
        return sys;
    }
    body->parent = getpid();
    body->asked = ask[0];
    body->answer = answer[1];
    child->ask = ask[1];
    child->answer = answer[0];
    child->pid = fork();
    if (child->pid == 0)
        bundle_child_be(body);
    int sys = child->pid < 0 ? errno : 0;
    close(ask[0]);
    close(answer[1]);
    (void)fcntl(child->ask, F_SETFL, O_NONBLOCK);
    (void)fcntl(child->answer, F_SETFL, O_NONBLOCK);
    return sys;
}

static void make(struct nzd_bundle_child *child, struct body *body)
{
    int sys = fork_body(child, body);

    if (!sys)
        return;
    nzd_err_system(&child->failure, NZD_EREFUSED, sys,
                   "the process that reads bundles cannot be made");
    nzd_err_next(&child->failure, "see how many processes and open files this "
                                  "user may have: ulimit -u, ulimit -n");
}

static struct nzd_bundle_child *new_child(const char *path)
{
    struct nzd_bundle_child *child = calloc(1, sizeof(*child));

    if (!child)
        return NULL;
    child->ask = child->answer = -1;
    child->path = strdup(path);
    if (child->path)
        return child;
    free(child);
    return NULL;
}

/* The file that `place` stands for, to be read. */
static int open_there(int place, const char *path, struct nzd_err *err)
{
    char name[32];
    int fd;

    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        (void)nzd_err_set(err, NZD_EBUNDLE,
                          "%s cannot be opened: /proc is not mounted", path);
    else if (fd < 0)
        (void)nzd_err_system(err, NZD_EBUNDLE, errno, "%s", path);
    return fd;
}

/* To open a device may be to start it: looked at first, at a place that nobody
 * puts another file in. */
static int open_bundle(struct body *body, struct nzd_err *err)
{
    int place = open(body->path, O_PATH | O_CLOEXEC);
    struct stat status;

    if (place < 0 || fstat(place, &status) < 0) {
        (void)nzd_err_system(err, NZD_EBUNDLE, errno, "%s", body->path);
        goto out;
    }
    body->size = (uint64_t)status.st_size;
    body->is_directory = S_ISDIR(status.st_mode);
    if (body->is_directory || S_ISREG(status.st_mode))
        body->bundle = open_there(place, body->path, err);
    else
        (void)nzd_err_set(err, NZD_EBUNDLE,
                          "%s: neither a directory nor a tarball", body->path);
out:
    if (place >= 0)
        close(place);
    return err->code;
}

struct nzd_bundle_child *nzd_bundle_child_start(const char *path)
{
    struct nzd_bundle_child *child = new_child(path);
    struct body body = {.path = path, .bundle = -1};

    if (!child)
        return NULL;
    if (open_bundle(&body, &child->failure) == 0)
        make(child, &body);
    if (body.bundle >= 0)
        close(body.bundle);
    return child;
}

void nzd_bundle_child_close(struct nzd_bundle_child *child)
{
    if (!child)
        return;
    end(child);
    free(child->path);
    free(child);
}

/* --- what it answers ----------------------------------------------------- */

/* Empty ones are all the same: no two of them lie in one place. */
static bool is_there(const struct answer *a, struct nzd_view view)
{
    const struct piece *last = a->count ? &a->pieces[a->count - 1] : NULL;

    return last && view.size == 0 && last->size == 0 && last->sent == a->sent;
}

static int keep_bytes(struct answer *a)
{
    struct nzd_view view = nzd_buf_view(&a->h.payload);
    struct nzd_spool *spool = a->h.options->spool;
    struct piece *piece;

    if (spool && is_there(a, view))
        return 0;
    if (!spool || view.size > NZD_LIMIT_MODULE_BYTES ||
        a->count >= NZD_LIMIT_ENTRIES ||
        view.size > NZD_LIMIT_BUNDLE_BYTES - a->sent)
        return hearing_unsound(&a->h, "bytes");
    if (a->count == a->capacity) {
        uint32_t capacity = 2 * a->capacity + 64;

        piece = realloc(a->pieces, capacity * sizeof(*piece));
        if (!piece)
            return nzd_err_memory(a->h.err);
        a->pieces = piece;
        a->capacity = capacity;
    }
    piece = &a->pieces[a->count++];
    *piece = (struct piece){
        .sent = a->sent, .size = view.size, .content = nzd_digest_of(view)};
    a->sent += view.size;
    return nzd_spool_append(spool, view, &piece->offset, a->h.err);
}

/* Its texts go to a terminal. */
static void take_text(struct nzd_reader *in, char *to, size_t size)
{
    struct nzd_view from = nzd_read_block(in, size - 1);

    for (size_t i = 0; i < from.size; i++)
        to[i] =
            (char)(from.data[i] < 0x20 || from.data[i] == 0x7f ? '?'
                                                               : from.data[i]);
    to[from.size] = 0;
}

/* It speaks of the bundle, of its memory, or of our bugs. */
static int take_failure(struct answer *a)
{
    struct nzd_err said = NZD_ERR_INIT;
    struct nzd_reader in;

    nzd_reader_init(&in, nzd_buf_view(&a->h.payload));
    said.code = -(int)(nzd_read_u32(&in) & 0xff);
    take_text(&in, said.message, sizeof(said.message));
    take_text(&in, said.untouched, sizeof(said.untouched));
    take_text(&in, said.next, sizeof(said.next));
    if (!nzd_reader_done(&in) || !said.message[0])
        return hearing_unsound(&a->h, "a failure");
    if (said.code != NZD_EINTERNAL)
        said.code = NZD_EBUNDLE;
    nzd_err_set(a->h.err, said.code, "%s", said.message);
    if (said.untouched[0])
        nzd_err_untouched(a->h.err, "%s", said.untouched);
    if (said.next[0])
        nzd_err_next(a->h.err, "%s", said.next);
    return said.code;
}

static int take_number(struct answer *a, bool wide, uint64_t *out)
{
    struct nzd_reader in;

    nzd_reader_init(&in, nzd_buf_view(&a->h.payload));
    *out = wide ? nzd_read_u64(&in) : nzd_read_u32(&in);
    return nzd_reader_done(&in) ? 0 : hearing_unsound(&a->h, "a number");
}

static int take_progress(struct answer *a)
{
    const struct nzd_release_options *options = a->h.options;
    uint64_t per_mille = 0;
    int code = take_number(a, false, &per_mille);

    if (code == 0 && options->progress && per_mille <= 1000)
        options->progress(options->context, (unsigned)per_mille);
    return code;
}

static int take_record(struct answer *a, unsigned kind)
{
    struct nzd_err why = NZD_ERR_INIT;
    int code = nzd_listing_decode(&a->listing, (enum nzd_listing_kind)kind,
                                  nzd_buf_view(&a->h.payload), &why);

    if (code == NZD_EBUNDLE)
        return hearing_unsound(&a->h, why.message);
    return code < 0 ? nzd_err_set(a->h.err, code, "%s", why.message) : 0;
}

static int take_frame(struct answer *a, unsigned kind)
{
    uint64_t unused;

    switch (kind) {
    case CHILD_CONFINED:
        return take_number(a, false, &unused);
    case CHILD_PROGRESS:
        return take_progress(a);
    case CHILD_BYTES:
        return keep_bytes(a);
    case CHILD_FAILED:
        return take_failure(a);
    case CHILD_END:
        a->ended = true;
        return take_number(a, true, &a->bytes);
    default:
        return take_record(a, kind);
    }
}

/* --- what it says of the bytes it sent ----------------------------------- */

/* The piece that begins there and is so long, or NULL. Each was sent for one
 * file: who names it for many has it read for many. */
static const struct piece *use_piece(const struct answer *a, uint64_t sent,
                                     uint64_t size)
{
    uint32_t low = 0, high = a->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (a->pieces[middle].sent < sent)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < a->count && a->pieces[low].sent == sent; low++)
        if (a->pieces[low].size == size && !(size && a->pieces[low].used)) {
            a->pieces[low].used = true;
            return &a->pieces[low];
        }
    return NULL;
}

static bool settle_file(const struct answer *a, struct nzd_file *file)
{
    const struct piece *piece;

    if (!file->spooled)
        return true;
    piece = use_piece(a, file->spool_offset, file->size);
    if (!piece)
        return false;
    file->spool_offset = piece->offset;
    file->content = piece->content;
    return true;
}

/* What the node does not have so must be at hand, and its calls known. */
static bool settle_module(const struct answer *a, struct nzd_module *module)
{
    const struct nzd_inventory *known = a->h.options->known;
    const struct nzd_module *there =
        known ? nzd_inventory_module(known, module->name) : NULL;
    const struct piece *piece;

    if (!(module->flags & NZD_MODULE_DETAILED) &&
        !(there && nzd_module_same(there, module)))
        return false;
    if (!(module->flags & NZD_MODULE_SPOOLED))
        return !a->h.options->spool || !(module->flags & NZD_MODULE_DETAILED);
    piece = use_piece(a, module->spool_offset, module->bytes);
    if (!piece)
        return false;
    module->spool_offset = piece->offset;
    module->content = piece->content;
    return true;
}

/* The node compares files of priv by their md5. */
static int prove_priv(struct answer *a, const struct nzd_file *file)
{
    struct nzd_buf *bytes = &a->h.payload;
    struct nzd_digest md5;
    int code;

    if (!file->spooled)
        return 0;
    code = nzd_spool_read(a->h.options->spool, file->spool_offset, file->size,
                          &file->content, bytes, a->h.err);
    if (code < 0)
        return code;
    md5 = nzd_md5_of(&(struct nzd_view){bytes->data, bytes->size}, 1);
    return nzd_digest_equal(&md5, &file->md5)
               ? 0
               : hearing_unsound(&a->h, "the digest of a file");
}

static int settle(struct answer *a)
{
    struct nzd_inventory *out = a->out;
    bool sound = out->module_count > 0;
    int code = 0;

    for (uint32_t i = 0; sound && i < out->module_count; i++)
        sound = settle_module(a, &out->modules[i]);
    for (uint32_t i = 0; sound && i < out->priv_count; i++)
        sound = settle_file(a, &out->priv[i]);
    for (uint32_t i = 0; sound && i < out->runtime_count; i++) {
        sound = settle_file(a, &out->runtime[i]);
        if (out->runtime[i].spooled)
            out->runtime[i].md5 = out->runtime[i].content;
    }
    if (!sound)
        return hearing_unsound(&a->h, "bytes that it did not send");
    for (uint32_t i = 0; code == 0 && i < out->priv_count; i++)
        code = prove_priv(a, &out->priv[i]);
    return code ? code : nzd_inventory_sort(out, a->h.err);
}

/* --- its end ------------------------------------------------------------- */

static int died(const struct nzd_bundle_child *child, int status,
                struct nzd_err *err)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    nzd_err_untouched(err, "the bundle was not read; nothing was touched");
    if (number == SIGXCPU)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: reading it took more than %u s of the "
                           "processor",
                           child->path, NZD_BUNDLE_CPU_SECONDS);
    if (number == SIGSYS)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: what read it did what no reader does, and was "
                           "ended (SIGSYS): the bundle may be hostile",
                           child->path);
    if (number)
        return nzd_err_set(
            err, NZD_EBUNDLE, "%s: what read it was ended by signal %d (%s)%s",
            child->path, number, strsignal(number),
            number == SIGKILL ? ": there may be too little memory" : "");
    return nzd_err_set(err, NZD_EBUNDLE,
                       "%s: what read it ended without an answer (status %d)",
                       child->path, WEXITSTATUS(status));
}

static int converse(struct answer *a)
{
    unsigned kind = 0;
    int code = hearing_ask(&a->h);

    while (code == 0 && !a->ended) {
        code = hearing_frame(&a->h, &kind);
        if (code == 0)
            code = take_frame(a, kind);
    }
    return code ? code : settle(a);
}

int nzd_bundle_child_read(struct nzd_bundle_child *child,
                          const struct nzd_release_options *options,
                          uint64_t *bytes, struct nzd_inventory *out,
                          struct nzd_err *err)
{
    struct answer *a;
    int code;

    nzd_inventory_init(out);
    if (child->failure.code) {
        if (err && !err->code)
            *err = child->failure;
        return child->failure.code;
    }
    a = calloc(1, sizeof(*a));
    if (!a)
        return nzd_err_memory(err);
    a->h =
        (struct hearing){.ask = child->ask,
                         .answer = child->answer,
                         .path = child->path,
                         .options = options,
                         .deadline = nzd_clock_deadline(bundle_child_limit_us),
                         .err = err};
    a->out = a->listing.out = out;
    code = converse(a);
    if (code == CHILD_GONE)
        code = ends_soon(child) ? died(child, reap(child), err)
                                : hearing_unsound(&a->h, "it says no more");
    end(child);
    if (code)
        nzd_inventory_clear(out);
    else if (bytes)
        *bytes = a->bytes;
    nzd_listing_clear(&a->listing);
    nzd_buf_clear(&a->h.payload);
    free(a->pieces);
    free(a);
    return code;
}

/* --- what holds it ------------------------------------------------------- */

bool nzd_bundle_child_confinement(bool of_directory, unsigned *out)
{
    struct nzd_bundle_child *child = new_child("/");
    struct body body = {
        .path = "/", .bundle = -1, .is_directory = of_directory};
    struct hearing *h = calloc(1, sizeof(*h));
    unsigned kind = 0;
    bool told = false;

    if (child && h) {
        make(child, &body);
        h->ask = child->ask;
        h->answer = child->answer;
        h->path = child->path;
        h->deadline = nzd_clock_deadline(bundle_child_limit_us);
        told = !child->failure.code && hearing_frame(h, &kind) == 0 &&
               kind == CHILD_CONFINED && h->payload.size == 4;
        if (told)
            *out = h->payload.data[3];
    }
    if (h)
        nzd_buf_clear(&h->payload);
    free(h);
    nzd_bundle_child_close(child);
    return told;
}

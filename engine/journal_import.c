/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_journal.h"

#include "../journal/rebuild.h"
#include "interrupt.h"
#include "journal_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)

/* --- lines of a file ------------------------------------------------- */

struct source {
    int fd;
    const char *name;
    struct nzd_buf buf; /* what was read; up to `at` it was given out */
    size_t at;
    bool ended;
    uint64_t lines; /* given out */
    uint64_t bytes;
};

static int bad(const struct source *source, const char *what,
               struct nzd_err *err)
{
    return nzd_err_set(err, NZD_EBUNDLE, "%s: line %" PRIu64 ": %s",
                       source->name, source->lines + 1, what);
}

static int open_source(struct source *source, const char *path,
                       struct nzd_err *err)
{
    source->name = path;
    source->fd = STDIN_FILENO;
    if (strcmp(path, "-") == 0) {
        source->name = "stdin";
        return 0;
    }
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        return nzd_err_system(err, NZD_EUSAGE, errno, "open %s", path);
    return 0;
}

static void close_source(struct source *source)
{
    if (source->fd > STDIN_FILENO)
        close(source->fd);
    nzd_buf_clear(&source->buf);
}

/* What was given out makes room first. */
static int read_more(struct source *source, struct nzd_err *err)
{
    uint8_t *to;
    ssize_t size;

    if (source->at > 0) {
        source->buf.size -= source->at;
        memmove(source->buf.data, source->buf.data + source->at,
                source->buf.size);
        source->at = 0;
    }
    to = nzd_buf_reserve(&source->buf, READ_BYTES);
    if (!to)
        return nzd_err_memory(err);
    do {
        if (nzd_interrupt_pending())
            return nzd_err_set(err, NZD_EREFUSED, "interrupted");
        size = read(source->fd, to, READ_BYTES);
    } while (size < 0 && errno == EINTR);
    if (size < 0)
        return nzd_err_system(err, NZD_EUSAGE, errno, "read %s", source->name);
    source->ended = size == 0;
    source->buf.size += (size_t)size;
    return 0;
}

/* The next line with its end, until the next call. Behind the last one it is
 * empty. */
static int next_line(struct source *source, struct nzd_view *out,
                     struct nzd_err *err)
{
    size_t seen = 0;

    for (;;) {
        size_t left = source->buf.size - source->at;
        const uint8_t *from = left ? source->buf.data + source->at : NULL;
        const uint8_t *end =
            left > seen ? memchr(from + seen, '\n', left - seen) : NULL;
        int rc;

        if (end) {
            *out = nzd_view_of(from, (size_t)(end - from) + 1);
            source->at += out->size;
            return 0;
        }
        if (left > NZD_JOURNAL_LINE_MAX)
            return bad(source, "it is longer than any line can be", err);
        if (source->ended && left > 0)
            return bad(source, "it is cut off", err);
        *out = nzd_view_of(NULL, 0);
        if (source->ended)
            return 0;
        seen = left;
        rc = read_more(source, err);
        if (rc)
            return rc;
    }
}

/* --- the journal made of them ---------------------------------------- */

struct import {
    const char *directory;
    const struct nzd_journal_options *options;
    struct source source;
    struct nzd_digester *digester; /* of the lines before this one */
    struct nzd_rebuild *rebuild;
    struct nzd_transfer_journal journal;
    uint64_t transactions;
    bool whole;
};

/* The first line shows that it is an export at all. */
static int add_record(struct import *import, const struct nzd_transfer *record,
                      struct nzd_err *err)
{
    int rc = 0;

    if (!import->rebuild && record->kind == NZD_TRANSFER_JOURNAL) {
        import->journal = record->journal;
        rc = nzd_rebuild_begin(import->directory, import->options,
                               &import->rebuild, err);
    } else if (!import->rebuild) {
        rc = nzd_err_set(err, NZD_EBUNDLE,
                         "the record of the journal is missing");
    }
    if (rc == 0)
        rc = nzd_rebuild_add(import->rebuild, record, err);
    import->transactions += record->kind == NZD_TRANSFER_TXN;
    return rc;
}

static int check_end(struct import *import, const struct nzd_journal_line *line,
                     struct nzd_err *err)
{
    struct nzd_digest found = nzd_digester_end(import->digester);

    import->digester = NULL;
    import->whole = true;
    if (line->lines != import->source.lines)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "there are %" PRIu64
                           " lines before it, not %" PRIu64,
                           import->source.lines, line->lines);
    if (!nzd_digest_equal(&found, &line->digest))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "the lines before it are not those that were "
                           "written");
    return 0;
}

static int take_line(struct import *import, struct nzd_view text,
                     struct nzd_err *err)
{
    struct nzd_journal_line line;
    int rc;

    if (import->whole)
        return nzd_err_set(err, NZD_EBUNDLE, "something follows the end");
    rc = nzd_journal_line_read(nzd_view_of(text.data, text.size - 1), &line,
                               err);
    if (rc)
        return rc;
    if (line.end)
        rc = check_end(import, &line, err);
    else
        rc = add_record(import, &line.record, err);
    nzd_transfer_clear(&line.record);
    if (rc == 0 && import->digester)
        nzd_digester_add(import->digester, text);
    return rc;
}

static int take_lines(struct import *import, struct nzd_err *err)
{
    struct source *source = &import->source;
    struct nzd_view text;
    int rc;

    while ((rc = next_line(source, &text, err)) == 0 && text.size > 0) {
        if (nzd_interrupt_pending())
            return nzd_err_set(err, NZD_EREFUSED, "interrupted");
        rc = take_line(import, text, err);
        if (rc == NZD_EBUNDLE)
            nzd_err_prefix(err, "%s: line %" PRIu64, source->name,
                           source->lines + 1);
        if (rc)
            return rc;
        source->lines++;
        source->bytes += text.size;
    }
    if (rc == 0 && !import->whole)
        return bad(source, "it is missing, the export is not whole", err);
    return rc;
}

static int finish(struct import *import, struct nzd_err *err)
{
    int rc = 0;

    if (!import->rebuild)
        return bad(&import->source, "there is no journal before it", err);
    rc = nzd_rebuild_finish(import->rebuild, err);
    if (rc == NZD_EBUNDLE)
        nzd_err_prefix(err, "%s", import->source.name);
    return rc;
}

static int run(struct import *import, const char *path, struct nzd_err *err)
{
    int rc = open_source(&import->source, path, err);

    if (rc)
        return rc;
    import->digester = nzd_digester_begin();
    if (!import->digester)
        rc = nzd_err_memory(err);
    if (rc == 0)
        rc = take_lines(import, err);
    if (rc == 0)
        rc = finish(import, err);
    if (import->digester)
        (void)nzd_digester_end(import->digester);
    nzd_rebuild_end(import->rebuild);
    close_source(&import->source);
    return rc;
}

/* --- the answer ------------------------------------------------------ */

static void answer_json(const struct nzd_journal_view *view,
                        const struct import *import)
{
    json_t *object = json_object();
    char uuid[NZD_DIGEST_HEX];

    nzd_hex(uuid, import->journal.uuid, sizeof(import->journal.uuid));
    json_object_set_new(object, "journal", nzd_json_text(view->directory));
    json_object_set_new(object, "uuid", json_string(uuid));
    json_object_set_new(object, "transactions",
                        json_integer((json_int_t)import->transactions));
    json_object_set_new(object, "first",
                        json_integer((json_int_t)import->journal.heads.first));
    json_object_set_new(object, "last",
                        json_integer((json_int_t)import->journal.heads.last));
    json_object_set_new(object, "lines",
                        json_integer((json_int_t)import->source.lines));
    json_object_set_new(object, "bytes",
                        json_integer((json_int_t)import->source.bytes));
    nzd_output_json(view->output, object);
}

int nzd_journal_view_import(const struct nzd_journal_view *view,
                            const struct nzd_journal_options *options,
                            const char *path, bool *changed,
                            struct nzd_err *err)
{
    struct import import = {.directory = view->directory, .options = options};
    char size[32];
    int rc = run(&import, path, err);

    if (rc) {
        nzd_err_untouched(err, "%s", view->directory);
        return rc;
    }
    *changed = true;
    nzd_format_bytes(size, import.source.bytes);
    if (view->output->json)
        answer_json(view, &import);
    else
        nzd_output_line(
            view->output,
            "%s is whole: %" PRIu64 " transaction%s of %" PRIu64 " lines, %s",
            view->directory, import.transactions,
            import.transactions == 1 ? "" : "s", import.source.lines, size);
    return 0;
}

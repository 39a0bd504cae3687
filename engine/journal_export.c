/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_journal.h"

#include "interrupt.h"
#include "journal_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 5 /* of a file, while another nzd writes into the journal */

/* --- lines ----------------------------------------------------------- */

struct sink {
    FILE *file;
    const char *name; /* for messages */
    struct nzd_digester *digester;
    uint64_t lines;
    uint64_t bytes;
    uint64_t transactions;
    struct nzd_err *err;
};

static int take(const char *data, size_t size, void *context)
{
    struct sink *sink = context;

    if (fwrite(data, 1, size, sink->file) != size || ferror(sink->file)) {
        nzd_err_system(sink->err, NZD_EINTERNAL, errno, "write %s", sink->name);
        return -1;
    }
    nzd_digester_add(sink->digester, nzd_view_of(data, size));
    sink->bytes += size;
    return 0;
}

static int put_line(struct sink *sink, const struct nzd_journal_line *line,
                    struct nzd_err *err)
{
    int rc;

    sink->err = err;
    rc = nzd_journal_line_write(line, take, sink, err);
    if (rc == 0 && take("\n", 1, sink) != 0)
        rc = err->code;
    sink->lines += rc == 0;
    return rc;
}

static int each(void *context, const struct nzd_transfer *record,
                struct nzd_err *err)
{
    struct sink *sink = context;
    struct nzd_journal_line line = {.record = *record};

    if (nzd_interrupt_pending())
        return nzd_err_set(err, NZD_EREFUSED, "interrupted");
    sink->transactions += record->kind == NZD_TRANSFER_TXN;
    return put_line(sink, &line, err);
}

/* All of it; the end comes only when all before is there. */
static int write_all(const struct nzd_journal_view *view, struct sink *sink,
                     struct nzd_err *err)
{
    struct nzd_journal_line end = {.end = true};
    int rc;

    sink->lines = sink->bytes = sink->transactions = 0;
    sink->digester = nzd_digester_begin();
    if (!sink->digester)
        return nzd_err_memory(err);
    rc = nzd_transfer_each(view->journal, each, sink, err);
    end.lines = sink->lines;
    end.digest = nzd_digester_end(sink->digester);
    sink->digester = nzd_digester_begin();
    if (!sink->digester)
        return nzd_err_memory(err);
    if (rc == 0)
        rc = put_line(sink, &end, err);
    (void)nzd_digester_end(sink->digester);
    if (rc == 0 && (fflush(sink->file) != 0 || ferror(sink->file)))
        rc = nzd_err_system(err, NZD_EINTERNAL, errno, "write %s", sink->name);
    return rc;
}

/* --- to a file ------------------------------------------------------- */

static int check_file(const char *path, struct nzd_err *err)
{
    struct stat found;

    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode)) {
        nzd_err_set(err, NZD_EUSAGE, "%s is no regular file", path);
        nzd_err_next(err, "without a FILE the journal is written to stdout");
    }
    return err->code;
}

static int sync_folder(const char *path, struct nzd_err *err)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = 0;

    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        rc = nzd_err_system(err, NZD_EINTERNAL, errno, "sync the folder of %s",
                            path);
    if (fd >= 0)
        close(fd);
    free(folder);
    return rc;
}

/* It is as secret as the journal: mkstemp(3) makes it for its owner alone. */
static int open_beside(const char *path, char **name, struct sink *sink,
                       struct nzd_err *err)
{
    int fd;

    if (asprintf(name, "%s.XXXXXX", path) < 0) {
        *name = NULL;
        return nzd_err_memory(err);
    }
    fd = mkostemp(*name, O_CLOEXEC);
    if (fd < 0) {
        free(*name);
        *name = NULL;
        return nzd_err_system(err, NZD_EUSAGE, errno, "make a file beside %s",
                              path);
    }
    sink->file = fdopen(fd, "w");
    if (sink->file)
        return 0;
    close(fd);
    return nzd_err_memory(err);
}

/* From the beginning again while another nzd is at work. */
static int write_file(const struct nzd_journal_view *view, struct sink *sink,
                      struct nzd_err *err)
{
    int rc = write_all(view, sink, err);

    for (int tries = 1; rc == NZD_EBUSY && tries < TRIES; tries++) {
        nzd_err_clear(err);
        rewind(sink->file);
        if (ftruncate(fileno(sink->file), 0) != 0)
            return nzd_err_system(err, NZD_EINTERNAL, errno, "empty %s",
                                  sink->name);
        rc = write_all(view, sink, err);
    }
    if (rc == 0 && fsync(fileno(sink->file)) != 0)
        rc = nzd_err_system(err, NZD_EINTERNAL, errno, "sync %s", sink->name);
    return rc;
}

static int export_file(const struct nzd_journal_view *view, const char *path,
                       struct sink *sink, struct nzd_err *err)
{
    char *name = NULL;
    int rc = check_file(path, err);

    if (rc == 0)
        rc = open_beside(path, &name, sink, err);
    if (rc == 0)
        rc = write_file(view, sink, err);
    if (sink->file && fclose(sink->file) != 0 && rc == 0)
        rc = nzd_err_system(err, NZD_EINTERNAL, errno, "write %s", path);
    if (rc == 0 && rename(name, path) != 0)
        rc = nzd_err_system(err, NZD_EINTERNAL, errno, "rename %s", name);
    else if (rc == 0)
        rc = sync_folder(path, err);
    if (rc != 0 && name)
        (void)unlink(name);
    free(name);
    return rc;
}

/* --- the answer ------------------------------------------------------ */

static void answer(const struct nzd_journal_view *view, const char *path,
                   const struct sink *sink)
{
    json_t *object;
    char size[32];

    nzd_format_bytes(size, sink->bytes);
    nzd_output_line(view->output,
                    "%" PRIu64 " transaction%s, %" PRIu64 " lines, %s in %s",
                    sink->transactions, sink->transactions == 1 ? "" : "s",
                    sink->lines, size, path);
    if (!view->output->json)
        return;
    object = json_object();
    json_object_set_new(object, "journal", nzd_json_text(view->directory));
    json_object_set_new(object, "file", nzd_json_text(path));
    json_object_set_new(object, "transactions",
                        json_integer((json_int_t)sink->transactions));
    json_object_set_new(object, "lines", json_integer((json_int_t)sink->lines));
    json_object_set_new(object, "bytes", json_integer((json_int_t)sink->bytes));
    nzd_output_json(view->output, object);
}

int nzd_journal_view_export(const struct nzd_journal_view *view,
                            const char *path, struct nzd_err *err)
{
    struct sink sink = {.name = path ? path : "the export"};
    int rc;

    if (path) {
        rc = export_file(view, path, &sink, err);
        if (rc == 0)
            answer(view, path, &sink);
        else
            nzd_err_untouched(err, "%s", path);
        return rc;
    }
    sink.file = stdout;
    rc = write_all(view, &sink, err);
    if (rc < 0 && sink.lines > 0)
        nzd_err_untouched(err, "the journal; what was written is no whole "
                               "export: it has no line \"end\"");
    return rc;
}

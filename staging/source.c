/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include "layout.h"
#include "limits.h"
#include "source_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct nzd_source {
    char *name;
    enum nzd_source_kind kind;
    const struct source_backend *backend;
    void *self;
    uint64_t total; /* of all entries so far */
    uint32_t entries;
    /* Digests of the paths seen: open addressing, at most half full. */
    struct nzd_digest *seen;
    uint32_t seen_size;
    struct nzd_source_entry entry;
    bool unread;
};

/* --- open, close --- */

static int open_regular(struct nzd_source *source, int fd, uint64_t size,
                        struct nzd_err *err)
{
    source->kind = NZD_SOURCE_TARBALL;
    source->backend = &source_tarball;
    return source_tarball_open(fd, size, &source->self, err);
}

static int open_backend(struct nzd_source *source, const char *path,
                        struct nzd_err *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return nzd_err_system(err, NZD_ENOTFOUND, errno, "%s", path);
    if (fstat(fd, &status) < 0)
        status.st_mode = 0;
    if (S_ISREG(status.st_mode))
        return open_regular(source, fd, (uint64_t)status.st_size, err);
    close(fd);
    if (!S_ISDIR(status.st_mode))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "neither a directory nor a tarball");
    source->kind = NZD_SOURCE_DIRECTORY;
    source->backend = &source_directory;
    return source_directory_open(path, &source->self, err);
}

/* Puts the bundle's name before a message that a backend wrote. */
static int named(const struct nzd_source *source, int code, struct nzd_err *err)
{
    if (code < 0 && err)
        nzd_err_prefix(err, "%s", source->name);
    return code;
}

/* With a name and nothing else; NULL without memory. */
static struct nzd_source *new_source(const char *path)
{
    struct nzd_source *source = calloc(1, sizeof(*source));

    if (source && (source->name = strdup(path)))
        return source;
    free(source);
    return NULL;
}

static int opened(struct nzd_source *source, int code, struct nzd_source **out,
                  struct nzd_err *err)
{
    if (code < 0 && code != NZD_ENOTFOUND)
        named(source, code, err);
    if (code < 0)
        nzd_source_close(source);
    else
        *out = source;
    return code;
}

int nzd_source_open(const char *path, struct nzd_source **out,
                    struct nzd_err *err)
{
    struct nzd_source *source = new_source(path);

    if (!source)
        return nzd_err_memory(err);
    return opened(source, open_backend(source, path, err), out, err);
}

int nzd_source_open_file(int fd, uint64_t size, const char *path,
                         struct nzd_source **out, struct nzd_err *err)
{
    struct nzd_source *source = new_source(path);

    if (!source) {
        close(fd);
        return nzd_err_memory(err);
    }
    return opened(source, open_regular(source, fd, size, err), out, err);
}

void nzd_source_roots(const char *path,
                      void (*each)(void *context, const char *root),
                      void *context)
{
    struct nzd_source_entry entry;
    void *walk = NULL;

    if (source_directory_open(path, &walk, NULL) < 0)
        return;
    source_directory_tell(walk, each, context);
    while (source_directory.next(walk, &entry, NULL) > 0)
        continue;
    source_directory.close(walk);
}

void nzd_source_close(struct nzd_source *source)
{
    if (!source)
        return;
    if (source->self)
        source->backend->close(source->self);
    free(source->seen);
    free(source->name);
    free(source);
}

enum nzd_source_kind nzd_source_kind(const struct nzd_source *source)
{
    return source->kind;
}

const char *nzd_source_name(const struct nzd_source *source)
{
    return source->name;
}

uint64_t nzd_source_bytes(const struct nzd_source *source)
{
    return source->backend->bytes(source->self);
}

unsigned nzd_source_progress(const struct nzd_source *source)
{
    return source->backend->progress(source->self);
}

/* --- entries --- */

/* A path goes into a message only as far as it can be printed. */
static int refuse_path(const char *path, struct nzd_err *err)
{
    char text[81];
    size_t i;

    for (i = 0; i < sizeof(text) - 1 && path[i]; i++) {
        unsigned char byte = (unsigned char)path[i];

        text[i] = byte < 0x20 || byte == 0x7f ? '?' : path[i];
    }
    text[i] = 0;
    return nzd_err_set(err, NZD_EBUNDLE,
                       "path \"%s%s\" is absolute, leaves the bundle, is too "
                       "long or not clean",
                       text, path[i] ? "..." : "");
}

/* The slot of the digest: its own, or the free one where it belongs. */
static struct nzd_digest *slot_of(struct nzd_digest *seen, uint32_t size,
                                  const struct nzd_digest *digest)
{
    uint32_t i;

    memcpy(&i, digest->bytes, sizeof(i));
    for (i &= size - 1; !nzd_digest_is_zero(&seen[i]); i = (i + 1) & (size - 1))
        if (nzd_digest_equal(&seen[i], digest))
            break;
    return &seen[i];
}

static int seen_grow(struct nzd_source *source, struct nzd_err *err)
{
    uint32_t size = source->seen_size ? 2 * source->seen_size : 1024;
    struct nzd_digest *seen = calloc(size, sizeof(*seen));

    if (!seen)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < source->seen_size; i++)
        if (!nzd_digest_is_zero(&source->seen[i]))
            *slot_of(seen, size, &source->seen[i]) = source->seen[i];
    free(source->seen);
    source->seen = seen;
    source->seen_size = size;
    return 0;
}

static int remember(struct nzd_source *source, const char *path,
                    struct nzd_err *err)
{
    struct nzd_digest digest = nzd_digest_of(nzd_view_text(path));
    struct nzd_digest *slot;
    int code = 0;

    if (2 * source->entries >= source->seen_size)
        code = seen_grow(source, err);
    if (code < 0)
        return code;
    slot = slot_of(source->seen, source->seen_size, &digest);
    if (!nzd_digest_is_zero(slot))
        return nzd_err_set(err, NZD_EBUNDLE, "%s: in it twice", path);
    *slot = digest;
    return 0;
}

static int admit(struct nzd_source *source, struct nzd_err *err)
{
    struct nzd_source_entry *entry = &source->entry;

    while (strncmp(entry->path, "./", 2) == 0)
        entry->path += 2;
    if (!nzd_layout_is_clean(entry->path))
        return refuse_path(entry->path, err);
    if (source->entries >= NZD_LIMIT_ENTRIES)
        return nzd_err_set(err, NZD_EBUNDLE, "more than %u files",
                           NZD_LIMIT_ENTRIES);
    if (entry->size > NZD_LIMIT_BUNDLE_BYTES - source->total)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: the files are more than %llu bytes",
                           entry->path, NZD_LIMIT_BUNDLE_BYTES);
    source->total += entry->size;
    source->entries++;
    return remember(source, entry->path, err);
}

int nzd_source_next(struct nzd_source *source, struct nzd_source_entry *entry,
                    struct nzd_err *err)
{
    int code;

    source->unread = false;
    code = source->backend->next(source->self, &source->entry, err);
    if (code > 0) {
        int admitted = admit(source, err);

        code = admitted < 0 ? admitted : 1;
    }
    if (code > 0) {
        source->unread = true;
        *entry = source->entry;
    }
    return named(source, code, err);
}

/* --- content --- */

static int damaged(const struct nzd_source *source, int code,
                   struct nzd_err *err)
{
    if (code < 0 && err)
        nzd_err_prefix(err, "%s", source->entry.path);
    return named(source, code, err);
}

static int begin_content(struct nzd_source *source, struct nzd_err *err)
{
    if (!source->unread)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "an entry's content was asked for twice");
    source->unread = false;
    return 0;
}

int nzd_source_read(struct nzd_source *source, uint64_t limit,
                    struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_view view = {NULL, 0};
    int code = begin_content(source, err);

    nzd_buf_reset(out);
    if (code == 0 && source->entry.size > limit)
        code = nzd_err_set(
            err, NZD_EBUNDLE, "%llu bytes are more than the %llu it may have",
            (unsigned long long)source->entry.size, (unsigned long long)limit);
    while (code == 0 &&
           (code = source->backend->chunk(source->self, &view, err)) > 0) {
        code = 0;
        if (view.size > limit - out->size)
            code = nzd_err_set(err, NZD_EBUNDLE,
                               "more than the %llu bytes it may have",
                               (unsigned long long)limit);
        else
            nzd_buf_bytes(out, view.data, view.size);
    }
    if (code == 0 && out->failed)
        code = nzd_err_memory(err);
    return damaged(source, code, err);
}

int nzd_source_md5(struct nzd_source *source, struct nzd_digest *out,
                   struct nzd_err *err)
{
    struct nzd_md5 md5;
    struct nzd_view view = {NULL, 0};
    uint64_t total = 0;
    int code = begin_content(source, err);

    nzd_md5_init(&md5);
    while (code == 0 &&
           (code = source->backend->chunk(source->self, &view, err)) > 0) {
        code = 0;
        total += view.size;
        if (total > NZD_LIMIT_BUNDLE_BYTES)
            code = nzd_err_set(err, NZD_EBUNDLE, "endless");
        nzd_md5_add(&md5, view);
    }
    if (code == 0)
        *out = nzd_md5_end(&md5);
    return damaged(source, code, err);
}

int source_link_refuse(const char *path, struct nzd_err *err)
{
    size_t size = strlen(path);

    if ((size > 5 && strcmp(path + size - 5, ".beam") == 0) ||
        (size > 4 && strcmp(path + size - 4, ".app") == 0))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%s: a link in the place of a module or .app", path);
    return 0;
}

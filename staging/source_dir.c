/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"
#include "source_backend.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Most modules come in one read. */
#define READ_BYTES (256u << 10)

/* One folder on the way down: deeper than its path can be long is no loop. */
struct frame {
    DIR *directory;
    struct nzd_arena arena; /* of the names */
    char **names;           /* sorted */
    size_t count;
    size_t next;
    size_t path_size; /* of the path that ends at this folder */
    dev_t device;
    ino_t inode;
    char *root; /* real path that links below here may not leave; "" when it
                   is that of the folder above */
};

struct walk {
    struct frame *frames;
    size_t depth;
    size_t capacity;
    char *root;
    char path[NZD_LIMIT_PATH + 1];
    const char *name; /* of the current file, in its folder */
    bool linked;
    int fd; /* of the current file once it is read, else -1 */
    uint64_t size;
    uint64_t left; /* of the current file */
    uint64_t bytes;
    void (*tell)(void *context, const char *root); /* NULL: nobody asks */
    void *context;
    uint8_t *buffer;
};

static struct frame *top(struct walk *walk)
{
    return &walk->frames[walk->depth - 1];
}

/* --- frames --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int collect(struct frame *frame, struct nzd_buf *names,
                   struct nzd_err *err)
{
    const struct dirent *item;
    size_t at = 0;

    errno = 0;
    while ((item = readdir(frame->directory))) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        if (frame->count == NZD_LIMIT_ENTRIES)
            return nzd_err_set(err, NZD_EBUNDLE,
                               "more than %u files and folders in one folder",
                               NZD_LIMIT_ENTRIES);
        nzd_buf_bytes(names, item->d_name, strlen(item->d_name) + 1);
        frame->count++;
        errno = 0;
    }
    if (errno)
        return nzd_err_system(err, NZD_EBUNDLE, errno, "reading the folder");
    frame->names =
        nzd_arena_alloc(&frame->arena, (frame->count + 1) * sizeof(char *));
    if (!frame->names || names->failed || (frame->count > 0 && !names->data))
        return nzd_err_memory(err);
    for (size_t i = 0; names->data && i < frame->count; i++) {
        frame->names[i] = (char *)names->data + at;
        at += strlen(frame->names[i]) + 1;
    }
    return 0;
}

static int list(struct frame *frame, struct nzd_err *err)
{
    struct nzd_buf names = {0};
    int code = collect(frame, &names, err);

    for (size_t i = 0; code == 0 && i < frame->count; i++) {
        frame->names[i] = nzd_arena_text(&frame->arena, frame->names[i],
                                         strlen(frame->names[i]));
        if (!frame->names[i])
            code = nzd_err_memory(err);
    }
    nzd_buf_clear(&names);
    if (code == 0)
        qsort(frame->names, frame->count, sizeof(*frame->names), by_name);
    return code;
}

static void leave(struct walk *walk)
{
    struct frame *frame = top(walk);

    if (frame->directory)
        closedir(frame->directory);
    nzd_arena_clear(&frame->arena);
    free(frame->root);
    walk->depth--;
}

static bool in_loop(const struct walk *walk, const struct stat *status)
{
    for (size_t i = 0; i < walk->depth; i++)
        if (walk->frames[i].inode == status->st_ino &&
            walk->frames[i].device == status->st_dev)
            return true;
    return false;
}

static int push(struct walk *walk, struct nzd_err *err)
{
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 8;
        struct frame *frames =
            realloc(walk->frames, capacity * sizeof(*frames));

        if (!frames)
            return nzd_err_memory(err);
        walk->frames = frames;
        walk->capacity = capacity;
    }
    memset(&walk->frames[walk->depth++], 0, sizeof(struct frame));
    return 0;
}

/* Enters the folder open as `fd`, which it takes over; `root` too. */
static int enter(struct walk *walk, int fd, char *root, struct nzd_err *err)
{
    struct stat status;
    int code = 0;

    if (fstat(fd, &status) < 0)
        code = nzd_err_system(err, NZD_EBUNDLE, errno, "%s", walk->path);
    else if (in_loop(walk, &status))
        code = 1;
    else
        code = push(walk, err);
    if (code != 0) {
        close(fd);
        free(root);
        return code < 0 ? code : 0;
    }
    top(walk)->root = root;
    top(walk)->path_size = strlen(walk->path);
    top(walk)->device = status.st_dev;
    top(walk)->inode = status.st_ino;
    top(walk)->directory = fdopendir(fd);
    if (!top(walk)->directory) {
        code = nzd_err_system(err, NZD_EBUNDLE, errno, "%s", walk->path);
        close(fd);
        return code;
    }
    code = list(top(walk), err);
    if (code < 0)
        nzd_err_prefix(err, "%s", *walk->path ? walk->path : ".");
    return code;
}

/* --- links --- */

/* Where links may lead: below the root, or the link they were reached by. */
static bool is_below(const struct walk *walk, const char *real)
{
    for (size_t i = 0; i < walk->depth; i++) {
        const char *root = i == 0 ? walk->root : walk->frames[i].root;
        size_t size = root ? strlen(root) : 0;

        if (size > 0 && strncmp(real, root, size) == 0 &&
            (real[size] == '/' || real[size] == 0 || root[size - 1] == '/'))
            return true;
    }
    return false;
}

/* What the link ends at when it may be followed, else a NULL. */
static int follow(const struct walk *walk, char **out, struct nzd_err *err)
{
    char *path = NULL;
    char *real = NULL;
    struct stat status;
    int code = 0;

    if (asprintf(&path, "%s/%s", walk->root, walk->path) < 0)
        return nzd_err_memory(err);
    real = realpath(path, NULL);
    free(path);
    if (!real || stat(real, &status) < 0 ||
        !(is_below(walk, real) ||
          (S_ISDIR(status.st_mode) && nzd_layout_links(walk->path)))) {
        free(real);
        real = NULL;
        code = source_link_refuse(walk->path, err);
    }
    *out = real;
    return code;
}

/* --- items of a folder --- */

static int extend(struct walk *walk, const char *name, struct nzd_err *err)
{
    size_t at = top(walk)->path_size;
    size_t size = strlen(name);

    if (at + size + 2 > sizeof(walk->path))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "%.80s...: a path of more than %u bytes", walk->path,
                           NZD_LIMIT_PATH);
    if (at > 0)
        walk->path[at++] = '/';
    memcpy(walk->path + at, name, size + 1);
    return 0;
}

static int descend(struct walk *walk, const char *name, char *real,
                   struct nzd_err *err)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (real ? 0 : O_NOFOLLOW);
    int fd;

    if (!nzd_layout_enters(walk->path)) {
        free(real);
        return 0;
    }
    if (real && walk->tell)
        walk->tell(walk->context, real);
    fd = real ? open(real, flags)
              : openat(dirfd(top(walk)->directory), name, flags);
    if (fd >= 0)
        return enter(walk, fd, real, err);
    free(real);
    return nzd_err_system(err, NZD_EBUNDLE, errno, "%s", walk->path);
}

static int offer(struct walk *walk, const char *name, const struct stat *status,
                 struct nzd_source_entry *entry)
{
    walk->name = name;
    walk->size = (uint64_t)status->st_size;
    entry->path = walk->path;
    entry->size = walk->size;
    entry->executable = (status->st_mode & S_IXUSR) != 0;
    return 1;
}

/* One item: 1 with a file in `entry`, 0 when it was none (a folder is then
 * the top frame). */
static int visit(struct walk *walk, const char *name,
                 struct nzd_source_entry *entry, struct nzd_err *err)
{
    int folder = dirfd(top(walk)->directory);
    struct stat status = {0};
    char *real = NULL;
    int code = extend(walk, name, err);

    if (code == 0 && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        code = nzd_err_system(err, NZD_EBUNDLE, errno, "%s", walk->path);
    if (code < 0)
        return code;
    walk->linked = S_ISLNK(status.st_mode);
    if (walk->linked) {
        code = follow(walk, &real, err);
        if (code < 0 || !real)
            return code;
        if (stat(real, &status) < 0)
            status.st_mode = 0;
    }
    if (S_ISDIR(status.st_mode))
        return descend(walk, name, real, err);
    free(real);
    if (S_ISREG(status.st_mode))
        return offer(walk, name, &status, entry);
    if (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode))
        return nzd_err_set(err, NZD_EBUNDLE, "%s: a device", walk->path);
    return 0;
}

static void finish_file(struct walk *walk)
{
    if (walk->fd >= 0)
        close(walk->fd);
    walk->fd = -1;
    walk->left = 0;
    walk->name = NULL;
}

static int directory_next(void *self, struct nzd_source_entry *entry,
                          struct nzd_err *err)
{
    struct walk *walk = self;
    int code = 0;

    finish_file(walk);
    while (code == 0 && walk->depth > 0) {
        struct frame *frame = top(walk);

        if (frame->next < frame->count)
            code = visit(walk, frame->names[frame->next++], entry, err);
        else
            leave(walk);
    }
    return code;
}

/* --- content --- */

static int open_file(struct walk *walk, struct nzd_err *err)
{
    struct stat status;

    walk->fd = openat(dirfd(top(walk)->directory), walk->name,
                      O_RDONLY | O_CLOEXEC | O_NONBLOCK |
                          (walk->linked ? 0 : O_NOFOLLOW));
    if (walk->fd < 0 || fstat(walk->fd, &status) < 0)
        return nzd_err_system(err, NZD_EBUNDLE, errno, "open");
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != walk->size)
        return nzd_err_set(err, NZD_EBUNDLE, "it changes while it is read");
    walk->left = walk->size;
    return 0;
}

static int directory_chunk(void *self, struct nzd_view *out,
                           struct nzd_err *err)
{
    struct walk *walk = self;
    size_t want;
    ssize_t got;
    int code = walk->fd < 0 ? open_file(walk, err) : 0;

    if (code < 0)
        return code;
    want = walk->left < READ_BYTES ? (size_t)walk->left : READ_BYTES;
    if (want == 0)
        return 0;
    do
        got = read(walk->fd, walk->buffer, want);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return nzd_err_system(err, NZD_EBUNDLE, errno, "read");
    if (got == 0)
        return nzd_err_set(err, NZD_EBUNDLE, "it changes while it is read");
    walk->left -= (uint64_t)got;
    walk->bytes += (uint64_t)got;
    *out = nzd_view_of(walk->buffer, (size_t)got);
    return 1;
}

static uint64_t directory_bytes(const void *self)
{
    return ((const struct walk *)self)->bytes;
}

static unsigned directory_progress(const void *self)
{
    (void)self;
    return 0;
}

static void directory_close(void *self)
{
    struct walk *walk = self;

    finish_file(walk);
    while (walk->depth > 0)
        leave(walk);
    free(walk->frames);
    free(walk->root);
    free(walk->buffer);
    free(walk);
}

int source_directory_open(const char *path, void **out, struct nzd_err *err)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    int fd, code = 0;

    if (!walk)
        return nzd_err_memory(err);
    walk->fd = -1;
    walk->root = realpath(path, NULL);
    walk->buffer = malloc(READ_BYTES);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !walk->root)
        code = nzd_err_system(err, NZD_ENOTFOUND, errno, "open");
    else if (!walk->buffer)
        code = nzd_err_memory(err);
    if (code < 0 && fd >= 0)
        close(fd);
    if (code == 0)
        code = enter(walk, fd, NULL, err);
    if (code < 0)
        directory_close(walk);
    else
        *out = walk;
    return code;
}

void source_directory_tell(void *self,
                           void (*each)(void *context, const char *root),
                           void *context)
{
    struct walk *walk = self;

    walk->tell = each;
    walk->context = context;
    each(context, walk->root);
}

const struct source_backend source_directory = {
    .next = directory_next,
    .chunk = directory_chunk,
    .bytes = directory_bytes,
    .progress = directory_progress,
    .close = directory_close,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITE_MAX   (128u << 10) /* bytes of one question */
#define BUFFER_SIZE (WRITE_MAX + 4096u)
#define FIRST_FILE  2u    /* node ids; 1 is the folder */
#define VALID_S     86400 /* names and attributes do not change */

struct served {
    const char *path;
    pid_t server;
};

const char *fuse_lacks(void)
{
    if (geteuid() != 0)
        return "only root may mount";
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return "there is no /dev/fuse";
    close(fd);
    return NULL;
}

/* --- answers ------------------------------------------------------------- */

struct server {
    const struct fuse_folder *folder;
    int fd;
    const struct fuse_in_header *in;
    const void *body;
    char *buffer; /* of an answer to a read */
};

static void answer(struct server *s, int error, const void *data, size_t size)
{
    struct fuse_out_header out = {.len = (uint32_t)(sizeof out + size),
                                  .error = -error,
                                  .unique = s->in->unique};
    struct iovec parts[2] = {{&out, sizeof out},
                             {(void *)(uintptr_t)data, size}};
    if (writev(s->fd, parts, size ? 2 : 1) < 0 && errno != ENOENT)
        _exit(1);
}

static struct fuse_attr attributes(struct server *s, uint64_t node)
{
    struct fuse_attr attr = {
        .ino = node, .mode = S_IFDIR | 0700, .nlink = 2, .blksize = 4096};
    if (node >= FIRST_FILE) {
        attr.mode = S_IFREG | 0600;
        attr.nlink = 1;
        attr.size = s->folder->files[node - FIRST_FILE].size;
        attr.blocks = attr.size / 512;
    }
    return attr;
}

static void answer_init(struct server *s)
{
    const struct fuse_init_in *in = s->body;
    const struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = 0,
        .flags = in->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES),
        .max_background = 16,
        .congestion_threshold = 12,
        .max_write = WRITE_MAX,
        .max_pages = WRITE_MAX / 4096};
    answer(s, 0, &out, sizeof out);
}

static void answer_lookup(struct server *s)
{
    struct fuse_entry_out out = {.entry_valid = VALID_S, .attr_valid = VALID_S};
    for (unsigned i = 0; i < s->folder->count; i++) {
        if (strcmp(s->folder->files[i].name, s->body) != 0)
            continue;
        out.nodeid = FIRST_FILE + i;
        out.attr = attributes(s, out.nodeid);
        answer(s, 0, &out, sizeof out);
        return;
    }
    answer(s, ENOENT, NULL, 0);
}

static void answer_attributes(struct server *s)
{
    const struct fuse_attr_out out = {.attr_valid = VALID_S,
                                      .attr = attributes(s, s->in->nodeid)};
    answer(s, 0, &out, sizeof out);
}

static const struct fuse_file *file_of(struct server *s)
{
    return &s->folder->files[s->in->nodeid - FIRST_FILE];
}

static void answer_read(struct server *s)
{
    const struct fuse_read_in *in = s->body;
    const struct fuse_file *file = file_of(s);
    uint32_t size = in->size < WRITE_MAX ? in->size : WRITE_MAX;
    if (in->offset >= file->size)
        size = 0;
    else if (file->size - in->offset < size)
        size = (uint32_t)(file->size - in->offset);
    int error = file->read(s->folder->context, in->offset, s->buffer, size);
    answer(s, error, s->buffer, error ? 0 : size);
}

static void answer_write(struct server *s)
{
    const struct fuse_write_in *in = s->body;
    const struct fuse_write_out out = {.size = in->size};
    int error =
        file_of(s)->write(s->folder->context, in->offset, in + 1, in->size);
    answer(s, error, &out, error ? 0 : sizeof out);
}

static void answer_one(struct server *s)
{
    static const struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};
    static const struct fuse_statfs_out statistics = {
        .st = {.bsize = 4096, .frsize = 4096, .namelen = 255}};
    switch (s->in->opcode) {
    case FUSE_INIT:
        answer_init(s);
        return;
    case FUSE_LOOKUP:
        answer_lookup(s);
        return;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        answer_attributes(s);
        return;
    case FUSE_OPEN:
        answer(s, 0, &opened, sizeof opened);
        return;
    case FUSE_READ:
        answer_read(s);
        return;
    case FUSE_WRITE:
        answer_write(s);
        return;
    case FUSE_FSYNC:
        answer(s, file_of(s)->sync(s->folder->context), NULL, 0);
        return;
    case FUSE_STATFS:
        answer(s, 0, &statistics, sizeof statistics);
        return;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
        answer(s, 0, NULL, 0);
        return;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        return;
    default:
        answer(s, ENOSYS, NULL, 0);
    }
}

/* --- the serving process ------------------------------------------------- */

static void serve(const struct fuse_folder *folder, int fd)
{
    char *question = malloc(BUFFER_SIZE), *buffer = malloc(WRITE_MAX);
    if (!question || !buffer)
        _exit(1);
    struct server server = {.folder = folder,
                            .fd = fd,
                            .in = (void *)question,
                            .body = question + sizeof *server.in,
                            .buffer = buffer};
    for (;;) {
        ssize_t size = read(fd, question, BUFFER_SIZE);
        if (size < 0 && (errno == EINTR || errno == ENOENT))
            continue;
        if (size < (ssize_t)sizeof *server.in)
            _exit(0);
        if (!folder->mute || server.in->opcode == FUSE_INIT)
            answer_one(&server);
    }
}

static pid_t start_server(const struct fuse_folder *folder, int fd)
{
    pid_t parent = getpid(), server = fork();
    if (server != 0)
        return server;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    serve(folder, fd);
    _exit(0);
}

/* --- the mount ----------------------------------------------------------- */

/* Nobody else must come upon a folder that may not answer. */
static void hide_mounts(void)
{
    static bool hidden;
    if (hidden)
        return;
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        harness_fail("no mount namespace: %s", strerror(errno));
    hidden = true;
}

static void end(void *argument)
{
    struct served *served = argument;
    if (!served->server)
        return;
    kill(served->server, SIGKILL);
    waitpid(served->server, NULL, 0);
    served->server = 0;
    umount2(served->path, MNT_DETACH);
}

const char *fuse_mount(struct harness *harness,
                       const struct fuse_folder *folder)
{
    static unsigned count;
    struct served *served = harness_alloc(harness, sizeof *served);
    char options[96];
    hide_mounts();
    served->path = harness_path(harness, "fuse-%u", ++count);
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    if (fd < 0 || mkdir(served->path, 0700) != 0 ||
        mount("nzd-test", served->path, "fuse", MS_NOSUID | MS_NODEV,
              options) != 0)
        harness_fail("%s: %s", served->path, strerror(errno));
    served->server = start_server(folder, fd);
    close(fd);
    if (served->server < 0)
        harness_fail("fork: %s", strerror(errno));
    harness_at_close(harness, end, served);
    return served->path;
}

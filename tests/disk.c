/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512u
/* Of an ext4: two sectors with one checksum, which the kernel writes in place
 * and nobody can mount it without. They count as one. */
#define SUPER_AT 1024u
#define SUPER_TO 2048u
#define BLOCK    4096u
#define TEXT_MAX 256u /* of a mark */

enum kind { WRITE = 1, FLUSH, MARK };

struct head {
    uint32_t kind;
    uint32_t size; /* bytes behind it */
    uint64_t offset;
};

struct entry {
    struct head head;
    const uint8_t *data;
    const char *text; /* of a mark */
};

struct disk {
    struct harness *harness;
    struct fuse_file files[2];
    struct fuse_folder folder;
    const char *path;
    const char *marks;
    int content; /* what is on it now */
    int log;
    size_t size;
    /* What was read of the log so far. */
    uint8_t *bytes;
    size_t bytes_size;
    struct entry *entries;
    size_t count;
    /* States. */
    const uint8_t *first; /* as it was opened */
    uint8_t *certain;
    size_t certain_to; /* the entries before this one are over */
    uint8_t *state;
};

/* --- in the serving process ---------------------------------------------- */

static int append(struct disk *disk, enum kind kind, uint64_t offset,
                  const void *data, uint32_t size)
{
    struct head head = {.kind = kind, .size = size, .offset = offset};
    struct iovec parts[2] = {{&head, sizeof head},
                             {(void *)(uintptr_t)data, size}};
    ssize_t wanted = (ssize_t)(sizeof head + size);
    return writev(disk->log, parts, 2) == wanted ? 0 : EIO;
}

static int read_content(void *context, uint64_t offset, void *data,
                        uint32_t size)
{
    struct disk *disk = context;
    return pread(disk->content, data, size, (off_t)offset) == (ssize_t)size
               ? 0
               : EIO;
}

static int write_content(void *context, uint64_t offset, const void *data,
                         uint32_t size)
{
    struct disk *disk = context;
    if (offset > disk->size || size > disk->size - offset)
        return ENOSPC;
    if (append(disk, WRITE, offset, data, size) != 0)
        return EIO;
    return pwrite(disk->content, data, size, (off_t)offset) == (ssize_t)size
               ? 0
               : EIO;
}

static int flush(void *context)
{
    return append(context, FLUSH, 0, NULL, 0);
}

static int read_marks(void *context, uint64_t offset, void *data, uint32_t size)
{
    (void)context;
    (void)offset;
    memset(data, 0, size);
    return 0;
}

static int write_mark(void *context, uint64_t offset, const void *data,
                      uint32_t size)
{
    (void)offset;
    return append(context, MARK, 0, data, size);
}

static int sync_marks(void *context)
{
    (void)context;
    return 0;
}

/* --- opening ------------------------------------------------------------- */

static void *map(struct disk *disk, int fd)
{
    void *at = mmap(NULL, disk->size, PROT_READ | PROT_WRITE,
                    fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        harness_fail("mmap: %s", strerror(errno));
    return at;
}

static void drop(void *argument)
{
    struct disk *disk = argument;
    close(disk->content);
    close(disk->log);
    free(disk->bytes);
    free(disk->entries);
    munmap((void *)(uintptr_t)disk->first, disk->size);
    munmap(disk->certain, disk->size);
    munmap(disk->state, disk->size);
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        harness_fail("%s: %s", path, strerror(errno));
    return fd;
}

static void open_images(struct disk *disk, const char *image, unsigned number)
{
    struct harness *harness = disk->harness;
    const char *first = harness_path(harness, "disk-%u.first", number);
    const char *content = harness_path(harness, "disk-%u", number);
    struct stat file;
    harness_copy(harness, image, first);
    harness_copy(harness, image, content);
    int fd = open_file(first, 0);
    if (fstat(fd, &file) != 0)
        harness_fail("%s: %s", first, strerror(errno));
    disk->size = (size_t)file.st_size;
    disk->first = map(disk, fd);
    close(fd);
    disk->content = open_file(content, 0);
    disk->log = open_file(harness_path(harness, "disk-%u.log", number),
                          O_CREAT | O_APPEND);
    disk->certain = map(disk, -1);
    disk->state = map(disk, -1);
    memcpy(disk->certain, disk->first, disk->size);
}

struct disk *disk_open(struct harness *harness, const char *image)
{
    static unsigned count;
    struct disk *disk = harness_alloc(harness, sizeof *disk);
    disk->harness = harness;
    open_images(disk, image, ++count);
    harness_at_close(harness, drop, disk);
    disk->files[0] = (struct fuse_file){"disk", disk->size, read_content,
                                        write_content, flush};
    disk->files[1] =
        (struct fuse_file){"marks", 0, read_marks, write_mark, sync_marks};
    disk->folder = (struct fuse_folder){disk->files, 2, disk, false};
    const char *folder = fuse_mount(harness, &disk->folder);
    disk->path = harness_text(harness, "%s/disk", folder);
    disk->marks = harness_text(harness, "%s/marks", folder);
    return disk;
}

const char *disk_path(const struct disk *disk)
{
    return disk->path;
}

const char *disk_marks(const struct disk *disk)
{
    return disk->marks;
}

void disk_mark(struct disk *disk, const char *text)
{
    int fd = open(disk->marks, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        harness_fail("%s: %s", disk->marks, strerror(errno));
    close(fd);
}

/* --- the log ------------------------------------------------------------- */

static void read_log(struct disk *disk)
{
    struct stat file;
    if (fstat(disk->log, &file) != 0)
        harness_fail("the log of the disk: %s", strerror(errno));
    free(disk->bytes);
    disk->bytes_size = (size_t)file.st_size;
    disk->bytes = malloc(disk->bytes_size + 1);
    if (!disk->bytes || pread(disk->log, disk->bytes, disk->bytes_size, 0) !=
                            (ssize_t)disk->bytes_size)
        harness_fail("the log of the disk cannot be read");
}

static void add_entry(struct disk *disk, const struct head *head,
                      const uint8_t *data)
{
    if (disk->count % 1024 == 0) {
        disk->entries = realloc(disk->entries,
                                (disk->count + 1024) * sizeof *disk->entries);
        if (!disk->entries)
            harness_fail("no memory for the log of the disk");
    }
    struct entry *entry = &disk->entries[disk->count++];
    *entry = (struct entry){.head = *head, .data = data};
    if (head->kind == MARK)
        entry->text = harness_text(
            disk->harness, "%.*s",
            (int)(head->size < TEXT_MAX ? head->size : TEXT_MAX), data);
}

size_t disk_count(struct disk *disk)
{
    struct head head;
    read_log(disk);
    disk->count = 0;
    for (size_t at = 0; at + sizeof head <= disk->bytes_size;
         at += sizeof head + head.size) {
        memcpy(&head, disk->bytes + at, sizeof head);
        if (head.size > disk->bytes_size - at - sizeof head)
            harness_fail("the log of the disk is cut off");
        add_entry(disk, &head, disk->bytes + at + sizeof head);
    }
    return disk->count;
}

const char *disk_mark_at(const struct disk *disk, size_t at)
{
    return at < disk->count ? disk->entries[at].text : NULL;
}

bool disk_is_flush(const struct disk *disk, size_t at)
{
    return at < disk->count && disk->entries[at].head.kind == FLUSH;
}

bool disk_is_open(const struct disk *disk, size_t cut)
{
    if (cut < disk->count && disk->entries[cut].head.kind == WRITE)
        return true;
    while (cut > 0 && !disk_is_flush(disk, cut - 1))
        if (disk->entries[--cut].head.kind == WRITE)
            return true;
    return false;
}

/* --- states -------------------------------------------------------------- */

/* xorshift64*. */
static unsigned random_below(uint64_t *seed, unsigned below)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (unsigned)((*seed * 2685821657736338717u) >> 33) % below;
}

static void put(uint8_t *to, const struct entry *entry)
{
    if (entry->head.kind == WRITE)
        memcpy(to + entry->head.offset, entry->data, entry->head.size);
}

/* Pieces of it, each with this chance of `of` to be there. */
static void put_pieces(uint8_t *to, const struct entry *entry, unsigned piece,
                       unsigned chance, unsigned of, uint64_t *seed)
{
    uint32_t size;
    for (uint32_t at = 0; at < entry->head.size; at += size) {
        uint32_t left = entry->head.size - at;
        size = entry->head.offset + at == SUPER_AT ? SUPER_TO - SUPER_AT : 0;
        size = size > piece ? size : piece;
        size = size < left ? size : left;
        if (random_below(seed, of) < chance)
            memcpy(to + entry->head.offset + at, entry->data + at, size);
    }
}

/* The first entry that is not certain. */
static size_t first_open(const struct disk *disk, size_t cut, size_t lies_from)
{
    size_t at = cut;
    while (at > 0 && (!disk_is_flush(disk, at - 1) || at - 1 >= lies_from))
        at--;
    return at;
}

static void make_certain(struct disk *disk, size_t to)
{
    if (disk->certain_to > to) {
        memcpy(disk->certain, disk->first, disk->size);
        disk->certain_to = 0;
    }
    for (; disk->certain_to < to; disk->certain_to++)
        put(disk->certain, &disk->entries[disk->certain_to]);
}

/* Each state has its own measure of what is lost, and in what pieces. */
static void put_some(struct disk *disk, size_t from, size_t cut, uint64_t seed)
{
    static const unsigned pieces[] = {SECTOR, BLOCK, UINT32_MAX / 2};
    seed = seed * 2 + 1;
    for (int i = 0; i < 8; i++)
        random_below(&seed, 2);
    unsigned chance = 1 + random_below(&seed, 7);
    unsigned piece = pieces[random_below(&seed, 3)];
    for (size_t i = from; i < cut; i++)
        if (disk->entries[i].head.kind == WRITE)
            put_pieces(disk->state, &disk->entries[i], piece, chance, 8, &seed);
}

struct nzd_digest disk_cut(struct disk *disk, size_t cut,
                           struct disk_choice choice)
{
    size_t from = first_open(disk, cut, choice.lies_from);
    make_certain(disk, from);
    memcpy(disk->state, disk->certain, disk->size);
    if (choice.keep == DISK_ALL)
        for (size_t i = from; i < cut; i++)
            put(disk->state, &disk->entries[i]);
    else if (choice.keep == DISK_RANDOM)
        put_some(disk, from, cut < disk->count ? cut + 1 : cut, choice.seed);
    return nzd_digest_of((struct nzd_view){disk->state, disk->size});
}

void disk_write(const struct disk *disk, const char *image)
{
    static const uint8_t zeros[BLOCK];
    unlink(image);
    int fd = open_file(image, O_CREAT | O_EXCL);
    if (ftruncate(fd, (off_t)disk->size) != 0)
        harness_fail("%s: %s", image, strerror(errno));
    for (size_t at = 0; at + BLOCK <= disk->size; at += BLOCK) {
        if (memcmp(disk->state + at, zeros, BLOCK) != 0 &&
            pwrite(fd, disk->state + at, BLOCK, (off_t)at) != BLOCK)
            harness_fail("%s: %s", image, strerror(errno));
    }
    close(fd);
}

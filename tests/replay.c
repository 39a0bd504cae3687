/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include "harness.h"
#include "recording.h"
#include "replay_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define NEVER  SIZE_MAX
#define LATE   24u /* of a directory at most so many last entries are lost */

/* One entry of the log. `place` says which changes keep their order: an index
 * of a file or of a directory. */
struct op {
    enum recording_kind kind;
    bool durable;
    uint64_t offset;
    const uint8_t *data;
    size_t size;
    char *name;
    char *other;
    size_t place;
    size_t certain; /* the entry whose end makes it certain, or NEVER */
    bool folded;    /* into the base */
};

struct replay {
    uint8_t *log;
    struct op *ops;
    size_t count;
    uint64_t *inodes; /* of each file, in the order they were made */
    size_t files;
    char **directories;
    size_t directory_count;
    struct replay_image *base;
    size_t folded; /* the cut that the base was made for */
};

static bool is_content(const struct op *op)
{
    return op->kind == RECORDING_WRITE || op->kind == RECORDING_TRUNCATE ||
           op->kind == RECORDING_LENGTHEN || op->kind == RECORDING_MAP;
}

static bool is_name(const struct op *op)
{
    return op->kind == RECORDING_MAKE_DIRECTORY ||
           op->kind == RECORDING_CREATE || op->kind == RECORDING_RENAME ||
           op->kind == RECORDING_REMOVE;
}

/* --- reading the log ----------------------------------------------------- */

static size_t directory_index(struct replay *replay, const char *path,
                              size_t size)
{
    for (size_t i = 0; i < replay->directory_count; i++) {
        const char *known = replay->directories[i];
        if (strlen(known) == size && memcmp(known, path, size) == 0)
            return i;
    }
    replay->directories =
        realloc(replay->directories,
                (replay->directory_count + 1) * sizeof *replay->directories);
    if (!replay->directories)
        abort();
    replay->directories[replay->directory_count] = strndup(path, size);
    return replay->directory_count++;
}

static size_t parent_index(struct replay *replay, const char *path)
{
    const char *slash = strrchr(path, '/');
    return directory_index(replay, path, slash ? (size_t)(slash - path) : 0);
}

static size_t file_index(struct replay *replay, uint64_t inode)
{
    for (size_t i = replay->files; i > 0; i--) {
        if (replay->inodes[i - 1] == inode)
            return i - 1;
    }
    harness_fail("the log writes a file that it did not make");
}

static size_t new_file(struct replay *replay, uint64_t inode)
{
    replay->inodes =
        realloc(replay->inodes, (replay->files + 1) * sizeof *replay->inodes);
    if (!replay->inodes)
        abort();
    replay->inodes[replay->files] = inode;
    return replay->files++;
}

/* An entry's place; of a new file `offset` becomes its index. */
static void place(struct replay *replay, struct op *op, uint64_t inode)
{
    if (op->kind == RECORDING_CREATE)
        op->offset = new_file(replay, inode);
    if (is_name(op))
        op->place = parent_index(replay, op->name);
    else if (op->kind == RECORDING_SYNC_DIRECTORY)
        op->place = directory_index(replay, op->name, strlen(op->name));
    else if (op->kind != RECORDING_MARK)
        op->place = file_index(replay, inode);
    if (op->kind == RECORDING_RENAME &&
        parent_index(replay, op->other) != op->place)
        harness_fail("%s goes to another directory", op->name);
}

static size_t read_op(struct replay *replay, const uint8_t *at, size_t left)
{
    struct recording_entry entry;
    struct op *op;
    size_t size = sizeof entry;
    if (left >= size) {
        memcpy(&entry, at, sizeof entry);
        size += entry.name_size + entry.other_size + entry.data_size;
    }
    if (left < size)
        harness_fail("the log ends within an entry");
    replay->ops = realloc(replay->ops, (replay->count + 1) * sizeof *op);
    if (!replay->ops)
        abort();
    op = &replay->ops[replay->count++];
    at += sizeof entry;
    *op = (struct op){
        .kind = entry.kind,
        .durable = entry.durable,
        .offset = entry.offset,
        .name = strndup((const char *)at, entry.name_size),
        .other = strndup((const char *)at + entry.name_size, entry.other_size),
        .data = at + entry.name_size + entry.other_size,
        .size = entry.data_size,
        .certain = NEVER,
    };
    if (op->kind == RECORDING_MARK) {
        free(op->name);
        op->name = strndup((const char *)op->data, op->size);
    }
    place(replay, op, entry.inode);
    return size;
}

/* Every change before a sync of its place. */
static void find_certain(struct replay *replay)
{
    for (size_t i = 0; i < replay->count; i++) {
        struct op *op = &replay->ops[i];
        if (is_content(op) && op->durable)
            op->certain = i;
        for (size_t j = 0; j < i; j++) {
            struct op *before = &replay->ops[j];
            bool covers =
                (op->kind == RECORDING_SYNC_FILE && is_content(before)) ||
                (op->kind == RECORDING_SYNC_DIRECTORY && is_name(before));
            if (covers && before->place == op->place &&
                before->certain == NEVER)
                before->certain = i;
        }
    }
}

struct replay *replay_open(const char *log)
{
    struct replay *replay = calloc(1, sizeof *replay);
    struct stat file;
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (!replay || fd < 0 || fstat(fd, &file) != 0)
        harness_fail("%s: %s", log, strerror(errno));
    replay->log = malloc((size_t)file.st_size + 1);
    for (off_t done = 0; done < file.st_size;) {
        ssize_t part = read(fd, replay->log + done, file.st_size - done);
        if (part <= 0)
            harness_fail("%s: %s", log, strerror(errno));
        done += part;
    }
    close(fd);
    for (size_t at = 0; at < (size_t)file.st_size;)
        at += read_op(replay, replay->log + at, (size_t)file.st_size - at);
    find_certain(replay);
    replay->base = replay_image_new(replay->files);
    return replay;
}

void replay_close(struct replay *replay)
{
    if (!replay)
        return;
    for (size_t i = 0; i < replay->count; i++) {
        free(replay->ops[i].name);
        free(replay->ops[i].other);
    }
    for (size_t i = 0; i < replay->directory_count; i++)
        free(replay->directories[i]);
    replay_free(replay->base);
    free(replay->directories);
    free(replay->inodes);
    free(replay->ops);
    free(replay->log);
    free(replay);
}

size_t replay_count(const struct replay *replay)
{
    return replay->count;
}

const char *replay_mark(const struct replay *replay, size_t at)
{
    const struct op *op = &replay->ops[at];
    return op->kind == RECORDING_MARK ? op->name : NULL;
}

bool replay_is_rename(const struct replay *replay, size_t at)
{
    return replay->ops[at].kind == RECORDING_RENAME;
}

/* The entries of a cut: all that are over and the one under way. */
static size_t entries(const struct replay *replay, size_t cut)
{
    return cut < replay->count ? cut + 1 : replay->count;
}

static bool is_certain(const struct op *op, size_t cut)
{
    return op->certain < cut;
}

bool replay_is_open(const struct replay *replay, size_t cut)
{
    for (size_t i = 0; i < entries(replay, cut); i++) {
        const struct op *op = &replay->ops[i];
        if ((is_content(op) || is_name(op)) && !is_certain(op, cut))
            return true;
    }
    return false;
}

size_t replay_mapped(const struct replay *replay)
{
    size_t count = 0;
    for (size_t i = 0; i < replay->count; i++) {
        const struct op *op = &replay->ops[i];
        bool lock = false;
        for (size_t j = 0; j < i; j++) {
            const struct op *made = &replay->ops[j];
            lock |=
                made->kind == RECORDING_CREATE && made->offset == op->place &&
                strcmp(strrchr(made->name, '/') ? strrchr(made->name, '/') : "",
                       "/lock.mdb") == 0;
        }
        count += op->kind == RECORDING_MAP && !lock;
    }
    return count;
}

/* --- what is kept -------------------------------------------------------- */

/* splitmix64: the same for the same arguments. */
static uint64_t dice(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t value = seed ^ (a * 0x9e3779b97f4a7c15u) ^ (b << 32);
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

/* Of each random choice: how likely something is kept, in eighths, and
 * whether writes are torn at all. */
static bool is_kept(struct replay_choice choice, size_t at, uint64_t sector)
{
    static const unsigned likely[4] = {1, 4, 4, 7};
    bool torn = choice.seed & 4;
    return (dice(choice.seed, at, torn ? sector + 1 : 0) & 7) <
           likely[choice.seed & 3];
}

static bool keeps_content(struct replay_choice choice, size_t at,
                          uint64_t sector)
{
    if (choice.keep == REPLAY_RANDOM)
        return is_kept(choice, at, sector);
    return choice.keep == REPLAY_ALL || choice.keep == REPLAY_CONTENTS;
}

/* Of a directory the first changes: those before one of the last entries. */
static bool keeps_name(struct replay_choice choice, const struct op *op,
                       size_t at, size_t count)
{
    if (choice.keep == REPLAY_RANDOM)
        return at + dice(choice.seed, ~(uint64_t)op->place, 7) % LATE < count;
    return choice.keep == REPLAY_ALL || choice.keep == REPLAY_NAMES;
}

/* --- applying ------------------------------------------------------------ */

static void apply_name(struct replay_image *image, const struct op *op)
{
    if (op->kind == RECORDING_MAKE_DIRECTORY)
        replay_image_add(image, op->name, REPLAY_DIRECTORY);
    else if (op->kind == RECORDING_CREATE)
        replay_image_add(image, op->name, op->offset);
    else if (op->kind == RECORDING_RENAME)
        replay_image_rename(image, op->name, op->other);
    else
        replay_image_remove(image, op->name);
}

static void apply_content(struct replay_image *image, const struct op *op)
{
    struct replay_file *file = replay_image_file(image, op->place);
    if (op->kind == RECORDING_WRITE)
        replay_file_put(file, op->offset, op->data, op->size);
    else if (op->kind == RECORDING_TRUNCATE)
        replay_file_resize(file, op->offset);
    else if (op->kind == RECORDING_LENGTHEN && file->size < op->offset)
        replay_file_resize(file, op->offset);
}

static void scribble(struct replay_file *file, uint64_t from, uint64_t to,
                     uint64_t seed)
{
    for (uint64_t i = from; i < to; i++)
        file->data[i] = (uint8_t)dice(seed, i / 8, i % 8);
}

/* What a write that was not synced leaves, sector by sector. */
static void tear(struct replay_image *image, const struct op *op, size_t at,
                 struct replay_choice choice)
{
    struct replay_file *file = replay_image_file(image, op->place);
    uint64_t before = file->size, end = op->offset + op->size, next;
    bool long_enough = dice(choice.seed, at, ~(uint64_t)0) & 1;
    bool garbage = choice.keep == REPLAY_RANDOM && (choice.seed & 8);
    if (choice.keep == REPLAY_RANDOM && long_enough && before < end) {
        replay_file_resize(file, end);
        if (garbage)
            scribble(file, before, end, choice.seed);
    }
    for (uint64_t from = op->offset; from < end; from = next) {
        next = (from / SECTOR + 1) * SECTOR;
        if (next > end)
            next = end;
        if (keeps_content(choice, at, from / SECTOR))
            replay_file_put(file, from, op->data + (from - op->offset),
                            (size_t)(next - from));
    }
}

static void apply(const struct replay *replay, struct replay_image *image,
                  size_t at, size_t cut, struct replay_choice choice)
{
    const struct op *op = &replay->ops[at];
    bool certain = is_certain(op, cut);
    struct replay_file *file;
    if (is_name(op)) {
        if (certain || keeps_name(choice, op, at, entries(replay, cut)))
            apply_name(image, op);
    } else if (op->kind == RECORDING_MAP) {
        file = replay_image_file(image, op->place);
        if (choice.keep == REPLAY_RANDOM)
            scribble(file, 0, file->size, choice.seed);
    } else if (op->kind == RECORDING_WRITE && !certain) {
        tear(image, op, at, choice);
    } else if (is_content(op) && (certain || keeps_content(choice, at, 0))) {
        apply_content(image, op);
    }
}

/* --- images -------------------------------------------------------------- */

static bool has_blocked(const struct replay *replay, size_t at)
{
    const struct op *op = &replay->ops[at];
    for (size_t i = 0; i < at; i++) {
        const struct op *before = &replay->ops[i];
        if (!before->folded && before->place == op->place &&
            is_name(before) == is_name(op) &&
            (is_name(before) || is_content(before)))
            return true;
    }
    return false;
}

/* Into the base goes what is certain, and whatever else was done before at
 * that place too: from there on it is the same for every choice. */
static void fold(struct replay *replay, size_t cut)
{
    const struct replay_choice all = {REPLAY_ALL, 0};
    if (cut < replay->folded) {
        replay_free(replay->base);
        replay->base = replay_image_new(replay->files);
        for (size_t i = 0; i < replay->count; i++)
            replay->ops[i].folded = false;
    }
    replay->folded = cut;
    for (size_t i = 0; i < entries(replay, cut); i++) {
        struct op *op = &replay->ops[i];
        if (op->folded || op->kind == RECORDING_MAP ||
            !(is_name(op) || is_content(op)) || !is_certain(op, cut) ||
            has_blocked(replay, i))
            continue;
        apply(replay, replay->base, i, cut, all);
        op->folded = true;
    }
}

struct replay_image *replay_make(struct replay *replay, size_t cut,
                                 struct replay_choice choice)
{
    struct replay_image *image;
    fold(replay, cut);
    image = replay_image_copy(replay->base);
    for (size_t i = 0; i < entries(replay, cut); i++) {
        if (!replay->ops[i].folded)
            apply(replay, image, i, cut, choice);
    }
    return image;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_image.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct name {
    char *path;
    size_t file;
};

struct replay_image {
    struct replay_file *files;
    size_t file_count;
    struct name *names; /* sorted: a directory before what is in it */
    size_t name_count;
};

static void *allocated(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

struct replay_image *replay_image_new(size_t files)
{
    struct replay_image *image = allocated(calloc(1, sizeof *image));
    image->files = allocated(calloc(files + 1, sizeof *image->files));
    image->file_count = files;
    return image;
}

struct replay_image *replay_image_copy(const struct replay_image *image)
{
    struct replay_image *copy = replay_image_new(image->file_count);
    for (size_t i = 0; i < image->file_count; i++)
        replay_file_put(&copy->files[i], 0, image->files[i].data,
                        image->files[i].size);
    for (size_t i = 0; i < image->name_count; i++)
        replay_image_add(copy, image->names[i].path, image->names[i].file);
    return copy;
}

void replay_free(struct replay_image *image)
{
    if (!image)
        return;
    for (size_t i = 0; i < image->file_count; i++)
        free(image->files[i].data);
    for (size_t i = 0; i < image->name_count; i++)
        free(image->names[i].path);
    free(image->files);
    free(image->names);
    free(image);
}

/* --- contents ------------------------------------------------------------ */

struct replay_file *replay_image_file(struct replay_image *image, size_t file)
{
    return &image->files[file];
}

void replay_file_resize(struct replay_file *file, uint64_t size)
{
    if (size > file->size) {
        file->data = allocated(realloc(file->data, (size_t)size));
        memset(file->data + file->size, 0, (size_t)size - file->size);
    }
    file->size = (size_t)size;
}

void replay_file_put(struct replay_file *file, uint64_t offset,
                     const uint8_t *data, size_t size)
{
    if (size == 0)
        return;
    if (offset + size > file->size)
        replay_file_resize(file, offset + size);
    memcpy(file->data + offset, data, size);
}

/* --- names --------------------------------------------------------------- */

static struct name *find(const struct replay_image *image, const char *path,
                         size_t size)
{
    for (size_t i = 0; i < image->name_count; i++) {
        struct name *name = &image->names[i];
        if (strncmp(name->path, path, size) == 0 && name->path[size] == '\0')
            return name;
    }
    return NULL;
}

void replay_image_remove(struct replay_image *image, const char *path)
{
    struct name *name = find(image, path, strlen(path));
    if (!name)
        return;
    free(name->path);
    image->name_count--;
    memmove(name, name + 1,
            (size_t)(image->names + image->name_count - name) * sizeof *name);
}

void replay_image_add(struct replay_image *image, const char *path, size_t file)
{
    size_t at = 0;
    replay_image_remove(image, path);
    image->names = allocated(reallocarray(image->names, image->name_count + 1,
                                          sizeof *image->names));
    while (at < image->name_count && strcmp(image->names[at].path, path) < 0)
        at++;
    memmove(image->names + at + 1, image->names + at,
            (image->name_count - at) * sizeof *image->names);
    image->names[at] = (struct name){allocated(strdup(path)), file};
    image->name_count++;
}

/* A directory takes along what is in it. */
void replay_image_rename(struct replay_image *image, const char *path,
                         const char *other)
{
    size_t size = strlen(path);
    for (size_t i = 0; i < image->name_count;) {
        struct name *name = &image->names[i];
        char after[PATH_MAX];
        if (strncmp(name->path, path, size) != 0 ||
            (name->path[size] != '\0' && name->path[size] != '/')) {
            i++;
            continue;
        }
        snprintf(after, sizeof after, "%s%s", other, name->path + size);
        size_t file = name->file;
        replay_image_remove(image, name->path);
        replay_image_add(image, after, file);
        i = 0;
    }
}

/* Whether all directories that lead to it are there. */
static bool is_reachable(const struct replay_image *image, const char *path)
{
    for (const char *slash = strchr(path, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        if (!find(image, path, (size_t)(slash - path)))
            return false;
    }
    return true;
}

/* --- out of memory ------------------------------------------------------- */

struct nzd_digest replay_digest(const struct replay_image *image)
{
    struct nzd_buf text = {0};
    struct nzd_digest digest;
    for (size_t i = 0; i < image->name_count; i++) {
        const struct name *name = &image->names[i];
        if (!is_reachable(image, name->path))
            continue;
        nzd_buf_bytes(&text, name->path, strlen(name->path) + 1);
        if (name->file == REPLAY_DIRECTORY)
            continue;
        digest = nzd_digest_of(nzd_view_of(image->files[name->file].data,
                                           image->files[name->file].size));
        nzd_buf_bytes(&text, digest.bytes, sizeof digest.bytes);
    }
    digest = nzd_digest_of(nzd_buf_view(&text));
    nzd_buf_clear(&text);
    return digest;
}

static int remove_one(const char *path, const struct stat *file, int type,
                      struct FTW *at)
{
    (void)file;
    (void)type;
    return at->level > 0 ? remove(path) : 0;
}

static void write_file(const char *path, const struct replay_file *file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t done = 0;
    while (fd >= 0 && done < file->size) {
        ssize_t part = write(fd, file->data + done, file->size - done);
        if (part < 0)
            break;
        done += (size_t)part;
    }
    if (fd < 0 || done < file->size)
        harness_fail("%s: %s", path, strerror(errno));
    close(fd);
}

void replay_write(const struct replay_image *image, const char *folder)
{
    char path[PATH_MAX];
    if (mkdir(folder, 0700) != 0 &&
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        harness_fail("%s: %s", folder, strerror(errno));
    for (size_t i = 0; i < image->name_count; i++) {
        const struct name *name = &image->names[i];
        if (!is_reachable(image, name->path))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, name->path);
        if (name->file != REPLAY_DIRECTORY)
            write_file(path, &image->files[name->file]);
        else if (mkdir(path, 0700) != 0)
            harness_fail("%s: %s", path, strerror(errno));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS 4
#define BLOCK 512 /* of a tar archive */

const char *fuzz_file(unsigned slot, struct nzd_view content)
{
    static int files[SLOTS] = {-1, -1, -1, -1};
    static char paths[SLOTS][32];

    fuzz_require(slot < SLOTS);
    if (files[slot] < 0) {
        files[slot] = memfd_create("fuzz", MFD_CLOEXEC);
        fuzz_require(files[slot] >= 0);
        (void)snprintf(paths[slot], sizeof(paths[slot]), "/proc/self/fd/%d",
                       files[slot]);
    }
    fuzz_require(ftruncate(files[slot], 0) == 0 &&
                 lseek(files[slot], 0, SEEK_SET) == 0 &&
                 nzd_write_all(files[slot], content.data, content.size) == 0);
    return paths[slot];
}

static char folder[32];

static int remove_one(const char *path, const struct stat *status, int kind,
                      struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_folder(void)
{
    if (!folder[0]) {
        (void)snprintf(folder, sizeof(folder), "%s/nzd-fuzz.XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        fuzz_require(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
    }
    return folder;
}

/* --- parts ------------------------------------------------------------- */

static void add_part(struct fuzz_parts *out, struct nzd_view name,
                     struct nzd_view content)
{
    struct fuzz_part *part;
    char *text;

    if (out->count == FUZZ_PARTS)
        return;
    part = &out->items[out->count++];
    part->name =
        nzd_arena_text(&out->arena, (const char *)name.data, name.size);
    text =
        nzd_arena_text(&out->arena, (const char *)content.data, content.size);
    fuzz_require(part->name && text);
    part->content = nzd_view_of(text, content.size);
}

/* The next line that begins a part, or NULL. */
static const uint8_t *next_mark(const uint8_t *at, const uint8_t *end)
{
    while ((at = memmem(at, (size_t)(end - at), "%%% ", 4))) {
        const uint8_t *line = memchr(at, '\n', (size_t)(end - at));

        if (line)
            return at;
        at += 4;
    }
    return NULL;
}

void fuzz_split(struct nzd_view input, struct fuzz_parts *out)
{
    const uint8_t *at = input.data;
    const uint8_t *end = at + input.size;
    struct nzd_view name = nzd_view_text("");

    memset(out, 0, sizeof(*out));
    while (at) {
        const uint8_t *mark = next_mark(at, end);
        const uint8_t *line;

        add_part(out, name,
                 nzd_view_of(at, (size_t)((mark ? mark : end) - at)));
        if (!mark)
            return;
        line = memchr(mark, '\n', (size_t)(end - mark));
        name = nzd_view_of(mark + 4, (size_t)(line - mark - 4));
        at = line + 1;
    }
}

void fuzz_parts_clear(struct fuzz_parts *parts)
{
    nzd_arena_clear(&parts->arena);
    parts->count = 0;
}

const char *fuzz_part(const struct fuzz_parts *parts, const char *name)
{
    for (unsigned i = 0; i < parts->count; i++)
        if (strcmp(parts->items[i].name, name) == 0)
            return (const char *)parts->items[i].content.data;
    return "";
}

char **fuzz_lines(struct nzd_arena *arena, const char *text, unsigned limit,
                  unsigned *count)
{
    char **lines = nzd_arena_alloc(arena, (limit + 1) * sizeof(*lines));

    fuzz_require(lines != NULL);
    *count = 0;
    while (*text && *count < limit) {
        size_t size = strcspn(text, "\n");

        lines[(*count)++] = nzd_arena_text(arena, text, size);
        text += size + (text[size] == '\n');
    }
    return lines;
}

/* --- tar --------------------------------------------------------------- */

static void put_header(const struct fuzz_part *part, struct nzd_buf *out)
{
    char header[BLOCK] = {0};
    unsigned sum = 0;

    (void)snprintf(header, 100, "%s", part->name);
    (void)snprintf(header + 100, 8, "%07o", 0755);
    (void)snprintf(header + 124, 12, "%011zo", part->content.size);
    (void)snprintf(header + 136, 12, "%011o", 0);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    (void)snprintf(header + 148, 8, "%06o", sum);
    nzd_buf_bytes(out, header, BLOCK);
}

void fuzz_tar(const struct fuzz_parts *parts, unsigned first, unsigned end,
              struct nzd_buf *out)
{
    static const char zeros[2 * BLOCK];

    for (unsigned i = first; i < end; i++) {
        const struct fuzz_part *part = &parts->items[i];

        put_header(part, out);
        nzd_buf_bytes(out, part->content.data, part->content.size);
        nzd_buf_bytes(out, zeros, (BLOCK - part->content.size % BLOCK) % BLOCK);
    }
    nzd_buf_bytes(out, zeros, sizeof(zeros));
}

/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A file that is given as a bundle: tar, plain or compressed. Besides memory
 * errors: every path that comes out is clean and none comes twice, and what is
 * read has the size that was said.
 */

#include "../staging/layout.h"
#include "../staging/limits.h"
#include "../staging/source.h"
#include "support.h"

#include <string.h>

#define CONTENT_MAX (1u << 20)
#define PATHS_MAX   64

static void check_path(const char *path)
{
    fuzz_require(path[0] && path[0] != '/');
    fuzz_require(strlen(path) <= NZD_LIMIT_PATH);
    fuzz_require(!strstr(path, "//") && strcmp(path, "..") != 0);
    fuzz_require(strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
    for (; *path; path++)
        fuzz_require((unsigned char)*path >= 0x20 && *path != 0x7f);
}

/* What a path means is a part of it. */
static void check_layout(const char *path)
{
    struct nzd_layout layout;

    nzd_layout_of(path, &layout);
    fuzz_require(layout.prefix <= strlen(path));
    if (layout.kind != NZD_LAYOUT_OTHER && layout.rest)
        fuzz_require(layout.rest >= path && layout.rest <= path + strlen(path));
    if (layout.kind == NZD_LAYOUT_MODULE)
        fuzz_require(layout.app.size > 0 && nzd_layout_enters(path));
    (void)nzd_layout_links(path);
}

static void check_new(struct nzd_arena *arena, const char **seen,
                      unsigned *count, const char *path)
{
    for (unsigned i = 0; i < *count; i++)
        fuzz_require(strcmp(seen[i], path) != 0);
    if (*count < PATHS_MAX)
        seen[(*count)++] = nzd_arena_text(arena, path, strlen(path));
}

static int take(struct nzd_source *source, unsigned number,
                struct nzd_source_entry *entry, struct nzd_buf *content,
                struct nzd_err *err)
{
    struct nzd_digest md5;
    uint64_t size = entry->size;
    int rc;

    if (number % 3 == 2)
        return 0;
    if (number % 3 == 1)
        return nzd_source_md5(source, &md5, err);
    rc = nzd_source_read(source, CONTENT_MAX, content, err);
    fuzz_require(rc < 0 || content->size == size);
    return rc;
}

static void read_all(struct nzd_source *source)
{
    const char *seen[PATHS_MAX];
    struct nzd_arena arena = {0};
    struct nzd_buf content = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_source_entry entry;
    unsigned count = 0;
    int rc;

    for (unsigned number = 0;; number++) {
        rc = nzd_source_next(source, &entry, &err);
        if (rc != 1)
            break;
        check_path(entry.path);
        check_layout(entry.path);
        check_new(&arena, seen, &count, entry.path);
        rc = take(source, number, &entry, &content, &err);
        if (rc < 0)
            break;
        fuzz_require(nzd_source_progress(source) <= 1000);
    }
    fuzz_require(rc == 0 || (rc == NZD_EBUNDLE && err.message[0]));
    nzd_buf_clear(&content);
    nzd_arena_clear(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(0, nzd_view_of(data, size));
    struct nzd_source *source = NULL;
    int rc = nzd_source_open(path, &source, NULL);

    fuzz_require(rc == 0 || rc == NZD_EBUNDLE);
    if (rc == 0)
        read_all(source);
    nzd_source_close(source);
    return 0;
}

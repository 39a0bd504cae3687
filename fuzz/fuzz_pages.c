/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/store.h"
#include "../journal/store_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The walk over LMDB's pages. The input is a list of edits to a store that is
 * made once: a page (u8), an offset in it (u16) and what to add to the byte
 * there (u8); a page past the last one cuts the file instead.
 */

#define PAGE 4096
#define ROWS 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *store;
static size_t store_size;

static int fill(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    static const uint8_t content[5000];
    char key[16];

    (void)context;
    for (int i = 0; i < ROWS; i++) {
        size_t size = i % 50 == 0 ? sizeof(content) : (size_t)i;

        (void)snprintf(key, sizeof(key), "key %d", i);
        if (nzd_store_put(txn, NZD_STORE_BLOB, nzd_view_text(key),
                          nzd_view_of(content, size), err) != NZD_OK)
            return err->code;
    }
    return NZD_OK;
}

static void load(const char *directory)
{
    char path[64];
    struct stat stat_;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", directory);
    file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &stat_) != 0)
        abort();
    store_size = (size_t)stat_.st_size;
    store = malloc(store_size);
    if (!store || fread(store, 1, store_size, file) != store_size)
        abort();
    (void)fclose(file);
    (void)unlink(path);
}

static void make_store(void)
{
    struct nzd_store_options options = {.max_bytes = 4 << 20, .no_sync = true};
    struct nzd_err err = NZD_ERR_INIT;
    char directory[] = "/tmp/nzd-fuzz.XXXXXX";

    if (!mkdtemp(directory) ||
        nzd_store_create(directory, &options, fill, NULL, &err) != NZD_OK)
        abort();
    load(directory);
    (void)rmdir(directory);
    if (nzd_store_pages(nzd_view_of(store, store_size), 1, &err) != NZD_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_reader reader;
    size_t left;
    uint8_t *copy;

    if (!store)
        make_store();
    left = store_size;
    copy = malloc(left);
    if (!copy)
        return 0;
    memcpy(copy, store, left);
    nzd_reader_init(&reader, nzd_view_of(data, size));
    while (reader.left >= 4) {
        size_t page = nzd_read_u8(&reader);
        size_t at = page * PAGE + nzd_read_u16(&reader) % PAGE;
        uint8_t add = nzd_read_u8(&reader);

        if (at < left)
            copy[at] = (uint8_t)(copy[at] + add);
        else if (at < store_size * 2)
            left = at - store_size < left ? at - store_size : left;
    }
    /* A copy of its size, so that reads past the end are seen. */
    copy = realloc(copy, left ? left : 1);
    if (!copy)
        abort();
    for (uint64_t txn = 1; txn < 4; txn++)
        (void)nzd_store_pages(nzd_view_of(copy, left), txn, NULL);
    free(copy);
    return 0;
}

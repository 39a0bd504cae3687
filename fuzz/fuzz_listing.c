/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the child that reads bundles answers, which a bundle may have taken
 * over: records, each behind its kind and its size (u32). Besides memory
 * errors: what is accepted is written, read again and the same.
 */

#include "../staging/listing.h"
#include "support.h"

#include <string.h>

static int put_record(void *context, enum nzd_listing_kind kind,
                      struct nzd_view record, struct nzd_err *err)
{
    struct nzd_buf *out = context;

    (void)err;
    nzd_buf_u8(out, (uint8_t)kind);
    nzd_buf_u32(out, (uint32_t)record.size);
    nzd_buf_bytes(out, record.data, record.size);
    return 0;
}

static bool read_all(struct nzd_view input, bool any_names,
                     struct nzd_inventory *out)
{
    struct nzd_listing_reader listing = {.out = out, .any_names = any_names};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_reader reader;
    int rc = 0;

    nzd_reader_init(&reader, input);
    while (rc == 0 && reader.left > 0 && !reader.failed) {
        enum nzd_listing_kind kind = nzd_read_u8(&reader);
        struct nzd_view record = nzd_read_block(&reader, NZD_LISTING_BYTES);

        if (!reader.failed)
            rc = nzd_listing_decode(&listing, kind, record, &err);
    }
    nzd_listing_clear(&listing);
    if (rc == 0)
        rc = nzd_inventory_sort(out, &err);
    fuzz_require(rc == 0 || (rc == NZD_EBUNDLE && err.message[0]));
    return rc == 0;
}

static void check_texts(const struct nzd_inventory *inventory)
{
    for (uint32_t i = 0; i < inventory->module_count; i++) {
        const struct nzd_module *module = &inventory->modules[i];

        fuzz_require(module->name && module->app && module->path);
        fuzz_require(!(module->flags & NZD_MODULE_DETAILED) || module->beam);
    }
    for (uint32_t i = 0; i < inventory->app_count; i++)
        fuzz_require(inventory->apps[i].name && inventory->apps[i].version);
    for (uint32_t i = 0; i < inventory->priv_count; i++)
        fuzz_require(inventory->priv[i].path && inventory->priv[i].app);
    fuzz_require(inventory->release && inventory->version && inventory->erts);
}

static void check_again(const struct nzd_inventory *inventory, bool any_names)
{
    struct nzd_inventory again;
    struct nzd_buf first = {0}, second = {0};

    fuzz_require(
        nzd_listing_encode(inventory, false, put_record, &first, NULL) == 0);
    nzd_inventory_init(&again);
    fuzz_require(read_all(nzd_buf_view(&first), any_names, &again));
    fuzz_require(nzd_listing_encode(&again, false, put_record, &second, NULL) ==
                 0);
    fuzz_require(nzd_view_equal(nzd_buf_view(&first), nzd_buf_view(&second)));
    nzd_inventory_clear(&again);
    nzd_buf_clear(&first);
    nzd_buf_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_inventory inventory;

    if (size < 1)
        return 0;
    nzd_inventory_init(&inventory);
    if (read_all(nzd_view_of(data + 1, size - 1), data[0] & 1, &inventory)) {
        check_texts(&inventory);
        check_again(&inventory, data[0] & 1);
    }
    nzd_inventory_clear(&inventory);
    return 0;
}

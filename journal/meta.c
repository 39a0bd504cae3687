/* SPDX-License-Identifier: Apache-2.0 */
#include "meta.h"

#include "value.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#define META_VERSION 1
#define UUID_SIZE    16

static const char live_prefix[] = "live";

static int put(struct nzd_store_txn *txn, struct nzd_view key,
               struct nzd_buf *value, struct nzd_err *err)
{
    int rc = nzd_value_end(value, 0, err);

    if (rc == NZD_OK)
        rc = nzd_store_put(txn, NZD_STORE_META, key, nzd_buf_view(value), err);
    nzd_buf_clear(value);
    return rc;
}

/* NZD_ENOTFOUND without an error where the key is not there. */
static int get(struct nzd_store_txn *txn, struct nzd_view key, const char *what,
               struct nzd_reader *out, struct nzd_err *err)
{
    struct nzd_view value;
    int rc = nzd_store_get(txn, NZD_STORE_META, key, &value, err);

    if (rc)
        return rc;
    return nzd_value_open(value, META_VERSION, what, out, err);
}

static int missing(int rc, const char *what, struct nzd_err *err)
{
    if (rc != NZD_ENOTFOUND)
        return rc;
    return nzd_err_damage(err, "%s is missing", what);
}

static void read_digest(struct nzd_reader *reader, struct nzd_digest *out)
{
    struct nzd_view view = nzd_read_bytes(reader, sizeof(out->bytes));

    memset(out, 0, sizeof(*out));
    if (view.size == sizeof(out->bytes))
        memcpy(out->bytes, view.data, view.size);
}

int nzd_meta_restore(struct nzd_store_txn *txn, const uint8_t *uuid,
                     const struct nzd_heads *heads, struct nzd_err *err)
{
    struct nzd_buf value = {0};
    int rc;

    nzd_value_begin(&value, META_VERSION);
    nzd_buf_u32(&value, NZD_JOURNAL_FORMAT);
    rc = put(txn, nzd_view_text("format"), &value, err);
    if (rc)
        return rc;
    nzd_value_begin(&value, META_VERSION);
    nzd_buf_bytes(&value, uuid, UUID_SIZE);
    rc = put(txn, nzd_view_text("uuid"), &value, err);
    return rc ? rc : nzd_meta_put_heads(txn, heads, err);
}

int nzd_meta_create(struct nzd_store_txn *txn, struct nzd_err *err)
{
    struct nzd_heads heads = {.first_event = 1, .next_event = 1};
    uint8_t uuid[UUID_SIZE];

    if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
        return nzd_err_system(err, NZD_EINTERNAL, errno, "getrandom");
    return nzd_meta_restore(txn, uuid, &heads, err);
}

static int check_format(struct nzd_store_txn *txn, struct nzd_err *err)
{
    static const char what[] = "its format";
    struct nzd_reader reader;
    uint32_t format;
    int rc = get(txn, nzd_view_text("format"), what, &reader, err);

    if (rc)
        return missing(rc, what, err);
    format = nzd_read_u32(&reader);
    if (!reader.failed && format > NZD_JOURNAL_FORMAT) {
        nzd_err_set(err, NZD_EJOURNAL,
                    "it was written by a newer nzd (format %" PRIu32
                    ", we read %d)",
                    format, NZD_JOURNAL_FORMAT);
        nzd_err_next(err, "use the nzd that wrote it, or a newer one");
        return NZD_EJOURNAL;
    }
    if (format == 0)
        reader.failed = true;
    return nzd_value_done(&reader, what, err);
}

int nzd_meta_identity(struct nzd_store_txn *txn, uint8_t *uuid,
                      struct nzd_err *err)
{
    static const char what[] = "its uuid";
    struct nzd_reader reader;
    struct nzd_view view;
    int rc = check_format(txn, err);

    if (rc)
        return rc;
    rc = get(txn, nzd_view_text("uuid"), what, &reader, err);
    if (rc)
        return missing(rc, what, err);
    view = nzd_read_bytes(&reader, UUID_SIZE);
    rc = nzd_value_done(&reader, what, err);
    if (rc == NZD_OK)
        memcpy(uuid, view.data, UUID_SIZE);
    return rc;
}

int nzd_meta_heads(struct nzd_store_txn *txn, struct nzd_heads *out,
                   struct nzd_err *err)
{
    static const char what[] = "its record of counters";
    struct nzd_heads heads;
    struct nzd_reader reader;
    int rc = get(txn, nzd_view_text("heads"), what, &reader, err);

    if (rc)
        return missing(rc, what, err);
    heads.first = nzd_read_u64(&reader);
    heads.last = nzd_read_u64(&reader);
    heads.epoch = nzd_read_u64(&reader);
    heads.first_event = nzd_read_u32(&reader);
    heads.next_event = nzd_read_u32(&reader);
    read_digest(&reader, &heads.anchor);
    read_digest(&reader, &heads.head);
    rc = nzd_value_done(&reader, what, err);
    if (rc == NZD_OK)
        *out = heads;
    return rc;
}

int nzd_meta_put_heads(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                       struct nzd_err *err)
{
    struct nzd_buf value = {0};

    nzd_value_begin(&value, META_VERSION);
    nzd_buf_u64(&value, heads->first);
    nzd_buf_u64(&value, heads->last);
    nzd_buf_u64(&value, heads->epoch);
    nzd_buf_u32(&value, heads->first_event);
    nzd_buf_u32(&value, heads->next_event);
    nzd_buf_bytes(&value, heads->anchor.bytes, NZD_DIGEST_SIZE);
    nzd_buf_bytes(&value, heads->head.bytes, NZD_DIGEST_SIZE);
    return put(txn, nzd_view_text("heads"), &value, err);
}

struct live_key {
    uint8_t bytes[sizeof(live_prefix) - 1 + NZD_DIGEST_SIZE];
};

static struct live_key live_key(const struct nzd_digest *base)
{
    struct live_key key;

    memcpy(key.bytes, live_prefix, sizeof(live_prefix) - 1);
    memcpy(key.bytes + sizeof(live_prefix) - 1, base->bytes, NZD_DIGEST_SIZE);
    return key;
}

int nzd_meta_live(struct nzd_store_txn *txn, const struct nzd_digest *base,
                  struct nzd_live_set *out, struct nzd_err *err)
{
    static const char what[] = "the record of a base";
    struct live_key key = live_key(base);
    struct nzd_live_set live = {0};
    struct nzd_reader reader;
    int rc =
        get(txn, nzd_view_of(key.bytes, sizeof(key.bytes)), what, &reader, err);

    if (rc == NZD_ENOTFOUND) {
        live.set.digest = nzd_digest_of(nzd_view_of(NULL, 0));
        *out = live;
        return NZD_OK;
    }
    if (rc)
        return rc;
    live.txn = nzd_read_u64(&reader);
    live.set.count = nzd_read_u32(&reader);
    read_digest(&reader, &live.set.digest);
    rc = nzd_value_done(&reader, what, err);
    if (rc == NZD_OK)
        *out = live;
    return rc;
}

int nzd_meta_put_live(struct nzd_store_txn *txn, const struct nzd_digest *base,
                      const struct nzd_live_set *live, struct nzd_err *err)
{
    struct live_key key = live_key(base);
    struct nzd_buf value = {0};

    nzd_value_begin(&value, META_VERSION);
    nzd_buf_u64(&value, live->txn);
    nzd_buf_u32(&value, live->set.count);
    nzd_buf_bytes(&value, live->set.digest.bytes, NZD_DIGEST_SIZE);
    return put(txn, nzd_view_of(key.bytes, sizeof(key.bytes)), &value, err);
}

struct nzd_view nzd_meta_live_prefix(void)
{
    return nzd_view_text(live_prefix);
}

bool nzd_meta_live_base(struct nzd_view key, struct nzd_digest *out)
{
    if (key.size != sizeof(struct live_key))
        return false;
    memcpy(out->bytes, key.data + sizeof(live_prefix) - 1, NZD_DIGEST_SIZE);
    return true;
}

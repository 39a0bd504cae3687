/* SPDX-License-Identifier: Apache-2.0 */
#include "file_row.h"

#include <string.h>

struct side {
    const struct nzd_digest *blob;
    const struct nzd_digest *md5;
    const struct nzd_digest *attrs;
};

static bool begins(const char *name, const char *head)
{
    return strncmp(name, head, strlen(head)) == 0;
}

/* Of all but priv the md5 is the digest of the content, as the blob's is. */
static const char *side_flaw(const char *name, const struct side *side)
{
    if (!nzd_digest_is_zero(side->attrs))
        return "it has attributes";
    if (nzd_digest_is_zero(side->blob))
        return NULL;
    if (nzd_digest_is_zero(side->md5))
        return "it holds the content of no file";
    if (!begins(name, NZD_FILE_PRIV) &&
        !nzd_digest_equal(side->blob, side->md5))
        return "it holds another content than it says";
    return NULL;
}

static bool is_unheld(const struct side *side)
{
    return nzd_digest_is_zero(side->blob) && !nzd_digest_is_zero(side->md5);
}

static const char *change_flaw(const struct nzd_module_row *row)
{
    bool old = !nzd_digest_is_zero(&row->old_md5);
    bool new = !nzd_digest_is_zero(&row->new_md5);

    switch (row->change) {
    case NZD_MODULE_ADDED:
        return !old && new ? NULL : "it is not added";
    case NZD_MODULE_REMOVED:
        return new ? "it is not removed" : NULL;
    case NZD_MODULE_CHANGED:
        return old && new ? NULL : "it is not changed";
    }
    return "it has no change";
}

const char *nzd_file_row_flaw(const struct nzd_module_row *row)
{
    const struct side old = {&row->old_blob, &row->old_md5, &row->old_attrs};
    const struct side new = {&row->new_blob, &row->new_md5, &row->new_attrs};
    bool spec = begins(row->module, NZD_FILE_APP);
    const char *flaw;

    if (!nzd_row_is_file(row->module))
        return NULL;
    flaw = side_flaw(row->module, &old);
    if (!flaw)
        flaw = side_flaw(row->module, &new);
    if (!flaw && is_unheld(&new) && (spec || !(row->flags & NZD_ROW_TO_BASE)))
        flaw = "its new content is not held";
    if (!flaw && is_unheld(&old) && spec)
        flaw = "its old content is not held";
    return flaw ? flaw : change_flaw(row);
}

const char *nzd_file_row_live_flaw(const struct nzd_live_row *row)
{
    const struct side now = {&row->blob, &row->md5, &row->attrs};
    const struct side base = {&row->base_blob, &row->base_md5,
                              &row->base_attrs};
    const char *flaw;

    if (!nzd_row_is_file(row->module))
        return NULL;
    flaw = side_flaw(row->module, &now);
    if (!flaw)
        flaw = side_flaw(row->module, &base);
    if (!flaw && is_unheld(&now))
        flaw = "its content is not held";
    return flaw;
}

enum nzd_module_change nzd_file_row_change(const struct nzd_digest *old_md5,
                                           const struct nzd_digest *new_md5)
{
    if (nzd_digest_is_zero(new_md5))
        return NZD_MODULE_REMOVED;
    return nzd_digest_is_zero(old_md5) ? NZD_MODULE_ADDED : NZD_MODULE_CHANGED;
}

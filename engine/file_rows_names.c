/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PRIV "priv/"

const char *nzd_file_rows_app(const char *name)
{
    size_t size = strlen(NZD_FILE_APP);
    return strncmp(name, NZD_FILE_APP, size) == 0 ? name + size : NULL;
}

bool nzd_file_rows_priv(const char *name, char app[NZD_FILE_ROWS_APP_MAX],
                        char file[NZD_FILE_ROWS_APP_MAX])
{
    size_t head = strlen(NZD_FILE_PRIV);
    if (strncmp(name, NZD_FILE_PRIV, head) != 0)
        return false;
    const char *slash = strchr(name + head, '/');
    if (!slash || slash == name + head || !slash[1])
        return false;
    int size = snprintf(app, NZD_FILE_ROWS_APP_MAX, "%.*s",
                        (int)(slash - name - (ptrdiff_t)head), name + head);
    int rest = snprintf(file, NZD_FILE_ROWS_APP_MAX, PRIV "%s", slash + 1);
    return size < NZD_FILE_ROWS_APP_MAX && rest < NZD_FILE_ROWS_APP_MAX;
}

int nzd_file_rows_priv_name(const char *app, const char *file,
                            struct nzd_buf *out, struct nzd_err *err)
{
    size_t head = strlen(PRIV);
    bool known = strncmp(file, PRIV, head) == 0;
    nzd_buf_reset(out);
    nzd_buf_printf(out, NZD_FILE_PRIV "%s/%s", app, known ? file + head : file);
    if (out->failed)
        return nzd_err_memory(err);
    if (known && out->size <= NZD_RECORD_MODULE_MAX)
        return 0;
    return nzd_err_set(err, NZD_EREFUSED,
                       "%.300s of %s has a name that the journal cannot hold",
                       file, app);
}

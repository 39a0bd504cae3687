/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_LAYOUT_H
#define NZD_STAGING_LAYOUT_H

/*
 * What a path in a bundle means: the layouts of releases (lib/, releases/,
 * erts-VSN/, at the root or below one top folder) and of a build's lib/
 * (APP/ebin/... at the root). Only text: no file is looked at.
 */

#include "../journal/bytes.h"

enum nzd_layout_kind {
    NZD_LAYOUT_OTHER,
    NZD_LAYOUT_MODULE,       /* [lib/]APP/ebin/MODULE.beam */
    NZD_LAYOUT_APPLICATION,  /* [lib/]APP/ebin/NAME.app */
    NZD_LAYOUT_APPUP,        /* [lib/]APP/ebin/NAME.appup */
    NZD_LAYOUT_PRIV,         /* [lib/]APP/priv/... */
    NZD_LAYOUT_CONSOLIDATED, /* releases/VSN/consolidated/MODULE.beam, or a
                                build's [lib/]APP/consolidated and
                                consolidated: then `version` is empty */
    NZD_LAYOUT_RELEASE,      /* releases/VSN/FILE */
    NZD_LAYOUT_START_ERL,    /* releases/start_erl.data */
    NZD_LAYOUT_ERTS,         /* erts-VSN/... */
    NZD_LAYOUT_HOOKS         /* nzd/hooks.conf */
};

struct nzd_layout {
    enum nzd_layout_kind kind;
    size_t prefix;           /* bytes of the top folder and its slash, or 0 */
    struct nzd_view app;     /* "counter" */
    struct nzd_view folder;  /* "counter-0.2.0", as it stands in the path */
    struct nzd_view version; /* of the folder, of releases/ or of ERTS */
    const char *rest;        /* the file's name; PRIV: "priv/...", ERTS:
                                "bin/..." */
};

/* Relative, and what each part of it is called is_name(). */
bool nzd_layout_is_clean(const char *path);
/* What a folder or file may be called: not empty, without a slash or a control
 * byte, neither "." nor "..". */
bool nzd_layout_is_name(struct nzd_view name);
/* All views borrow from `path`. */
void nzd_layout_of(const char *path, struct nzd_layout *out);
/* Can a file that means something lie below the folder `path`? */
bool nzd_layout_enters(const char *path);
/* Is `path` an application's folder, one of its parts, or ERTS: what builds
 * and development releases link to where it really is? */
bool nzd_layout_links(const char *path);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SOURCE_H
#define NZD_STAGING_SOURCE_H

/*
 * Where a bundle's bytes come from: a directory walked in place or a tarball
 * (gz, zstd, xz, bz2 or plain, libarchive 3.6) read once as a stream. Both
 * give the same entries: regular files with a clean relative path. The only
 * room that sees archive.h. Nothing is ever written to a path from a bundle.
 *
 * Refused (NZD_EBUNDLE): absolute paths, "..", control bytes, paths or
 * sizes over limits.h, the same path twice, devices, hard links, trailing
 * garbage, a truncated stream, a link in the place of a module or .app. Other
 * symbolic links and empty directories are skipped in a tarball; in a
 * directory a symbolic link is followed only where it ends below the root, or
 * is a whole `lib/APP` folder or erts (a build's lib/ links its dependencies'
 * priv and folders), and never in a loop. A directory is entered only where
 * layout.h says that something can be in it.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

struct nzd_source;

enum nzd_source_kind { NZD_SOURCE_DIRECTORY, NZD_SOURCE_TARBALL };

struct nzd_source_entry {
    const char *path; /* "lib/counter-0.2.0/ebin/counter.beam" */
    uint64_t size;
    bool executable;
};

/* NZD_ENOTFOUND (exit 3 for the user): no such file; NZD_EBUNDLE: not a
 * directory or a tarball we read. The message names the path. */
int nzd_source_open(const char *path, struct nzd_source **out,
                    struct nzd_err *err);
/* The same of a regular file of `size` bytes that is open already: takes `fd`
 * over, also when it fails. */
int nzd_source_open_file(int fd, uint64_t size, const char *path,
                         struct nzd_source **out, struct nzd_err *err);
/*
 * The real paths that reading the directory leads to: its own, and those of
 * folders elsewhere that it links to. Names are looked at, no file is opened;
 * what cannot be looked at is left out.
 */
void nzd_source_roots(const char *path,
                      void (*each)(void *context, const char *root),
                      void *context);
void nzd_source_close(struct nzd_source *source);
enum nzd_source_kind nzd_source_kind(const struct nzd_source *source);
const char *nzd_source_name(const struct nzd_source *source); /* as opened */
/* Bytes of the tarball file, or of all files read so far. */
uint64_t nzd_source_bytes(const struct nzd_source *source);
/* For a progress bar: 0 to 1000 of the input consumed; a directory gives 0. */
unsigned nzd_source_progress(const struct nzd_source *source);

/* The next file: 1 with `entry` filled (borrowed until the next call), 0 at
 * the end, or a code. Order is the archive's; a directory's is sorted. */
int nzd_source_next(struct nzd_source *source, struct nzd_source_entry *entry,
                    struct nzd_err *err);

/*
 * The content of the current entry, once: all of it into `out` (reset
 * first). Over `limit` bytes: NZD_EBUNDLE. An entry whose content is not
 * asked for is skipped unread in a directory.
 */
int nzd_source_read(struct nzd_source *source, uint64_t limit,
                    struct nzd_buf *out, struct nzd_err *err);
/* The same as MD5 of the content, however large, in constant memory. */
int nzd_source_md5(struct nzd_source *source, struct nzd_digest *out,
                   struct nzd_err *err);

#endif

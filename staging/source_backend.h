/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SOURCE_BACKEND_H
#define NZD_STAGING_SOURCE_BACKEND_H

/*
 * Inside the source room: what a directory and a tarball give to source.c,
 * which checks paths, sizes and repetitions for both. Messages of a backend
 * do not name the bundle; source.c puts its name before them.
 */

#include "limits.h"
#include "source.h"

struct source_backend {
    /* 1 with the next regular file, 0 at the sound end, or a code. */
    int (*next)(void *self, struct nzd_source_entry *entry,
                struct nzd_err *err);
    /* 1 with the next bytes of that file, 0 at its end, or a code. */
    int (*chunk)(void *self, struct nzd_view *out, struct nzd_err *err);
    uint64_t (*bytes)(const void *self);
    unsigned (*progress)(const void *self);
    void (*close)(void *self);
};

extern const struct source_backend source_directory;
extern const struct source_backend source_tarball;

int source_directory_open(const char *path, void **out, struct nzd_err *err);
/* Each root from then on, that of `path` first: nzd_source_roots(). */
void source_directory_tell(void *self,
                           void (*each)(void *context, const char *root),
                           void *context);
/* Takes `fd` over, also when it fails. */
int source_tarball_open(int fd, uint64_t size, void **out, struct nzd_err *err);

/* A link that would hide a module from us is not skipped but refused. */
int source_link_refuse(const char *path, struct nzd_err *err);

/* The bytes of a file, decompressed: gz, zstd, xz, bz2, or as they are. */
struct source_stream;
int source_stream_open(int fd, uint64_t size, struct source_stream **out,
                       struct nzd_err *err);
void source_stream_close(struct source_stream *stream);
/* 1 with the next bytes (valid until the next call), 0 at the sound end. */
int source_stream_next(struct source_stream *stream, struct nzd_view *out,
                       struct nzd_err *err);
uint64_t source_stream_consumed(const struct source_stream *stream);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_FILE_H
#define NZD_STAGING_BEAM_FILE_H

/*
 * The container of a BEAM file and the numbers in it; knows which chunks make
 * up a module's md5, and nothing of what stands in them.
 */

#include "../journal/bytes.h"
#include "../journal/digest.h"

enum nzd_chunk {
    NZD_CHUNK_ATOMS,
    NZD_CHUNK_CODE,
    NZD_CHUNK_STRINGS,
    NZD_CHUNK_IMPORTS,
    NZD_CHUNK_EXPORTS,
    NZD_CHUNK_LAMBDAS,
    NZD_CHUNK_LITERALS,
    NZD_CHUNK_META,
    NZD_CHUNK_ATTRIBUTES,
    NZD_CHUNK_COMPILER,
    NZD_CHUNK_COUNT
};

/* Views into the file; empty where a chunk is missing. */
struct nzd_chunks {
    struct nzd_view view[NZD_CHUNK_COUNT];
};

/* Reads the table of an inflated file. Fails NZD_EBUNDLE when a chunk does
 * not fit or occurs twice, or one is missing that every module has. */
int nzd_chunks_read(struct nzd_view file, struct nzd_chunks *out,
                    struct nzd_err *err);

/* The md5 that names the code. Fails NZD_EBUNDLE when FunT has no whole
 * number of entries, as the VM does. */
int nzd_chunks_md5(const struct nzd_chunks *chunks, struct nzd_digest *out,
                   struct nzd_err *err);

/* Sets "chunk ImpT: what" and returns NZD_EBUNDLE. */
int nzd_chunk_refuse(struct nzd_err *err, enum nzd_chunk chunk,
                     const char *what);

/* The names of a compact term's tags; Z is followed by more. */
enum nzd_compact_tag {
    NZD_COMPACT_U,
    NZD_COMPACT_I,
    NZD_COMPACT_A,
    NZD_COMPACT_X,
    NZD_COMPACT_Y,
    NZD_COMPACT_F,
    NZD_COMPACT_H,
    NZD_COMPACT_Z
};

/* One compact term; the value of one that 64 bits do not hold is
 * UINT64_MAX. The reader fails where it does not hold. */
uint64_t nzd_read_compact(struct nzd_reader *reader, enum nzd_compact_tag *tag);

#endif

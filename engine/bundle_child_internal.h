/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BUNDLE_CHILD_INTERNAL_H
#define NZD_ENGINE_BUNDLE_CHILD_INTERNAL_H

/*
 * Inside the room of the reader: what parent and child say to each other.
 * Frames: kind (u8), size of the payload (u32), payload; the kinds of
 * staging/listing.h are records of an inventory.
 */

#include "../staging/listing.h"
#include "bundle_child.h"

#include <sys/types.h>

enum bundle_frame {
    CHILD_CONFINED = 16, /* child: u32, bits; once it is confined */
    CHILD_PROGRESS = 17, /* child: u32, per mille */
    CHILD_BYTES = 18,    /* child: of one file, for the spool */
    CHILD_FAILED = 19,   /* child: u32 code, the error's three texts */
    CHILD_ASK = 20,      /* parent: u8 whether it sends what is known, u8
                             whether bytes are wanted */
    CHILD_END = 21       /* of either; child: u64, the bundle's bytes */
};
#define CHILD_HEAD  5
#define CHILD_INPUT (64u << 10)

/* Where the child has its descriptors; no others are open. */
enum { CHILD_ANSWER = 3, CHILD_ASKED = 4, CHILD_BUNDLE = 5, CHILD_FREE = 6 };

struct body {
    const char *path;
    int bundle; /* open; -1: nothing will be read */
    uint64_t size;
    bool is_directory; /* else a regular file */
    int answer;        /* pipe, write end */
    int asked;         /* pipe, read end */
    pid_t parent;
};

/* What the parent hears, and whom it asks. */
struct hearing {
    int ask;    /* pipe, write end; does not wait */
    int answer; /* pipe, read end; does not wait */
    const char *path;
    const struct nzd_release_options *options;
    uint64_t deadline;
    struct nzd_err *err;

    struct nzd_buf payload; /* of the current frame */
    uint8_t input[CHILD_INPUT];
    size_t at; /* in `input`, which holds `end` bytes */
    size_t end;
};

/* Nothing came, and it never will: the child is gone. */
#define CHILD_GONE 1

/* 0, CHILD_GONE without a word, or a code: told to end, too late, no memory. */
int hearing_ask(struct hearing *h);
/* The next frame into `payload`; the kind. */
int hearing_frame(struct hearing *h, unsigned *kind);
/* NZD_EBUNDLE: no reader answers so. */
int hearing_unsound(struct hearing *h, const char *what);

/* In the child; never returns. */
void bundle_child_be(const struct body *child) __attribute__((noreturn));

/* For tests, in the child once it is confined and before it reads: what a
 * bundle that takes it over would do. NULL: nothing. */
extern void (*bundle_child_taken_over)(int answer);
/* For tests: instead of NZD_BUNDLE_LIMIT_US. */
extern uint64_t bundle_child_limit_us;

#endif

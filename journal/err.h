/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_ERR_H
#define NZD_JOURNAL_ERR_H

/*
 * Errors. Every fallible function returns 0 or one of the negative codes
 * below and takes a `struct nzd_err *` last. The one who detects the failure
 * writes the message; a layer above may put one phrase before it. The first
 * failure wins: setting an error that is already set changes nothing.
 *
 * The codes are chosen by what the caller can do about them; the exit status
 * of the command is made from them by nzd_err_exit().
 */

#include <stdbool.h>

enum nzd_code {
    NZD_OK = 0,
    NZD_EINTERNAL = -1, /* exit 1: our bug, or out of memory */
    NZD_EUSAGE = -2,    /* exit 2: wrong usage or configuration */
    NZD_EBUNDLE = -3,   /* exit 3: damaged or not a bundle */
    NZD_ENODE = -4,     /* exit 4: node not reached, or refused the cookie */
    NZD_EREFUSED = -5,  /* exit 5: refused before anything was touched */
    NZD_EROLLEDBACK = -6 /* exit 6: failed, the old code runs, durably */,
    NZD_EPENDING = -7, /* exit 7: a reboot or restart is under way */
    NZD_EJOURNAL = -8, /* exit 8: the journal cannot be read or written */
    NZD_EBUSY = -9,    /* exit 9: held by another, or a foreign journal */
    NZD_EUNSETTLED = -10 /* exit 10: the node was lost after armed */,
    NZD_ENOTFOUND = -11, /* a key, file or process is not there; exit 1 */
    NZD_ETIMEOUT = -12,  /* a time limit passed; exit 4 */
    NZD_ELOST = -13      /* the link to the node broke; exit 4 */
};

/* Sizes in bytes, the terminating NUL included. Longer texts are cut. */
#define NZD_ERR_MESSAGE   512
#define NZD_ERR_UNTOUCHED 160
#define NZD_ERR_NEXT      256

struct nzd_err {
    int code;    /* enum nzd_code; NZD_OK while nothing failed */
    int sys;     /* errno behind it, 0 if none */
    bool damage; /* what is on disk is proven not to hold: nzd_err_damage() */
    char message[NZD_ERR_MESSAGE];
    char untouched[NZD_ERR_UNTOUCHED]; /* what was left as it was, or "" */
    char next[NZD_ERR_NEXT];           /* what to do next, or "" */
};

#define NZD_ERR_INIT                                                           \
    {                                                                          \
        0                                                                      \
    }

/* Sets code and message unless an error is set already; returns the code
 * that `err` then holds. `err` may be NULL: then only `code` is returned. */
int nzd_err_set(struct nzd_err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, and keeps `sys` and appends ": " and its text. */
int nzd_err_system(struct nzd_err *err, int code, int sys, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/*
 * NZD_EJOURNAL where the bytes of a journal that were read as they are do not
 * hold: a checksum, a structure, a count. Never for what may be otherwise at
 * another time or for another reader: an error of the system, no memory or
 * room, a format that we do not know.
 */
int nzd_err_damage(struct nzd_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "phrase: " before the message of a set error; returns its code. */
int nzd_err_prefix(struct nzd_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Set what the next line tells the user; only the first of each counts. */
void nzd_err_untouched(struct nzd_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void nzd_err_next(struct nzd_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void nzd_err_clear(struct nzd_err *err);

/* The exit status (0 to 10) of a code, and its short name ("refused"). */
int nzd_err_exit(int code);
const char *nzd_err_name(int code);

/* For malloc and friends that returned NULL. */
int nzd_err_memory(struct nzd_err *err);

#endif

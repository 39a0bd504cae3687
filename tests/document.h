/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_DOCUMENT_H
#define NZD_TESTS_DOCUMENT_H

/*
 * What of a document can be true or false: its displays and the commands its
 * sentences name. Reads Markdown (README.md) and mdoc (the manual) alike.
 *
 * A display is a fence of three backquotes, or .Bd -literal to .Ed. Right
 * before it stand its marks, which a reader of the page does not see:
 *
 *   <!--@ node counter-0.1.0 -->        .\"@ node counter-0.1.0
 *
 * What else could hold an example (indented code, .Dl, .D1, other displays)
 * fails the running test, as does a mark that no display follows: whatever
 * looks like an example is one of these. test_documents.c says what the marks
 * mean. Texts live until the harness is closed.
 */

#include "harness.h"

struct document_mark {
    const char *text; /* "node counter-0.1.0" */
    struct document_mark *next;
};

struct document_display {
    unsigned line;
    const char *text;            /* as a reader sees it; each line ends in \n */
    struct document_mark *marks; /* in their order */
    struct document_display *next;
};

/* A command in a sentence: "nzd apply --soak 30s", or an option of one alone:
 * "--soak". */
struct document_phrase {
    unsigned line;
    const char *text;
    struct document_phrase *next;
};

/* Another page, "nzd-boot 8", or a file that is linked: "CONTRIBUTING.md". */
struct document_reference {
    unsigned line;
    const char *text;
    struct document_reference *next;
};

struct document {
    const char *path;
    struct document_display *displays;
    struct document_phrase *phrases;
    struct document_reference *references;
};

struct document *document_read(struct harness *harness, const char *path);

#endif

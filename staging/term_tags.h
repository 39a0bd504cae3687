/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_TERM_TAGS_H
#define NZD_STAGING_TERM_TAGS_H

/*
 * The byte that each term begins with in Erlang's external format, and the one
 * in front of it all: erts "External Term Format". Only what reads or writes
 * that format byte by byte needs them; else there is term.h.
 */

enum nzd_tag {
    NZD_TAG_VERSION = 131,
    NZD_TAG_NEW_FLOAT = 70,
    NZD_TAG_BIT_BINARY = 77,
    NZD_TAG_COMPRESSED = 80,
    NZD_TAG_NEW_PID = 88,
    NZD_TAG_NEW_PORT = 89,
    NZD_TAG_NEWER_REFERENCE = 90,
    NZD_TAG_SMALL_INTEGER = 97,
    NZD_TAG_INTEGER = 98,
    NZD_TAG_FLOAT = 99,
    NZD_TAG_ATOM_LATIN1 = 100,
    NZD_TAG_REFERENCE = 101,
    NZD_TAG_PORT = 102,
    NZD_TAG_PID = 103,
    NZD_TAG_SMALL_TUPLE = 104,
    NZD_TAG_LARGE_TUPLE = 105,
    NZD_TAG_NIL = 106,
    NZD_TAG_STRING = 107,
    NZD_TAG_LIST = 108,
    NZD_TAG_BINARY = 109,
    NZD_TAG_SMALL_BIG = 110,
    NZD_TAG_LARGE_BIG = 111,
    NZD_TAG_NEW_FUN = 112,
    NZD_TAG_EXPORT = 113,
    NZD_TAG_NEW_REFERENCE = 114,
    NZD_TAG_SMALL_ATOM_LATIN1 = 115,
    NZD_TAG_MAP = 116,
    NZD_TAG_FUN = 117,
    NZD_TAG_ATOM_UTF8 = 118,
    NZD_TAG_SMALL_ATOM_UTF8 = 119,
    NZD_TAG_V4_PORT = 120
};

#endif

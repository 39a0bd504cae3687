/* SPDX-License-Identifier: Apache-2.0 */
#include "version.h"

#include "../journal/meta.h"
#include "../staging/confine.h"
#include "agent.h"

#include <features.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif
#include <string.h>
#include <sys/auxv.h>

#ifndef NZD_VERSION
#define NZD_VERSION "0.1.0"
#endif
/* "lmdb 0.9.24 libxxhash 0.8.1 ...", by the Makefile. */
#ifndef NZD_LIBRARIES
#define NZD_LIBRARIES ""
#endif
#ifndef NZD_STATIC_LIBRARIES
#define NZD_STATIC_LIBRARIES ""
#endif

#define WORD_BITS (8 * (unsigned)sizeof(void *))

/* By the names of pkg-config, as SPDX writes them. */
static const struct {
    const char *name;
    const char *license;
} licenses[] = {
    {"lmdb", "OLDAP-2.8"},
    {"libxxhash", "BSD-2-Clause"},
    {"libzstd", "BSD-3-Clause"},
    {"zlib", "Zlib"},
    {"jansson", "MIT"},
    {"libarchive", "BSD-2-Clause"},
    {"libconfuse", "ISC"},
    {"libmd", "BSD-3-Clause AND BSD-2-Clause AND ISC"},
    {"erl_interface", "Apache-2.0"},
    {"liblzma", "LicenseRef-PublicDomain"},
    {"bzip2", "bzip2-1.0.6"},
    {"glibc", "LGPL-2.1-or-later"},
};

bool nzd_version_is_static(void)
{
    return getauxval(AT_BASE) == 0;
}

static const char *license_of(struct nzd_view name)
{
    for (size_t i = 0; i < sizeof licenses / sizeof licenses[0]; i++) {
        if (nzd_view_equal(name, nzd_view_text(licenses[i].name)))
            return licenses[i].license;
    }
    return "NOASSERTION";
}

/* The next word, and the spaces before it, off the text. */
static struct nzd_view take_word(const char **text)
{
    struct nzd_view word;

    *text += strspn(*text, " ");
    word = nzd_view_of(*text, strcspn(*text, " "));
    *text += word.size;
    return word;
}

static void tell_library(struct nzd_view name, struct nzd_view version,
                         struct nzd_buf *out)
{
    nzd_buf_printf(out,
                   "%s{\"name\":\"%.*s\",\"version\":\"%.*s\","
                   "\"license\":\"%s\"}",
                   out->size && out->data[out->size - 1] == '[' ? "" : ",",
                   (int)name.size, (const char *)name.data, (int)version.size,
                   (const char *)version.data, license_of(name));
}

static void tell_libraries(const char *text, struct nzd_buf *out)
{
    for (;;) {
        struct nzd_view name = take_word(&text);
        struct nzd_view version = take_word(&text);

        if (version.size == 0 || out->failed)
            return;
        tell_library(name, version, out);
    }
}

/* With what is only within a static program. */
static const char *libraries(void)
{
    return nzd_version_is_static() ? NZD_LIBRARIES NZD_STATIC_LIBRARIES
                                   : NZD_LIBRARIES;
}

static void tell_json(struct nzd_buf *out)
{
    char held[80];

    nzd_confine_names(nzd_confine_built(), held, sizeof held);
    nzd_buf_printf(out,
                   "{\"nzd\":1,\"version\":\"%s\",\"license\":\"Apache-2.0\","
                   "\"journal_format\":%d,\"word_bits\":%u,\"agent\":\"%s\","
                   "\"links\":[\"distribution\"],\"slots\":[],"
                   "\"confinement\":\"%s\",\"static\":%s,\"libraries\":[",
                   NZD_VERSION, NZD_JOURNAL_FORMAT, WORD_BITS,
                   nzd_agent[0].name, held,
                   nzd_version_is_static() ? "true" : "false");
    tell_libraries(libraries(), out);
#ifdef __GLIBC__
    if (nzd_version_is_static() && !out->failed)
        tell_library(nzd_view_text("glibc"),
                     nzd_view_text(gnu_get_libc_version()), out);
#endif
    nzd_buf_text(out, "]}\n");
}

static void tell_text(struct nzd_buf *out)
{
    char held[80];

    nzd_confine_names(nzd_confine_built(), held, sizeof held);
    nzd_buf_printf(
        out,
        "nzd %s\njournal format %d of %u bits\nagent %s\n"
        "link distribution\nslots none\nconfinement %s\n"
        "built %s %s",
        NZD_VERSION, NZD_JOURNAL_FORMAT, WORD_BITS, nzd_agent[0].name, held,
        nzd_version_is_static() ? "statically of" : "with", libraries());
#ifdef __GLIBC__
    if (nzd_version_is_static())
        nzd_buf_printf(out, " glibc %s", gnu_get_libc_version());
#endif
    nzd_buf_text(out, "\n");
}

void nzd_version_tell(bool json, struct nzd_buf *out)
{
    if (json)
        tell_json(out);
    else
        tell_text(out);
}

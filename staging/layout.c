/* SPDX-License-Identifier: Apache-2.0 */
#include "layout.h"

#include "limits.h"

#include <ctype.h>
#include <string.h>

/* The deepest path that is told apart is TOP/releases/VSN/consolidated/X. */
#define PARTS_MAX 6

struct parts {
    struct nzd_view at[PARTS_MAX];
    unsigned count; /* all components, also those past PARTS_MAX */
};

static bool is(struct nzd_view part, const char *text)
{
    return nzd_view_equal(part, nzd_view_text(text));
}

static bool ends(struct nzd_view part, const char *suffix)
{
    size_t size = strlen(suffix);

    return part.size > size &&
           memcmp(part.data + part.size - size, suffix, size) == 0;
}

static bool is_erts(struct nzd_view part)
{
    return part.size > 5 && memcmp(part.data, "erts-", 5) == 0;
}

static bool is_section(struct nzd_view part)
{
    return is(part, "ebin") || is(part, "priv") || is(part, "consolidated");
}

static bool is_hidden(struct nzd_view part)
{
    return part.size > 0 && part.data[0] == '.';
}

static void split(const char *path, struct parts *out)
{
    memset(out, 0, sizeof(*out));
    while (*path) {
        size_t size = strcspn(path, "/");

        if (out->count < PARTS_MAX)
            out->at[out->count] = nzd_view_of(path, size);
        out->count++;
        path += size;
        if (*path == '/')
            path++;
    }
}

bool nzd_layout_is_name(struct nzd_view name)
{
    if (name.size == 0 || is(name, ".") || is(name, ".."))
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7f || name.data[i] == '/')
            return false;
    return true;
}

bool nzd_layout_is_clean(const char *path)
{
    if (!*path || strlen(path) > NZD_LIMIT_PATH)
        return false;
    for (;;) {
        size_t size = strcspn(path, "/");

        if (!nzd_layout_is_name(nzd_view_of(path, size)))
            return false;
        if (!path[size])
            return true;
        path += size + 1;
    }
}

/* "counter-0.2.0-rc.1": an application's name holds no hyphen. */
static void name_folder(struct nzd_view folder, struct nzd_layout *out)
{
    const uint8_t *hyphen = memchr(folder.data, '-', folder.size);
    size_t name = hyphen ? (size_t)(hyphen - folder.data) : folder.size;

    out->folder = folder;
    out->app = nzd_view_of(folder.data, name);
    if (name + 1 < folder.size && isdigit(folder.data[name + 1]))
        out->version =
            nzd_view_of(folder.data + name + 1, folder.size - name - 1);
    else
        out->app = folder;
}

/* APP/SECTION/..., with the application's folder at part `i`. */
static bool in_application(const struct parts *parts, unsigned i,
                           struct nzd_layout *out)
{
    bool file = parts->count == i + 3;
    struct nzd_view section = parts->at[i + 1];

    name_folder(parts->at[i], out);
    if (is(section, "priv")) {
        out->kind = NZD_LAYOUT_PRIV;
        out->rest = (const char *)section.data;
        return true;
    }
    out->rest = (const char *)parts->at[i + 2].data;
    if (file && is(section, "ebin") && ends(parts->at[i + 2], ".beam"))
        out->kind = NZD_LAYOUT_MODULE;
    else if (file && is(section, "ebin") && ends(parts->at[i + 2], ".app"))
        out->kind = NZD_LAYOUT_APPLICATION;
    else if (file && is(section, "ebin") && ends(parts->at[i + 2], ".appup"))
        out->kind = NZD_LAYOUT_APPUP;
    else if (file && is(section, "consolidated") &&
             ends(parts->at[i + 2], ".beam")) {
        out->kind = NZD_LAYOUT_CONSOLIDATED;
        out->version = nzd_view_of("", 0);
    }
    return true;
}

static bool in_releases(const struct parts *parts, unsigned base,
                        struct nzd_layout *out)
{
    unsigned left = parts->count - base;

    if (left == 2 && is(parts->at[base + 1], "start_erl.data")) {
        out->kind = NZD_LAYOUT_START_ERL;
    } else if (left == 3) {
        out->kind = NZD_LAYOUT_RELEASE;
        out->version = parts->at[base + 1];
        out->rest = (const char *)parts->at[base + 2].data;
    } else if (left == 4 && is(parts->at[base + 2], "consolidated") &&
               ends(parts->at[base + 3], ".beam")) {
        out->kind = NZD_LAYOUT_CONSOLIDATED;
        out->version = parts->at[base + 1];
        out->rest = (const char *)parts->at[base + 3].data;
    }
    return true;
}

/* True when part `base` is one of the folders that make a release. */
static bool anchored(const struct parts *parts, unsigned base,
                     struct nzd_layout *out)
{
    struct nzd_view anchor = parts->at[base];
    unsigned left = parts->count > base ? parts->count - base : 0;

    if (left >= 4 && is(anchor, "lib") && is_section(parts->at[base + 2]))
        return in_application(parts, base + 1, out);
    if (left >= 2 && is(anchor, "releases"))
        return in_releases(parts, base, out);
    if (left >= 2 && is_erts(anchor)) {
        out->kind = NZD_LAYOUT_ERTS;
        out->version = nzd_view_of(anchor.data + 5, anchor.size - 5);
        out->rest = (const char *)parts->at[base + 1].data;
        return true;
    }
    if (left == 2 && is(anchor, "nzd") &&
        is(parts->at[base + 1], "hooks.conf")) {
        out->kind = NZD_LAYOUT_HOOKS;
        return true;
    }
    return false;
}

void nzd_layout_of(const char *path, struct nzd_layout *out)
{
    struct parts parts;

    memset(out, 0, sizeof(*out));
    out->version = nzd_view_of("", 0);
    split(path, &parts);
    if (anchored(&parts, 0, out))
        return;
    if (parts.count == 2 && is(parts.at[0], "consolidated") &&
        ends(parts.at[1], ".beam")) {
        out->kind = NZD_LAYOUT_CONSOLIDATED;
        out->rest = (const char *)parts.at[1].data;
    } else if (parts.count >= 3 && is_section(parts.at[1])) {
        in_application(&parts, 0, out);
    } else if (anchored(&parts, 1, out)) {
        out->prefix = parts.at[0].size + 1;
    }
}

/* --- which folders are worth a look --- */

/* Folders beside lib/ and releases/ that are large and hold none of ours. */
static const char *const foreign[] = {
    "bin",     "log",    "tmp",          "src",   "include", "doc",
    "docs",    "man",    "misc",         "usr",   "test",    "deps",
    "plugins", "extras", "node_modules", "_build"};

static bool is_foreign(struct nzd_view part)
{
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
        if (is(part, foreign[i]))
            return true;
    return is_hidden(part);
}

static bool enters_section(const struct parts *parts, unsigned i)
{
    return is(parts->at[i], "priv") ||
           (is_section(parts->at[i]) && parts->count == i + 1);
}

static bool enters_anchor(const struct parts *parts, unsigned base)
{
    struct nzd_view anchor = parts->at[base];
    unsigned left = parts->count - base;

    if (is(anchor, "lib"))
        return left == 1 || (left == 2 && !is_hidden(parts->at[base + 1])) ||
               (left > 2 && enters_section(parts, base + 2));
    if (is(anchor, "releases"))
        return left <= 2 ||
               (left == 3 && is(parts->at[base + 2], "consolidated"));
    if (is_erts(anchor))
        return left == 1 || (left == 2 && is(parts->at[base + 1], "bin"));
    return left == 1 && (is(anchor, "nzd") || is(anchor, "consolidated"));
}

static bool is_anchor(struct nzd_view part)
{
    return is(part, "lib") || is(part, "releases") || is_erts(part) ||
           is(part, "nzd");
}

bool nzd_layout_enters(const char *path)
{
    struct parts parts;

    split(path, &parts);
    if (parts.count <= 1)
        return !is_foreign(parts.at[0]);
    if (is_anchor(parts.at[0]))
        return enters_anchor(&parts, 0);
    if (is_section(parts.at[1]))
        return enters_section(&parts, 1);
    return is_anchor(parts.at[1]) && enters_anchor(&parts, 1);
}

bool nzd_layout_links(const char *path)
{
    struct parts parts;
    unsigned base;

    split(path, &parts);
    base = parts.count > 1 && !is_anchor(parts.at[0]) && is_anchor(parts.at[1])
               ? 1
               : 0;
    if (parts.count == base + 1)
        return is_erts(parts.at[base]) || !is_anchor(parts.at[base]);
    if (is(parts.at[base], "lib"))
        return parts.count == base + 2 ||
               (parts.count == base + 3 && is_section(parts.at[base + 2]));
    return base == 0 && parts.count == 2 && is_section(parts.at[1]);
}

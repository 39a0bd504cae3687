/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Boot scripts as source text: a release's, then the base's (the first again
 * where there is one only), and what is made of them for a boot over other
 * files. Besides memory errors: what is made of a script is one, and tells of
 * the same release.
 */

#include "../staging/script.h"
#include "../staging/script_lists.h"
#include "../staging/script_mark.h"
#include "../staging/script_rebase.h"
#include "../staging/script_touch.h"
#include "support.h"

#include <string.h>

static const char *const held[] = {"a", "counter", "kernel"};
static const char *const gone[] = {"b", "counter_text"};

static void check_made(int rc, const struct nzd_term *made,
                       const struct nzd_script *from, struct nzd_arena *arena)
{
    struct nzd_script script;

    fuzz_require(rc == 0 || rc == NZD_EBUNDLE);
    if (rc != 0)
        return;
    fuzz_require(nzd_script_read(made, arena, &script, NULL) == 0);
    fuzz_require(strcmp(script.release, from->release) == 0);
    fuzz_require(strcmp(script.version, from->version) == 0);
}

static int touch(const struct nzd_term *script, const struct nzd_term *spec,
                 struct nzd_arena *arena, const struct nzd_term **out)
{
    struct nzd_script_folder folder = {
        .tail = "counter-0.1.0/ebin",
        .instead = "/run/nzd/counter",
        .added = held,
        .added_count = 3,
        .removed = gone,
        .removed_count = 2,
    };
    struct nzd_script_touch what = {
        .folders = &folder,
        .folder_count = 1,
        .specs = &spec,
        .spec_count = spec ? 1 : 0,
        .gone = gone,
        .gone_count = 2,
    };

    return nzd_script_touch(script, &what, arena, out, NULL);
}

static void make_all(const struct nzd_term *script, const struct nzd_term *base,
                     const struct nzd_term *spec, struct nzd_arena *arena)
{
    static const struct nzd_script_names there = {held, 3};
    static const struct nzd_script_names away = {gone, 2};
    const struct nzd_term *made = NULL;
    struct nzd_script read;
    int rc = nzd_script_read(script, arena, &read, NULL);

    fuzz_require(rc == 0 || rc == NZD_EBUNDLE);
    if (rc != 0)
        return;
    for (uint32_t i = 0; i < read.app_count; i++)
        fuzz_require(nzd_script_app(&read, read.apps[i].name) != NULL);
    rc = nzd_script_mark(script, 7, arena, &made, NULL);
    check_made(rc, made, &read, arena);
    rc = nzd_script_rebase(script, base, arena, &made, NULL);
    check_made(rc, made, &read, arena);
    rc = nzd_script_lists(script, base, &there, &away, arena, &made, NULL);
    check_made(rc, made, &read, arena);
    rc = touch(script, spec, arena, &made);
    check_made(rc, made, &read, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    const struct nzd_term *terms = NULL;

    if (nzd_term_parse(nzd_view_of(data, size), &arena, &terms, NULL) == 0 &&
        nzd_term_length(terms) > 0) {
        const struct nzd_term *script = nzd_term_at(terms, 0);
        const struct nzd_term *base = nzd_term_at(terms, 1);

        make_all(script, base ? base : script, nzd_term_at(terms, 2), &arena);
    }
    nzd_arena_clear(&arena);
    return 0;
}

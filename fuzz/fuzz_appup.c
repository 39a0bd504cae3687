/* SPDX-License-Identifier: Apache-2.0 */

/*
 * An .appup or relup of a bundle, as it is read, looked through and judged.
 * Besides memory errors: a version that is found is one that is named, and
 * every reason has a subject.
 */

#include "../staging/appup.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void read_both(const struct nzd_term *appup, bool relup,
                      const char *version)
{
    struct nzd_arena arena = {0};
    struct nzd_inventory old, new;
    struct nzd_evidence_list list = {0};
    struct nzd_app *app;

    nzd_inventory_init(&old);
    nzd_inventory_init(&new);
    app = nzd_inventory_add_app(&old);
    *app = (struct nzd_app){.name = "a", .version = version, .in_script = true};
    old.version = version;
    app = nzd_inventory_add_app(&new);
    *app = (struct nzd_app){.name = "a", .version = "2"};
    new.version = "2";
    if (relup)
        new.relup = appup;
    else
        app->appup = appup;
    nzd_appup_extra(&old, &new, false, "a", "m");
    nzd_appup_extra(&old, &new, true, "a", "m");
    require(nzd_appup_judge(&old, &new, &arena, &list, NULL) == 0);
    for (uint32_t i = 0; i < list.count; i++)
        require(strncmp(list.items[i].subject, relup ? "relup " : "a.appup ",
                        relup ? 6 : 8) == 0 &&
                list.items[i].source[0]);
    nzd_evidence_clear(&list);
    nzd_inventory_clear(&old);
    nzd_inventory_clear(&new);
    nzd_arena_clear(&arena);
}

static void look_up(const struct nzd_term *appup)
{
    static const char *const versions[] = {"0.1.0", "1.2.3-rc1", "", "((a"};

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        read_both(appup, false, versions[i]);
        read_both(appup, true, versions[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    const struct nzd_term *terms = NULL;

    if (nzd_term_parse(nzd_view_of(data, size), &arena, &terms, NULL) == 0 &&
        nzd_appup_is(nzd_term_at(terms, 0)))
        look_up(nzd_term_at(terms, 0));
    nzd_arena_clear(&arena);
    return 0;
}

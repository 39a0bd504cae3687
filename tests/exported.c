/* SPDX-License-Identifier: Apache-2.0 */
#include "exported.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

int exported_set_up(void **state)
{
    struct exported *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    place->harness = harness_open();
    ledger_make(&place->from);
    ledger_open(&place->from, NZD_JOURNAL_CREATE);
    place->to = harness_path(place->harness, "to/journal");
    place->file = harness_path(place->harness, "export.jsonl");
    *state = place;
    return 0;
}

int exported_tear_down(void **state)
{
    struct exported *place = *state;

    ledger_drop(&place->from);
    harness_close(place->harness);
    free(place);
    return 0;
}

struct harness_run exported_journal(struct exported *place,
                                    const char *directory, const char *what,
                                    const char *more)
{
    return harness_nzd(place->harness, NULL, "journal", "--journal", directory,
                       what, more, NULL);
}

void exported_fill(struct exported *place)
{
    ledger_apply_one(&place->from, "m", "code 0", "code 1");
    ledger_apply_one(&place->from, "m", "code 1", "code 2");
    ledger_apply_one(&place->from, "m", "code 2", "code 3");
    ledger_close(&place->from);
}

const char *exported_text(struct exported *place)
{
    struct harness_run run =
        exported_journal(place, place->from.directory, "export", place->file);

    assert_status(run, 0);
    return harness_read_file(place->harness, place->file);
}

const char *exported_beside(struct exported *place)
{
    DIR *entries = opendir(harness_path(place->harness, "to"));
    const char *names = "";
    struct dirent *entry;

    while (entries && (entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] != '.')
            names = harness_text(place->harness, "%s%s ", names, entry->d_name);
    }
    if (entries)
        closedir(entries);
    return names;
}

struct harness_run exported_shell(struct exported *place, const char *format,
                                  const char *a, const char *b, const char *c)
{
    const char *nzd = harness_argv(place->harness, NULL, NULL)[0];
    const char *command = harness_text(place->harness, format, nzd, a, b, c);
    const char *const argv[] = {"sh", "-c", command, NULL};

    return harness_run(place->harness, argv, NULL);
}

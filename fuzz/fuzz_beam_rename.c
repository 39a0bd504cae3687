/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Renaming of BEAM files, and following what they call, plain and gzipped.
 * Besides memory errors: what comes out can be read, under the new name, and
 * tells of the same functions; and it can be renamed again.
 */

#include "../staging/beam.h"
#include "../staging/beam_reach.h"
#include "../staging/beam_rename.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALL (NZD_BEAM_CALLS | NZD_BEAM_FUNS)

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_functions(const struct nzd_beam_function *old,
                            const struct nzd_beam_function *new, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        require(strcmp(old[i].name, new[i].name) == 0);
        require(old[i].arity == new[i].arity);
    }
}

static void check_renamed(struct nzd_view view, const struct nzd_beam *old,
                          struct nzd_arena *arena)
{
    struct nzd_beam beam;

    require(nzd_beam_read(view, ALL, arena, &beam, NULL) == 0);
    require(strncmp(beam.module, "x.", 2) == 0);
    require(strcmp(beam.module + 2, old->module) == 0);
    require(nzd_digest_equal(&beam.attrs, &old->attrs));
    require(beam.export_count == old->export_count);
    require(beam.import_count >= old->import_count);
    require(beam.lambda_count == old->lambda_count);
    require(beam.has_on_load == old->has_on_load);
    check_functions(old->exports, beam.exports, beam.export_count);
    check_functions(old->imports, beam.imports, old->import_count);
}

static void rename_it(struct nzd_view view, const struct nzd_beam *beam,
                      struct nzd_arena *arena)
{
    struct nzd_rename rename = {"x.", &beam->module, 1};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf out = {0};
    int rc = nzd_beam_rename(view, &rename, &out, &err);

    if (rc == 0)
        check_renamed(nzd_buf_view(&out), beam, arena);
    else
        require((rc == NZD_EBUNDLE || rc == NZD_EREFUSED) && err.message[0]);
    nzd_buf_clear(&out);
}

static void follow(struct nzd_view view, const struct nzd_beam *beam)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_reach *reach = NULL;
    struct nzd_reach_end end;

    require(nzd_reach_open(&reach, &err) == 0);
    if (nzd_reach_add(reach, view, true, &err) == 0) {
        for (uint32_t i = 0; i < beam->export_count; i++) {
            const struct nzd_beam_function *start = &beam->exports[i];
            int rc = nzd_reach_from(reach, beam->module, start->name,
                                    start->arity, &end, &err);

            require(rc == 0 || rc == NZD_EBUNDLE);
            if (rc == 0 && end.kind == NZD_REACH_EFFECT)
                require(end.why[0] != '\0');
        }
    }
    nzd_reach_close(reach);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_view view = nzd_view_of(data, size);
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_beam beam;

    if (nzd_beam_read(view, ALL, &arena, &beam, &err) == 0) {
        rename_it(view, &beam, &arena);
        follow(view, &beam);
    }
    nzd_arena_clear(&arena);
    return 0;
}

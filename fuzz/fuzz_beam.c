/* SPDX-License-Identifier: Apache-2.0 */

/*
 * BEAM files, plain and gzipped. Besides memory errors: what is found does
 * not hang on how much is asked for, and every name is one.
 */

#include "../staging/beam.h"
#include "../staging/beam_struct.h"
#include "../staging/limits.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_name(const char *name)
{
    require(name && strlen(name) <= 4 * NZD_LIMIT_ATOM_CHARS);
}

static void check_functions(const struct nzd_beam_function *functions,
                            uint32_t count, bool imports)
{
    for (uint32_t i = 0; i < count; i++) {
        check_name(functions[i].name);
        if (imports)
            check_name(functions[i].module);
        require(imports || !functions[i].module);
        require(functions[i].arity <= 255);
    }
}

static void check_less(struct nzd_view view, const struct nzd_beam *all,
                       struct nzd_arena *arena)
{
    struct nzd_beam beam;

    require(nzd_beam_read(view, 0, arena, &beam, NULL) == 0);
    require(strcmp(beam.module, all->module) == 0);
    require(nzd_digest_equal(&beam.md5, &all->md5));
    require(nzd_digest_equal(&beam.attrs, &all->attrs));
    require(beam.export_count == 0 && beam.lambda_count == 0);
}

static void check_struct(struct nzd_view view, struct nzd_arena *arena)
{
    struct nzd_beam_struct keys;

    if (nzd_beam_struct_read(view, arena, &keys, NULL) != 0)
        return;
    require(keys.found || keys.count == 0);
    for (uint32_t i = 0; i < keys.count; i++) {
        check_name(keys.keys[i]);
        require(nzd_beam_struct_has(&keys, keys.keys[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_view view = nzd_view_of(data, size);
    struct nzd_arena arena = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_beam beam;
    int rc = nzd_beam_read(view, NZD_BEAM_CALLS | NZD_BEAM_FUNS, &arena, &beam,
                           &err);

    if (rc == 0) {
        require(nzd_beam_looks_like(view));
        check_name(beam.module);
        check_functions(beam.exports, beam.export_count, false);
        check_functions(beam.imports, beam.import_count, true);
        for (uint32_t i = 0; i < beam.lambda_count; i++)
            check_name(beam.lambdas[i].name);
        check_less(view, &beam, &arena);
        check_struct(view, &arena);
    } else {
        require(rc == NZD_EBUNDLE && err.message[0]);
    }
    nzd_arena_clear(&arena);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct tree sample_bundle;

int sample_make(void **state)
{
    (void)state;
    tree_open(&sample_bundle);
    tree_compile(&sample_bundle, "r/lib/one-1.0/ebin", "one",
                 "-module(one).\n-export([f/1]).\n"
                 "f(L) -> lists:map(fun(X) -> X end, L).\n");
    tree_text(&sample_bundle, "r/lib/one-1.0/ebin/one.app",
              "{application, one, [{vsn, \"1.0\"}, {modules, [one]}]}.\n");
    tree_text(&sample_bundle, "r/lib/one-1.0/priv/a", "hello");
    tree_text(&sample_bundle, "r/lib/one-1.0/priv/b", "");
    tree_text(&sample_bundle, "r/lib/one-1.0/priv/c", "");
    tree_run(&sample_bundle, "tar -czf r.tar.gz -C r lib");
    return 0;
}

int sample_remove(void **state)
{
    (void)state;
    tree_close(&sample_bundle);
    return 0;
}

int sample_set_up(void **state)
{
    struct sample *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    tree_open(&f->tree);
    nzd_inventory_init(&f->out);
    assert_true(nzd_bundle_child_confinement(true, &f->confined));
    *state = f;
    return 0;
}

int sample_tear_down(void **state)
{
    struct sample *f = *state;

    bundle_child_taken_over = NULL;
    bundle_child_limit_us = NZD_BUNDLE_LIMIT_US;
    nzd_inventory_clear(&f->out);
    nzd_spool_close(f->spool);
    tree_close(&f->tree);
    free(f);
    return 0;
}

/* So late that the answer is never waited for. */
static void takes_its_time(void *context, unsigned per_mille)
{
    (void)context;
    (void)per_mille;
    usleep(50);
}

int sample_read_path(struct sample *f, const char *path)
{
    struct nzd_release_options options = {.spool = f->spool,
                                          .progress = takes_its_time};
    struct nzd_bundle_child *child = nzd_bundle_child_start(path);
    int code;

    assert_non_null(child);
    nzd_err_clear(&f->err);
    code = nzd_bundle_child_read(child, &options, NULL, &f->out, &f->err);
    nzd_bundle_child_close(child);
    return code;
}

int sample_read(struct sample *f, const char *name)
{
    return sample_read_path(f, tree_path(&sample_bundle, name));
}

void sample_open_spool(struct sample *f)
{
    assert_int_equal(nzd_spool_open(f->tree.root, 1u << 20, &f->spool, &f->err),
                     0);
}

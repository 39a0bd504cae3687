/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/beam.h"
#include "facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What is read of a BEAM file is what the VM says of it. */

#define ALL (NZD_BEAM_CALLS | NZD_BEAM_FUNS)

static const struct nzd_term *fact(const struct nzd_term *facts,
                                   const char *name)
{
    const struct nzd_term *value = nzd_term_get(facts, name);

    if (!value)
        fail_msg("no fact %s", name);
    return value;
}

static void assert_flag(const struct nzd_term *facts, const char *name,
                        bool value)
{
    if (!nzd_term_is_atom(fact(facts, name), value ? "true" : "false"))
        fail_msg("%s is not %d", name, value);
}

/* The functions as #{{M,F,A} => true}, exports without M. */
static const struct nzd_term *
function_map(struct facts *fixture, const struct nzd_beam_function *functions,
             uint32_t count)
{
    const struct nzd_term *term = NULL;

    nzd_buf_clear(&fixture->buf);
    nzd_etf_version(&fixture->buf);
    nzd_etf_map(&fixture->buf, count);
    for (uint32_t i = 0; i < count; i++) {
        nzd_etf_tuple(&fixture->buf, functions[i].module ? 3 : 2);
        if (functions[i].module)
            nzd_etf_atom(&fixture->buf, functions[i].module);
        nzd_etf_atom(&fixture->buf, functions[i].name);
        nzd_etf_unsigned(&fixture->buf, functions[i].arity);
        nzd_etf_atom(&fixture->buf, "true");
    }
    assert_int_equal(nzd_term_decode(nzd_buf_view(&fixture->buf),
                                     &fixture->arena, &term, &fixture->err),
                     0);
    return term;
}

static void assert_lambdas(const struct nzd_term *facts,
                           const struct nzd_beam *beam)
{
    assert_int_equal(nzd_term_length(facts), beam->lambda_count);
    for (uint32_t i = 0; i < beam->lambda_count; i++) {
        const struct nzd_beam_lambda *lambda = &beam->lambdas[i];
        const struct nzd_term *expected = nzd_term_at(facts, i);
        int64_t number[5] = {0};

        assert_true(nzd_term_is_tagged(expected, lambda->name, 5));
        for (uint32_t k = 1; k < 5; k++)
            assert_true(nzd_term_integer(nzd_term_at(expected, k), &number[k]));
        assert_int_equal(number[1], lambda->arity);
        assert_int_equal(number[2], lambda->index);
        assert_int_equal(number[3], lambda->free_count);
        assert_int_equal(number[4], lambda->old_uniq);
    }
}

static bool is_same(const struct nzd_beam_function *a,
                    const struct nzd_beam_function *b)
{
    return a->arity == b->arity && strcmp(a->name, b->name) == 0 &&
           strcmp(a->module, b->module) == 0;
}

/* One may be in several literals. */
static void assert_funs(struct facts *fixture, const struct nzd_term *facts,
                        const struct nzd_beam *beam)
{
    struct nzd_beam_function *once =
        nzd_arena_alloc(&fixture->arena, (beam->fun_count + 1) * sizeof(*once));
    uint32_t count = 0;

    for (uint32_t i = 0; i < beam->fun_count; i++) {
        uint32_t k = 0;

        while (k < count && !is_same(&once[k], &beam->funs[i]))
            k++;
        once[k] = beam->funs[i];
        count += k == count;
    }
    assert_true(nzd_term_equal(facts, function_map(fixture, once, count)));
}

static void assert_facts(struct facts *fixture, const struct nzd_term *facts,
                         const struct nzd_beam *beam)
{
    struct nzd_digest digest = nzd_term_digest(fact(facts, "attributes"));

    assert_true(nzd_term_is_atom(fact(facts, "module"), beam->module));
    assert_memory_equal(fact(facts, "md5")->text.data, beam->md5.bytes, 16);
    assert_true(nzd_term_equal(fact(facts, "attributes"), beam->attributes));
    assert_true(nzd_digest_equal(&digest, &beam->attrs));
    assert_string_equal(nzd_term_text(fact(facts, "compiler"), &fixture->arena),
                        beam->compiler);
    assert_true(nzd_term_equal(
        fact(facts, "exports"),
        function_map(fixture, beam->exports, beam->export_count)));
    assert_true(nzd_term_equal(
        fact(facts, "imports"),
        function_map(fixture, beam->imports, beam->import_count)));
    assert_funs(fixture, fact(facts, "funs"), beam);
    assert_lambdas(fact(facts, "lambdas"), beam);
    assert_flag(facts, "on_load", beam->has_on_load);
    assert_flag(facts, "nif", beam->loads_nif);
    assert_flag(facts, "code_change", beam->has_code_change);
}

static void vm_agrees(void **state)
{
    struct facts *fixture = *state;
    struct nzd_reader reader;
    struct nzd_view file;
    struct nzd_view etf;
    unsigned count = 0;
    unsigned on_load = 0;

    harness_write_file(harness_path(fixture->harness, "made.erl"), facts_made);
    (void)facts_run(fixture->harness, "beams");
    nzd_reader_init(&reader, facts_file(fixture->harness, "beams"));
    while (facts_block(&reader, &file) && facts_block(&reader, &etf)) {
        const struct nzd_term *facts = NULL;
        struct nzd_beam beam;

        assert_true(nzd_beam_looks_like(file));
        assert_int_equal(
            nzd_term_decode(etf, &fixture->arena, &facts, &fixture->err), 0);
        if (nzd_beam_read(file, ALL, &fixture->arena, &beam, &fixture->err))
            fail_msg("%s", fixture->err.message);
        assert_facts(fixture, facts, &beam);
        on_load += beam.has_on_load;
        count++;
    }
    assert_true(count >= 3 * 5);
    assert_true(on_load >= 3 && on_load < count / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vm_agrees, facts_set_up_vm,
                                        facts_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_proof.h"

#include <string.h>

#define LIMIT_MS 20000

const char *const *boot_proof_argv(struct boot_proof *proof)
{
    return boot_stub_argv(proof->stub,
                          harness_argv(proof->sweep->harness, NULL, NULL)[0]);
}

void boot_proof_keep(struct boot_proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    if (beam_node_alive(proof->sweep->node))
        beam_node_kill(proof->sweep->node);
    harness_remove(harness, proof->kept);
    harness_copy(harness, proof->stub->journal, proof->kept);
}

void boot_proof_begin_again(struct boot_proof *proof)
{
    struct harness *harness = proof->sweep->harness;
    harness_remove(harness, proof->stub->journal);
    harness_copy(harness, proof->kept, proof->stub->journal);
}

void boot_proof_begin_fresh(struct boot_proof *proof)
{
    struct sweep *sweep = proof->sweep;
    harness_remove(sweep->harness, proof->stub->journal);
    if (beam_node_alive(sweep->node))
        beam_node_kill(sweep->node);
    beam_node_start_again(sweep->node);
}

void boot_proof_learn(struct boot_proof *proof)
{
    struct boot_stub_run run =
        boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    boot_stub_learn(proof->stub, &run,
                    harness_fixture(proof->sweep->harness, "counter-0.2.0"));
    proof->root = run.root;
}

unsigned boot_proof_midway(struct boot_proof *proof,
                           const struct operation *operation)
{
    struct sweep *sweep = proof->sweep;
    unsigned commits = 0, at;
    for (at = sweep_count(sweep, operation); at && commits < 2; at--)
        commits += strcmp(sweep_point(sweep, at),
                          "after a commit of the journal") == 0;
    sweep_bring_to(sweep, operation->before);
    return at + 2;
}

int boot_proof_setup(void **state)
{
    static const struct beam_node_options options = {0};
    struct sweep *sweep = sweep_open(&options);
    struct harness *harness = sweep->harness;
    struct boot_proof *proof = harness_alloc(harness, sizeof *proof);
    proof->sweep = sweep;
    proof->stub =
        boot_stub_make(harness, harness_fixture(harness, "counter-0.1.0"));
    proof->kept = harness_path(harness, "kept");
    proof->older = harness_path(harness, "older");
    sweep_bring_to(sweep, "0.2.0");
    harness_copy(harness, proof->stub->journal, proof->older);
    struct harness_run failing = sweep_run(sweep, &sweep_failing, 0, NULL);
    assert_status(failing, 6);
    boot_proof_keep(proof);
    boot_proof_learn(proof);
    *state = proof;
    return 0;
}

int boot_proof_teardown(void **state)
{
    struct boot_proof *proof = *state;
    if (proof)
        harness_close(proof->sweep->harness);
    return 0;
}

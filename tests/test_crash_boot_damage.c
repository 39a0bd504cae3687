/* SPDX-License-Identifier: Apache-2.0 */

/*
 * nzd boot with everything damaged that it reads: the command is started all
 * the same, with the whole generation or as it was given; and a journal is set
 * aside when it is proven to be damaged, and only then.
 */
#include "boot_proof.h"
#include "damage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SAMPLE    30u
#define FULL      2000u
#define LIMIT_MS  14000
#define TOOK_LONG 3000 /* ms: none of these has to be waited for */

#define CONFIG                                                                 \
    "rm -rf $C; printf 'boot {\\n tries = 100\\n healthy = 0\\n}\\n' >$C"

static void shell(struct boot_proof *proof, const char *script)
{
    struct harness *harness = proof->sweep->harness;
    const char *const argv[] = {
        "sh", "-c",
        harness_text(harness, "J=%s; O=%s; C=%s; V=%s\n%s",
                     proof->stub->journal, proof->root, proof->stub->config,
                     harness_path(harness, "victim"), script),
        NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
}

/* --- what became of the journal ------------------------------------------ */

static const char *aside_of(struct boot_proof *proof)
{
    return harness_text(proof->sweep->harness, "%s.bad-1",
                        proof->stub->journal);
}

static bool is_aside(struct boot_proof *proof)
{
    return access(aside_of(proof), F_OK) == 0;
}

static int verified(struct boot_proof *proof, const char *journal)
{
    struct harness *harness = proof->sweep->harness;
    const char *const argv[] = {harness_argv(harness, NULL, NULL)[0],
                                "journal",
                                "verify",
                                "--journal",
                                journal,
                                NULL};
    return harness_run(harness, argv, NULL).status;
}

static void begin(struct boot_proof *proof)
{
    harness_remove(proof->sweep->harness, aside_of(proof));
    boot_proof_begin_again(proof);
}

static struct boot_stub_run boot(struct boot_proof *proof, const char *after)
{
    struct boot_stub_run run =
        boot_stub_start(proof->stub, boot_proof_argv(proof), NULL, LIMIT_MS);
    proof->sweep->tally->points++;
    proof->sweep->tally->runs++;
    boot_stub_check(proof->stub, &run, LIMIT_MS, after);
    return run;
}

/* --- stores -------------------------------------------------------------- */

static const char *data_of(struct boot_proof *proof, const char *journal)
{
    return harness_text(proof->sweep->harness, "%s/data.mdb", journal);
}

/* Nothing of it is changed, wherever it lies then. */
static void must_be_kept(struct boot_proof *proof,
                         const struct damage_image *image, const char *after)
{
    bool aside = is_aside(proof);
    const char *journal = aside ? aside_of(proof) : proof->stub->journal;
    struct damage_image now = damage_read(data_of(proof, journal));
    if (now.size != image->size || memcmp(now.data, image->data, now.size) != 0)
        harness_fail("after %s, the journal is changed", after);
    free(now.data);
    if (aside && access(proof->stub->journal, F_OK) == 0)
        harness_fail("after %s, there is another journal", after);
    if (aside && verified(proof, journal) != 8)
        harness_fail("after %s, a whole journal was set aside", after);
}

static bool damage_store(struct boot_proof *proof,
                         const struct damage_image *older, uint64_t *seed)
{
    struct damage_image image;
    begin(proof);
    const char *path = data_of(proof, proof->stub->journal);
    image = damage_read(path);
    const char *after = damage_some(&image, older, 1, seed);
    damage_write(path, &image);
    struct boot_stub_run run = boot(proof, after);
    must_be_kept(proof, &image, after);
    if (run.overlay && is_aside(proof))
        harness_fail("after %s, the journal of what boots is aside", after);
    free(image.data);
    return run.overlay;
}

static void damaged_stores(void **state)
{
    struct boot_proof *proof = *state;
    struct sweep *sweep = proof->sweep;
    unsigned count = sweep->full ? FULL : SAMPLE, booted = 0, aside = 0;
    uint64_t seed = sweep->random;
    sweep_begin(sweep, "nzd boot, its journal damaged");
    shell(proof, CONFIG);
    begin(proof);
    struct damage_image older = damage_read(data_of(proof, proof->older));
    for (unsigned i = 0; i < count; i++) {
        booted += damage_store(proof, &older, &seed);
        aside += is_aside(proof);
    }
    printf("%u stores, seed %llu: the generation boots over %u, %u are set "
           "aside\n",
           count, (unsigned long long)sweep->random, booted, aside);
    free(older.data);
    assert_true(booted && aside);
    sweep_end(sweep);
}

/* --- by hand ------------------------------------------------------------- */

enum outcome { BASE, GENERATION, EITHER };

struct sight {
    const char *name;
    const char *script; /* $J journal, $O overlay, $C configuration, $V a
                           folder that nobody may change */
    enum outcome outcome;
    bool aside;
    bool slow; /* in full only */
};

static const struct sight sights[] = {
    {"a count of rubbish", "head -c 8192 /dev/urandom >$J/boot", GENERATION,
     false, false},
    {"an empty count", ": >$J/boot", GENERATION, false, false},
    {"no count", "rm $J/boot", GENERATION, false, false},
    {"a count that is a folder", "rm $J/boot; mkdir $J/boot", BASE, false,
     false},
    {"a count that is a pipe", "rm $J/boot; mkfifo $J/boot", BASE, false,
     false},
    {"a count that is a link out", "ln -sf $V/file $J/boot", BASE, false,
     false},
    {"an empty store", ": >$J/data.mdb", BASE, true, false},
    {"half a store", "truncate -s 40000 $J/data.mdb", BASE, true, false},
    {"a store of zeros",
     "s=$(stat -c %s $J/data.mdb); : >$J/data.mdb; truncate -s $s $J/data.mdb",
     BASE, true, false},
    {"a store of rubbish", "head -c 65536 /dev/urandom >$J/data.mdb", BASE,
     true, false},
    {"a store that is a folder", "rm $J/data.mdb; mkdir $J/data.mdb", BASE,
     true, false},
    {"no store", "rm $J/data.mdb", BASE, false, false},
    {"no journal", "rm -r $J", BASE, false, false},
    {"a journal that is a file", "rm -r $J; : >$J", BASE, false, false},
    {"a journal elsewhere", "mv $J $J.there; ln -s $J.there $J", GENERATION,
     false, false},
    {"LMDB's lock of rubbish", "head -c 8192 /dev/urandom >$J/lock.mdb",
     GENERATION, false, false},
    {"LMDB's lock that is a folder", "rm -f $J/lock.mdb; mkdir $J/lock.mdb",
     EITHER, false, false},
    {"a lock that is a folder", "rm -f $J/lock; mkdir $J/lock", GENERATION,
     false, false},
    {"an empty store and its name taken",
     ": >$J/data.mdb; rm -rf $J.bad-2; mkdir $J.bad-1; mv $J.bad-1 $J.bad-2",
     BASE, true, false},
    {"a folder that was not finished",
     "mkdir -p $O/1.new/lib; echo x >$O/1.new/start.boot", GENERATION, false,
     false},
    {"other files in the overlay",
     "find $O/1/ -type f | while read f; do echo x >$f; done; echo x >$O/1/y",
     GENERATION, false, false},
    {"no files in the overlay", "rm -rf $O/1/*", GENERATION, false, false},
    {"a generation that is a file", "rm -rf $O/1; echo x >$O/1", GENERATION,
     false, false},
    {"a generation that is a link out", "rm -rf $O/1; ln -s $V $O/1",
     GENERATION, false, false},
    {"a new one that is a link out", "rm -rf $O/1.new; ln -s $V $O/1.new",
     GENERATION, false, false},
    {"a current that is a folder", "rm -rf $O/current; mkdir -p $O/current/x",
     GENERATION, false, false},
    {"a current that is a link out", "ln -sfn $V $O/current", GENERATION, false,
     false},
    {"a new current that is a folder", "mkdir -p $O/current.new/x", GENERATION,
     false, false},
    {"a mark that is a folder", "rm -rf $O/booted; mkdir -p $O/booted/x",
     GENERATION, false, false},
    {"a mark that is a link out", "rm -rf $O/booted; ln -s $V/file $O/booted",
     GENERATION, false, false},
    {"an overlay that is a file", "rm -rf $O; echo x >$O", BASE, false, false},
    {"an overlay of another user", "chown -R 65534 $O", GENERATION, false,
     false},
    {"no overlay", "rm -rf $O", GENERATION, false, false},
    {"a configuration of rubbish", "echo 'boot { {' >$C", BASE, false, false},
    {"a configuration that is a folder", "rm $C; mkdir $C", BASE, false, false},
    {"no configuration", "rm $C", BASE, false, false},
    {"a configuration that is a pipe", "rm $C; mkfifo $C", BASE, false, true},
};

static void look_at(struct boot_proof *proof, const struct sight *sight)
{
    begin(proof);
    shell(proof,
          "rm -rf $C $O $J.there; mkdir -p $V; echo kept >$V/file\n" CONFIG);
    boot(proof, "nothing");
    shell(proof, sight->script);
    struct boot_stub_run run = boot(proof, sight->name);
    if (sight->outcome != EITHER &&
        run.overlay != (sight->outcome == GENERATION))
        harness_fail("%s: the wrong one boots\n%s%s", sight->name, run.run.out,
                     run.run.err);
    if (is_aside(proof) != sight->aside)
        harness_fail("%s: the journal is %s\n%s", sight->name,
                     is_aside(proof) ? "aside" : "not aside", run.run.err);
    if (run.run.ms > TOOK_LONG && !sight->slow)
        harness_fail("%s: it took %.0f ms", sight->name, run.run.ms);
    shell(proof, "[ \"$(ls $V)\" = file ] && [ \"$(cat $V/file)\" = kept ]");
}

static void strange_sights(void **state)
{
    struct boot_proof *proof = *state;
    sweep_begin(proof->sweep, "nzd boot, its files damaged");
    for (size_t i = 0; i < sizeof sights / sizeof sights[0]; i++)
        if (proof->sweep->full || !sights[i].slow)
            look_at(proof, &sights[i]);
    sweep_end(proof->sweep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_sights),
        cmocka_unit_test(damaged_stores),
    };
    return tally_report(
        cmocka_run_group_tests(tests, boot_proof_setup, boot_proof_teardown));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/bundle_child_internal.h"
#include "../engine/interrupt.h"
#include "bundle_sample.h"
#include "process.h"

#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * How the child that reads a bundle comes to its end, and what it may say: by a
 * bundle that has taken it over.
 */

/* --- one that ends ------------------------------------------------------- */

/* Between the test and the child, which has no other way. */
static volatile int *shared;

static void aborts(int answer)
{
    (void)answer;
    abort();
}

static void faults(int answer)
{
    (void)answer;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void says_nothing(int answer)
{
    (void)answer;
    _exit(0);
}

static void hangs(int answer)
{
    (void)answer;
    *shared = getpid();
    for (;;)
        sched_yield();
}

/* Gone by what its parent hears, and yet there. */
static void goes_silent(int answer)
{
    static int word;

    *shared = getpid();
    (void)close(answer);
    for (;;)
        (void)syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

/* What it says is sound, and never ends: there is always more to be heard. */
static void says_much(int answer)
{
    static uint8_t frames[13108 * 5 * 9];

    *shared = getpid();
    for (size_t i = 0; i < sizeof(frames); i += 9) {
        frames[i] = CHILD_PROGRESS;
        frames[i + 4] = 4;
    }
    while (nzd_write_all(answer, frames, sizeof(frames)) == 0)
        continue;
    _exit(0);
}

static void assert_ended(struct sample *f, const char *why)
{
    *shared = 0;
    assert_int_equal(sample_read(f, "r.tar.gz"), NZD_EBUNDLE);
    if (!strstr(f->err.message, why))
        fail_msg("%s", f->err.message);
    assert_true(*shared > 0);
    assert_int_not_equal(kill(*shared, 0), 0);
}

static void ends_of_it(void **state)
{
    struct sample *f = *state;

    bundle_child_taken_over = aborts;
    assert_int_equal(sample_read(f, "r"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "signal 6 (Aborted)"));
    bundle_child_taken_over = faults;
    assert_int_equal(sample_read(f, "r.tar.gz"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "signal 11 "));
    bundle_child_taken_over = says_nothing;
    assert_int_equal(sample_read(f, "r.tar.gz"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "without an answer (status 0)"));
    bundle_child_limit_us = 100000;
    bundle_child_taken_over = hangs;
    assert_ended(f, "not read within");
    bundle_child_taken_over = says_much;
    assert_ended(f, "not read within");
    /* Long enough for a busy machine; what ends it is its silence. */
    bundle_child_limit_us = NZD_BUNDLE_LIMIT_US;
    bundle_child_taken_over = goes_silent;
    assert_ended(f, "says no more");
}

/* Whoever started nzd may have had it ignore what its children do. */
static void ends_where_none_is_told(void **state)
{
    struct sample *f = *state;

    (void)signal(SIGCHLD, SIG_IGN);
    nzd_interrupt_install();
    bundle_child_taken_over = aborts;
    assert_int_equal(sample_read(f, "r"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "signal 6 (Aborted)"));
}

/* 1000: it ends before the node does, where memory ends. */
static int oom_score(pid_t pid)
{
    char text[64];
    FILE *file;

    snprintf(text, sizeof(text), "/proc/%d/oom_score_adj", (int)pid);
    file = fopen(text, "r");
    if (!file || !fgets(text, sizeof(text), file))
        *text = 0;
    if (file)
        fclose(file);
    return atoi(text);
}

static void dies_with_its_parent(void **state)
{
    pid_t parent;

    (void)state;
    *shared = 0;
    bundle_child_taken_over = hangs;
    parent = fork();
    if (parent == 0) {
        (void)nzd_bundle_child_start(tree_path(&sample_bundle, "r.tar.gz"));
        pause();
    }
    for (int i = 0; i < 2000 && !*shared; i++)
        usleep(1000);
    assert_true(*shared > 0);
    int score = oom_score(*shared);
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    assert_int_equal(score, 1000);
    for (int i = 0; i < 2000 && process_alive(*shared); i++)
        usleep(1000);
    assert_false(process_alive(*shared));
}

static void a_bomb(void **state)
{
    struct sample *f = *state;

    tree_run(&f->tree, "mkdir -p lib/a/ebin && truncate -s 64M lib/a/ebin/"
                       "a.beam && tar -czf b.tar.gz lib");
    assert_int_equal(sample_read_path(f, tree_path(&f->tree, "b.tar.gz")),
                     NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "more than the 33554432 it may"));
}

/* --- answers that do not hold -------------------------------------------- */

static struct nzd_buf lie;

/* Once it is asked: who asks nobody hears nothing. */
static void tells_the_lie(int answer)
{
    char asked[64];

    (void)!read(CHILD_ASKED, asked, sizeof(asked));
    (void)nzd_write_all(answer, lie.data, lie.size);
    _exit(0);
}

static void frame(unsigned kind, struct nzd_view payload)
{
    nzd_buf_u8(&lie, (uint8_t)kind);
    nzd_buf_block(&lie, payload);
}

static int record(void *context, enum nzd_listing_kind kind,
                  struct nzd_view view, struct nzd_err *err)
{
    (void)context;
    (void)err;
    frame(kind, view);
    return 0;
}

static void end_of_lie(void)
{
    frame(CHILD_END, nzd_view_of("\0\0\0\0\0\0\0\1", 8));
}

static void assert_lie(struct sample *f, const char *message)
{
    bundle_child_taken_over = tells_the_lie;
    assert_int_equal(sample_read(f, "r.tar.gz"), NZD_EBUNDLE);
    if (!strstr(f->err.message, message))
        fail_msg("not '%s' but: %s", message, f->err.message);
    assert_int_equal(f->out.module_count, 0);
    nzd_buf_reset(&lie);
}

static void frames_that_are_none(void **state)
{
    struct sample *f = *state;

    frame(0, nzd_view_text("x"));
    assert_lie(f, "the kind of a record");
    frame(255, nzd_view_text(""));
    assert_lie(f, "the kind of a record");
    nzd_buf_u8(&lie, NZD_LISTING_MODULE);
    nzd_buf_u32(&lie, NZD_LISTING_BYTES + 1);
    assert_lie(f, "a length");
    frame(CHILD_BYTES, nzd_view_text("nobody asked for them"));
    assert_lie(f, ": bytes");
    end_of_lie();
    assert_lie(f, "bytes that it did not send");
    frame(CHILD_END, nzd_view_text("long"));
    assert_lie(f, "a number");
    frame(CHILD_FAILED, nzd_view_text("\0\0\0\3"));
    assert_lie(f, "a failure");
    frame(NZD_LISTING_APP, nzd_view_text("\0\0\0\1"));
    assert_lie(f, "does not hold");
    nzd_buf_clear(&lie);
}

static void a_failure_that_paints(void **state)
{
    static const char text[] = "\0\0\0\6\0\0\0\5\033[2Jx\0\0\0\0\0\0\0\0";
    struct sample *f = *state;

    frame(CHILD_FAILED, nzd_view_of(text, sizeof(text) - 1));
    assert_lie(f, "?[2Jx");
    assert_null(strchr(f->err.message, 033));
    assert_int_equal(f->err.code, NZD_EBUNDLE);
    nzd_buf_clear(&lie);
}

/* As the child would answer, but for one thing. */
static void tell_lie(struct sample *f, void (*change)(struct nzd_inventory *),
                     const char *message)
{
    struct nzd_source *source = NULL;
    struct nzd_inventory said;

    assert_int_equal(
        nzd_source_open(tree_path(&sample_bundle, "r"), &source, &f->err), 0);
    assert_int_equal(nzd_release_read(source, NULL, &said, &f->err), 0);
    change(&said);
    assert_int_equal(nzd_listing_encode(&said, false, record, NULL, &f->err),
                     0);
    end_of_lie();
    nzd_inventory_clear(&said);
    nzd_source_close(source);
    if (message)
        assert_lie(f, message);
}

static void leaves_the_bundle(struct nzd_inventory *said)
{
    said->priv[0].path = "priv/../../../../etc/passwd";
}

static void is_no_folder(struct nzd_inventory *said)
{
    said->apps[0].version = "1.0/../../x";
}

static void is_of_no_application(struct nzd_inventory *said)
{
    said->modules[0].app = "..";
}

static void is_another(struct nzd_inventory *said)
{
    said->apps[0].spec = nzd_term_at(said->apps[0].spec, 1);
}

static void is_named_twice(struct nzd_inventory *said)
{
    for (uint32_t i = 0; i < 2; i++) {
        said->priv[i].spooled = true;
        said->priv[i].spool_offset = 0;
        said->priv[i].size = 5;
        said->priv[i].md5 =
            nzd_md5_of(&(struct nzd_view){(const uint8_t *)"hello", 5}, 1);
    }
}

static void is_not_there(struct nzd_inventory *said)
{
    said->modules[0].flags |= NZD_MODULE_SPOOLED;
}

static void is_unknown(struct nzd_inventory *said)
{
    said->modules[0].flags = 0;
    said->modules[0].beam = NULL;
}

static void is_of_a_node(struct nzd_inventory *said)
{
    said->modules[0].flags |= NZD_MODULE_STICKY;
}

static void is_true(struct nzd_inventory *said)
{
    (void)said;
}

static void inventories_that_lie(void **state)
{
    struct sample *f = *state;

    tell_lie(f, leaves_the_bundle, "a path does not hold");
    tell_lie(f, is_no_folder, "the version of an application does not hold");
    tell_lie(f, is_of_no_application, "the name of an application");
    tell_lie(f, is_another, "an application does not hold");
    tell_lie(f, is_not_there, "bytes that it did not send");
    tell_lie(f, is_unknown, "bytes that it did not send");
    tell_lie(f, is_of_a_node, "a module does not hold");
    tell_lie(f, is_true, NULL);
    bundle_child_taken_over = tells_the_lie;
    assert_int_equal(sample_read(f, "r.tar.gz"), 0);
    nzd_inventory_clear(&f->out);
    nzd_buf_reset(&lie);
    sample_open_spool(f);
    tell_lie(f, is_true, "bytes that it did not send");
    frame(CHILD_BYTES, nzd_view_text("hello"));
    tell_lie(f, is_named_twice, "bytes that it did not send");
    nzd_buf_clear(&lie);
}

/* Cut anywhere and changed anywhere: refused or read, never a crash. */
static void answers_that_are_damaged(void **state)
{
    struct sample *f = *state;
    unsigned seed = 1;

    tell_lie(f, is_true, NULL);
    for (unsigned i = 0; i < 60; i++) {
        struct nzd_view whole = nzd_buf_view(&lie);
        uint8_t *copy = malloc(whole.size);

        assert_non_null(copy);
        memcpy(copy, whole.data, whole.size);
        seed = seed * 1103515245u + 12345u;
        lie.data[(seed >> 8) % whole.size] ^= (uint8_t)(1u << (seed & 7));
        if (i % 4 == 0)
            lie.size = (seed >> 8) % whole.size;
        bundle_child_taken_over = tells_the_lie;
        (void)sample_read(f, "r.tar.gz");
        nzd_inventory_clear(&f->out);
        lie.size = whole.size;
        memcpy(lie.data, copy, whole.size);
        free(copy);
    }
    nzd_buf_clear(&lie);
}

static int set_up_all(void **state)
{
    (void)sample_make(state);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true((void *)shared != MAP_FAILED);
    return 0;
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, sample_set_up, sample_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(ends_of_it),           TEST(ends_where_none_is_told),
        TEST(dies_with_its_parent), TEST(a_bomb),
        TEST(frames_that_are_none), TEST(a_failure_that_paints),
        TEST(inventories_that_lie), TEST(answers_that_are_damaged),
    };

    nzd_interrupt_install();
    return cmocka_run_group_tests(tests, set_up_all, sample_remove);
}

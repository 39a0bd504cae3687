/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/layout.h"
#include "../staging/source.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct tree tree;
    struct tar tar;
    struct nzd_err err;
    struct nzd_buf listing; /* "path size\n" of each entry */
    struct nzd_buf content; /* of all entries */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    tree_open(&fixture->tree);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    tree_close(&fixture->tree);
    tar_clear(&fixture->tar);
    nzd_buf_clear(&fixture->listing);
    nzd_buf_clear(&fixture->content);
    free(fixture);
    return 0;
}

static int read_entries(struct fixture *fixture, struct nzd_source *source)
{
    struct nzd_source_entry entry;
    struct nzd_buf bytes = {0};
    int code;

    while ((code = nzd_source_next(source, &entry, &fixture->err)) > 0) {
        nzd_buf_printf(&fixture->listing, "%s %u\n", entry.path,
                       (unsigned)entry.size);
        code = nzd_source_read(source, 1u << 20, &bytes, &fixture->err);
        if (code < 0)
            break;
        assert_int_equal(bytes.size, entry.size);
        nzd_buf_bytes(&fixture->content, bytes.data, bytes.size);
    }
    nzd_buf_clear(&bytes);
    return code;
}

/* Reads all of it; the code of the first failure. */
static int walk(struct fixture *fixture, const char *relative)
{
    struct nzd_source *source = NULL;
    int code;

    nzd_err_clear(&fixture->err);
    nzd_buf_reset(&fixture->listing);
    nzd_buf_reset(&fixture->content);
    code = nzd_source_open(tree_path(&fixture->tree, relative), &source,
                           &fixture->err);
    if (code == 0)
        code = read_entries(fixture, source);
    nzd_source_close(source);
    return code;
}

static int walk_tar(struct fixture *fixture)
{
    tree_write(&fixture->tree, "x.tar", fixture->tar.data, fixture->tar.size);
    return walk(fixture, "x.tar");
}

static void expect_refused(struct fixture *fixture, const char *why)
{
    assert_int_equal(walk_tar(fixture), NZD_EBUNDLE);
    if (!strstr(fixture->err.message, why) ||
        !strstr(fixture->err.message, "x.tar: "))
        fail_msg("\"%s\" does not say \"%s\"", fixture->err.message, why);
    tar_clear(&fixture->tar);
}

static void plain_files(struct fixture *fixture)
{
    tar_entry(&fixture->tar, "./lib/", '5', NULL, NULL, 0);
    tar_entry(&fixture->tar, "./lib/a-1/priv/b", '0', NULL, "hello", 5);
    tar_entry(&fixture->tar, "lib/a-1/priv/a", '0', NULL, "world!", 6);
    tar_entry(&fixture->tar, "lib/a-1/priv/link", '2', "/etc/passwd", NULL, 0);
    tar_entry(&fixture->tar, "lib/a-1/priv/empty", '0', NULL, NULL, 0);
    tar_end(&fixture->tar);
}

static const char LISTED[] = "lib/a-1/priv/b 5\n"
                             "lib/a-1/priv/a 6\n"
                             "lib/a-1/priv/empty 0\n";

/* --- tarballs --- */

static void gives_files_of_a_tarball(void **state)
{
    struct fixture *fixture = *state;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing), LISTED);
    assert_string_equal(nzd_buf_string(&fixture->content), "helloworld!");
}

static void reads_every_compression(void **state)
{
    static const char *const commands[] = {
        "gzip -c x.tar > x.gz", "zstd -q -f x.tar -o x.zst", "xz -k -f x.tar",
        "bzip2 -k -f x.tar"};
    static const char *const files[] = {"x.gz", "x.zst", "x.tar.xz",
                                        "x.tar.bz2"};
    struct fixture *fixture = *state;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    for (size_t i = 0; i < 4; i++) {
        tree_run(&fixture->tree, commands[i]);
        if (walk(fixture, files[i]) != 0)
            fail_msg("%s: %s", files[i], fixture->err.message);
        assert_string_equal(nzd_buf_string(&fixture->listing), LISTED);
    }
}

static void reads_gzip_of_several_members(void **state)
{
    struct fixture *fixture = *state;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    tree_run(&fixture->tree, "(head -c 700 x.tar | gzip -c; tail -c +701 x.tar "
                             "| gzip -c) > x.gz");
    assert_int_equal(walk(fixture, "x.gz"), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing), LISTED);
}

/* Every prefix of a stream is refused, whatever it is packed with. */
static void refuses_truncated_streams(void **state)
{
    static const char *const commands[] = {
        "cp x.tar y", "gzip -c x.tar > y", "zstd -q -c x.tar > y",
        "xz -c x.tar > y", "bzip2 -c x.tar > y"};
    struct fixture *fixture = *state;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        size_t size, step;
        uint8_t *whole;

        tree_run(&fixture->tree, commands[i]);
        whole = tree_read(&fixture->tree, "y", &size);
        step = size > 1000 ? 37 : 1;
        for (size_t cut = 0; cut < size; cut += step) {
            tree_write(&fixture->tree, "cut", whole, cut);
            if (walk(fixture, "cut") != NZD_EBUNDLE)
                fail_msg("%s: %zu of %zu bytes were taken", commands[i], cut,
                         size);
        }
        free(whole);
    }
}

static void refuses_an_archive_cut_between_entries(void **state)
{
    struct fixture *fixture = *state;

    tar_entry(&fixture->tar, "lib/a/priv/b", '0', NULL, "hello", 5);
    expect_refused(fixture, "truncated");
}

static void refuses_trailing_bytes(void **state)
{
    static const char *const commands[] = {
        "(cat x.tar; echo garbage) > y",
        "(gzip -c x.tar; echo garbage) > y",
        "(zstd -q -c x.tar; echo garbage) > y",
        "(xz -c x.tar; echo garbage) > y",
        "(bzip2 -c x.tar; echo garbage) > y",
        "(cat x.tar; echo garbage) | gzip -c > y"};
    struct fixture *fixture = *state;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        tree_run(&fixture->tree, commands[i]);
        if (walk(fixture, "y") != NZD_EBUNDLE)
            fail_msg("%s was taken", commands[i]);
    }
    tree_run(&fixture->tree, "(cat x.tar; head -c 9000 /dev/zero) > y");
    assert_int_equal(walk(fixture, "y"), 0);
}

/* deflate alone would take many of them; some mean the same bytes. */
static void refuses_flipped_bits_in_gzip(void **state)
{
    struct fixture *fixture = *state;
    size_t size, refused = 0;
    uint8_t *whole;

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    tree_run(&fixture->tree, "gzip -n -1 -c x.tar > y");
    whole = tree_read(&fixture->tree, "y", &size);
    for (size_t i = 10; i < size; i++) {
        whole[i] ^= 0x10;
        tree_write(&fixture->tree, "flipped", whole, size);
        if (walk(fixture, "flipped") == 0) {
            assert_string_equal(nzd_buf_string(&fixture->listing), LISTED);
            assert_string_equal(nzd_buf_string(&fixture->content),
                                "helloworld!");
        } else {
            refused++;
        }
        whole[i] ^= 0x10;
    }
    assert_true(refused > size / 2);
    free(whole);
}

static void refuses_paths_that_leave(void **state)
{
    static const char *const paths[] = {"../x",   "/etc/passwd", "lib/../../x",
                                        "lib//x", "lib/./x",     "lib/a\001b",
                                        "..",     "././../x",    "lib/a\177"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        tar_entry(&fixture->tar, paths[i], '0', NULL, "x", 1);
        tar_end(&fixture->tar);
        expect_refused(fixture, "not clean");
    }
}

static void refuses_what_is_no_file(void **state)
{
    struct fixture *fixture = *state;

    tar_entry(&fixture->tar, "lib/a/priv/null", '3', NULL, NULL, 0);
    tar_end(&fixture->tar);
    expect_refused(fixture, "neither a file nor a folder");
    tar_entry(&fixture->tar, "lib/a/priv/pipe", '6', NULL, NULL, 0);
    tar_end(&fixture->tar);
    expect_refused(fixture, "neither a file nor a folder");
    tar_entry(&fixture->tar, "lib/a/priv/b", '0', NULL, "x", 1);
    tar_entry(&fixture->tar, "lib/a/priv/c", '1', "lib/a/priv/b", NULL, 0);
    tar_end(&fixture->tar);
    expect_refused(fixture, "lib/a/priv/c: a hard link");
    tar_entry(&fixture->tar, "lib/a/ebin/a.beam", '2', "/tmp/a.beam", NULL, 0);
    tar_end(&fixture->tar);
    expect_refused(fixture, "a link in the place of a module");
}

static void refuses_a_path_twice(void **state)
{
    struct fixture *fixture = *state;

    tar_entry(&fixture->tar, "lib/a/priv/b", '0', NULL, "x", 1);
    tar_entry(&fixture->tar, "./lib/a/priv/b", '0', NULL, "y", 1);
    tar_end(&fixture->tar);
    expect_refused(fixture, "lib/a/priv/b: in it twice");
}

static void finds_repetition_among_many(void **state)
{
    struct fixture *fixture = *state;
    char name[32];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "priv/%u", i);
        tar_entry(&fixture->tar, name, '0', NULL, NULL, 0);
    }
    tar_entry(&fixture->tar, "priv/17", '0', NULL, NULL, 0);
    tar_end(&fixture->tar);
    expect_refused(fixture, "priv/17: in it twice");
}

static void refuses_sizes_that_lie(void **state)
{
    struct fixture *fixture = *state;

    tar_lie(&fixture->tar, "lib/a/priv/b", 0777777777777, "x", 1);
    tar_end(&fixture->tar);
    expect_refused(fixture, "more than");
    tar_lie(&fixture->tar, "lib/a/priv/b", 100000, "x", 1);
    tar_end(&fixture->tar);
    expect_refused(fixture, "lib/a/priv/b");
}

static void keeps_to_the_limit_of_a_read(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_source *source = NULL;
    struct nzd_source_entry entry;
    struct nzd_buf bytes = {0};

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    assert_int_equal(nzd_source_open(tree_path(&fixture->tree, "x.tar"),
                                     &source, &fixture->err),
                     0);
    assert_int_equal(nzd_source_next(source, &entry, &fixture->err), 1);
    assert_int_equal(nzd_source_read(source, 4, &bytes, &fixture->err),
                     NZD_EBUNDLE);
    assert_non_null(strstr(fixture->err.message, "lib/a-1/priv/b: "));
    nzd_err_clear(&fixture->err);
    assert_int_equal(nzd_source_next(source, &entry, &fixture->err), 1);
    assert_int_equal(nzd_source_read(source, 6, &bytes, &fixture->err), 0);
    assert_int_equal(nzd_source_read(source, 6, &bytes, &fixture->err),
                     NZD_EINTERNAL);
    nzd_source_close(source);
    nzd_buf_clear(&bytes);
}

static void digests_content(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_source *source = NULL;
    struct nzd_source_entry entry;
    struct nzd_digest md5;
    char hex[NZD_DIGEST_HEX];

    plain_files(fixture);
    assert_int_equal(walk_tar(fixture), 0);
    assert_int_equal(nzd_source_open(tree_path(&fixture->tree, "x.tar"),
                                     &source, &fixture->err),
                     0);
    assert_int_equal(nzd_source_next(source, &entry, &fixture->err), 1);
    assert_int_equal(nzd_source_md5(source, &md5, &fixture->err), 0);
    nzd_digest_hex(hex, &md5);
    assert_string_equal(hex, "5d41402abc4b2a76b9719d911017c592");
    nzd_source_close(source);
}

static void says_what_is_no_bundle(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(walk(fixture, "missing"), NZD_ENOTFOUND);
    assert_non_null(strstr(fixture->err.message, "missing"));
    tree_text(&fixture->tree, "text", "no archive at all, only some text\n");
    assert_int_equal(walk(fixture, "text"), NZD_EBUNDLE);
    tree_text(&fixture->tree, "empty", "");
    assert_int_equal(walk(fixture, "empty"), NZD_EBUNDLE);
    tree_run(&fixture->tree, "mkfifo pipe");
    assert_int_equal(walk(fixture, "pipe"), NZD_EBUNDLE);
}

/* --- directories --- */

static void gives_files_of_a_directory(void **state)
{
    struct fixture *fixture = *state;

    tree_text(&fixture->tree, "r/lib/a-1/ebin/a.app", "12345");
    tree_text(&fixture->tree, "r/lib/a-1/priv/deep/er/file", "x");
    tree_text(&fixture->tree, "r/lib/a-1/src/a.erl", "not asked for");
    tree_text(&fixture->tree, "r/log/erlang.log", "not asked for");
    tree_text(&fixture->tree, "r/releases/1/start.boot", "b");
    tree_text(&fixture->tree, "r/releases/start_erl.data", "13 1");
    tree_text(&fixture->tree, "r/erts-13/bin/erl", "e");
    tree_text(&fixture->tree, "r/erts-13/include/x.h", "not asked for");
    assert_int_equal(walk(fixture, "r"), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing),
                        "erts-13/bin/erl 1\n"
                        "lib/a-1/ebin/a.app 5\n"
                        "lib/a-1/priv/deep/er/file 1\n"
                        "releases/1/start.boot 1\n"
                        "releases/start_erl.data 4\n");
}

static void follows_links_of_a_build(void **state)
{
    struct fixture *fixture = *state;

    tree_text(&fixture->tree, "project/priv/x", "x");
    tree_text(&fixture->tree, "dep/ebin/d.app", "d");
    tree_text(&fixture->tree, "build/lib/a/ebin/a.app", "a");
    tree_run(&fixture->tree, "ln -s ../../../project/priv build/lib/a/priv");
    tree_run(&fixture->tree, "ln -s ../../dep build/lib/dep");
    tree_run(&fixture->tree, "ln -s x project/priv/same");
    assert_int_equal(walk(fixture, "build"), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing),
                        "lib/a/ebin/a.app 1\nlib/a/priv/same 1\n"
                        "lib/a/priv/x 1\nlib/dep/ebin/d.app 1\n");
}

static void stays_below_the_root(void **state)
{
    struct fixture *fixture = *state;

    tree_text(&fixture->tree, "secret/key", "k");
    tree_text(&fixture->tree, "r/lib/a/priv/x", "x");
    tree_run(&fixture->tree, "ln -s ../../../../secret r/lib/a/priv/out");
    tree_run(&fixture->tree, "ln -s /etc/passwd r/lib/a/priv/passwd");
    tree_run(&fixture->tree, "ln -s nowhere r/lib/a/priv/dangling");
    tree_run(&fixture->tree, "ln -s . r/lib/a/priv/loop");
    tree_run(&fixture->tree, "ln -s ../../.. r/lib/a/priv/up");
    assert_int_equal(walk(fixture, "r"), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing), "lib/a/priv/x 1\n");
    tree_run(&fixture->tree,
             "mkdir r/lib/a/ebin && "
             "ln -s ../../../../secret/key r/lib/a/ebin/a.beam");
    assert_int_equal(walk(fixture, "r"), NZD_EBUNDLE);
    assert_non_null(strstr(fixture->err.message, "lib/a/ebin/a.beam"));
}

static void skips_sockets_and_pipes(void **state)
{
    struct fixture *fixture = *state;

    tree_text(&fixture->tree, "r/lib/a/priv/x", "x");
    tree_run(&fixture->tree, "mkfifo r/lib/a/priv/pipe");
    assert_int_equal(walk(fixture, "r"), 0);
    assert_string_equal(nzd_buf_string(&fixture->listing), "lib/a/priv/x 1\n");
}

/* --- layouts --- */

static void expect_layout(const char *path, enum nzd_layout_kind kind,
                          const char *app, const char *version,
                          const char *rest)
{
    struct nzd_layout layout;

    nzd_layout_of(path, &layout);
    if (layout.kind != kind)
        fail_msg("%s: kind %d, not %d", path, (int)layout.kind, (int)kind);
    assert_true(nzd_view_equal(layout.app, nzd_view_text(app)));
    assert_true(nzd_view_equal(layout.version, nzd_view_text(version)));
    if (rest)
        assert_string_equal(layout.rest, rest);
}

static void knows_layouts(void **state)
{
    (void)state;
    expect_layout("lib/a-0.2.0-rc.1/ebin/m.beam", NZD_LAYOUT_MODULE, "a",
                  "0.2.0-rc.1", "m.beam");
    expect_layout("a-0.2.0/lib/a/ebin/m.beam", NZD_LAYOUT_MODULE, "a", "",
                  "m.beam");
    expect_layout("a/ebin/a.app", NZD_LAYOUT_APPLICATION, "a", "", "a.app");
    expect_layout("lib/a-1/priv/lib/b/ebin/m.beam", NZD_LAYOUT_PRIV, "a", "1",
                  "priv/lib/b/ebin/m.beam");
    expect_layout("releases/1.0/consolidated/P.beam", NZD_LAYOUT_CONSOLIDATED,
                  "", "1.0", "P.beam");
    expect_layout("lib/a/consolidated/P.beam", NZD_LAYOUT_CONSOLIDATED, "a", "",
                  "P.beam");
    expect_layout("releases/1.0/sys.config", NZD_LAYOUT_RELEASE, "", "1.0",
                  "sys.config");
    expect_layout("releases/start_erl.data", NZD_LAYOUT_START_ERL, "", "",
                  NULL);
    expect_layout("top/releases/start_erl.data", NZD_LAYOUT_START_ERL, "", "",
                  NULL);
    expect_layout("erts-13.1.5/bin/erl", NZD_LAYOUT_ERTS, "", "13.1.5", NULL);
    expect_layout("nzd/hooks.conf", NZD_LAYOUT_HOOKS, "", "", NULL);
    expect_layout("bin/counter", NZD_LAYOUT_OTHER, "", "", NULL);
    expect_layout("releases/counter.rel", NZD_LAYOUT_OTHER, "", "", NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(gives_files_of_a_tarball),
        TEST(reads_every_compression),
        TEST(reads_gzip_of_several_members),
        TEST(refuses_truncated_streams),
        TEST(refuses_an_archive_cut_between_entries),
        TEST(refuses_trailing_bytes),
        TEST(refuses_flipped_bits_in_gzip),
        TEST(refuses_paths_that_leave),
        TEST(refuses_what_is_no_file),
        TEST(refuses_a_path_twice),
        TEST(finds_repetition_among_many),
        TEST(refuses_sizes_that_lie),
        TEST(keeps_to_the_limit_of_a_read),
        TEST(digests_content),
        TEST(says_what_is_no_bundle),
        TEST(gives_files_of_a_directory),
        TEST(follows_links_of_a_build),
        TEST(stays_below_the_root),
        TEST(skips_sockets_and_pipes),
        TEST(knows_layouts),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}

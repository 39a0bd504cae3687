/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What `make install` lays out is all there, says what the program does, and
 * nothing of the program is missing in it. */

struct installed {
    struct harness *harness;
    const char *root;
};

static struct harness_run shell(struct installed *place, const char *script)
{
    const char *const argv[] = {"sh", "-c", script, place->root, NULL};
    return harness_run(place->harness, argv, NULL);
}

static const char *printed(struct installed *place, const char *script)
{
    struct harness_run run = shell(place, script);
    assert_status(run, 0);
    return run.out;
}

static const char *text_of(struct installed *place, const char *path)
{
    return harness_read_file(place->harness,
                             harness_path(place->harness, "a root%s", path));
}

static int install(void **state)
{
    struct harness *harness = harness_open();
    struct installed *place = harness_alloc(harness, sizeof *place);
    place->harness = harness;
    place->root = harness_path(harness, "a root");
    printed(place, "env -u MAKEFLAGS -u MAKELEVEL -u SAN make -s -o all "
                   "install DESTDIR=\"$0\" PREFIX=/usr");
    *state = place;
    return 0;
}

static int clear(void **state)
{
    struct installed *place = *state;
    harness_close(place->harness);
    return 0;
}

/* Each word on a line of `words` is found in the manual. */
static void is_told(const char *manual, char *words)
{
    unsigned count = 0;
    for (char *word = strtok(words, "\n"); word; word = strtok(NULL, "\n")) {
        if (!strstr(manual, word))
            harness_fail("the manual has no \"%s\"", word);
        count++;
    }
    if (count < 5)
        harness_fail("only %u words were looked for", count);
}

static void it_runs_where_it_is_put(void **state)
{
    struct installed *place = *state;
    assert_matches(printed(place, "\"$0\"/usr/bin/nzd --version"),
                   "^nzd [0-9]+\\.");
    assert_contains(
        printed(place, "cd \"$0\"/usr/share && find . -type f | sort"),
        "./man/man1/nzd.1\n");
}

static void the_manual_has_every_command_and_option(void **state)
{
    struct installed *place = *state;
    const char *manual = text_of(place, "/usr/share/man/man1/nzd.1");
    is_told(manual,
            (char *)printed(place, "\"$0\"/usr/bin/nzd --help | sed -n "
                                   "'s/^  \\([a-z][a-z]*\\) .*/.It Cm \\1/p'"));
    is_told(
        manual,
        (char *)printed(
            place,
            "for c in $(\"$0\"/usr/bin/nzd --help | "
            "sed -n 's/^  \\([a-z][a-z]*\\) .*/\\1/p'); do "
            "\"$0\"/usr/bin/nzd $c --help; done | "
            "sed -n 's/^  \\(-[a-z], \\)\\{0,1\\}-\\(-[a-z-]*\\).*/\\2/p' | "
            "sort -u | sed '/^-version/d; s/^/Fl /; s/Fl -\\(help\\|quiet\\|"
            "verbose\\)/, -\\1/'"));
}

/* The keys as the parser has them. */
static void the_manual_has_every_key(void **state)
{
    struct installed *place = *state;
    const char *manual = text_of(place, "/usr/share/man/man5/nzd.conf.5");
    is_told(manual,
            (char *)printed(place,
                            "sed -n 's/^    CFG_\\(STR_CB\\|STR_LIST\\|SEC\\)"
                            "(\"\\([a-z_]*\\)\".*/\\2/p' engine/config*.c"));
}

static void the_manual_has_every_limit(void **state)
{
    struct installed *place = *state;
    is_told(text_of(place, "/usr/share/man/man5/nzd-bundle.5"),
            (char *)printed(
                place,
                "sed -n 's/^#define NZD_LIMIT_[A-Z_]* *//p' staging/limits.h | "
                "sed 's,^(\\([0-9]*\\)u.* << 20).*,Ta \\1 MiB,; "
                "s,^(\\([0-9]*\\)u.* << 30).*,Ta \\1 GiB,; "
                "s,^\\([0-9]*\\)u.*,Ta \\1,'"));
}

static void every_page_is_there(void **state)
{
    struct installed *place = *state;
    is_told((char *)printed(place, "find \"$0\"/usr/share/man -type f"),
            (char *)printed(place, "ls */*.[1-9] | "
                                   "sed 's,.*/\\(.*\\)\\.\\(.\\)$,"
                                   "/man\\2/\\1.\\2,'"));
}

static void it_is_hardened(void **state)
{
    struct installed *place = *state;
    const char *about =
        printed(place, "readelf -hldW --dyn-syms \"$0\"/usr/bin/nzd");
    assert_contains(about, "DYN (Position-Independent Executable file)");
    assert_contains(about, "GNU_RELRO");
    assert_contains(about, "BIND_NOW");
    assert_contains(about, "__stack_chk_fail");
    assert_contains(about, "_chk@GLIBC");
}

static const char *completed(struct installed *place, const char *line)
{
    return printed(
        place,
        harness_text(place->harness,
                     "PATH=\"$0\"/usr/bin:$PATH bash -c '"
                     ". \"$0\"/share/bash-completion/completions/nzd; "
                     "COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                     "_nzd; printf \"%%s\\n\" \"${COMPREPLY[@]}\"' \"$0\"/usr",
                     line));
}

static void bash_completes_it(void **state)
{
    struct installed *place = *state;
    assert_string_equal(completed(place, "nzd ro"), "rollback\n");
    assert_string_equal(completed(place, "nzd -q apply --soa"), "--soak\n");
    assert_string_equal(completed(place, "nzd status --journal=x --che"),
                        "--check\n");
    assert_string_equal(completed(place, "nzd apply --max res"),
                        "restart-app\nrestart-vm\n");
    assert_string_equal(completed(place, "nzd health li"), "lift\n");
    assert_string_equal(completed(place, "nzd journal ver"), "verify\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_runs_where_it_is_put),
        cmocka_unit_test(the_manual_has_every_command_and_option),
        cmocka_unit_test(the_manual_has_every_key),
        cmocka_unit_test(the_manual_has_every_limit),
        cmocka_unit_test(every_page_is_there),
        cmocka_unit_test(it_is_hardened),
        cmocka_unit_test(bash_completes_it),
    };
    return cmocka_run_group_tests(tests, install, clear);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/discover.h"
#include "../engine/discover_internal.h"
#include "../engine/host.h"
#include "beam_node.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A proc(5) of our own making, and what is looked for in it. */
struct fixture {
    struct harness *harness;
    const char *proc;
    const char *home;
    struct nzd_target_options options;
    struct nzd_target target;
    char warning[512];
    struct nzd_err err;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    fixture->harness = harness_open();
    fixture->proc = harness_path(fixture->harness, "proc");
    fixture->home = harness_path(fixture->harness, "home");
    mkdir(fixture->proc, 0755);
    mkdir(fixture->home, 0755);
    setenv("HOME", fixture->home, 1);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    harness_close(fixture->harness);
    free(fixture);
    return 0;
}

static void write_block(const char *path, const char *const *words)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (; *words; words++)
        assert_int_equal(fwrite(*words, 1, strlen(*words) + 1, file),
                         strlen(*words) + 1);
    assert_int_equal(fclose(file), 0);
}

static void add_process(struct fixture *fixture, int pid,
                        const char *const *arguments,
                        const char *const *environment)
{
    static const char *const none[] = {NULL};
    const char *folder =
        harness_text(fixture->harness, "%s/%d", fixture->proc, pid);

    mkdir(folder, 0755);
    write_block(harness_text(fixture->harness, "%s/cmdline", folder),
                arguments);
    write_block(harness_text(fixture->harness, "%s/environ", folder),
                environment ? environment : none);
}

#define BEAM       "/usr/lib/erlang/erts-13.1.5/bin/beam.smp"
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define VM(...)    WORDS(BEAM, "--", "-root", "/r", __VA_ARGS__)

static void write_cookie(const char *path, const char *text, mode_t mode)
{
    harness_write_file(path, text);
    assert_int_equal(chmod(path, mode), 0);
}

static void own_cookie(struct fixture *fixture, const char *text)
{
    write_cookie(
        harness_text(fixture->harness, "%s/.erlang.cookie", fixture->home),
        text, 0400);
}

static int find(struct fixture *fixture, const char *node)
{
    fixture->options.node = node;
    nzd_err_clear(&fixture->err);
    memset(&fixture->target, 0, sizeof(fixture->target));
    return nzd_target_find_in(fixture->proc, &fixture->options,
                              &fixture->target, fixture->warning,
                              sizeof(fixture->warning), &fixture->err);
}

static void assert_found(struct fixture *fixture, const char *node,
                         const char *expected, const char *cookie)
{
    int code = find(fixture, node);

    if (code != 0)
        harness_fail("%s", fixture->err.message);
    assert_string_equal(fixture->target.node, expected);
    assert_string_equal(fixture->target.cookie, cookie);
}

static void assert_refused(struct fixture *fixture, const char *node, int code,
                           const char *why)
{
    assert_int_equal(find(fixture, node), code);
    assert_int_equal(fixture->err.code, code);
    assert_contains(fixture->err.message, why);
}

static const char *at_short(struct fixture *fixture, const char *name)
{
    char host[NZD_HOST_NAME];

    nzd_host_short_name(host);
    return harness_text(fixture->harness, "%s@%s", name, host);
}

/* --- arguments --- */

static void parse(const char *const *words, struct nzd_vm_arguments *out)
{
    struct nzd_buf block = {0};

    for (; *words; words++)
        nzd_buf_bytes(&block, *words, strlen(*words) + 1);
    assert_true(nzd_vm_parse(nzd_buf_view(&block), out));
    nzd_buf_clear(&block);
}

static void reads_arguments(void **state)
{
    struct nzd_vm_arguments vm;

    parse(VM("-progname", "erl", "--", "-home", "/root", "--", "-sname",
             "a@web1", "-setcookie", "sugar", "-boot", "/r/releases/1/start",
             "-boot", "/other"),
          &vm);
    assert_string_equal(vm.node, "a@web1");
    assert_false(vm.is_long);
    assert_string_equal(vm.cookie, "sugar");
    assert_string_equal(vm.home, "/root");
    assert_string_equal(vm.boot, "/r/releases/1/start");
    parse(VM("-name", "b@10.0.0.1", "-name", "c@10.0.0.1"), &vm);
    assert_string_equal(vm.node, "b@10.0.0.1");
    assert_true(vm.is_long);
    parse(VM("-name", "b@10.0.0.1", "-sname", "s@h"), &vm);
    assert_string_equal(vm.node, "s@h");
    /* Not its own cookie; one given twice counts as none, as in auth. */
    parse(VM("-sname", "a@h", "-setcookie", "other@h", "theirs"), &vm);
    assert_string_equal(vm.cookie, "");
    parse(VM("-sname", "a@h", "-setcookie", "x", "-setcookie", "y"), &vm);
    assert_string_equal(vm.cookie, "");
    /* Behind -extra stands what the VM does not read. */
    parse(VM("-extra", "-sname", "no@h"), &vm);
    assert_string_equal(vm.node, "");
    parse(VM("-name", "@h"), &vm);
    assert_string_equal(vm.node, "");
    parse(VM("-name", "a@h@h"), &vm);
    assert_string_equal(vm.node, "");
    parse(VM("-sname", "undefined"), &vm);
    assert_string_equal(vm.node, "");
    parse(VM("-sname"), &vm);
    assert_string_equal(vm.node, "");
    (void)state;
}

static void completes_names(void **state)
{
    struct fixture *fixture = *state;
    struct nzd_vm_arguments vm;
    char host[NZD_HOST_NAME];

    parse(VM("-sname", "a"), &vm);
    assert_string_equal(vm.node, at_short(fixture, "a"));
    nzd_host_long_name(host);
    parse(VM("-name", "a"), &vm);
    assert_string_equal(vm.node, harness_text(fixture->harness, "a@%s", host));
}

static void tells_a_beam_by_its_name(void **state)
{
    static const char *const beams[] = {"beam.smp", "/x/beam",
                                        "beam.debug.smp"};
    static const char *const others[] = {"",          "beam.sm",   "/x/beamer",
                                         "xbeam.smp", "beam.smp/", "beam.xsmp"};
    struct nzd_vm_arguments vm;

    for (size_t i = 0; i < 3; i++)
        assert_true(
            nzd_vm_parse(nzd_view_of(beams[i], strlen(beams[i]) + 1), &vm));
    for (size_t i = 0; i < 6; i++)
        assert_false(
            nzd_vm_parse(nzd_view_of(others[i], strlen(others[i]) + 1), &vm));
    (void)state;
}

/* As rebar3's script starts it with `foreground`. */
static void tells_a_beam_by_its_arguments(void **state)
{
    struct fixture *fixture = *state;

    own_cookie(fixture, "own");
    add_process(fixture, 40,
                WORDS("/srv/counter/bin/counter", "-Bd", "--", "-root",
                      "/srv/c", "-bindir", "/usr/lib/erlang/erts-13.1.5/bin",
                      "-progname", "srv/counter/bin/counter", "--", "-home",
                      "/root", "--", "-noinput", "-sname", "counter@localhost",
                      "-setcookie", "told", "--", "--", "foreground", "--"),
                NULL);
    add_process(fixture, 41,
                WORDS("/bin/other", "--", "-root", "/srv/c", "-sname", "b@c"),
                NULL);
    assert_found(fixture, NULL, "counter@localhost", "told");
}

/* Anybody may run a process of that name with any arguments. */
static void survives_damaged_arguments(void **state)
{
    struct nzd_vm_arguments vm;
    char *large = malloc(100000);
    struct nzd_buf block = {0};

    assert_non_null(large);
    memset(large, 'x', 99999);
    large[99999] = '\0';
    parse(VM("-sname", large, "-home", large, "-boot", large, "-setcookie",
             large),
          &vm);
    assert_string_equal(vm.node, "");
    assert_string_equal(vm.cookie, "");
    nzd_buf_text(&block, "beam.smp");
    assert_false(nzd_vm_parse(nzd_buf_view(&block), &vm));
    nzd_buf_u8(&block, 0);
    nzd_buf_text(&block, "-sname");
    nzd_buf_u8(&block, 0);
    nzd_buf_text(&block, "no@end");
    assert_true(nzd_vm_parse(nzd_buf_view(&block), &vm));
    assert_string_equal(vm.node, "");
    assert_false(nzd_vm_parse(nzd_view_of(NULL, 0), &vm));
    nzd_buf_clear(&block);
    free(large);
    (void)state;
}

/* --- which node --- */

static void finds_the_only_one(void **state)
{
    struct fixture *fixture = *state;

    own_cookie(fixture, "mine\n");
    assert_refused(fixture, NULL, NZD_ENODE, "no distributed BEAM runs");
    assert_contains(fixture->err.next, "--node");
    add_process(fixture, 11, WORDS("/bin/sh", "-sname", "x@y"), NULL);
    add_process(fixture, 12, VM("-noshell"), NULL);
    assert_refused(fixture, NULL, NZD_ENODE,
                   "process 12 is a BEAM that was started without");
    add_process(fixture, 13, VM("-sname", "one"), NULL);
    assert_found(fixture, NULL, at_short(fixture, "one"), "mine");
    assert_int_equal(fixture->target.pid, 13);
    assert_true(fixture->target.local);
    /* Its double, between fork and exec, is not a second node. */
    add_process(fixture, 14, VM("-sname", "one"), NULL);
    assert_found(fixture, NULL, at_short(fixture, "one"), "mine");
    assert_int_equal(fixture->target.pid, 13);
    add_process(fixture, 9, VM("-name", "two@10.9.9.9"), NULL);
    assert_refused(fixture, NULL, NZD_EUSAGE, "which node is meant?");
    assert_contains(fixture->err.message, "two@10.9.9.9 (process 9), one@");
    assert_contains(fixture->err.next, "--node two@10.9.9.9");
}

static void takes_a_name(void **state)
{
    struct fixture *fixture = *state;

    own_cookie(fixture, "mine\n");
    fixture->options.port = 4711;
    add_process(fixture, 9, VM("-name", "two@10.9.9.9"), NULL);
    assert_found(fixture, "two", "two@10.9.9.9", "mine");
    assert_int_equal(fixture->target.pid, 9);
    assert_true(fixture->target.local);
    assert_int_equal(fixture->target.port, 4711);
    assert_found(fixture, "two@10.9.9.9", "two@10.9.9.9", "mine");
    assert_int_equal(fixture->target.pid, 9);
    assert_found(fixture, "tw", at_short(fixture, "tw"), "mine");
    assert_int_equal(fixture->target.pid, 0);
    assert_true(fixture->target.local);
    assert_found(fixture, "far@elsewhere.example", "far@elsewhere.example",
                 "mine");
    assert_false(fixture->target.local);
}

static void refuses_what_is_no_name(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {
        "", "@", "a@", "@b", "a@b@c", "a b@c", "a\n@c", "a'@b", "a/b@c"};
    char large[400];

    own_cookie(fixture, "mine");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_refused(fixture, names[i], NZD_EUSAGE, "not a node name");
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_refused(fixture, large, NZD_EUSAGE, "not a node name");
    add_process(fixture, 9, VM("-sname", "a'b@c"), NULL);
    assert_refused(fixture, NULL, NZD_EUSAGE, "not a node name");
}

static void skips_other_namespaces(void **state)
{
    struct fixture *fixture = *state;
    static const char *const folders[] = {"self/ns", "7/ns", "8/ns"};
    static const char *const nets[] = {"net:[1]", "net:[1]", "net:[2]"};

    own_cookie(fixture, "mine");
    add_process(fixture, 7, VM("-sname", "ours@h"), NULL);
    add_process(fixture, 8, VM("-sname", "theirs@h"), NULL);
    mkdir(harness_text(fixture->harness, "%s/self", fixture->proc), 0755);
    for (size_t i = 0; i < 3; i++) {
        const char *folder =
            harness_text(fixture->harness, "%s/%s", fixture->proc, folders[i]);

        mkdir(folder, 0755);
        assert_int_equal(
            symlink(nets[i], harness_text(fixture->harness, "%s/net", folder)),
            0);
    }
    assert_found(fixture, NULL, "ours@h", "mine");
    assert_found(fixture, "theirs@h", "theirs@h", "mine");
    assert_int_equal(fixture->target.pid, 0);
}

/* --- its cookie --- */

/* From the last choice to the first. */
static void takes_the_cookie_in_order(void **state)
{
    struct fixture *fixture = *state;
    const char *root = harness_path(fixture->harness, "release");
    const char *their_home = harness_path(fixture->harness, "their");
    const char *boot =
        harness_text(fixture->harness, "%s/releases/1.0.0/start", root);
    const char *releases = harness_text(fixture->harness, "%s/releases", root);
    const char *release_root =
        harness_text(fixture->harness, "RELEASE_ROOT=%s", root);

    assert_refused(fixture, "x@localhost", NZD_EUSAGE,
                   "no VM is seen here that has this name");
    assert_refused(fixture, "x@elsewhere", NZD_EUSAGE, "no cookie");
    assert_lacks(fixture->err.message, "no VM");
    assert_contains(fixture->err.next, "--cookie-file");
    own_cookie(fixture, "mine\n");
    add_process(fixture, 7, VM("-home", their_home, "-sname", "a@h"), NULL);
    assert_found(fixture, NULL, "a@h", "mine");
    mkdir(their_home, 0755);
    mkdir(harness_text(fixture->harness, "%s/.config", their_home), 0755);
    mkdir(harness_text(fixture->harness, "%s/.config/erlang", their_home),
          0755);
    write_cookie(harness_text(fixture->harness,
                              "%s/.config/erlang/.erlang.cookie", their_home),
                 "xdg", 0400);
    assert_found(fixture, NULL, "a@h", "xdg");
    write_cookie(
        harness_text(fixture->harness, "%s/.erlang.cookie", their_home),
        "theirs\n", 0400);
    assert_found(fixture, NULL, "a@h", "theirs");
    assert_contains(fixture->target.cookie_from, "their/.erlang.cookie");
    mkdir(root, 0755);
    mkdir(releases, 0755);
    write_cookie(harness_text(fixture->harness, "%s/COOKIE", releases),
                 "release \r\n", 0400);
    assert_found(fixture, NULL, "a@h", "theirs");
    add_process(fixture, 7,
                VM("-home", their_home, "-sname", "a@h", "-boot", boot), NULL);
    assert_found(fixture, NULL, "a@h", "release");
    add_process(fixture, 7, VM("-home", their_home, "-sname", "a@h"),
                WORDS(release_root));
    assert_found(fixture, NULL, "a@h", "release");
    assert_string_equal(fixture->warning, "");
    add_process(fixture, 7, VM("-home", their_home, "-sname", "a@h"),
                WORDS(release_root, "RELEASE_COOKIE=environment"));
    assert_found(fixture, NULL, "a@h", "environment");
    add_process(fixture, 7, VM("-sname", "a@h", "-setcookie", "argument"),
                WORDS("RELEASE_COOKIE=environment"));
    assert_found(fixture, NULL, "a@h", "argument");
    assert_contains(fixture->target.cookie_from, "-setcookie of process 7");
    fixture->options.cookie_file = harness_path(fixture->harness, "file");
    write_cookie(fixture->options.cookie_file, "file", 0400);
    assert_found(fixture, NULL, "a@h", "file");
}

/* A relative -boot is relative to the VM's folder, not to ours. */
static void follows_the_vms_folders(void **state)
{
    struct fixture *fixture = *state;
    const char *cwd;
    const char *root;

    own_cookie(fixture, "mine");
    add_process(fixture, 7, VM("-sname", "a@h", "-boot", "releases/1/start"),
                NULL);
    cwd = harness_text(fixture->harness, "%s/7/cwd", fixture->proc);
    mkdir(cwd, 0755);
    mkdir(harness_text(fixture->harness, "%s/releases", cwd), 0755);
    write_cookie(harness_text(fixture->harness, "%s/releases/COOKIE", cwd),
                 "relative", 0400);
    assert_found(fixture, NULL, "a@h", "relative");
    /* And an absolute path is in its mount namespace. */
    add_process(fixture, 7, VM("-sname", "a@h"), WORDS("RELEASE_ROOT=/srv"));
    root = harness_text(fixture->harness, "%s/7/root", fixture->proc);
    mkdir(root, 0755);
    mkdir(harness_text(fixture->harness, "%s/srv", root), 0755);
    mkdir(harness_text(fixture->harness, "%s/srv/releases", root), 0755);
    write_cookie(harness_text(fixture->harness, "%s/srv/releases/COOKIE", root),
                 "rooted", 0400);
    assert_found(fixture, NULL, "a@h", "rooted");
}

static void refuses_bad_cookie_files(void **state)
{
    struct fixture *fixture = *state;
    char text[300];
    const char *path = harness_path(fixture->harness, "file");

    fixture->options.cookie_file = path;
    assert_refused(fixture, "a@h", NZD_EUSAGE, "No such file");
    write_cookie(path, "", 0400);
    assert_refused(fixture, "a@h", NZD_EUSAGE, "does not hold a cookie");
    write_cookie(path, " \n\n", 0400);
    assert_refused(fixture, "a@h", NZD_EUSAGE, "does not hold a cookie");
    write_cookie(path, "two\nlines", 0400);
    assert_refused(fixture, "a@h", NZD_EUSAGE, "does not hold a cookie");
    assert_lacks(fixture->err.message, "lines");
    memset(text, 'c', sizeof(text) - 1);
    text[256] = '\0';
    write_cookie(path, text, 0400);
    assert_refused(fixture, "a@h", NZD_EUSAGE, "at most 255 bytes");
    text[255] = '\0';
    write_cookie(path, text, 0400);
    assert_found(fixture, "a@h", "a@h", text);
    assert_string_equal(fixture->warning, "");
    write_cookie(path, "open", 0444);
    assert_found(fixture, "a@h", "a@h", "open");
    assert_contains(fixture->warning, "everybody on this host may read");
    assert_contains(fixture->warning, path);
    harness_remove(fixture->harness, path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(fixture, "a@h", NZD_EUSAGE, "is not a file");
}

/* --- the host --- */

static void knows_this_host(void **state)
{
    struct fixture *fixture = *state;
    char host[NZD_HOST_NAME];

    nzd_host_name(host);
    assert_true(nzd_host_is_local("name"));
    assert_true(nzd_host_is_local("name@localhost"));
    assert_true(nzd_host_is_local("name@127.0.0.1"));
    assert_true(nzd_host_is_local("name@127.4.5.6"));
    assert_true(nzd_host_is_local(at_short(fixture, "name")));
    assert_true(
        nzd_host_is_local(harness_text(fixture->harness, "name@%s", host)));
    assert_false(nzd_host_is_local("name@203.0.113.7"));
    assert_false(nzd_host_is_local("name@elsewhere.example"));
    assert_false(
        nzd_host_is_local(harness_text(fixture->harness, "name@%sx", host)));
    assert_true(nzd_host_memory_available() > 1 << 20);
}

static void knows_the_boot(void **state)
{
    char once[40];
    char again[40];
    struct nzd_err err = NZD_ERR_INIT;

    assert_int_equal(nzd_host_boot_id(once, &err), 0);
    assert_int_equal(nzd_host_boot_id(again, &err), 0);
    assert_int_equal(strlen(once), 36);
    assert_string_equal(once, again);
    (void)state;
}

static void knows_when_a_process_started(void **state)
{
    struct nzd_err err = NZD_ERR_INIT;
    uint64_t first = 0;
    uint64_t second = 0;
    pid_t child;

    assert_int_equal(nzd_host_process_start(1, &first, &err), 0);
    assert_int_equal(nzd_host_process_start(getpid(), &second, &err), 0);
    assert_true(second >= first);
    child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(
        waitid(P_PID, (id_t)child, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    /* A zombie is not there any more. */
    assert_int_equal(nzd_host_process_start(child, &first, &err),
                     NZD_ENOTFOUND);
    assert_int_equal(waitpid(child, NULL, 0), child);
    nzd_err_clear(&err);
    assert_int_equal(nzd_host_process_start(child, &first, &err),
                     NZD_ENOTFOUND);
    nzd_err_clear(&err);
    assert_int_equal(nzd_host_process_start(0, &first, &err), NZD_ENOTFOUND);
    nzd_err_clear(&err);
    assert_int_equal(nzd_host_process_start(-1, &first, &err), NZD_ENOTFOUND);
    nzd_err_clear(&err);
    assert_int_equal(nzd_host_process_start(1ll << 40, &first, &err),
                     NZD_ENOTFOUND);
    (void)state;
}

/* --- a real VM --- */

static void finds_a_real_node(void **state)
{
    struct fixture *fixture = *state;
    struct beam_node_options options = {.name = "found"};
    struct beam_node *node = beam_node_start(fixture->harness, &options);
    const char *cookie = harness_read_file(
        fixture->harness, harness_cookie_file(fixture->harness));
    struct nzd_target_options wanted = {.node = beam_node_name(node)};
    uint64_t started;

    if (nzd_target_find(&wanted, &fixture->target, fixture->warning,
                        sizeof(fixture->warning), &fixture->err) != 0)
        harness_fail("%s", fixture->err.message);
    assert_string_equal(fixture->target.node, beam_node_name(node));
    assert_int_equal(fixture->target.pid, beam_node_pid(node));
    assert_true(fixture->target.local);
    assert_int_equal(
        strncmp(fixture->target.cookie, cookie, strlen(fixture->target.cookie)),
        0);
    assert_int_equal(strlen(fixture->target.cookie), strcspn(cookie, "\n"));
    assert_int_equal(
        nzd_host_process_start(fixture->target.pid, &started, &fixture->err),
        0);
    beam_node_kill(node);
    assert_int_equal(
        nzd_host_process_start(fixture->target.pid, &started, &fixture->err),
        NZD_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_arguments),
        TEST(completes_names),
        TEST(tells_a_beam_by_its_name),
        TEST(tells_a_beam_by_its_arguments),
        TEST(survives_damaged_arguments),
        TEST(finds_the_only_one),
        TEST(takes_a_name),
        TEST(refuses_what_is_no_name),
        TEST(skips_other_namespaces),
        TEST(takes_the_cookie_in_order),
        TEST(follows_the_vms_folders),
        TEST(refuses_bad_cookie_files),
        TEST(knows_this_host),
        TEST(knows_the_boot),
        TEST(knows_when_a_process_started),
        TEST(finds_a_real_node),
    };

    return cmocka_run_group_tests_name("discover", tests, NULL, NULL);
}

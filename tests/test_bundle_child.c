/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/bundle_child_internal.h"
#include "../engine/interrupt.h"
#include "../staging/confine.h"
#include "../staging/spool.h"
#include "process.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a bundle does that has taken its reader over ends so. */
#define REFUSED "status 42"
#define ENDED   "SIGSYS"

#define SET_VMA 0x53564d41 /* PR_SET_VMA, Linux 5.17 */

struct fixture {
    struct tree tree;
    struct nzd_inventory out;
    struct nzd_spool *spool;
    struct nzd_err err;
    unsigned confined;
};

/* One bundle for all: a release's lib/ with a module and a file of priv, as a
 * folder and as a tarball. */
static struct tree bundle;
/* Between the test and the child, which has no other way. */
static volatile int *shared;
static int open_before;

static int make_bundle(void **state)
{
    (void)state;
    tree_open(&bundle);
    tree_compile(&bundle, "r/lib/one-1.0/ebin", "one",
                 "-module(one).\n-export([f/1]).\n"
                 "f(L) -> lists:map(fun(X) -> X end, L).\n");
    tree_text(&bundle, "r/lib/one-1.0/ebin/one.app",
              "{application, one, [{vsn, \"1.0\"}, {modules, [one]}]}.\n");
    tree_text(&bundle, "r/lib/one-1.0/priv/a", "hello");
    tree_text(&bundle, "r/lib/one-1.0/priv/b", "");
    tree_text(&bundle, "r/lib/one-1.0/priv/c", "");
    tree_run(&bundle, "tar -czf r.tar.gz -C r lib");
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true((void *)shared != MAP_FAILED);
    open_before = open("/etc/passwd", O_RDONLY);
    return 0;
}

static int remove_bundle(void **state)
{
    (void)state;
    tree_close(&bundle);
    return 0;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    tree_open(&f->tree);
    nzd_inventory_init(&f->out);
    assert_true(nzd_bundle_child_confinement(true, &f->confined));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

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

static int read_path(struct fixture *f, const char *path)
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

static int read_bundle(struct fixture *f, const char *name)
{
    return read_path(f, tree_path(&bundle, name));
}

static void open_spool(struct fixture *f)
{
    assert_int_equal(nzd_spool_open(f->tree.root, 1u << 20, &f->spool, &f->err),
                     0);
}

/* --- sound bundles ------------------------------------------------------- */

static void assert_sound(struct fixture *f, const char *name)
{
    struct nzd_buf bytes = {0};
    const struct nzd_module *one;
    const struct nzd_file *a;

    if (read_bundle(f, name) < 0)
        fail_msg("%s: %s", name, f->err.message);
    one = nzd_inventory_module(&f->out, "one");
    a = nzd_inventory_priv(&f->out, "one", "priv/a");
    assert_non_null(one);
    assert_non_null(a);
    assert_true(nzd_beam_exports(one->beam, "f", 1));
    assert_int_equal(one->beam->lambda_count, 1);
    assert_string_equal(nzd_inventory_app(&f->out, "one")->version, "1.0");
    assert_int_equal(nzd_spool_read(f->spool, one->spool_offset, one->bytes,
                                    &one->content, &bytes, &f->err),
                     0);
    assert_true(nzd_beam_looks_like(nzd_buf_view(&bytes)));
    assert_int_equal(nzd_spool_read(f->spool, a->spool_offset, a->size,
                                    &a->content, &bytes, &f->err),
                     0);
    assert_memory_equal(bytes.data, "hello", 5);
    nzd_buf_clear(&bytes);
    nzd_inventory_clear(&f->out);
}

static void sound_bundles(void **state)
{
    struct fixture *f = *state;

    open_spool(f);
    assert_sound(f, "r");
    assert_sound(f, "r/");
    assert_sound(f, "./r/../r");
    assert_sound(f, "r.tar.gz");
    assert_int_equal(read_bundle(f, "none"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "No such file"));
    assert_int_equal(read_path(f, "/dev/null"), NZD_EBUNDLE);
    assert_string_equal(f->err.message,
                        "/dev/null: neither a directory nor a tarball");
    tree_text(&f->tree, "text", "no tarball");
    assert_int_equal(read_path(f, tree_path(&f->tree, "text")), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "not a tarball"));
}

/* As a build links to its dependencies: outside of the bundle's folder. */
static void folders_that_it_links_to(void **state)
{
    struct fixture *f = *state;
    char command[256];

    open_spool(f);
    snprintf(command, sizeof(command),
             "mkdir -p l/lib && ln -s %s/r/lib/one-1.0 l/lib/one-1.0",
             bundle.root);
    tree_run(&f->tree, command);
    if (read_path(f, tree_path(&f->tree, "l")) < 0)
        fail_msg("%s", f->err.message);
    assert_non_null(nzd_inventory_module(&f->out, "one"));
}

/* Where root asks, it is read as nobody. */
static void files_that_only_root_may_read(void **state)
{
    struct fixture *f = *state;

    open_spool(f);
    tree_run(&bundle, "cp -r r s && chmod -R go-rwx s && "
                      "tar -cf s.tar -C s . && chmod 600 s.tar");
    assert_sound(f, "s");
    assert_sound(f, "s.tar");
}

/* As containers take it from their root. */
static void drop_read_search(void)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    (void)syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1u << CAP_DAC_READ_SEARCH);
    data[0].permitted &= ~(1u << CAP_DAC_READ_SEARCH);
    data[0].inheritable &= ~(1u << CAP_DAC_READ_SEARCH);
    (void)syscall(SYS_capset, &header, data);
}

static void root_of_a_container(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    pid_t pid;

    open_spool(f);
    tree_run(&bundle, "rm -rf s && cp -r r s && chmod -R go-rwx s");
    pid = fork();
    if (pid == 0) {
        drop_read_search();
        _exit(read_bundle(f, "s") == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* As NFS and FUSE have it: nobody is not let in, whatever it may. */
static void drop_all_rights_to_read(void)
{
    struct __user_cap_header_struct header = {.version =
                                                  _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    const uint32_t ids =
        1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_SETPCAP;

    data[0].effective = data[0].permitted = ids;
    (void)syscall(SYS_capset, &header, data);
}

static void files_that_nobody_may_read(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    pid_t pid;

    if (geteuid() != 0)
        skip();
    open_spool(f);
    tree_run(&bundle, "rm -rf s && cp -r r s && chmod -R go-rwx s");
    pid = fork();
    if (pid == 0) {
        drop_all_rights_to_read();
        if (read_bundle(f, "s") != NZD_EBUNDLE ||
            !strstr(f->err.message, "Permission denied") ||
            !strstr(f->err.next, "give a tarball of it"))
            _exit(1);
        _exit(read_bundle(f, "s.tar") == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool was_opened(int watch)
{
    char event[sizeof(struct inotify_event) + 256];

    return read(watch, event, sizeof(event)) > 0;
}

/* To open a watchdog is to start it. */
static void no_device_is_opened(void **state)
{
    struct fixture *f = *state;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    assert_int_equal(mkfifo(tree_path(&f->tree, "device"), 0600), 0);
    tree_text(&f->tree, "file", "no tarball");
    assert_true(
        inotify_add_watch(watch, tree_path(&f->tree, "device"), IN_OPEN) > 0);
    assert_int_equal(read_path(f, tree_path(&f->tree, "device")), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "neither a directory nor"));
    assert_false(was_opened(watch));
    assert_true(inotify_add_watch(watch, tree_path(&f->tree, "file"), IN_OPEN) >
                0);
    assert_int_equal(read_path(f, tree_path(&f->tree, "file")), NZD_EBUNDLE);
    assert_true(was_opened(watch));
    close(watch);
}

static void what_holds_it(void **state)
{
    struct fixture *f = *state;
    char names[80];

    assert_int_equal(f->confined & ~nzd_confine_built(), 0);
    assert_true(f->confined & NZD_CONFINED_USER);
    assert_true(f->confined & NZD_CONFINED_RIGHTS);
    assert_true(f->confined & NZD_CONFINED_LIMITS);
    nzd_confine_names(NZD_CONFINED_CALLS | NZD_CONFINED_LIMITS, names,
                      sizeof(names));
    assert_string_equal(names, "system calls, limits");
}

/* --- one that was taken over --------------------------------------------- */

/* 42: it was refused. */
static void tell_refused(bool refused)
{
    _exit(refused ? 42 : 43);
}

static void opens_a_file(int answer)
{
    (void)answer;
    tell_refused(open("/etc/passwd", O_RDONLY) < 0);
}

static void reads_what_was_open(int answer)
{
    char byte;

    (void)answer;
    tell_refused(read(open_before, &byte, 1) < 0);
}

static void takes_memory(int answer)
{
    size_t taken = 0;

    (void)answer;
    while (taken < 1100u << 20 &&
           mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        taken += 1 << 24;
    tell_refused(taken < 1100u << 20);
}

static void writes_a_file(int answer)
{
    (void)answer;
    tell_refused(open("/tmp/nzd-bundle-child", O_WRONLY | O_CREAT, 0600) < 0);
}

static void makes_a_socket(int answer)
{
    (void)answer;
    tell_refused(socket(AF_INET, SOCK_STREAM, 0) < 0);
}

static void makes_a_process(int answer)
{
    (void)answer;
    tell_refused(fork() < 0);
}

static void runs_a_program(int answer)
{
    (void)answer;
    execl("/bin/true", "true", (char *)NULL);
    tell_refused(true);
}

static void traces_its_parent(int answer)
{
    (void)answer;
    tell_refused(ptrace(PTRACE_ATTACH, getppid(), 0, 0) < 0);
}

static void kills_its_parent(int answer)
{
    (void)answer;
    tell_refused(kill(getppid(), SIGKILL) < 0);
}

static void reads_its_parent(int answer)
{
    (void)answer;
    tell_refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) <
                 0);
}

static void writes_elsewhere(int answer)
{
    (void)answer;
    tell_refused(write(STDOUT_FILENO, "x", 1) < 0);
}

static void makes_code(int answer)
{
    (void)answer;
    tell_refused(mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void changes_code(int answer)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)answer;
    tell_refused(mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0);
}

static void lifts_a_limit(int answer)
{
    (void)answer;
    tell_refused(syscall(SYS_prlimit64, 0, 0, NULL, NULL) < 0);
}

static void becomes_root(int answer)
{
    (void)answer;
    tell_refused(syscall(SYS_setresuid, 0, 0, 0) < 0);
}

/* Signals for what its descriptors do would go to its parent. */
static void sends_signals(int answer)
{
    tell_refused(fcntl(answer, F_SETOWN, getppid()) < 0);
}

/* As the C library does where GLIBC_TUNABLES has glibc.mem.decorate_maps. */
static void names_its_memory(int answer)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)answer;
    tell_refused(prctl(SET_VMA, 0, page, 4096, "x") < 0 && errno == EINVAL);
}

static void names_itself(int answer)
{
    (void)answer;
    tell_refused(prctl(PR_SET_NAME, "nzd") < 0);
}

#ifdef __i386__
/* Its arguments lie in memory, the protection among them. */
static void makes_code_as_before(int answer)
{
    unsigned long arguments[6] = {
        0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0};

    (void)answer;
    tell_refused(syscall(__NR_mmap, arguments) < 0);
}
#endif

struct act {
    const char *name;
    void (*act)(int answer);
    const char *end;
    unsigned needs; /* of what holds it */
};

static const struct act acts[] = {
    {"open", opens_a_file, REFUSED, NZD_CONFINED_FILES},
    {"read", reads_what_was_open, REFUSED, 0},
    {"memory", takes_memory, REFUSED, NZD_CONFINED_CALLS},
    {"write", writes_a_file, ENDED, NZD_CONFINED_CALLS},
    {"socket", makes_a_socket, ENDED, NZD_CONFINED_CALLS},
    {"fork", makes_a_process, ENDED, NZD_CONFINED_CALLS},
    {"exec", runs_a_program, ENDED, NZD_CONFINED_CALLS},
    {"ptrace", traces_its_parent, ENDED, NZD_CONFINED_CALLS},
    {"kill", kills_its_parent, ENDED, NZD_CONFINED_CALLS},
    {"vm", reads_its_parent, ENDED, NZD_CONFINED_CALLS},
    {"stdout", writes_elsewhere, ENDED, NZD_CONFINED_CALLS},
    {"mmap", makes_code, ENDED, NZD_CONFINED_CALLS},
    {"mprotect", changes_code, ENDED, NZD_CONFINED_CALLS},
    {"limit", lifts_a_limit, ENDED, NZD_CONFINED_CALLS},
    {"root", becomes_root, ENDED, NZD_CONFINED_CALLS},
    {"fcntl", sends_signals, REFUSED, NZD_CONFINED_CALLS},
    {"vma", names_its_memory, REFUSED, NZD_CONFINED_CALLS},
    {"prctl", names_itself, ENDED, NZD_CONFINED_CALLS},
#ifdef __i386__
    {"old mmap", makes_code_as_before, ENDED, NZD_CONFINED_CALLS},
#endif
};

static void assert_acts(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++) {
        if (acts[i].needs & ~f->confined)
            continue;
        bundle_child_taken_over = acts[i].act;
        assert_int_equal(read_bundle(f, name), NZD_EBUNDLE);
        if (!strstr(f->err.message, acts[i].end))
            fail_msg("%s of %s: %s", acts[i].name, name, f->err.message);
        assert_string_equal(f->err.untouched,
                            "the bundle was not read; nothing was touched");
    }
}

static void what_it_may_not(void **state)
{
    struct fixture *f = *state;

    assert_acts(f, "r.tar.gz");
    assert_acts(f, "r");
    assert_int_not_equal(access("/tmp/nzd-bundle-child", F_OK), 0);
    if (!(f->confined & NZD_CONFINED_CALLS))
        skip();
}

/* --- one that ends ------------------------------------------------------- */

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

static void assert_ended(struct fixture *f, const char *why)
{
    *shared = 0;
    assert_int_equal(read_bundle(f, "r.tar.gz"), NZD_EBUNDLE);
    if (!strstr(f->err.message, why))
        fail_msg("%s", f->err.message);
    assert_true(*shared > 0);
    assert_int_not_equal(kill(*shared, 0), 0);
}

static void ends_of_it(void **state)
{
    struct fixture *f = *state;

    bundle_child_taken_over = aborts;
    assert_int_equal(read_bundle(f, "r"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "signal 6 (Aborted)"));
    bundle_child_taken_over = faults;
    assert_int_equal(read_bundle(f, "r.tar.gz"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "signal 11 "));
    bundle_child_taken_over = says_nothing;
    assert_int_equal(read_bundle(f, "r.tar.gz"), NZD_EBUNDLE);
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
    struct fixture *f = *state;

    (void)signal(SIGCHLD, SIG_IGN);
    nzd_interrupt_install();
    bundle_child_taken_over = aborts;
    assert_int_equal(read_bundle(f, "r"), NZD_EBUNDLE);
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
        (void)nzd_bundle_child_start(tree_path(&bundle, "r.tar.gz"));
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
    struct fixture *f = *state;

    tree_run(&f->tree, "mkdir -p lib/a/ebin && truncate -s 64M lib/a/ebin/"
                       "a.beam && tar -czf b.tar.gz lib");
    assert_int_equal(read_path(f, tree_path(&f->tree, "b.tar.gz")),
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

static void assert_lie(struct fixture *f, const char *message)
{
    bundle_child_taken_over = tells_the_lie;
    assert_int_equal(read_bundle(f, "r.tar.gz"), NZD_EBUNDLE);
    if (!strstr(f->err.message, message))
        fail_msg("not '%s' but: %s", message, f->err.message);
    assert_int_equal(f->out.module_count, 0);
    nzd_buf_reset(&lie);
}

static void frames_that_are_none(void **state)
{
    struct fixture *f = *state;

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
    struct fixture *f = *state;

    frame(CHILD_FAILED, nzd_view_of(text, sizeof(text) - 1));
    assert_lie(f, "?[2Jx");
    assert_null(strchr(f->err.message, 033));
    assert_int_equal(f->err.code, NZD_EBUNDLE);
    nzd_buf_clear(&lie);
}

/* As the child would answer, but for one thing. */
static void tell_lie(struct fixture *f, void (*change)(struct nzd_inventory *),
                     const char *message)
{
    struct nzd_source *source = NULL;
    struct nzd_inventory said;

    assert_int_equal(nzd_source_open(tree_path(&bundle, "r"), &source, &f->err),
                     0);
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
    struct fixture *f = *state;

    tell_lie(f, leaves_the_bundle, "a path does not hold");
    tell_lie(f, is_no_folder, "the version of an application does not hold");
    tell_lie(f, is_of_no_application, "the name of an application");
    tell_lie(f, is_another, "an application does not hold");
    tell_lie(f, is_not_there, "bytes that it did not send");
    tell_lie(f, is_unknown, "bytes that it did not send");
    tell_lie(f, is_of_a_node, "a module does not hold");
    tell_lie(f, is_true, NULL);
    bundle_child_taken_over = tells_the_lie;
    assert_int_equal(read_bundle(f, "r.tar.gz"), 0);
    nzd_inventory_clear(&f->out);
    nzd_buf_reset(&lie);
    open_spool(f);
    tell_lie(f, is_true, "bytes that it did not send");
    frame(CHILD_BYTES, nzd_view_text("hello"));
    tell_lie(f, is_named_twice, "bytes that it did not send");
    nzd_buf_clear(&lie);
}

/* Cut anywhere and changed anywhere: refused or read, never a crash. */
static void answers_that_are_damaged(void **state)
{
    struct fixture *f = *state;
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
        (void)read_bundle(f, "r.tar.gz");
        nzd_inventory_clear(&f->out);
        lie.size = whole.size;
        memcpy(lie.data, copy, whole.size);
        free(copy);
    }
    nzd_buf_clear(&lie);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(sound_bundles),
        TEST(folders_that_it_links_to),
        TEST(files_that_only_root_may_read),
        TEST(root_of_a_container),
        TEST(files_that_nobody_may_read),
        TEST(no_device_is_opened),
        TEST(what_holds_it),
        TEST(what_it_may_not),
        TEST(ends_of_it),
        TEST(ends_where_none_is_told),
        TEST(dies_with_its_parent),
        TEST(a_bomb),
        TEST(frames_that_are_none),
        TEST(a_failure_that_paints),
        TEST(inventories_that_lie),
        TEST(answers_that_are_damaged),
    };

    nzd_interrupt_install();
    return cmocka_run_group_tests(tests, make_bundle, remove_bundle);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/bundle_child_internal.h"
#include "../engine/interrupt.h"
#include "../staging/confine.h"
#include "../staging/spool.h"
#include "bundle_sample.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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
#define REFUSED         "status 42"
#define ENDED           "SIGSYS"
#define SET_VMA         0x53564d41 /* PR_SET_VMA, Linux 5.17 */
#define LANDLOCK_CREATE 444 /* landlock_create_ruleset(2), of all machines */

/* --- sound bundles ------------------------------------------------------- */

static void assert_sound(struct sample *f, const char *name)
{
    struct nzd_buf bytes = {0};
    const struct nzd_module *one;
    const struct nzd_file *a;

    if (sample_read(f, name) < 0)
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
    struct sample *f = *state;

    sample_open_spool(f);
    assert_sound(f, "r");
    assert_sound(f, "r/");
    assert_sound(f, "./r/../r");
    assert_sound(f, "r.tar.gz");
    assert_int_equal(sample_read(f, "none"), NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "No such file"));
    assert_int_equal(sample_read_path(f, "/dev/null"), NZD_EBUNDLE);
    assert_string_equal(f->err.message,
                        "/dev/null: neither a directory nor a tarball");
    tree_text(&f->tree, "text", "no tarball");
    assert_int_equal(sample_read_path(f, tree_path(&f->tree, "text")),
                     NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "not a tarball"));
}

/* As a build links to its dependencies: outside of the bundle's folder. */
static void folders_that_it_links_to(void **state)
{
    struct sample *f = *state;
    char command[256];

    sample_open_spool(f);
    snprintf(command, sizeof(command),
             "mkdir -p l/lib && ln -s %s/r/lib/one-1.0 l/lib/one-1.0",
             sample_bundle.root);
    tree_run(&f->tree, command);
    if (sample_read_path(f, tree_path(&f->tree, "l")) < 0)
        fail_msg("%s", f->err.message);
    assert_non_null(nzd_inventory_module(&f->out, "one"));
}

/* Where root asks, it is read as nobody. */
static void files_that_only_root_may_read(void **state)
{
    struct sample *f = *state;

    sample_open_spool(f);
    tree_run(&sample_bundle, "cp -r r s && chmod -R go-rwx s && "
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
    struct sample *f = *state;
    int status = 0;
    pid_t pid;

    sample_open_spool(f);
    tree_run(&sample_bundle, "rm -rf s && cp -r r s && chmod -R go-rwx s");
    pid = fork();
    if (pid == 0) {
        drop_read_search();
        _exit(sample_read(f, "s") == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* As kernels without seccomp and Landlock answer. */
static void have_no_filters(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LANDLOCK_CREATE, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof(code) / sizeof(*code), code};

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        _exit(9);
}

static char victim[300];

static void empties_it(int answer)
{
    (void)answer;
    _exit(open(victim, O_WRONLY | O_TRUNC) < 0 ? 42 : 43);
}

/* What may read all may there write all, too: nothing else keeps it. */
static void root_of_a_container_of_an_old_kernel(void **state)
{
    struct sample *f = *state;
    int status = 0;
    pid_t pid;

    if (geteuid() != 0)
        skip();
    sample_open_spool(f);
    tree_text(&f->tree, "victim", "of root");
    tree_run(&f->tree, "chmod 600 victim");
    (void)snprintf(victim, sizeof(victim), "%s", tree_path(&f->tree, "victim"));
    pid = fork();
    if (pid == 0) {
        have_no_filters();
        drop_read_search();
        bundle_child_taken_over = empties_it;
        _exit(sample_read(f, "r") == NZD_EBUNDLE &&
                      strstr(f->err.message, REFUSED)
                  ? 0
                  : 1);
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
    struct sample *f = *state;
    int status = 0;
    pid_t pid;

    if (geteuid() != 0)
        skip();
    sample_open_spool(f);
    tree_run(&sample_bundle, "rm -rf s && cp -r r s && chmod -R go-rwx s");
    pid = fork();
    if (pid == 0) {
        drop_all_rights_to_read();
        if (sample_read(f, "s") != NZD_EBUNDLE ||
            !strstr(f->err.message, "Permission denied") ||
            !strstr(f->err.next, "give a tarball of it"))
            _exit(1);
        _exit(sample_read(f, "s.tar") == 0 ? 0 : 2);
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
    struct sample *f = *state;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    assert_int_equal(mkfifo(tree_path(&f->tree, "device"), 0600), 0);
    tree_text(&f->tree, "file", "no tarball");
    assert_true(
        inotify_add_watch(watch, tree_path(&f->tree, "device"), IN_OPEN) > 0);
    assert_int_equal(sample_read_path(f, tree_path(&f->tree, "device")),
                     NZD_EBUNDLE);
    assert_non_null(strstr(f->err.message, "neither a directory nor"));
    assert_false(was_opened(watch));
    assert_true(inotify_add_watch(watch, tree_path(&f->tree, "file"), IN_OPEN) >
                0);
    assert_int_equal(sample_read_path(f, tree_path(&f->tree, "file")),
                     NZD_EBUNDLE);
    assert_true(was_opened(watch));
    close(watch);
}

static void what_holds_it(void **state)
{
    struct sample *f = *state;
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

static int open_before;

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

static void assert_acts(struct sample *f, const char *name)
{
    for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++) {
        if (acts[i].needs & ~f->confined)
            continue;
        bundle_child_taken_over = acts[i].act;
        assert_int_equal(sample_read(f, name), NZD_EBUNDLE);
        if (!strstr(f->err.message, acts[i].end))
            fail_msg("%s of %s: %s", acts[i].name, name, f->err.message);
        assert_string_equal(f->err.untouched,
                            "the bundle was not read; nothing was touched");
    }
}

static void what_it_may_not(void **state)
{
    struct sample *f = *state;

    assert_acts(f, "r.tar.gz");
    assert_acts(f, "r");
    assert_int_not_equal(access("/tmp/nzd-bundle-child", F_OK), 0);
    if (!(f->confined & NZD_CONFINED_CALLS))
        skip();
}

static int set_up_all(void **state)
{
    (void)sample_make(state);
    open_before = open("/etc/passwd", O_RDONLY);
    return 0;
}

int main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, sample_set_up, sample_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(sound_bundles),
        TEST(folders_that_it_links_to),
        TEST(files_that_only_root_may_read),
        TEST(root_of_a_container),
        TEST(root_of_a_container_of_an_old_kernel),
        TEST(files_that_nobody_may_read),
        TEST(no_device_is_opened),
        TEST(what_holds_it),
        TEST(what_it_may_not),
    };

    nzd_interrupt_install();
    return cmocka_run_group_tests(tests, set_up_all, sample_remove);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The system calls of a reader, as a filter of the kernel's
 * (Documentation/userspace-api/seccomp_filter.rst). Both C libraries are
 * served: which calls each makes for malloc(3), opendir(3) and fstat(2)
 * differs by their version and by the processor. One not named fails with
 * ENOSYS, so that a library may take another; what no reader ever does ends
 * the process.
 */

#if defined(__x86_64__) && !defined(__ILP32__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARM_EABI__) && defined(__ARMEL__)
#define MACHINE AUDIT_ARCH_ARM
#elif defined(__i386__)
#define MACHINE AUDIT_ARCH_I386
#elif defined(__riscv) && __riscv_xlen == 64
#define MACHINE AUDIT_ARCH_RISCV64
#endif

#ifndef SECCOMP_RET_KILL_PROCESS /* Linux 4.14 */
#define SECCOMP_RET_KILL_PROCESS SECCOMP_RET_KILL
#endif

bool confine_knows_calls(void)
{
#ifdef MACHINE
    return !CONFINE_SANITIZED;
#else
    return false;
#endif
}

#ifdef MACHINE

#define X32_BIT 0x40000000u
#ifndef PR_SET_VMA /* Linux 5.17 */
#define PR_SET_VMA 0x53564d41
#endif

/* That of i386 has its arguments in memory, where no filter looks. */
#if defined(__NR_mmap) && !defined(__i386__)
#define FLAT_MMAP __NR_mmap
#endif

#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define WRITES      (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | TMPFILE_BIT)

enum rule {
    ALLOW,
    TO_ANSWER, /* argument 0 is the answer or stderr */
    NOT_EXEC,  /* argument 2 has no PROT_EXEC */
    OF_SELF,   /* argument 0 is this process */
    OF_NAMES,  /* argument 0 gives a name to own memory: the C library asks for
                  it where GLIBC_TUNABLES say so, and takes EINVAL */
    READS_FLAGS, /* argument 1 is a command of fcntl(2) that opendir(3) has */
    READS_AT_1,  /* argument 1 opens for reading */
    READS_AT_2,
    NO_FILE_AT_1, /* as those, but there is no file: a library asks for one of
                     its own, as iconv(3) does */
    NO_FILE_AT_2,
    END /* who asks for it has been taken over */
};

struct call {
    int number;
    enum rule rule;
};

static const struct call always[] = {
    {__NR_read, ALLOW},
    {__NR_readv, ALLOW},
    {__NR_write, TO_ANSWER},
    {__NR_writev, TO_ANSWER},
    {__NR_close, ALLOW},
    {__NR_lseek, ALLOW},
#ifdef __NR__llseek
    {__NR__llseek, ALLOW},
#endif
    {__NR_brk, ALLOW},
#ifdef FLAT_MMAP
    {FLAT_MMAP, NOT_EXEC},
#endif
#ifdef __NR_mmap2
    {__NR_mmap2, NOT_EXEC},
#endif
    {__NR_mprotect, NOT_EXEC},
    {__NR_munmap, ALLOW},
    {__NR_mremap, ALLOW},
    {__NR_madvise, ALLOW},
#ifdef __NR_futex
    {__NR_futex, ALLOW},
#endif
#ifdef __NR_futex_time64
    {__NR_futex_time64, ALLOW},
#endif
#ifdef __NR_clock_gettime
    {__NR_clock_gettime, ALLOW},
#endif
#ifdef __NR_clock_gettime64
    {__NR_clock_gettime64, ALLOW},
#endif
#ifdef __NR_time
    {__NR_time, ALLOW},
#endif
    {__NR_gettimeofday, ALLOW},
    {__NR_getrandom, ALLOW},
    {__NR_prctl, OF_NAMES},
    {__NR_getpid, ALLOW},
    {__NR_gettid, ALLOW},
    {__NR_tgkill, OF_SELF}, /* abort(3) */
    {__NR_tkill, OF_SELF},  /* that of musl */
    {__NR_rt_sigaction, ALLOW},
    {__NR_rt_sigprocmask, ALLOW},
    {__NR_rt_sigreturn, ALLOW},
#ifdef __NR_sigreturn
    {__NR_sigreturn, ALLOW},
#endif
    {__NR_restart_syscall, ALLOW},
    {__NR_sched_yield, ALLOW},
    {__NR_exit, ALLOW},
    {__NR_exit_group, ALLOW},
};

/* A tarball is open already. */
static const struct call of_file[] = {
    {__NR_openat, NO_FILE_AT_2},
#ifdef __NR_open
    {__NR_open, NO_FILE_AT_1},
#endif
};

/* What a directory that is a bundle needs. */
static const struct call of_directory[] = {
    {__NR_openat, READS_AT_2},
#ifdef __NR_open
    {__NR_open, READS_AT_1},
#endif
    {__NR_getdents64, ALLOW},    {__NR_fstat, ALLOW},
#ifdef __NR_fstat64
    {__NR_fstat64, ALLOW},
#endif
#ifdef __NR_newfstatat
    {__NR_newfstatat, ALLOW},
#endif
#ifdef __NR_fstatat64
    {__NR_fstatat64, ALLOW},
#endif
#ifdef __NR_stat
    {__NR_stat, ALLOW},          {__NR_lstat, ALLOW},
#endif
#ifdef __NR_stat64
    {__NR_stat64, ALLOW},        {__NR_lstat64, ALLOW},
#endif
#ifdef __NR_statx
    {__NR_statx, ALLOW},
#endif
#ifdef __NR_readlink
    {__NR_readlink, ALLOW},
#endif
    {__NR_readlinkat, ALLOW},    {__NR_faccessat, ALLOW},
#ifdef __NR_faccessat2
    {__NR_faccessat2, ALLOW},
#endif
#ifdef __NR_access
    {__NR_access, ALLOW},
#endif
    {__NR_getcwd, ALLOW},        {__NR_fcntl, READS_FLAGS},
#ifdef __NR_fcntl64
    {__NR_fcntl64, READS_FLAGS},
#endif
};

/* Behind those that are allowed: only what these do not let through. */
static const struct call never[] = {
    {__NR_openat, END},
#ifdef __NR_open
    {__NR_open, END},
    {__NR_creat, END},
    {__NR_unlink, END},
    {__NR_rename, END},
    {__NR_link, END},
    {__NR_symlink, END},
    {__NR_mkdir, END},
    {__NR_mknod, END},
    {__NR_chmod, END},
    {__NR_chown, END},
    {__NR_fork, END},
    {__NR_vfork, END},
#endif
    {__NR_unlinkat, END},
    {__NR_linkat, END},
    {__NR_symlinkat, END},
    {__NR_mkdirat, END},
    {__NR_mknodat, END},
#ifdef __NR_renameat
    {__NR_renameat, END},
#endif
    {__NR_renameat2, END},
    {__NR_fchmodat, END},
    {__NR_fchownat, END},
    {__NR_truncate, END},
    {__NR_ftruncate, END},
    {__NR_execve, END},
    {__NR_execveat, END},
    {__NR_clone, END},
    {__NR_socket, END},
    {__NR_socketpair, END},
    {__NR_connect, END},
    {__NR_bind, END},
    {__NR_listen, END},
    {__NR_sendto, END},
    {__NR_sendmsg, END},
    {__NR_recvmsg, END},
    {__NR_kill, END},
    {__NR_rt_sigqueueinfo, END},
    {__NR_ptrace, END},
    {__NR_process_vm_readv, END},
    {__NR_process_vm_writev, END},
    {__NR_memfd_create, END},
    {__NR_ioctl, END},
    {__NR_prctl, END},
    {__NR_seccomp, END},
    {__NR_setuid, END},
    {__NR_setgid, END},
    {__NR_setresuid, END},
    {__NR_setresgid, END},
    {__NR_setgroups, END},
    {__NR_capset, END},
    {__NR_prlimit64, END},
    {__NR_mount, END},
    {__NR_umount2, END},
    {__NR_chroot, END},
    {__NR_pivot_root, END},
    {__NR_unshare, END},
    {__NR_setns, END},
    {__NR_bpf, END},
    {__NR_perf_event_open, END},
    {__NR_keyctl, END},
    {__NR_add_key, END},
    {__NR_request_key, END},
#ifdef __NR_socketcall
    {__NR_socketcall, END},
    {__NR_ipc, END},
#endif
#ifdef __NR_setresuid32
    {__NR_setuid32, END},
    {__NR_setgid32, END},
    {__NR_setresuid32, END},
    {__NR_setresgid32, END},
    {__NR_setgroups32, END},
    {__NR_truncate64, END},
    {__NR_ftruncate64, END},
#endif
    {__NR_init_module, END},
    {__NR_finit_module, END},
    {__NR_delete_module, END},
    {__NR_reboot, END},
    {__NR_swapon, END},
    {__NR_mprotect, END}, /* that make code */
#ifdef __NR_mmap
    {__NR_mmap, END},
#endif
#ifdef __NR_mmap2
    {__NR_mmap2, END},
#endif
    {__NR_write, END}, /* to another descriptor */
    {__NR_writev, END},
    {__NR_tgkill, END}, /* to another process */
    {__NR_tkill, END},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
/* The most a rule takes, and what stands around them. */
#define LONGEST (8 * (COUNT(always) + COUNT(of_directory) + COUNT(never)) + 16)

struct program {
    struct sock_filter code[LONGEST];
    unsigned short size;
    uint32_t answer;
    uint32_t self;
};

static void add(struct program *p, uint16_t code, uint32_t k, uint8_t yes,
                uint8_t no)
{
    p->code[p->size++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void end_with(struct program *p, uint32_t what)
{
    add(p, BPF_RET | BPF_K, what, 0, 0);
}

/* The kernel's arguments are 64 bits; of descriptors, flags and pids it takes
 * the lower half, which in a little-endian struct is the first. */
static size_t argument(unsigned n)
{
    return offsetof(struct seccomp_data, args) + n * sizeof(uint64_t);
}

/* The number is in the accumulator, and is there again behind the rule. */
static void add_masked(struct program *p, unsigned n, uint32_t mask,
                       uint32_t what)
{
    load(p, argument(n));
    add(p, BPF_JMP | BPF_JSET | BPF_K, mask, 1, 0);
    end_with(p, what);
}

/* Where the argument is one of `values`. */
static void add_one_of(struct program *p, unsigned n, const uint32_t *values,
                       unsigned count, uint32_t what)
{
    load(p, argument(n));
    for (unsigned i = 0; i < count; i++) {
        bool last = i + 1 == count;

        add(p, BPF_JMP | BPF_JEQ | BPF_K, values[i], (uint8_t)(count - 1 - i),
            last ? 1 : 0);
    }
    end_with(p, what);
}

static void add_rule(struct program *p, enum rule rule)
{
    const uint32_t answers[] = {p->answer, STDERR_FILENO};
    static const uint32_t flags[] = {F_GETFD, F_SETFD, F_GETFL,
                                     F_DUPFD_CLOEXEC};
    static const uint32_t name = PR_SET_VMA;

    switch (rule) {
    case ALLOW:
        end_with(p, SECCOMP_RET_ALLOW);
        return;
    case END:
        end_with(p, SECCOMP_RET_KILL_PROCESS);
        return;
    case TO_ANSWER:
        add_one_of(p, 0, answers, 2, SECCOMP_RET_ALLOW);
        break;
    case OF_SELF:
        add_one_of(p, 0, &p->self, 1, SECCOMP_RET_ALLOW);
        break;
    case OF_NAMES:
        add_one_of(p, 0, &name, 1, SECCOMP_RET_ERRNO | EINVAL);
        break;
    case READS_FLAGS:
        add_one_of(p, 1, flags, 4, SECCOMP_RET_ALLOW);
        break;
    case NOT_EXEC:
        add_masked(p, 2, PROT_EXEC, SECCOMP_RET_ALLOW);
        break;
    case READS_AT_1:
        add_masked(p, 1, WRITES, SECCOMP_RET_ALLOW);
        break;
    case READS_AT_2:
        add_masked(p, 2, WRITES, SECCOMP_RET_ALLOW);
        break;
    case NO_FILE_AT_1:
        add_masked(p, 1, WRITES, SECCOMP_RET_ERRNO | ENOENT);
        break;
    case NO_FILE_AT_2:
        add_masked(p, 2, WRITES, SECCOMP_RET_ERRNO | ENOENT);
        break;
    }
    load(p, offsetof(struct seccomp_data, nr));
}

static void add_calls(struct program *p, const struct call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned short at = p->size;

        add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, 0, 0);
        add_rule(p, calls[i].rule);
        p->code[at].jf = (uint8_t)(p->size - at - 1);
    }
}

static void begin(struct program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
    end_with(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    add(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    end_with(p, SECCOMP_RET_KILL_PROCESS);
#endif
}

int confine_calls(const struct nzd_confine *confine)
{
    struct program p = {.answer = (uint32_t)confine->answer,
                        .self = (uint32_t)getpid()};
    struct sock_fprog filter = {.filter = p.code};

    if (!confine_knows_calls())
        return -1;
    begin(&p);
    add_calls(&p, always, COUNT(always));
    if (confine->folder_count)
        add_calls(&p, of_directory, COUNT(of_directory));
    else
        add_calls(&p, of_file, COUNT(of_file));
    add_calls(&p, never, COUNT(never));
    end_with(&p, SECCOMP_RET_ERRNO | ENOSYS);
    filter.len = p.size;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

#else

int confine_calls(const struct nzd_confine *confine)
{
    (void)confine;
    return -1;
}

#endif

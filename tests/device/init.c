/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stand-in for erlinit in tests, pid 1 of namespaces of its own:
 *
 *   init --root IMAGE --at FOLDER [--data IMAGE [--read-only]]
 *        [--config FILE] [--flags ERL_FLAGS] [--share FOLDER]...
 *        [--marks FILE]
 *
 * Mounts the squashfs IMAGE at FOLDER and what belongs below it, /run noexec as
 * Nerves has it, makes it the root, and starts the release under /srv/erlang
 * as erlinit does with `--alternate-exec "/usr/bin/nzd boot --"`. Reaps
 * whoever is left to it. When the VM ends, or at SIGTERM, it ends the others,
 * unmounts, and ends itself: the reboot. Loop devices detach by themselves
 * with the mount, however it comes to its end.
 *
 * /dev/kmsg is a file of the device, not this host's kernel log; /dev/marks is
 * FILE, and nzd boot writes the points there that its child passes.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <linux/loop.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHARES_MAX  8
#define LOOP_TRIES  20
#define END_SECONDS 3 /* for those that the VM leaves behind */

struct options {
    const char *root;
    const char *at;
    const char *data;
    const char *config;
    const char *flags;
    const char *marks;
    const char *shares[SHARES_MAX];
    int share_count;
    bool read_only;
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dprintf(STDERR_FILENO, "init: %s\n", text);
}

static void fail(const char *what)
{
    say("%s: %s", what, strerror(errno));
    _exit(1);
}

static void must_mount(const char *from, const char *at, const char *type,
                       unsigned long flags, const char *options)
{
    if (mount(from, at, type, flags, options) != 0)
        fail(at);
}

static const char *below(const char *folder, const char *path)
{
    static char text[4][4096];
    static unsigned next;
    char *out = text[next++ % 4];
    snprintf(out, sizeof text[0], "%s%s", folder, path);
    return out;
}

/* --- loop devices -------------------------------------------------------- */

/* One that is free now may be another's in a moment. */
static int attach(const char *image, bool read_only, char path[32])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {
        .fd =
            (unsigned)open(image, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC),
        .info.lo_flags =
            LO_FLAGS_AUTOCLEAR | (read_only ? LO_FLAGS_READ_ONLY : 0)};
    if (control < 0 || (int)config.fd < 0)
        fail(image);
    for (int i = 0; i < LOOP_TRIES; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(path, 32, "/dev/loop%d", number);
        int loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
            close((int)config.fd);
            close(control);
            return loop;
        }
        close(loop);
        usleep(20000);
    }
    fail("no loop device");
    return -1;
}

static int mount_image(const char *image, const char *at, const char *type,
                       bool read_only, const char *options)
{
    char path[32];
    int loop = attach(image, read_only, path);
    int code =
        mount(path, at, type,
              MS_NOSUID | MS_NODEV | (read_only ? MS_RDONLY : 0), options);
    int sys = errno;
    close(loop);
    errno = sys;
    return code;
}

/* --- the filesystems ----------------------------------------------------- */

static void make_devices(const char *at)
{
    static const struct {
        const char *name;
        unsigned minor;
    } devices[] = {{"/dev/null", 3},
                   {"/dev/zero", 5},
                   {"/dev/random", 8},
                   {"/dev/urandom", 9}};
    must_mount("dev", below(at, "/dev"), "tmpfs", MS_NOEXEC, "mode=755");
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
        if (mknod(below(at, devices[i].name), S_IFCHR | 0666,
                  makedev(1, devices[i].minor)) != 0)
            fail(devices[i].name);
    close(open(below(at, "/dev/kmsg"), O_CREAT | O_WRONLY, 0600));
}

static void mount_all(const struct options *o)
{
    const char *at = o->at;
    must_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount_image(o->root, at, "squashfs", true, NULL) != 0)
        fail(o->root);
    make_devices(at);
    must_mount("proc", below(at, "/proc"), "proc", MS_NOSUID, NULL);
    must_mount("run", below(at, "/run"), "tmpfs",
               MS_NOEXEC | MS_NOSUID | MS_NODEV, "mode=755");
    must_mount("tmp", below(at, "/tmp"), "tmpfs", MS_NOSUID, "mode=1777");
    for (int i = 0; i < o->share_count; i++)
        must_mount(o->shares[i], below(at, o->shares[i]), NULL, MS_BIND, NULL);
    if (o->config)
        must_mount(o->config, below(at, "/etc/nzd.conf"), NULL, MS_BIND, NULL);
    if (o->marks) {
        close(open(below(at, "/dev/marks"), O_CREAT | O_WRONLY, 0600));
        must_mount(o->marks, below(at, "/dev/marks"), NULL, MS_BIND, NULL);
    }
    /* Nothing but what is synced gets to the image by itself. */
    if (o->data && mount_image(o->data, below(at, "/data"), "ext4",
                               o->read_only, "commit=300") != 0)
        say("/data: %s", strerror(errno));
}

static void change_root(const char *at)
{
    if (chdir(at) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        fail("pivot_root");
}

static void bring_up_network(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
        say("lo: %s", strerror(errno));
    close(fd);
    if (sethostname("device", 6) != 0)
        say("hostname: %s", strerror(errno));
}

/* --- the VM -------------------------------------------------------------- */

struct release {
    char root[512];
    char version[64];
    char erts[64];
};

static struct release find_release(void)
{
    struct release release = {.root = ""};
    glob_t found;
    if (glob("/srv/erlang/*/releases/start_erl.data", 0, NULL, &found) != 0)
        fail("no release");
    const char *path = found.gl_pathv[0];
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%63s %63s", release.erts, release.version) != 2)
        fail(path);
    fclose(file);
    snprintf(release.root, sizeof release.root, "%.*s",
             (int)(strlen(path) - strlen("/releases/start_erl.data")), path);
    globfree(&found);
    return release;
}

static const char *text(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...)
{
    char *out;
    va_list list;
    va_start(list, format);
    if (vasprintf(&out, format, list) < 0)
        fail("memory");
    va_end(list);
    return out;
}

static void set_environment(const struct release *release,
                            const struct options *o)
{
    static const char *const kept[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS",
                                       "NZD_TEST_RUN"};
    const char *values[3];
    for (int i = 0; i < 3; i++)
        values[i] = getenv(kept[i]);
    for (int i = 0; i < 3; i++)
        values[i] = values[i] ? text("%s", values[i]) : NULL;
    clearenv();
    for (int i = 0; i < 3; i++)
        if (values[i])
            setenv(kept[i], values[i], 1);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    setenv("HOME", "/root", 1);
    setenv("TERM", "vt100", 1);
    setenv("ROOTDIR", release->root, 1);
    setenv("RELEASE_ROOT", release->root, 1);
    setenv("BINDIR", text("%s/erts-%s/bin", release->root, release->erts), 1);
    setenv("EMU", "beam", 1);
    setenv("PROGNAME", "erlexec", 1);
    setenv("ERL_CRASH_DUMP_SECONDS", "0", 1);
    if (o->flags)
        setenv("ERL_FLAGS", o->flags, 1);
    if (o->marks) {
        setenv("NZD_POINT_LOG", "/dev/marks", 1);
        setenv("NZD_POINT_ROLE", "child", 1);
    }
}

/* The name of the boot script is the release's, else "start". */
static const char *boot_script(const struct release *release,
                               const char *folder)
{
    const char *name = text("%s/%s", folder, strrchr(release->root, '/') + 1);
    return access(text("%s.boot", name), R_OK) == 0 ? name
                                                    : text("%s/start", folder);
}

static pid_t start_vm(const struct options *o)
{
    struct release release = find_release();
    const char *folder = text("%s/releases/%s", release.root, release.version);
    const char *const argv[] = {
        "/usr/bin/nzd",
        "boot",
        "--",
        text("%s/erts-%s/bin/erlexec", release.root, release.erts),
        "-config",
        text("%s/sys.config", folder),
        "-boot",
        boot_script(&release, folder),
        "-args_file",
        text("%s/vm.args", folder),
        "-boot_var",
        "RELEASE_LIB",
        text("%s/lib", release.root),
        NULL};
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    set_environment(&release, o);
    execv(argv[0], (char *const *)argv);
    say("%s: %s", argv[0], strerror(errno));
    _exit(127);
}

/* --- reaping, and the end ------------------------------------------------ */

/* True when `vm` was among those that have ended; `left` says whether anybody
 * has not. */
static bool reap(pid_t vm, bool *left)
{
    bool ended = false;
    int status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == vm) {
            ended = true;
            say("the VM ended: %s %d",
                WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        } else {
            say("reaped %d", (int)pid);
        }
    }
    *left = pid == 0;
    return ended;
}

static void wait_for_vm(pid_t vm, const sigset_t *signals)
{
    bool left;
    for (;;) {
        int number = sigwaitinfo(signals, NULL);
        if (reap(vm, &left) || number == SIGTERM)
            return;
    }
}

static void end_others(const sigset_t *signals)
{
    struct timespec slice = {.tv_nsec = 100000000};
    bool left;
    kill(-1, SIGTERM);
    reap(0, &left);
    for (int i = 0; left && i < 10 * END_SECONDS; i++) {
        sigtimedwait(signals, NULL, &slice);
        reap(0, &left);
    }
    if (left)
        say("killed those that did not end");
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"root", 1, NULL, 'r'},      {"at", 1, NULL, 'a'},
        {"data", 1, NULL, 'd'},      {"config", 1, NULL, 'c'},
        {"flags", 1, NULL, 'f'},     {"share", 1, NULL, 's'},
        {"read-only", 0, NULL, 'o'}, {"marks", 1, NULL, 'm'},
        {NULL, 0, NULL, 0}};
    const char **values[] = {
        ['r'] = &o->root,   ['a'] = &o->at,    ['d'] = &o->data,
        ['c'] = &o->config, ['f'] = &o->flags, ['m'] = &o->marks,
        ['t'] = NULL};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) > 0) {
        if (option == 'o')
            o->read_only = true;
        else if (option == 's' && o->share_count < SHARES_MAX)
            o->shares[o->share_count++] = optarg;
        else if (option < 't' && values[option])
            *values[option] = optarg;
        else
            return false;
    }
    return o->root && o->at && optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = {.root = NULL};
    sigset_t signals;
    if (!read_options(argc, argv, &options) || getpid() != 1) {
        say("this is pid 1 of a test's device");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    umask(022);
    mount_all(&options);
    change_root(options.at);
    bring_up_network();
    pid_t vm = start_vm(&options);
    wait_for_vm(vm, &signals);
    end_others(&signals);
    sync();
    if (umount2("/data", 0) != 0 && errno != EINVAL)
        say("/data: %s", strerror(errno));
    say("reboot");
    return 0;
}

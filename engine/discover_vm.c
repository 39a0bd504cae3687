/* SPDX-License-Identifier: Apache-2.0 */
#include "discover_internal.h"
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- arguments --- */

/* The next string of the block, NULL at its end or when it has no NUL. */
static const char *next_word(struct nzd_view *left)
{
    const char *word = (const char *)left->data;
    const uint8_t *end;

    if (left->size == 0)
        return NULL;
    end = memchr(left->data, 0, left->size);
    if (!end)
        return NULL;
    left->size -= (size_t)(end - left->data) + 1;
    left->data = end + 1;
    return word;
}

static bool is_beam(const char *path)
{
    const char *base = strrchr(path, '/');
    size_t length;

    base = base ? base + 1 : path;
    length = strlen(base);
    /* beam.smp, and beam.debug.smp and its like. */
    return strcmp(base, "beam") == 0 ||
           (length >= 8 && strncmp(base, "beam.", 5) == 0 &&
            strcmp(base + length - 4, ".smp") == 0);
}

/* What erlexec gives each emulator. Start scripts give it another name, that
 * of rebar3 its own: then argv[0] is "/srv/counter/bin/counter". */
static bool is_of_erlexec(struct nzd_view words)
{
    const char *word;

    while ((word = next_word(&words))) {
        if (strcmp(word, "--") != 0)
            continue;
        word = next_word(&words);
        if (!word || strcmp(word, "-root") != 0 || !next_word(&words))
            return false;
        word = next_word(&words);
        return word && strcmp(word, "-bindir") == 0;
    }
    return false;
}

/* Copies a word that fits; a longer one is as good as none. */
static void keep(char *out, size_t size, const char *word)
{
    size_t length = strlen(word);

    if (length < size)
        memcpy(out, word, length + 1);
}

struct flags {
    char sname[512];
    char name[512];
    unsigned cookies; /* -setcookie with less than two values */
    struct nzd_vm_arguments *out;
};

/* One flag with its values, as init(3) takes it. */
static void take(struct flags *flags, const char *flag, const char *first,
                 unsigned count)
{
    struct nzd_vm_arguments *out = flags->out;

    if (strcmp(flag, "-setcookie") == 0 && count < 2) {
        flags->cookies++;
        out->cookie[0] = '\0';
        if (first && flags->cookies == 1)
            keep(out->cookie, sizeof(out->cookie), first);
    }
    if (count != 1)
        return;
    if (strcmp(flag, "-sname") == 0 && !flags->sname[0])
        keep(flags->sname, sizeof(flags->sname), first);
    else if (strcmp(flag, "-name") == 0 && !flags->name[0])
        keep(flags->name, sizeof(flags->name), first);
    else if (strcmp(flag, "-home") == 0 && !out->home[0])
        keep(out->home, sizeof(out->home), first);
    else if (strcmp(flag, "-boot") == 0 && !out->boot[0])
        keep(out->boot, sizeof(out->boot), first);
}

static void walk(struct flags *flags, struct nzd_view left)
{
    const char *flag = NULL;
    const char *first = NULL;
    const char *word;
    unsigned count = 0;

    while ((word = next_word(&left)) && strcmp(word, "-extra") != 0) {
        if (word[0] != '-') {
            first = count == 0 ? word : first;
            count++;
            continue;
        }
        if (flag)
            take(flags, flag, first, count);
        flag = word;
        first = NULL;
        count = 0;
    }
    if (flag)
        take(flags, flag, first, count);
}

/* What no VM can run under names none: NAME@HOST has both, and one @. */
static bool is_full(const char *name)
{
    const char *at = strchr(name, '@');

    return at > name && at[1] && !strchr(at + 1, '@');
}

/* Erlang's own order: -sname before -name. */
static void name_node(const struct flags *flags)
{
    struct nzd_vm_arguments *out = flags->out;
    const char *name = flags->sname[0] ? flags->sname : flags->name;
    char host[NZD_HOST_NAME];

    out->is_long = !flags->sname[0];
    /* "undefined" asks for a name from the first node it connects to. */
    if (!name[0] || strcmp(name, "undefined") == 0)
        return;
    if (out->is_long)
        nzd_host_long_name(host);
    else
        nzd_host_short_name(host);
    if (strchr(name, '@') && !is_full(name))
        return;
    if (strchr(name, '@'))
        keep(out->node, sizeof(out->node), name);
    else if (snprintf(out->node, sizeof(out->node), "%s@%s", name, host) >=
             (int)sizeof(out->node))
        out->node[0] = '\0';
}

bool nzd_vm_parse(struct nzd_view cmdline, struct nzd_vm_arguments *out)
{
    struct nzd_view left = cmdline;
    struct flags flags = {.out = out};
    const char *program = next_word(&left);

    memset(out, 0, sizeof(*out));
    if (!program || (!is_beam(program) && !is_of_erlexec(left)))
        return false;
    walk(&flags, left);
    name_node(&flags);
    return true;
}

const char *nzd_vm_environment(struct nzd_view environment, const char *name)
{
    size_t length = strlen(name);
    const char *word;

    while ((word = next_word(&environment)))
        if (strncmp(word, name, length) == 0 && word[length] == '=')
            return word + length + 1;
    return NULL;
}

/* --- /proc --- */

/* What cannot be read (another user's) counts as ours. */
static bool shares(const char *proc, int64_t pid, const char *kind)
{
    char path[NZD_VM_PATH];
    char ours[64];
    char theirs[64];
    ssize_t a;
    ssize_t b;

    (void)snprintf(path, sizeof(path), "%s/self/ns/%s", proc, kind);
    a = readlink(path, ours, sizeof(ours));
    (void)snprintf(path, sizeof(path), "%s/%" PRId64 "/ns/%s", proc, pid, kind);
    b = readlink(path, theirs, sizeof(theirs));
    if (a <= 0 || b <= 0)
        return true;
    return a == b && memcmp(ours, theirs, (size_t)a) == 0;
}

static void look_at(const char *proc, int64_t pid, struct nzd_buf *cmdline,
                    struct nzd_vm_list *out)
{
    struct nzd_vm_arguments arguments;
    char path[NZD_VM_PATH];
    struct nzd_vm *vm = &out->vms[out->count];

    (void)snprintf(path, sizeof(path), "%s/%" PRId64 "/cmdline", proc, pid);
    if (nzd_host_read(path, NZD_VM_BYTES, cmdline) != 0 ||
        !nzd_vm_parse(nzd_buf_view(cmdline), &arguments))
        return;
    if (!shares(proc, pid, "net") || !shares(proc, pid, "pid"))
        return;
    if (!arguments.node[0]) {
        out->undistributed = pid;
        return;
    }
    vm->pid = pid;
    vm->is_long = arguments.is_long;
    memcpy(vm->node, arguments.node, sizeof(vm->node));
    out->count++;
}

static int by_pid(const void *a, const void *b)
{
    const struct nzd_vm *x = a;
    const struct nzd_vm *y = b;

    return (x->pid > y->pid) - (x->pid < y->pid);
}

/* A VM that forks shows twice until its child has called exec. */
static void drop_twins(struct nzd_vm_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        bool twin = false;

        for (size_t j = 0; j < kept; j++)
            twin = twin || strcmp(list->vms[j].node, list->vms[i].node) == 0;
        if (!twin && kept++ != i)
            list->vms[kept - 1] = list->vms[i];
    }
    list->count = kept;
}

static int64_t pid_of(const char *name)
{
    char *end;
    long long pid;

    if (name[0] < '1' || name[0] > '9')
        return 0;
    errno = 0;
    pid = strtoll(name, &end, 10);
    return *end == '\0' && errno == 0 ? pid : 0;
}

int nzd_vm_scan(const char *proc, struct nzd_vm_list *out, struct nzd_err *err)
{
    struct nzd_buf cmdline = {0};
    DIR *dir = opendir(proc);
    const struct dirent *entry;

    out->count = 0;
    out->undistributed = 0;
    if (!dir)
        return nzd_err_system(err, NZD_ENODE, errno, "look for nodes: %s",
                              proc);
    while (out->count < NZD_VM_MAX && (entry = readdir(dir))) {
        int64_t pid = pid_of(entry->d_name);

        if (pid > 0)
            look_at(proc, pid, &cmdline, out);
    }
    closedir(dir);
    nzd_buf_clear(&cmdline);
    qsort(out->vms, out->count, sizeof(out->vms[0]), by_pid);
    drop_twins(out);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "priv_use.h"

#include "../staging/script.h"
#include "host.h"
#include "overlay.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAPS_BYTES  (4u << 20)
#define WORDS_BYTES (64u << 10) /* of a command line */
#define DEPTH       32          /* processes between a program and the VM */

/* --- applications -------------------------------------------------------- */

static const char *why_none(const struct nzd_question *q)
{
    if (!q->target.local)
        return "of a node on another host";
    if (!nzd_overlay_place())
        return "and there is no runtime folder to lay it out in";
    if (!q->old.boot_script || q->base.boot_file[0] != '/')
        return "of a VM that booted no release";
    return NULL;
}

static int fix_applications(struct nzd_question *q, struct nzd_err *err)
{
    const char *none = why_none(q);
    struct nzd_script script = {0};
    int code =
        none ? 0 : nzd_script_read(q->old.boot_script, &q->arena, &script, err);
    q->old.priv_fixed = none;
    for (uint32_t i = 0; i < q->old.app_count && !code; i++) {
        struct nzd_app *app = &q->old.apps[i];
        if (none || !nzd_script_app(&script, app->name))
            app->priv_fixed = none ? none : "whom the boot script lacks";
    }
    return code;
}

/* --- names --------------------------------------------------------------- */

static bool ends_in(const char *text, size_t size, const char *end)
{
    size_t want = strlen(end);
    return size >= want && memcmp(text + size - want, end, want) == 0;
}

/* ".../lib/counter-0.2.0/priv/nif.so" is "priv/nif.so" of counter. A link
 * leads anywhere: then the last part of the name must do. */
static bool names(const char *path, const struct nzd_file *file)
{
    size_t size = strlen(path), rest = strlen(file->path);
    const char *last = strrchr(file->path, '/');
    if (file->link && last && ends_in(path, size, last))
        return true;
    if (!ends_in(path, size, file->path) || size == rest ||
        path[size - rest - 1] != '/')
        return false;
    const char *end = path + size - rest - 1;
    const char *app = memrchr(path, '/', (size_t)(end - path));
    size_t length = strlen(file->app);
    app = app ? app + 1 : path;
    return (size_t)(end - app) >= length &&
           memcmp(app, file->app, length) == 0 &&
           (app + length == end || app[length] == '-');
}

static void mark(struct nzd_question *q, const char *path, const char *use)
{
    for (uint32_t i = 0; i < q->old.priv_count; i++) {
        struct nzd_file *file = &q->old.priv[i];
        if (!file->use && names(path, file))
            file->use = use;
    }
}

/* --- libraries ----------------------------------------------------------- */

/* Nobody could say. */
static void mark_libraries(struct nzd_question *q)
{
    for (uint32_t i = 0; i < q->old.priv_count; i++) {
        struct nzd_file *file = &q->old.priv[i];
        if (ends_in(file->path, strlen(file->path), ".so") ||
            strstr(file->path, ".so."))
            file->use = "which the VM may have loaded";
    }
}

/* "7f.. r-xp 0000 08:01 123    /srv/lib/counter-0.1.0/priv/nif.so (deleted)";
 * a file is mapped in several parts. */
static void mark_mapped(struct nzd_question *q, char *text)
{
    static const char deleted[] = " (deleted)";
    char *next = NULL;
    const char *before = "";
    for (char *line = strtok_r(text, "\n", &next); line;
         line = strtok_r(NULL, "\n", &next)) {
        char *path = strchr(line, '/');
        size_t size = path ? strlen(path) : 0;
        if (!path)
            continue;
        if (ends_in(path, size, deleted))
            path[size - (sizeof deleted - 1)] = '\0';
        if (strcmp(path, before) != 0)
            mark(q, path, "which the VM has loaded");
        before = path;
    }
}

/* --- programs ------------------------------------------------------------ */

/* The fourth field of stat; the second may hold anything. 0: not known. */
static int64_t parent_of(int64_t pid)
{
    struct nzd_buf text = {0};
    char path[64], state;
    long long parent = 0;
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    const char *end = nzd_host_read(path, 4096, &text) == 0
                          ? strrchr(nzd_buf_string(&text), ')')
                          : NULL;
    if (!end || sscanf(end, ") %c %lld", &state, &parent) != 2)
        parent = 0;
    nzd_buf_clear(&text);
    return parent;
}

static bool is_below(int64_t pid, int64_t vm)
{
    for (int i = 0; i < DEPTH && pid > 1; i++) {
        pid = parent_of(pid);
        if (pid == vm)
            return true;
    }
    return false;
}

static void mark_program(struct nzd_question *q, int64_t pid)
{
    struct nzd_buf words = {0};
    char path[64], program[PATH_MAX];
    const char *use =
        nzd_arena_printf(&q->arena, "which runs now, as process %" PRId64, pid);
    use = use ? use : "which runs now";
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/exe", pid);
    ssize_t size = readlink(path, program, sizeof program - 1);
    program[size > 0 ? size : 0] = '\0';
    if (size > 0)
        mark(q, program, use);
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/cmdline", pid);
    if (nzd_host_read(path, WORDS_BYTES, &words) == 0 && words.size) {
        const char *first = nzd_buf_string(&words);
        size_t length = strlen(first) + 1;
        mark(q, first, use);
        if (length < words.size)
            mark(q, first + length, use);
    }
    nzd_buf_clear(&words);
}

static void mark_programs(struct nzd_question *q, int64_t vm)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        int64_t pid = isdigit((unsigned char)entry->d_name[0])
                          ? strtoll(entry->d_name, NULL, 10)
                          : 0;
        if (pid > 1 && pid != vm && is_below(pid, vm))
            mark_program(q, pid);
    }
    if (folder)
        closedir(folder);
}

/* --- both ---------------------------------------------------------------- */

static void mark_files(struct nzd_question *q)
{
    struct nzd_buf maps = {0};
    int64_t vm = q->target.pid;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%" PRId64 "/maps", vm);
    if (vm <= 0 || (uint64_t)vm != q->hello.os_pid ||
        nzd_host_read(path, MAPS_BYTES, &maps) != 0 || !maps.size) {
        mark_libraries(q);
    } else {
        mark_mapped(q, (char *)(uintptr_t)nzd_buf_string(&maps));
        mark_programs(q, vm);
    }
    nzd_buf_clear(&maps);
}

int nzd_priv_use(struct nzd_question *q, struct nzd_err *err)
{
    int code = fix_applications(q, err);
    if (!code && q->target.local && q->old.priv_count)
        mark_files(q);
    return code;
}

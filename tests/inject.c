/* SPDX-License-Identifier: Apache-2.0 */
#include "inject.h"

#include <string.h>

static const char *log_path(struct harness *harness)
{
    return harness_path(harness, "strace");
}

const char *inject_log(struct harness *harness)
{
    return harness_read_file(harness, log_path(harness));
}

/* strace itself, up to the command. `inject` is NULL where it only counts. */
static const char *const *prefix(struct harness *harness,
                                 const struct fault *fault, const char *inject)
{
    static const char *const files[] = {"data.mdb", "data.mdb.new", "lock.mdb",
                                        "lock", "."};
    const char **words = harness_alloc(harness, 24 * sizeof *words);
    size_t count = 0;
    words[count++] = "strace";
    words[count++] = "--quiet=attach,exit,path-resolution";
    words[count++] = "--seccomp-bpf";
    words[count++] = "-f";
    words[count++] = "-o";
    words[count++] = log_path(harness);
    words[count++] = "-e";
    words[count++] = harness_text(harness, "trace=%s", fault->call);
    for (size_t i = 0; fault->journal && i < 5; i++) {
        words[count++] = "-P";
        words[count++] = strcmp(files[i], ".") == 0
                             ? harness_journal(harness)
                             : harness_text(harness, "%s/%s",
                                            harness_journal(harness), files[i]);
    }
    if (inject) {
        words[count++] = "-e";
        words[count++] = inject;
    }
    return words;
}

bool inject_is_possible(struct harness *harness)
{
    static const struct fault fault = {"getppid", "EIO", false, false, 1};
    const char *const words[] = {"true", NULL};
    struct harness_run run = harness_run(
        harness, harness_concat(harness, prefix(harness, &fault, NULL), words),
        NULL);
    return run.status == 0;
}

/* Lines of the process of the first line that begin this call. */
static unsigned count_calls(const char *log, const char *call)
{
    size_t first = strspn(log, "0123456789"), size = strlen(call);
    unsigned count = 0;
    for (const char *line = log; *line; line += *line == '\n') {
        const char *at = line + first;
        if (strncmp(line, log, first) == 0 && *at == ' ') {
            at += strspn(at, " ");
            count += strncmp(at, call, size) == 0 && at[size] == '(';
        }
        line += strcspn(line, "\n");
    }
    return count;
}

struct harness_run inject_count(struct harness *harness,
                                const char *const *argv,
                                const struct fault *faults, size_t count,
                                unsigned *calls)
{
    static const struct fault all = {.call = "all"};
    struct harness_run run = harness_run(
        harness, harness_concat(harness, prefix(harness, &all, NULL), argv),
        NULL);
    const char *log = inject_log(harness);
    for (size_t i = 0; i < count; i++)
        calls[i] = count_calls(log, faults[i].call);
    return run;
}

struct harness_run inject_run(struct harness *harness, const char *const *argv,
                              const struct fault *fault, unsigned at,
                              int limit_ms, bool *hit)
{
    const char *inject =
        harness_text(harness, "inject=%s:error=%s:when=%u%s", fault->call,
                     fault->error, at, fault->lasting ? "+" : "");
    struct harness_job *job = harness_begin(
        harness, harness_concat(harness, prefix(harness, fault, inject), argv),
        NULL);
    struct harness_run run = harness_end(harness, job, limit_ms);
    *hit = strstr(inject_log(harness), "(INJECTED)") != NULL;
    return run;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "erts_try.h"

#include "../journal/point.h"
#include "file_set.h"
#include "interrupt.h"
#include "overlay.h"
#include "overlay_internal.h"
#include "program.h"

#include <stdio.h>
#include <string.h>

#define TRY_US     10000000u
#define OUTPUT_MAX 4000u

struct trying {
    struct nzd_transaction *t;
    struct nzd_file_set files;            /* all that will be in force */
    struct nzd_overlay_program *programs; /* in its arena */
    uint32_t count;
    char folder[NZD_OVERLAY_PATH];
    struct nzd_err *err;
};

/* --- which one ----------------------------------------------------------- */

static const struct nzd_module_row *find_row(const struct nzd_transaction *t)
{
    for (uint32_t i = 0; i < t->row_count; i++)
        if (strcmp(t->rows[i].module, NZD_FILE_ERTS) == 0)
            return &t->rows[i];
    return NULL;
}

/* A row says what becomes another; the rest is what is in force. */
static int read_files(struct trying *all)
{
    struct nzd_transaction *t = all->t;
    int code = nzd_file_set_read(t->journal, &t->q->base.identity, &all->files,
                                 NULL, all->err);
    for (uint32_t i = 0; i < t->row_count && !code; i++) {
        const struct nzd_file_side side = nzd_file_side_new(&t->rows[i]);
        if (nzd_row_is_file(side.name))
            code = nzd_file_set_put(&all->files, &side, all->err);
    }
    return code;
}

static int list_programs(struct trying *all)
{
    size_t head = strlen(NZD_FILE_RUNNING);
    all->programs =
        nzd_arena_alloc(&all->files.arena,
                        ((size_t)all->files.count + 1) * sizeof *all->programs);
    if (!all->programs)
        return nzd_err_memory(all->err);
    for (uint32_t i = 0; i < all->files.count; i++) {
        const struct nzd_file_side *side = &all->files.items[i];
        if (strncmp(side->name, NZD_FILE_RUNNING, head) == 0 &&
            !nzd_digest_is_zero(&side->blob))
            all->programs[all->count++] =
                (struct nzd_overlay_program){side->name + head, side->blob};
    }
    return 0;
}

/* --- run ----------------------------------------------------------------- */

static int say_why(struct trying *all, struct nzd_program_result *result)
{
    const char *version = all->t->q->new.erts;
    char said[200] = "";
    if (result->output.size)
        snprintf(said, sizeof said, "%.*s",
                 (int)strcspn(nzd_buf_string(&result->output), "\r\n"),
                 nzd_buf_string(&result->output));
    if (result->end == NZD_PROGRAM_NOT_STARTED)
        snprintf(said, sizeof said, "%s", strerror(result->status));
    else if (result->end == NZD_PROGRAM_TIMED_OUT)
        snprintf(said, sizeof said, "it did not end");
    nzd_err_set(all->err, NZD_EREFUSED, "erts-%s does not run on this host: %s",
                version, said[0] ? said : "it says nothing");
    nzd_err_next(all->err, "build the release for this host's system");
    return NZD_EREFUSED;
}

/* "... emulator version 13.2", and the end of the line. */
static bool tells_version(struct trying *all, struct nzd_program_result *result)
{
    char wanted[96];
    if (result->end != NZD_PROGRAM_EXITED || result->status != 0 ||
        !result->output.size)
        return false;
    snprintf(wanted, sizeof wanted, "emulator version %.60s",
             all->t->q->new.erts);
    const char *found = strstr(nzd_buf_string(&result->output), wanted);
    return found && strchr("\r\n", found[strlen(wanted)]);
}

static int run(struct trying *all)
{
    struct nzd_program_result result = {.status = 0};
    struct nzd_arena arena = {0};
    const char *const argv[] = {
        nzd_arena_printf(&arena, "%s/erlexec", all->folder), "+V", NULL};
    const char *const environment[] = {
        nzd_arena_printf(&arena, "BINDIR=%s", all->folder),
        nzd_arena_printf(&arena, "ROOTDIR=%s", all->t->q->hello.release_root),
        "EMU=beam",
        "PROGNAME=erl",
        "ERL_AFLAGS=",
        "ERL_FLAGS=",
        "ERL_ZFLAGS=",
        NULL};
    const struct nzd_program program = {.argv = argv,
                                        .environment = environment,
                                        .timeout_us = TRY_US,
                                        .output_max = OUTPUT_MAX};
    int code = argv[0] && environment[0] && environment[1]
                   ? nzd_program_run(&program, nzd_node_link(all->t->q->node),
                                     &result, all->err)
                   : nzd_err_memory(all->err);
    if (!code && !tells_version(all, &result))
        code = say_why(all, &result);
    nzd_buf_clear(&result.output);
    nzd_arena_clear(&arena);
    return code;
}

/* .../vm-DIGEST/erts-VSN/bin: another transaction's is not of this name. */
static void remove_it(struct trying *all)
{
    for (int up = 0; up < 2; up++)
        *strrchr(all->folder, '/') = '\0';
    nzd_overlay_remove(all->folder);
}

static int lay_out(struct trying *all)
{
    int code =
        nzd_overlay_make_erts(all->t->journal, all->t->q->new.erts,
                              all->programs, all->count, all->folder, all->err);
    nzd_point("another ERTS beside the journal");
    if (code == NZD_EINTERNAL)
        all->err->code = code = NZD_EREFUSED;
    return code;
}

int nzd_erts_try(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_module_row *row = find_row(t);
    struct trying all = {.t = t, .err = err};
    if (!row || nzd_digest_is_zero(&row->new_blob))
        return 0;
    uint64_t begin_us = nzd_clock_us();
    int code = read_files(&all);
    if (!code)
        code = list_programs(&all);
    if (!code)
        code = lay_out(&all);
    if (!code && (code = run(&all)))
        remove_it(&all);
    if (!code)
        nzd_timeline_add(&t->timeline, NZD_EVENT_PREPARE, "erts",
                         nzd_clock_us() - begin_us, "%s runs on this host",
                         t->q->new.erts);
    nzd_file_set_clear(&all.files);
    return code;
}

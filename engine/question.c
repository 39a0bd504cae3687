/* SPDX-License-Identifier: Apache-2.0 */
#include "question.h"

#include "bundle_child.h"
#include "extras.h"
#include "live_config.h"
#include "migrate.h"
#include "question_internal.h"
#include "structs.h"

#include <stdlib.h>
#include <string.h>

#define SPOOL_MEMORY (16u << 20)

int nzd_question_target(struct nzd_context *context, struct nzd_target *out,
                        struct nzd_err *err)
{
    const struct nzd_options *options = &context->options;
    const struct nzd_config *config = &context->config;
    char warning[256] = "";
    struct nzd_target_options wanted = {
        .node = options->node ? options->node : config->node,
        .cookie_file =
            options->cookie_file ? options->cookie_file : config->cookie_file,
        .port = options->port,
    };
    int code = nzd_target_find(&wanted, out, warning, sizeof warning, err);
    if (!code && warning[0])
        nzd_output_warn(&context->output, "%s", warning);
    return code;
}

int nzd_question_connect(struct nzd_context *context, struct nzd_question *q,
                         struct nzd_err *err)
{
    int code =
        nzd_node_open(&q->target, context->options.timeout_us, &q->node, err);
    if (!code)
        code = nzd_node_hello(q->node, &q->hello, err);
    if (code) {
        if (code == NZD_ELOST || code == NZD_ETIMEOUT)
            err->code = code = NZD_ENODE;
        nzd_err_untouched(err, "nothing was touched");
    }
    return code;
}

int nzd_question_node(struct nzd_context *context, struct nzd_question *q,
                      struct nzd_err *err)
{
    (void)context;
    int code = nzd_node_inventory(q->node, &q->old, err);
    if (!code)
        code = nzd_node_base(q->node, &q->hello, &q->old, &q->base, err);
    q->own.boot_script = q->old.boot_script;
    return code;
}

/* --- reading the bundle -------------------------------------------------- */

static void show_progress(void *context, unsigned per_mille)
{
    struct nzd_context *ours = context;
    nzd_output_bar(&ours->output, "read", per_mille, 1000);
}

static int read_bundle(struct nzd_context *context, struct nzd_question *q,
                       const char *path, struct nzd_err *err)
{
    struct nzd_release_options options = {
        .known = &q->old,
        .spool = q->spool,
        .progress = show_progress,
        .context = context,
    };
    struct nzd_bundle_child *own = NULL, *child = context->bundle;
    if (!child)
        child = own = nzd_bundle_child_start(path);
    int code = child ? nzd_bundle_child_read(child, &options, &q->bundle_bytes,
                                             &q->new, err)
                     : nzd_err_memory(err);
    nzd_bundle_child_close(own);
    nzd_output_bar(&context->output, "read", 1000, 1000);
    return code;
}

/* A boot of the bundle in embedded mode would load it. */
static bool is_loaded_at_boot(const struct nzd_inventory *inventory,
                              const struct nzd_module *module)
{
    const struct nzd_app *app = nzd_inventory_app(inventory, module->app);
    const struct nzd_term *list = NULL;
    if (app && app->spec)
        list = nzd_term_get(nzd_term_at(app->spec, 2), "modules");
    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        if (nzd_term_is_atom(nzd_term_at(list, i), module->name))
            return true;
    return false;
}

/* Names of modules the node may have on disk but not in memory. */
struct unloaded {
    struct nzd_question *q;
    struct nzd_arena arena;
    const char **names;
    uint32_t count;
    uint32_t capacity;
    struct nzd_err *err;
};

static int note_unloaded(void *context, const char *name)
{
    struct unloaded *all = context;
    if (nzd_inventory_module(&all->q->old, name))
        return 0;
    if (all->count == all->capacity) {
        uint32_t capacity = all->capacity ? 2 * all->capacity : 64;
        void *names = realloc(all->names, capacity * sizeof *all->names);
        if (!names)
            return nzd_err_memory(all->err);
        all->names = names;
        all->capacity = capacity;
    }
    const char *copy = nzd_arena_text(&all->arena, name, strlen(name));
    all->names[all->count++] = copy;
    return copy ? 0 : nzd_err_memory(all->err);
}

/* What the bundle no longer has, and nobody has called yet. */
static int note_folder(void *context, const char *name)
{
    struct unloaded *all = context;
    return nzd_inventory_module(&all->q->new, name)
               ? 0
               : note_unloaded(context, name);
}

static int note_folders(struct unloaded *all, struct nzd_err *err)
{
    struct nzd_question *q = all->q;
    const bool *held = nzd_inventory_held(&q->new, &all->arena);
    const char **apps =
        nzd_arena_alloc(&all->arena, (q->new.app_count + 1) * sizeof *apps);
    uint32_t count = 0;
    if (!held || !apps)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < q->new.app_count; i++)
        if (held[i])
            apps[count++] = q->new.apps[i].name;
    return nzd_node_beams(q->node, apps, count, note_folder, all, err);
}

/*
 * Modules that the node has on disk but not in memory: those of the bundle,
 * and those of its applications that the bundle does not have. An interactive
 * VM loads them when they are called; an embedded one never does, so what it
 * should hold and does not is missing, file or not.
 */
static int ask_on_disk(struct nzd_question *q, struct nzd_err *err)
{
    struct unloaded all = {.q = q, .err = err};
    int code = 0;
    for (uint32_t i = 0; i < q->new.module_count && !code; i++)
        if (!(q->hello.embedded &&
              is_loaded_at_boot(&q->new, &q->new.modules[i])))
            code = note_unloaded(&all, q->new.modules[i].name);
    if (!code && !q->hello.embedded)
        code = note_folders(&all, err);
    if (!code && all.count)
        code = nzd_node_on_disk(q->node, all.names, all.count, &q->old, err);
    if (!code && all.count)
        code = nzd_inventory_sort(&q->old, err);
    free(all.names);
    nzd_arena_clear(&all.arena);
    return code;
}

/* A module that a commit removed is not there, though its file is: a bundle
 * that holds it adds it again. */
static int forget_removed(void *context, const struct nzd_live_row *row)
{
    struct nzd_inventory *old = context;
    struct nzd_module *module = nzd_inventory_module(old, row->module);
    if (!nzd_digest_is_zero(&row->md5) || !module ||
        module->flags & NZD_MODULE_LOADED)
        return 0;
    struct nzd_module *end = old->modules + old->module_count--;
    memmove(module, module + 1, (size_t)(end - module - 1) * sizeof *module);
    return 0;
}

int nzd_question_plan(struct nzd_question *q, struct nzd_journal *journal,
                      struct nzd_err *err)
{
    if (strcmp(q->new.erts, q->own.erts) == 0)
        q->new.erts_lack = "";
    int code = nzd_plan_diff(&q->old, &q->new, &q->plan, err);
    q->planned = code == 0;
    if (!code)
        code = nzd_question_old_code(q, journal, err);
    if (!code)
        code = nzd_plan_judge(&q->plan, err);
    if (!code && q->plan.removed + q->plan.changed)
        code = nzd_question_callers(q, journal, err);
    if (!code && q->plan.changed + q->plan.removed)
        code = nzd_node_users(q->node, &q->plan, &q->arena, &q->users, err);
    if (!code)
        code = nzd_migrate_evidence(&q->plan, &q->users, err);
    if (!code)
        code = nzd_structs_find(q, err);
    if (!code)
        code = nzd_question_digest(q, err);
    for (uint32_t i = 0; i < q->plan.step_count && !code; i++)
        if (q->plan.steps[i].new)
            q->new_bytes += q->plan.steps[i].new->bytes;
    return code;
}

/* What passes the memory limit lies where the journal is, so that a device's
 * RAM file systems do not fill. */
int nzd_question_open_spool(struct nzd_question *q, struct nzd_journal *journal,
                            struct nzd_err *err)
{
    const char *directory = getenv("TMPDIR");
    if (journal)
        directory = nzd_journal_directory(journal);
    return nzd_spool_open(directory ? directory : "/tmp", SPOOL_MEMORY,
                          &q->spool, err);
}

static int differs(void *context, const struct nzd_live_row *row)
{
    const struct nzd_question *q = context;
    const struct nzd_module *runs = nzd_inventory_module(&q->old, row->module);
    bool loaded = runs && runs->flags & NZD_MODULE_LOADED;
    if (nzd_digest_is_zero(&row->blob))
        return loaded;
    if (!loaded)
        return q->hello.embedded || !q->hello.overlay;
    return !nzd_digest_equal(&runs->md5, &row->md5) ||
           !nzd_digest_equal(&runs->attrs, &row->attrs);
}

/* A restart leads to a generation of its own, and so does what is changed
 * besides code: what was booted before the last
 * of them, or after what is asked for, is something else. */
struct restart_search {
    const struct nzd_txn *in_force;
    uint64_t found;
};

static int find_restart(void *context, const struct nzd_txn *txn)
{
    struct restart_search *search = context;
    if (txn->id > search->in_force->id || txn->state != NZD_STATE_COMMITTED ||
        (txn->verdict != NZD_LEVEL_RESTART_VM && !nzd_live_config_was(txn)) ||
        !nzd_digest_equal(&txn->base, &search->in_force->base))
        return 0;
    search->found = txn->id;
    return 1;
}

static bool booted_it(const struct nzd_question *q, struct nzd_journal *journal,
                      const struct nzd_txn *in_force)
{
    struct restart_search search = {in_force, 0};
    uint64_t booted = q->hello.nzd_booted;
    return q->hello.overlay && booted <= in_force->id &&
           nzd_journal_each_txn(journal, find_restart, &search, NULL) >= 0 &&
           booted >= search.found;
}

bool nzd_question_runs(const struct nzd_question *q,
                       struct nzd_journal *journal,
                       const struct nzd_txn *in_force)
{
    if (q->hello.has_token &&
        memcmp(q->hello.token, in_force->vm.token, 16) == 0)
        return true;
    return booted_it(q, journal, in_force) &&
           nzd_journal_each_live(journal, &in_force->base, differs,
                                 (void *)(uintptr_t)q, NULL) == 0;
}

uint64_t nzd_question_running(const struct nzd_question *q,
                              struct nzd_journal *journal)
{
    struct nzd_txn in_force;
    if (!journal ||
        nzd_journal_in_force(journal, &q->base.identity, &in_force, NULL))
        return 0;
    uint64_t id = nzd_question_runs(q, journal, &in_force) ? in_force.id : 0;
    nzd_txn_clear(&in_force);
    return id;
}

bool nzd_question_runs_in_force(const struct nzd_question *q,
                                struct nzd_journal *journal)
{
    return nzd_question_running(q, journal) != 0;
}

/* The version that the code in force came as, not that of the base. */
void nzd_question_name_running(struct nzd_question *q,
                               struct nzd_journal *journal)
{
    struct nzd_txn in_force;
    if (!journal ||
        nzd_journal_in_force(journal, &q->base.identity, &in_force, NULL))
        return;
    if (in_force.to_version && in_force.to_version[0] &&
        nzd_question_runs(q, journal, &in_force))
        q->plan.from_version = nzd_arena_text(
            &q->plan.arena, in_force.to_version, strlen(in_force.to_version));
    nzd_txn_clear(&in_force);
}

void nzd_question_drop_leaving(struct nzd_question *q)
{
    struct nzd_inventory *old = &q->old;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < old->module_count; i++)
        if (!(old->modules[i].flags & NZD_MODULE_LEAVING))
            old->modules[kept++] = old->modules[i];
    old->module_count = kept;
}

int nzd_question_bundle(struct nzd_context *context, struct nzd_question *q,
                        struct nzd_journal *journal, const char *path,
                        struct nzd_err *err)
{
    nzd_question_drop_leaving(q);
    int code = nzd_question_open_spool(q, journal, err);
    if (!code)
        code = nzd_question_files(q, journal, err);
    if (!code)
        code = read_bundle(context, q, path, err);
    if (!code)
        code = ask_on_disk(q, err);
    if (!code)
        code = nzd_question_appups(q, err);
    if (!code && journal)
        code = nzd_journal_each_live(journal, &q->base.identity, forget_removed,
                                     &q->old, err);
    if (!code)
        code = nzd_question_plan(q, journal, err);
    if (!code)
        nzd_question_name_running(q, journal);
    return code ? code : nzd_extras_of_bundle(q, journal, err);
}

/* --- who is in the way --------------------------------------------------- */

static bool names_occupant(const char *word, const struct nzd_occupant *who)
{
    return !strcmp(word, "all") || !strcmp(word, who->module) ||
           (who->pid[0] && !strcmp(word, who->pid)) ||
           (who->name[0] && !strcmp(word, who->name));
}

bool nzd_occupant_may_be_killed(const struct nzd_occupant *occupant,
                                const struct nzd_options *options)
{
    for (unsigned i = 0; i < options->kill_count; i++)
        if (names_occupant(options->kill[i], occupant))
            return true;
    return false;
}

uint32_t nzd_question_blocking(const struct nzd_question *q,
                               const struct nzd_options *options)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < q->occupants.count; i++) {
        const struct nzd_occupant *who = &q->occupants.items[i];
        if (who->kind != NZD_OCCUPANT_HOLDER &&
            !nzd_occupant_may_be_killed(who, options))
            count++;
    }
    return count;
}

int nzd_question_occupants(struct nzd_question *q, struct nzd_err *err)
{
    q->occupants.count = 0;
    return nzd_node_occupants(q->node, &q->plan, &q->arena, &q->occupants, err);
}

void nzd_question_clear(struct nzd_question *q)
{
    nzd_node_close(q->node);
    if (q->planned)
        nzd_plan_clear(&q->plan);
    nzd_inventory_clear(&q->old);
    nzd_inventory_clear(&q->new);
    nzd_spool_close(q->spool);
    free(q->occupants.items);
    free(q->users.items);
    nzd_arena_clear(&q->arena);
    memset(q, 0, sizeof *q);
}

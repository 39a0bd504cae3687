/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "settings_compare.h"

#include <stdlib.h>
#include <string.h>

/* Lines for one subject; the rest is counted. */
#define GROUP_MAX 50u

/* --- the list of evidence --- */

int nzd_evidence_add(struct nzd_evidence_list *list, struct nzd_arena *arena,
                     const struct nzd_evidence *evidence, struct nzd_err *err)
{
    const char *from[] = {evidence->subject, evidence->old, evidence->new,
                          evidence->source, evidence->restarts};
    const char *copy[5];

    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct nzd_evidence *items =
            realloc(list->items, capacity * sizeof(*items));

        if (!items)
            return nzd_err_memory(err);
        list->items = items;
        list->capacity = capacity;
    }
    for (size_t i = 0; i < 5; i++) {
        const char *text = from[i] ? from[i] : "";

        copy[i] = nzd_arena_text(arena, text, strlen(text));
        if (!copy[i])
            return nzd_err_memory(err);
    }
    list->items[list->count++] = (struct nzd_evidence){
        evidence->level, copy[0],
        copy[1],         copy[2],
        copy[3],         evidence->need,
        evidence->live,  evidence->restarts ? copy[4] : NULL,
        evidence->files};
    return 0;
}

void nzd_evidence_clear(struct nzd_evidence_list *list)
{
    free(list->items);
    memset(list, 0, sizeof(*list));
}

const char *nzd_need_name(enum nzd_need need)
{
    static const char *const names[] = {"switch", "restart", "start", "base"};

    return names[need];
}

/* --- what the parts share --- */

void settings_memory(struct settings_compare *compare)
{
    if (compare->code == 0)
        compare->code = nzd_err_memory(compare->err);
}

static void add(struct settings_compare *compare, enum nzd_need need,
                const char *subject, const char *old, const char *new,
                const char *source)
{
    bool live = need == NZD_NEED_SWITCH;
    enum nzd_level level = !live            ? NZD_LEVEL_RESTART_VM
                           : compare->level ? compare->level
                                            : NZD_LEVEL_HOT;
    const struct nzd_evidence evidence = {level,
                                          subject,
                                          old,
                                          new,
                                          source,
                                          need,
                                          live,
                                          live ? compare->restarts : NULL,
                                          live && compare->files};

    if (compare->code == 0)
        compare->code = nzd_evidence_add(compare->out, compare->arena,
                                         &evidence, compare->err);
}

void settings_say(struct settings_compare *compare, enum nzd_need need,
                  const char *subject, const char *old, const char *new,
                  const char *source)
{
    if (need > compare->need)
        compare->need = need;
    if (compare->said++ < GROUP_MAX)
        add(compare, need, subject, old, new, source);
    else
        compare->omitted++;
}

void settings_end(struct settings_compare *compare, const char *subject)
{
    if (compare->omitted > 0) {
        const char *more = nzd_arena_printf(
            &compare->scratch, "%u more differences", compare->omitted);

        if (more)
            add(compare, compare->need, subject, "", more, "");
        else
            settings_memory(compare);
    }
    compare->said = 0;
    compare->omitted = 0;
    compare->need = NZD_NEED_SWITCH;
}

bool settings_is_secret(const char *text)
{
    static const char *const words[] = {"secret",    "passw",   "cookie",
                                        "token",     "api_key", "private_key",
                                        "credential"};

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}

/* --- ERTS, release --- */

static bool is_other_machine(const struct nzd_inventory *old,
                             const struct nzd_inventory *new)
{
    static const uint8_t unknown[NZD_ELF_MACHINE];
    size_t size = sizeof(unknown);

    return memcmp(old->machine, unknown, size) != 0 &&
           memcmp(new->machine, unknown, size) != 0 &&
           memcmp(old->machine, new->machine, size) != 0;
}

/* One that a full release brings along is started in place of the base's. */
static void compare_erts(struct settings_compare *compare)
{
    const char *old = compare->old->erts;
    const char *new = compare->new->erts;
    const char *flaw = compare->new->erts_lack;

    if (strcmp(old, new) == 0 || !*old || !*new)
        return;
    if (!*flaw && is_other_machine(compare->old, compare->new))
        flaw = "the emulator is one for another machine";
    if (*flaw || !compare->both)
        settings_say(compare, NZD_NEED_BASE, "erts", old, new, flaw);
    else
        settings_say(compare, NZD_NEED_START, "erts", old, new,
                     "emulator and programs");
    settings_end(compare, "erts");
}

static void compare_name(struct settings_compare *compare)
{
    const char *old = compare->old->release;
    const char *new = compare->new->release;

    if (compare->both && strcmp(old, new) != 0 && *old && *new)
        settings_say(compare, NZD_NEED_BASE, "release", old, new, "its name");
    settings_end(compare, "release");
}

/* --- applications --- */

static const char *describe(const struct nzd_app *app)
{
    return *app->version ? app->version : "version unknown";
}

static bool lists(const struct nzd_term *spec, const char *key,
                  const char *name)
{
    const struct nzd_term *list =
        spec ? nzd_term_get(nzd_term_at(spec, 2), key) : NULL;

    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        if (nzd_term_is_atom(nzd_term_at(list, i), name))
            return true;
    return false;
}

/* The application that the node has and that now needs `name`. */
static const char *needed_by(const struct settings_compare *compare,
                             const char *name)
{
    for (uint32_t i = 0; i < compare->new->app_count; i++) {
        const struct nzd_app *app = &compare->new->apps[i];

        if (nzd_inventory_app(compare->old, app->name) &&
            (lists(app->spec, "applications", name) ||
             lists(app->spec, "included_applications", name)))
            return app->name;
    }
    return NULL;
}

static void compare_part(struct settings_compare *compare)
{
    for (uint32_t i = 0; i < compare->new->app_count; i++) {
        const struct nzd_app *app = &compare->new->apps[i];
        const char *by;

        if (nzd_inventory_app(compare->old, app->name) ||
            !(by = needed_by(compare, app->name)))
            continue;
        by = nzd_arena_printf(&compare->scratch, "%s needs it", by);
        if (!by)
            settings_memory(compare);
        else
            settings_say(compare, NZD_NEED_BASE, app->name, "", describe(app),
                         by);
    }
    settings_end(compare, "applications");
}

/* Without boot scripts on both sides. */
static void compare_sets(struct settings_compare *compare)
{
    for (uint32_t i = 0; i < compare->new->app_count; i++) {
        const struct nzd_app *app = &compare->new->apps[i];

        if (!nzd_inventory_app(compare->old, app->name))
            settings_say(compare, NZD_NEED_BASE, app->name, "", describe(app),
                         "application of the release");
    }
    for (uint32_t i = 0; i < compare->old->app_count; i++) {
        const struct nzd_app *app = &compare->old->apps[i];

        if (app->in_script && !nzd_inventory_app(compare->new, app->name))
            settings_say(compare, NZD_NEED_BASE, app->name, describe(app), "",
                         "application of the release");
    }
    settings_end(compare, "applications");
}

static void compare_specs(struct settings_compare *compare)
{
    for (uint32_t i = 0; i < compare->new->app_count; i++) {
        const struct nzd_app *new = &compare->new->apps[i];
        const struct nzd_app *old = nzd_inventory_app(compare->old, new->name);
        unsigned seen = 0;

        if (old && old->spec && new->spec)
            settings_spec(compare, new->name, old->spec, new->spec, true,
                          &seen);
    }
}

/* An application that a release only names is the one of the OTP that is
 * installed: what it holds is known by its version alone. */
static void compare_named(struct settings_compare *compare)
{
    for (uint32_t i = 0; i < compare->new->app_count; i++) {
        const struct nzd_app *new = &compare->new->apps[i];
        const struct nzd_app *old = nzd_inventory_app(compare->old, new->name);

        if (old && strcmp(old->version, new->version) != 0 && *old->version &&
            *new->version &&
            !(compare->new_held[i] &&
              compare->old_held[old - compare->old->apps]))
            settings_say(compare, NZD_NEED_BASE, new->name, old->version,
                         new->version, "of the installed OTP");
    }
    settings_end(compare, "applications");
}

/* --- all of it --- */

/* A file that the command line of the base names can be exchanged for another,
 * not for none or for one that is still to be made. */
static enum nzd_need need_of_named(bool old, bool new, bool is_source,
                                   enum nzd_need need)
{
    return old && new && !is_source ? need : NZD_NEED_BASE;
}

/* What is not a list of applications with their keys only a boot can read. */
static void compare_sys_config(struct settings_compare *compare)
{
    static const struct nzd_term empty = {.kind = NZD_TERM_LIST};
    enum nzd_need need =
        need_of_named(compare->old->sys_config, compare->new->sys_config,
                      compare->new->sys_config_is_source, NZD_NEED_RESTART);
    const struct nzd_term *old = nzd_term_at(compare->old->sys_config, 0);
    const struct nzd_term *new = nzd_term_at(compare->new->sys_config, 0);

    if (!compare->both &&
        (!compare->old->sys_config || !compare->new->sys_config))
        return;
    old = settings_mark_term(compare, compare->old, old ? old : &empty);
    new = settings_mark_term(compare, compare->new, new ? new : &empty);
    settings_diff(compare, need, "sys.config", "", old, new);
    settings_end(compare, "sys.config");
}

static void compare_texts(struct settings_compare *compare)
{
    const struct nzd_inventory *old = compare->old;
    const struct nzd_inventory *new = compare->new;

    settings_text(compare,
                  need_of_named(old->vm_args.size, new->vm_args.size,
                                new->vm_args_is_source, NZD_NEED_START),
                  "vm.args", SETTINGS_ARGS, old->vm_args, new->vm_args);
    settings_text(compare, NZD_NEED_BASE, "env.sh", SETTINGS_SHELL,
                  old->env_script, new->env_script);
    settings_text(compare, compare->config, "runtime.exs", SETTINGS_ELIXIR,
                  old->runtime_config, new->runtime_config);
}

static void compare_apps(struct settings_compare *compare)
{
    bool scripts = compare->old->boot_script && compare->new->boot_script;

    if (!compare->both)
        compare_part(compare);
    else if (!scripts)
        compare_sets(compare);
    if (compare->both &&
        !compare->old->boot_script != !compare->new->boot_script)
        settings_say(compare, NZD_NEED_BASE, "boot script",
                     compare->old->boot_script ? "there" : "none",
                     compare->new->boot_script ? "there" : "none", "releases");
    compare_named(compare);
    if (scripts)
        settings_boot(compare);
    else
        compare_specs(compare);
}

int nzd_settings_compare(const struct nzd_inventory *old,
                         const struct nzd_inventory *new,
                         struct nzd_arena *arena, struct nzd_evidence_list *out,
                         struct nzd_err *err)
{
    struct settings_compare compare = {.old = old,
                                       .new = new,
                                       .both =
                                           new->is_release && old->is_release,
                                       .arena = arena,
                                       .out = out,
                                       .err = err};

    compare.old_held = nzd_inventory_held(old, &compare.scratch);
    compare.new_held = nzd_inventory_held(new, &compare.scratch);
    compare.config = settings_config_need(&compare);
    if (!compare.old_held || !compare.new_held) {
        settings_memory(&compare);
    } else {
        compare_name(&compare);
        compare_erts(&compare);
        compare_apps(&compare);
        compare_sys_config(&compare);
        compare_texts(&compare);
        settings_priv(&compare);
        settings_protocols(&compare);
    }
    nzd_arena_clear(&compare.scratch);
    return compare.code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "instruction.h"
#include "script.h"

#include <string.h>

#define PRINT_BYTES 100u
/* Each looks for others. A relup names each module once or twice. */
#define INSTRUCTIONS_MAX 20000u

/* What nzd does anyway, or does in a way of its own. */
static const char *const done[] = {
    "update",        "load_module",      "add_module",
    "delete_module", "load_object_code", "point_of_no_return",
    "load",          "remove",           "purge",
    "suspend",       "resume",           "code_change",
};

static const struct {
    const char *name;
    const char *why;
} beyond[] = {
    {"stop", "processes are stopped, not suspended"},
    {"start", "processes are stopped, not suspended"},
    {"restart_new_emulator", "it asks for another start of the VM"},
    {"restart_emulator", "it asks for another start of the VM"},
    {"sync_nodes", "it waits for other nodes"},
};

static const char call_is_beyond[] = "nobody knows how to undo what it calls";

struct judging {
    const struct nzd_instructions *all;
    const struct nzd_inventory *old;
    const struct nzd_inventory *new;
    struct nzd_arena *arena;
    struct nzd_evidence_list *out;
    struct nzd_err *err;
    uint32_t at;
    struct nzd_script script; /* how the new side starts; empty: not known */
};

/* What one instruction comes to; nothing set: it needs no more than nzd does.
 */
struct finding {
    const char *why;
    const char *restarts; /* an application that starts anew */
};

static const char *name_of(const struct nzd_term *instruction)
{
    const struct nzd_term *name = instruction->kind == NZD_TERM_TUPLE
                                      ? nzd_term_at(instruction, 0)
                                      : instruction;

    return name && name->kind == NZD_TERM_ATOM ? (const char *)name->text.data
                                               : "";
}

static bool is_named(const struct nzd_term *instruction, const char *name)
{
    return strcmp(name_of(instruction), name) == 0;
}

/* "" for what is no atom. */
static const char *atom(const struct nzd_term *term)
{
    return term && term->kind == NZD_TERM_ATOM ? (const char *)term->text.data
                                               : "";
}

static uint32_t length(const struct judging *j)
{
    return j->all->way->count;
}

static const struct nzd_term *at(const struct judging *j, uint32_t i)
{
    return j->all->way->children[i];
}

/* --- calls --------------------------------------------------------------- */

/* The arguments of {apply, {Module, Function, [...]}}; NULL: another one. */
static const struct nzd_term *call_of(const struct nzd_term *instruction,
                                      const char *module, const char *function)
{
    const struct nzd_term *call = nzd_term_at(instruction, 1);

    return nzd_term_is_tagged(instruction, "apply", 2) &&
                   nzd_term_is_tagged(call, module, 3) &&
                   nzd_term_is_atom(nzd_term_at(call, 1), function)
               ? nzd_term_at(call, 2)
               : NULL;
}

/* Is there such a call in [from, to), whose first arguments are those? */
static bool has_call(const struct judging *j, uint32_t from, uint32_t to,
                     const char *module, const char *function,
                     const struct nzd_term *arguments, uint32_t equal)
{
    for (uint32_t i = from; i < to; i++) {
        const struct nzd_term *others = call_of(at(j, i), module, function);
        uint32_t same = 0;

        while (others && same < equal && nzd_term_at(others, same) &&
               nzd_term_at(arguments, same) &&
               nzd_term_equal(nzd_term_at(others, same),
                              nzd_term_at(arguments, same)))
            same++;
        if (others && same == equal)
            return true;
    }
    return false;
}

/* --- applications -------------------------------------------------------- */

/* "" is how a boot script says that it is only loaded. */
static const char *type_of(const struct nzd_term *type)
{
    const char *name = type ? atom(type) : "permanent";

    return strcmp(name, "load") == 0 || strcmp(name, "none") == 0 ? "" : name;
}

/* The difference of both sides starts what only the new one names. */
static const char *add(const struct judging *j, const char *app,
                       const char *type)
{
    const struct nzd_app *new = nzd_inventory_app(j->new, app);
    const struct nzd_app *old = nzd_inventory_app(j->old, app);
    const struct nzd_script_app *started = nzd_script_app(&j->script, app);

    if (!new || !new->in_script)
        return old && old->in_script ? NULL
                                     : "no boot script of the bundle names it";
    return started && strcmp(started->start, type) != 0
               ? "the bundle's boot script starts it in another way"
               : NULL;
}

static const char *take_away(const struct judging *j, const char *app)
{
    const struct nzd_app *new = nzd_inventory_app(j->new, app);
    const struct nzd_app *old = nzd_inventory_app(j->old, app);

    if (!old || !old->in_script)
        return NULL;
    return j->new->is_release && (!new || !new->in_script)
               ? NULL
               : "the bundle does not say that it is gone";
}

static void restart(const struct judging *j, const char *app,
                    struct finding *out)
{
    const struct nzd_app *old = nzd_inventory_app(j->old, app);

    if (!old || !old->in_script || !nzd_inventory_app(j->new, app)) {
        out->why = "it does not run on both sides";
        return;
    }
    out->why = "the application stops and starts anew";
    out->restarts = app;
}

/* What systools makes of restart_application, add_ and remove_application. */
static bool judge_application(struct judging *j, struct finding *out)
{
    static const char module[] = "application";
    const struct nzd_term *one = at(j, j->at);
    const struct nzd_term *args;

    if ((args = call_of(one, module, "stop"))) {
        if (has_call(j, j->at + 1, length(j), module, "start", args, 1))
            restart(j, atom(nzd_term_at(args, 0)), out);
        else
            out->why = take_away(j, atom(nzd_term_at(args, 0)));
    } else if ((args = call_of(one, module, "start"))) {
        if (!has_call(j, 0, j->at, module, "stop", args, 1))
            out->why = add(j, atom(nzd_term_at(args, 0)),
                           nzd_term_at(args, 1) ? type_of(nzd_term_at(args, 1))
                                                : "temporary");
    } else if ((args = call_of(one, module, "load"))) {
        if (!has_call(j, j->at + 1, length(j), module, "start", args, 1))
            out->why = add(j, atom(nzd_term_at(args, 0)), "");
    } else if ((args = call_of(one, module, "unload"))) {
        out->why = take_away(j, atom(nzd_term_at(args, 0)));
    }
    return args && *atom(nzd_term_at(args, 0));
}

/* --- children ------------------------------------------------------------ */

static bool changes(const struct judging *j, const struct nzd_term *module)
{
    const struct nzd_module *old = nzd_inventory_module(j->old, atom(module));
    const struct nzd_module *new = nzd_inventory_module(j->new, atom(module));

    return old && new && !nzd_module_same(old, new);
}

/* A supervisor whose code changes has its children by its new init/1: nzd
 * starts and stops them. */
static bool changes_supervisor(const struct judging *j)
{
    for (uint32_t i = 0; i < length(j); i++) {
        const struct nzd_term *one = at(j, i);
        const struct nzd_term *list;

        if (nzd_term_is_tagged(one, "update", 3) &&
            nzd_term_is_atom(nzd_term_at(one, 2), "supervisor") &&
            changes(j, nzd_term_at(one, 1)))
            return true;
        if (!is_named(one, "code_change") || one->kind != NZD_TERM_TUPLE)
            continue;
        list = nzd_term_at(one, one->count - 1);
        for (uint32_t k = 0; k < nzd_term_length(list); k++)
            if (changes(j, nzd_term_at(nzd_term_at(list, k), 0)))
                return true;
    }
    return false;
}

static bool judge_child(const struct judging *j, struct finding *out)
{
    static const char module[] = "supervisor";
    const struct nzd_term *one = at(j, j->at);
    const struct nzd_term *args;
    bool settled;

    if ((args = call_of(one, module, "terminate_child"))) {
        settled =
            has_call(j, j->at + 1, length(j), module, "delete_child", args, 2);
        if (!settled &&
            has_call(j, j->at + 1, length(j), module, "restart_child", args, 2))
            out->why = "a child that stays would start anew";
    } else if ((args = call_of(one, module, "restart_child"))) {
        settled = true; /* with one that was terminated, that one was named */
    } else {
        args = call_of(one, module, "delete_child");
        settled = args != NULL;
    }
    if (args && !out->why && (!settled || !changes_supervisor(j)))
        out->why = "no change of a supervisor's code leads to it";
    return args != NULL;
}

/* --- one instruction ----------------------------------------------------- */

static void judge_by_name(struct judging *j, struct finding *out)
{
    const struct nzd_term *one = at(j, j->at);
    const char *name = name_of(one);
    const char *app = atom(nzd_term_at(one, 1));

    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        if (strcmp(name, done[i]) == 0)
            return;
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++)
        if (strcmp(name, beyond[i].name) == 0) {
            out->why = beyond[i].why;
            return;
        }
    if (strcmp(name, "restart_application") == 0)
        restart(j, app, out);
    else if (strcmp(name, "add_application") == 0)
        out->why = add(j, app, type_of(nzd_term_at(one, 2)));
    else if (strcmp(name, "remove_application") == 0)
        out->why = take_away(j, app);
    else if (strcmp(name, "apply") == 0)
        out->why = call_is_beyond;
    else
        out->why = "nzd does not know this instruction";
}

/* It is said already, by another application's instructions. */
static bool restarts_already(const struct judging *j, const char *app)
{
    for (uint32_t i = 0; i < j->out->count; i++)
        if (j->out->items[i].restarts &&
            strcmp(j->out->items[i].restarts, app) == 0)
            return true;
    return false;
}

static int say(struct judging *j, const struct finding *finding)
{
    struct nzd_buf text = {0};
    bool live = finding->restarts != NULL;
    struct nzd_evidence evidence = {
        .level = live ? NZD_LEVEL_RESTART_APP : NZD_LEVEL_RESTART_VM,
        .old = j->all->old,
        .new = j->all->new,
        .source = finding->why,
        .need = live ? NZD_NEED_SWITCH : NZD_NEED_RESTART,
        .live = live,
        .restarts = finding->restarts};
    int code = 0;

    nzd_buf_printf(&text, "%s ", j->all->file);
    nzd_term_print(at(j, j->at), PRINT_BYTES, &text);
    if (text.failed)
        code = nzd_err_memory(j->err);
    evidence.subject = nzd_buf_string(&text);
    if (code == 0)
        code = nzd_evidence_add(j->out, j->arena, &evidence, j->err);
    nzd_buf_clear(&text);
    return code;
}

int nzd_instructions_judge(const struct nzd_instructions *instructions,
                           const struct nzd_inventory *old,
                           const struct nzd_inventory *new,
                           struct nzd_arena *arena,
                           struct nzd_evidence_list *out, struct nzd_err *err)
{
    struct judging j = {.all = instructions,
                        .old = old,
                        .new = new,
                        .arena = arena,
                        .out = out,
                        .err = err};
    int code = 0;

    if (!instructions->way || instructions->way->kind != NZD_TERM_LIST)
        return 0;
    if (length(&j) > INSTRUCTIONS_MAX)
        return nzd_err_set(err, NZD_EBUNDLE, "%s: more than %u instructions",
                           instructions->file, INSTRUCTIONS_MAX);
    if (new->boot_script)
        code = nzd_script_read(new->boot_script, arena, &j.script, err);
    for (; code == 0 && j.at < length(&j); j.at++) {
        struct finding finding = {NULL, NULL};

        if (!judge_application(&j, &finding) && !judge_child(&j, &finding))
            judge_by_name(&j, &finding);
        if (finding.why &&
            !(finding.restarts && restarts_already(&j, finding.restarts)))
            code = say(&j, &finding);
    }
    return code;
}

/* --- Extra --------------------------------------------------------------- */

/* {update, Module, ..., {advanced, Extra}, ...}: at one of the third to fifth
 * places. */
static const struct nzd_term *extra_of_update(const struct nzd_term *update)
{
    for (uint32_t i = 2; i < update->count && i < 5; i++)
        if (nzd_term_is_tagged(update->children[i], "advanced", 2))
            return update->children[i]->children[1];
    return NULL;
}

/* {code_change, [{Module, Extra}]} or {code_change, Mode, [...]} */
static const struct nzd_term *extra_of_change(const struct nzd_term *change,
                                              const char *module)
{
    return nzd_term_get(nzd_term_at(change, change->count - 1), module);
}

const struct nzd_term *nzd_instructions_extra(const struct nzd_term *way,
                                              const char *module)
{
    for (uint32_t i = 0; way && way->kind == NZD_TERM_LIST && i < way->count;
         i++) {
        const struct nzd_term *one = way->children[i];
        const struct nzd_term *extra = NULL;

        if (one->kind != NZD_TERM_TUPLE || one->count < 2)
            continue;
        if (is_named(one, "update") &&
            nzd_term_is_atom(one->children[1], module))
            extra = extra_of_update(one);
        else if (is_named(one, "code_change"))
            extra = extra_of_change(one, module);
        if (extra)
            return extra;
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "base.h"
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text of a key of a map answer into a fixed array, cut. */
static void copy_text(char *out, size_t size, const struct nzd_term *term)
{
    size_t n = 0;
    if (term &&
        (term->kind == NZD_TERM_BINARY || term->kind == NZD_TERM_ATOM)) {
        n = term->text.size < size - 1 ? term->text.size : size - 1;
        memcpy(out, term->text.data, n);
    }
    out[n] = '\0';
}

static uint64_t unsigned_of(const struct nzd_term *term)
{
    int64_t value = 0;
    return nzd_term_integer(term, &value) && value > 0 ? (uint64_t)value : 0;
}

static bool copy_id(uint8_t out[16], const struct nzd_term *term)
{
    struct nzd_digest id;
    if (!nzd_node_digest(term, &id))
        return false;
    memcpy(out, id.bytes, 16);
    return true;
}

static void read_hello(const struct nzd_term *map, struct nzd_hello *out)
{
    const struct nzd_term *script = nzd_term_get(map, "script");
    char pid[24], number[24];
    memset(out, 0, sizeof *out);
    copy_text(out->phase, sizeof out->phase, nzd_term_get(map, "phase"));
    out->txn = unsigned_of(nzd_term_get(map, "txn"));
    out->epoch = unsigned_of(nzd_term_get(map, "epoch"));
    out->left_us = unsigned_of(nzd_term_get(map, "left_ms")) * 1000;
    out->begun = nzd_term_is_atom(nzd_term_get(map, "begun"), "true");
    out->has_token = copy_id(out->token, nzd_term_get(map, "token"));
    out->has_owner = copy_id(out->owner, nzd_term_get(map, "owner"));
    out->embedded = nzd_term_is_atom(nzd_term_get(map, "mode"), "embedded");
    copy_text(out->otp, sizeof out->otp, nzd_term_get(map, "otp"));
    copy_text(out->erts, sizeof out->erts, nzd_term_get(map, "erts"));
    copy_text(out->arch, sizeof out->arch, nzd_term_get(map, "arch"));
    copy_text(out->script_name, sizeof out->script_name,
              nzd_term_at(script, 0));
    copy_text(out->script_version, sizeof out->script_version,
              nzd_term_at(script, 1));
    copy_text(out->release_root, sizeof out->release_root,
              nzd_term_get(map, "release_root"));
    copy_text(pid, sizeof pid, nzd_term_get(map, "pid"));
    out->os_pid = strtoull(pid, NULL, 10);
    out->uptime_us = unsigned_of(nzd_term_get(map, "uptime_ms")) * 1000;
    out->processes = unsigned_of(nzd_term_get(map, "processes"));
    out->memory = unsigned_of(nzd_term_get(map, "memory"));
    out->old_code = unsigned_of(nzd_term_get(map, "old_code"));
    out->overlay = nzd_term_is_atom(nzd_term_get(map, "overlay"), "true");
    out->starting = nzd_term_is_atom(nzd_term_get(map, "starting"), "true");
    out->stopping = nzd_term_is_atom(nzd_term_get(map, "stopping"), "true");
    copy_text(number, sizeof number, nzd_term_get(map, "nzd_boot"));
    out->by_nzd_boot = number[0] != '\0';
    int64_t booted = 0;
    if (nzd_term_integer(nzd_term_get(map, "booted"), &booted) && booted > 0)
        out->nzd_booted = (uint64_t)booted;
}

int nzd_node_hello(struct nzd_node *node, struct nzd_hello *out,
                   struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "hello");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "hello", 2))
        return nzd_node_unexpected(node, "hello", answer, err);
    read_hello(nzd_term_at(answer, 1), out);
    return 0;
}

int nzd_node_clock(struct nzd_node *node, struct nzd_node_clock *out,
                   struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    memset(out, 0, sizeof *out);
    nzd_etf_atom(nzd_node_begin_request(node), "clock");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "clock", 3))
        return nzd_node_unexpected(node, "clock", answer, err);
    const struct nzd_term *clock = nzd_term_at(answer, 1);
    out->left_us = unsigned_of(nzd_term_at(answer, 2)) * 1000;
    if (nzd_term_length(clock) != 2)
        return 0;
    copy_text(out->boot_id, sizeof out->boot_id, nzd_term_at(clock, 0));
    out->now_us = unsigned_of(nzd_term_at(clock, 1)) * 1000;
    return 0;
}

/* --- inventory --------------------------------------------------------- */

static const char *keep_text(struct nzd_inventory *inventory,
                             const struct nzd_term *term)
{
    const char *text = nzd_term_text(term, &inventory->arena);
    return text ? text : "";
}

static int add_app(struct nzd_inventory *out, const struct nzd_term *row,
                   struct nzd_err *err)
{
    struct nzd_app *app = nzd_inventory_add_app(out);
    if (!app)
        return nzd_err_memory(err);
    app->name = keep_text(out, nzd_term_at(row, 0));
    app->version = keep_text(out, nzd_term_at(row, 1));
    app->in_script = true;
    return 0;
}

/* {Module, App, Md5, Attributes, Path, FlagsOrSize}. */
static int add_module(struct nzd_inventory *out, const struct nzd_term *row,
                      uint32_t extra_flags, struct nzd_err *err)
{
    struct nzd_digest md5, attrs;
    if (nzd_term_length(row) != 6 ||
        !nzd_node_digest(nzd_term_at(row, 2), &md5))
        return nzd_err_set(err, NZD_EINTERNAL, "a module row has no md5");
    int code = nzd_node_attributes(nzd_term_at(row, 3), &attrs, err);
    if (code)
        return code;
    struct nzd_module *module = nzd_inventory_add_module(out);
    if (!module)
        return nzd_err_memory(err);
    module->name = keep_text(out, nzd_term_at(row, 0));
    module->app = keep_text(out, nzd_term_at(row, 1));
    module->md5 = md5;
    module->attrs = attrs;
    module->path = keep_text(out, nzd_term_at(row, 4));
    module->flags = (uint32_t)unsigned_of(nzd_term_at(row, 5)) | extra_flags;
    return 0;
}

static int add_rows(const struct nzd_term *list, struct nzd_inventory *out,
                    int (*add)(struct nzd_inventory *, const struct nzd_term *,
                               struct nzd_err *),
                    struct nzd_err *err)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        int code = add(out, nzd_term_at(list, i), err);
        if (code)
            return code;
    }
    return 0;
}

static int add_loaded(struct nzd_inventory *out, const struct nzd_term *row,
                      struct nzd_err *err)
{
    return add_module(out, row, NZD_MODULE_LOADED, err);
}

static int add_on_disk(struct nzd_inventory *out, const struct nzd_term *row,
                       struct nzd_err *err)
{
    return add_module(out, row, 0, err);
}

int nzd_node_inventory(struct nzd_node *node, struct nzd_inventory *out,
                       struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_inventory_init(out);
    nzd_etf_atom(nzd_node_begin_request(node), "inventory");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "inventory", 3))
        return nzd_node_unexpected(node, "inventory", answer, err);
    code = add_rows(nzd_term_at(answer, 1), out, add_app, err);
    if (!code)
        code = add_rows(nzd_term_at(answer, 2), out, add_loaded, err);
    if (!code)
        code = nzd_inventory_sort(out, err);
    if (code)
        nzd_inventory_clear(out);
    return code;
}

int nzd_node_on_disk(struct nzd_node *node, const char *const *names,
                     uint32_t count, struct nzd_inventory *out,
                     struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "on_disk");
    nzd_node_put_texts(request, names, count);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "on_disk", 2))
        return nzd_node_unexpected(node, "on_disk", answer, err);
    return add_rows(nzd_term_at(answer, 1), out, add_on_disk, err);
}

int nzd_node_held(struct nzd_node *node, const char *const *names,
                  const char *const *paths, uint32_t count,
                  struct nzd_inventory *out, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_inventory_init(out);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "held");
    nzd_etf_list(request, count);
    for (uint32_t i = 0; i < count; i++) {
        nzd_etf_tuple(request, 2);
        nzd_etf_binary(request, nzd_view_text(names[i]));
        nzd_etf_binary(request, nzd_view_text(paths[i]));
    }
    if (count)
        nzd_etf_nil(request);
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_tagged(answer, "held", 2))
        code = nzd_node_unexpected(node, "held", answer, err);
    if (!code)
        code = add_rows(nzd_term_at(answer, 1), out, add_on_disk, err);
    return code ? code : nzd_inventory_sort(out, err);
}

int nzd_node_beams(struct nzd_node *node, const char *const *apps,
                   uint32_t count, int (*each)(void *context, const char *name),
                   void *context, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "beams");
    nzd_node_put_texts(request, apps, count);
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_tagged(answer, "beams", 2))
        code = nzd_node_unexpected(node, "beams", answer, err);
    const struct nzd_term *list = code ? NULL : nzd_term_at(answer, 1);
    for (uint32_t i = 0; !code && i < nzd_term_length(list); i++) {
        const char *name = nzd_term_text(nzd_term_at(list, i), &node->arena);
        code = name ? each(context, name) : nzd_err_memory(err);
    }
    return code;
}

int nzd_node_files(struct nzd_node *node, const char *const *names,
                   uint32_t count, struct nzd_inventory *out,
                   struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "proof");
    nzd_node_put_atoms(request, names, count);
    nzd_inventory_init(out);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "proof", 2))
        return nzd_node_unexpected(node, "proof", answer, err);
    code = add_rows(nzd_term_at(answer, 1), out, add_on_disk, err);
    return code ? code : nzd_inventory_sort(out, err);
}

/* --- the base ----------------------------------------------------------- */

static struct nzd_view keep_bytes(struct nzd_inventory *inventory,
                                  const struct nzd_term *term)
{
    if (!term || term->kind != NZD_TERM_BINARY)
        return nzd_view_of(NULL, 0);
    char *copy = nzd_arena_text(&inventory->arena,
                                (const char *)term->text.data, term->text.size);
    return nzd_view_of(copy, copy ? term->text.size : 0);
}

/* A file of the base that cannot be read as a term is a warning at most: the
 * node runs with it all the same. */
static const struct nzd_term *decode_kept(struct nzd_inventory *inventory,
                                          const struct nzd_term *file)
{
    const struct nzd_term *term = NULL;
    struct nzd_view bytes = keep_bytes(inventory, file);
    if (!bytes.size || nzd_term_decode(bytes, &inventory->arena, &term, NULL))
        return NULL;
    return term;
}

static const struct nzd_term *parse_kept(struct nzd_inventory *inventory,
                                         const struct nzd_term *file)
{
    const struct nzd_term *term = NULL;
    struct nzd_view bytes = keep_bytes(inventory, file);
    if (!bytes.size || nzd_term_parse(bytes, &inventory->arena, &term, NULL))
        return NULL;
    return term;
}

static void read_app_files(const struct nzd_term *list,
                           struct nzd_inventory *out)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const struct nzd_term *row = nzd_term_at(list, i);
        const struct nzd_term *name = nzd_term_at(row, 0);
        if (!name || name->kind != NZD_TERM_ATOM)
            continue;
        struct nzd_app *app =
            nzd_inventory_app(out, (const char *)name->text.data);
        const struct nzd_term *terms = parse_kept(out, nzd_term_at(row, 1));
        if (app && terms)
            app->spec = nzd_term_at(terms, 0);
    }
}

static struct nzd_view bytes_of(const struct nzd_term *files, const char *key)
{
    const struct nzd_term *term = nzd_term_get(files, key);
    bool held = term && term->kind == NZD_TERM_BINARY;
    return held ? term->text : nzd_view_of(NULL, 0);
}

/* As its boot script has it. What the VM says is that of the script it booted,
 * which an overlay may have of another release. */
static void name_base(const struct nzd_hello *hello,
                      struct nzd_inventory *inventory, struct nzd_base *base)
{
    const struct nzd_term *id = nzd_term_at(inventory->boot_script, 1);
    struct nzd_arena *arena = &inventory->arena;
    const char *name = id ? nzd_term_text(nzd_term_at(id, 0), arena) : NULL;
    const char *version = id ? nzd_term_text(nzd_term_at(id, 1), arena) : NULL;
    bool read = name && version;
    snprintf(base->name, sizeof base->name, "%s",
             read ? name : hello->script_name);
    snprintf(base->version, sizeof base->version, "%s",
             read ? version : hello->script_version);
}

/* An overlay's emulator runs for the same machine in its place. */
static void name_erts(const struct nzd_hello *hello,
                      const struct nzd_term *files, struct nzd_base *base)
{
    copy_text(base->erts, sizeof base->erts, nzd_term_get(files, "erts"));
    if (!base->erts[0])
        snprintf(base->erts, sizeof base->erts, "%s", hello->erts);
}

static int identify(const struct nzd_term *files, const struct nzd_base *base,
                    struct nzd_digest *out, struct nzd_err *err)
{
    struct nzd_base_parts parts = {
        .name = base->name,
        .version = base->version,
        .script = bytes_of(files, "boot"),
        .erts = base->erts,
        .elf = bytes_of(files, "elf"),
    };
    *out = nzd_base_identity(&parts);
    return nzd_digest_is_zero(out) ? nzd_err_memory(err) : 0;
}

static void read_base_texts(const struct nzd_term *files,
                            const struct nzd_hello *hello,
                            const struct nzd_base *base,
                            struct nzd_inventory *out)
{
    struct nzd_arena *arena = &out->arena;
    out->release = nzd_arena_text(arena, base->name, strlen(base->name));
    out->version = nzd_arena_text(arena, base->version, strlen(base->version));
    out->erts = nzd_arena_text(arena, hello->erts, strlen(hello->erts));
    out->sys_config = parse_kept(out, nzd_term_get(files, "sys_config"));
    out->sys_config_text = keep_bytes(out, nzd_term_get(files, "sys_config"));
    out->vm_args = keep_bytes(out, nzd_term_get(files, "vm_args"));
    out->env_script = keep_bytes(out, nzd_term_get(files, "env_script"));
    out->runtime_config =
        keep_bytes(out, nzd_term_get(files, "runtime_config"));
}

int nzd_node_base(struct nzd_node *node, const struct nzd_hello *hello,
                  struct nzd_inventory *out, struct nzd_base *base,
                  struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "base_files");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "base_files", 2))
        return nzd_node_unexpected(node, "base_files", answer, err);
    const struct nzd_term *files = nzd_term_at(answer, 1);
    memset(base, 0, sizeof *base);
    out->boot_script = decode_kept(out, nzd_term_get(files, "boot"));
    out->is_release = out->boot_script != NULL;
    name_base(hello, out, base);
    name_erts(hello, files, base);
    nzd_elf_machine(bytes_of(files, "elf"), out->machine);
    code = identify(files, base, &base->identity, err);
    copy_text(base->path, sizeof base->path, nzd_term_get(files, "root"));
    copy_text(base->boot_file, sizeof base->boot_file,
              nzd_term_get(files, "boot_path"));
    if (!code) {
        read_base_texts(files, hello, base, out);
        read_app_files(nzd_term_get(files, "app_files"), out);
    }
    return code;
}

/* {App, Path, Size, Md5, Link}. */
static int add_priv(struct nzd_inventory *out, const struct nzd_term *row,
                    struct nzd_err *err)
{
    struct nzd_file *file = nzd_inventory_add_priv(out);
    if (!file)
        return nzd_err_memory(err);
    file->app = keep_text(out, nzd_term_at(row, 0));
    file->path = keep_text(out, nzd_term_at(row, 1));
    file->size = unsigned_of(nzd_term_at(row, 2));
    file->link = nzd_term_is_atom(nzd_term_at(row, 4), "true");
    if (!nzd_node_digest(nzd_term_at(row, 3), &file->md5))
        return nzd_err_set(err, NZD_EINTERNAL, "%s has no digest", file->path);
    return 0;
}

int nzd_node_priv(struct nzd_node *node, const struct nzd_node_folder *apps,
                  uint32_t count, struct nzd_inventory *out,
                  struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "priv");
    nzd_etf_list(request, count);
    for (uint32_t i = 0; i < count; i++) {
        nzd_etf_tuple(request, 2);
        nzd_etf_binary(request, nzd_view_text(apps[i].app));
        nzd_etf_binary(request, nzd_view_text(apps[i].folder));
    }
    if (count)
        nzd_etf_nil(request);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "priv", 2))
        return nzd_node_unexpected(node, "priv", answer, err);
    return add_rows(nzd_term_at(answer, 1), out, add_priv, err);
}

/* --- code --------------------------------------------------------------- */

/* A file, and the md5 of what runs, if anything does. */
static struct nzd_object judge_object(struct nzd_view bytes,
                                      const struct nzd_term *running)
{
    struct nzd_object object = {.state = NZD_OBJECT_DIFFERS};
    struct nzd_digest md5;
    if (nzd_beam_md5(bytes, &object.md5, NULL) ||
        (nzd_node_digest(running, &md5) &&
         !nzd_digest_equal(&md5, &object.md5)))
        return object;
    object.state = NZD_OBJECT_FOUND;
    object.bytes = bytes;
    return object;
}

/* {object, Name, Path, Bytes, Md5 | none} or {object, Name, differs |
 * missing}. */
static int hand_object(const struct nzd_node *node, uint32_t index,
                       const struct nzd_term *answer, nzd_object_fn each,
                       void *context, struct nzd_err *err)
{
    struct nzd_object object = {.state = NZD_OBJECT_MISSING};
    if (nzd_term_is_tagged(answer, "object", 5) &&
        nzd_term_at(answer, 3)->kind == NZD_TERM_BINARY)
        object =
            judge_object(nzd_term_at(answer, 3)->text, nzd_term_at(answer, 4));
    else if (!nzd_term_is_tagged(answer, "object", 3))
        return nzd_node_unexpected(node, "object code", answer, err);
    else if (nzd_term_is_atom(nzd_term_at(answer, 2), "differs"))
        object.state = NZD_OBJECT_DIFFERS;
    return each(context, index, &object, err);
}

/* The agent sends one message per name under the number of the request, then
 * the plain answer. */
int nzd_node_objects(struct nzd_node *node, const char *const *names,
                     uint32_t count, nzd_object_fn each, void *context,
                     struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    uint64_t number = 0;
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "object");
    nzd_node_put_texts(request, names, count);
    int code = nzd_node_send(node, request, &number, err);
    for (uint32_t i = 0; i < count && !code; i++) {
        code = nzd_node_answer(node, number, 0, &answer, err);
        if (!code)
            code = hand_object(node, i, answer, each, context, err);
    }
    if (!code)
        code = nzd_node_answer(node, number, 0, &answer, err);
    return code;
}

int nzd_node_md5s(struct nzd_node *node, const char *const *names,
                  uint32_t count, struct nzd_running *out, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "md5s");
    nzd_node_put_atoms(request, names, count);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    const struct nzd_term *rows = nzd_term_at(answer, 1);
    if (!nzd_term_is_tagged(answer, "md5s", 2) ||
        nzd_term_length(rows) != count)
        return nzd_node_unexpected(node, "md5s", answer, err);
    for (uint32_t i = 0; i < count && !code; i++) {
        const struct nzd_term *row = nzd_term_at(rows, i);
        memset(&out[i], 0, sizeof out[i]);
        out[i].loaded = nzd_node_digest(nzd_term_at(row, 1), &out[i].md5);
        if (out[i].loaded)
            code = nzd_node_attributes(nzd_term_at(row, 2), &out[i].attrs, err);
    }
    return code;
}

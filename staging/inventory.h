/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_INVENTORY_H
#define NZD_STAGING_INVENTORY_H

/*
 * What a node or a bundle holds: applications, modules, priv files, the files
 * of the release that say how it starts. One struct for both, so that a plan
 * is a difference of two of them. Everything lives in the inventory's arena.
 * Modules are sorted by name, applications by name, files by path; lookups
 * are binary searches after nzd_inventory_sort().
 */

#include "beam.h"
#include "elf.h"
#include "source.h"

struct nzd_spool;

#define NZD_MODULE_LOADED       1u   /* node: it is in memory */
#define NZD_MODULE_OLD_CODE     2u   /* node: erlang:check_old_code/1 */
#define NZD_MODULE_STICKY       4u   /* node: in a sticky directory */
#define NZD_MODULE_PRELOADED    8u   /* node: part of the emulator */
#define NZD_MODULE_CONSOLIDATED 16u  /* from releases/VSN/consolidated */
#define NZD_MODULE_DETAILED     32u  /* `beam` holds calls and lambdas */
#define NZD_MODULE_LEAVING      128u /* node: removed, goes when it can */
#define NZD_MODULE_SPOOLED      64u  /* its bytes are in the spool */

struct nzd_module {
    const char *name;
    const char *app; /* "" when it belongs to none */
    const char *path;
    struct nzd_digest md5;
    struct nzd_digest attrs;
    uint64_t bytes; /* of the file, 0 unknown */
    uint32_t flags;
    uint64_t spool_offset;       /* valid with NZD_MODULE_SPOOLED */
    struct nzd_digest content;   /* XXH3-128 of the bytes, with SPOOLED */
    const struct nzd_beam *beam; /* with DETAILED, else NULL */
};

struct nzd_app {
    const char *name;
    const char *version;          /* "" unknown */
    const struct nzd_term *spec;  /* {application, Name, Keys} of its .app;
                                     NULL: a release only names it */
    const struct nzd_term *appup; /* {Version, Ups, Downs}; NULL: none */
    bool in_script; /* the boot script (or the node) starts or loads it */
    const char *priv_fixed; /* node: why no file of its priv can be exchanged
                               while the VM runs; NULL: they can */
};

struct nzd_file {
    const char *path; /* "priv/static/app.js" under its application */
    const char *app;
    uint64_t size;
    struct nzd_digest md5;
    bool executable; /* of a bundle */
    bool link;       /* node: reached through a symbolic link */
    const char *use; /* node: what the VM does with it, which keeps it from
                        being exchanged; NULL: nothing */
    bool spooled;    /* its bytes are in the spool, and so: */
    uint64_t spool_offset;
    struct nzd_digest content; /* XXH3-128 of the bytes */
};

struct nzd_inventory {
    struct nzd_arena arena;
    struct nzd_module *modules;
    uint32_t module_count;
    uint32_t module_capacity;
    struct nzd_app *apps;
    uint32_t app_count;
    uint32_t app_capacity;
    struct nzd_file *priv; /* regular files under lib/APP/priv */
    uint32_t priv_count;
    uint32_t priv_capacity;
    struct nzd_file *runtime; /* of erts-VSN: "bin/beam.smp"; md5 is `content`,
                                 `app` the version */
    uint32_t runtime_count;
    uint32_t runtime_capacity;

    const char *priv_fixed; /* node: why no application's can be exchanged
                               while the VM runs; NULL: they can */

    bool is_release;     /* a full release, not only a lib/ */
    const char *release; /* "counter", "" unknown */
    const char *version;
    const char *erts;      /* "13.1.5", "" unknown */
    const char *erts_lack; /* "": it is at hand; else where its version was
                              found, or "erts-13.2/ lacks bin/erlexec" */
    uint8_t machine[NZD_ELF_MACHINE];   /* of the emulator; zeros: unknown */
    const struct nzd_term *boot_script; /* {script, {Name, Vsn}, List} */
    const struct nzd_term *relup;       /* {Version, Ups, Downs} */
    const struct nzd_term *sys_config;  /* the terms of sys.config, a LIST */
    struct nzd_view sys_config_text;    /* texts as they are; size 0: none */
    struct nzd_view vm_args;
    struct nzd_view runtime_config; /* runtime.exs of a Mix release */
    struct nzd_view env_script;     /* env.sh */
    struct nzd_view hooks;          /* nzd/hooks.conf of the bundle */
    /* Of a .src with ${VARIABLES}: only the start script makes the file. */
    bool sys_config_is_source;
    bool vm_args_is_source;
};

void nzd_inventory_init(struct nzd_inventory *inventory);
void nzd_inventory_clear(struct nzd_inventory *inventory);
/* NULL without memory; the result is zeroed and valid until the next add. */
struct nzd_module *nzd_inventory_add_module(struct nzd_inventory *inventory);
struct nzd_app *nzd_inventory_add_app(struct nzd_inventory *inventory);
struct nzd_file *nzd_inventory_add_priv(struct nzd_inventory *inventory);
struct nzd_file *nzd_inventory_add_runtime(struct nzd_inventory *inventory);
/* Sorts all four. NZD_EBUNDLE: a module name twice, or a file that is the
 * folder of another (both paths are named). */
int nzd_inventory_sort(struct nzd_inventory *inventory, struct nzd_err *err);
struct nzd_module *nzd_inventory_module(const struct nzd_inventory *inventory,
                                        const char *name);
struct nzd_app *nzd_inventory_app(const struct nzd_inventory *inventory,
                                  const char *name);
struct nzd_file *nzd_inventory_priv(const struct nzd_inventory *inventory,
                                    const char *app, const char *path);
struct nzd_file *nzd_inventory_runtime(const struct nzd_inventory *inventory,
                                       const char *path);
/* For each application, in the order of `apps`: is it really there (.app or
 * modules), or does a release only name it? NULL without memory. */
const bool *nzd_inventory_held(const struct nzd_inventory *inventory,
                               struct nzd_arena *arena);
/* Equal md5 and attributes; attributes that are zeros are not known. */
bool nzd_module_same(const struct nzd_module *a, const struct nzd_module *b);

/*
 * How a bundle is read. `known` (may be NULL) is the node's inventory: a
 * module with equal md5 and attributes there is listed but neither spooled
 * nor detailed. Everything else is detailed (NZD_BEAM_CALLS | NZD_BEAM_FUNS)
 * and, when `spool` is not NULL, its bytes are appended to the spool; so are
 * those of a priv file with another md5 there, up to the limits, and the files
 * of an ERTS of another version. Where the two come later than the bundle,
 * `settle` (else NULL) is called once, when no more of it can be read without
 * them: it sets them here.
 */
struct nzd_release_options {
    const struct nzd_inventory *known;
    struct nzd_spool *spool;
    void (*settle)(void *context);
    void (*progress)(void *context, unsigned per_mille);
    void *context;
};

/*
 * Reads a release (lib/ and releases/, at the root or below one top folder),
 * or a build's lib/ (APP/ebin/..., as _build/prod/lib or its parent), in one
 * pass over the source. Of several versions of a release the one of
 * releases/start_erl.data counts, else the only one there; of several
 * versions of an application the one its boot script or .rel names.
 * Consolidated protocols of the release override their modules in lib/.
 * Fails NZD_EBUNDLE: no module at all, a damaged file (named), limits.
 */
int nzd_release_read(struct nzd_source *source,
                     const struct nzd_release_options *options,
                     struct nzd_inventory *out, struct nzd_err *err);

#endif

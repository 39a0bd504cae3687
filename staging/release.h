/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_RELEASE_H
#define NZD_STAGING_RELEASE_H

/*
 * Inside the release reader: what was seen of a bundle before it is known
 * which version of the release, and so of each application, counts. An
 * archive's order is arbitrary: release.c and release_texts.c collect,
 * release_choose.c chooses at the end.
 */

#include "inventory.h"
#include "layout.h"
#include "names.h"

/* lib/counter-0.2.0 */
struct release_folder {
    const char *folder;
    const char *app;
    const char *version; /* of the folder's name, "" when it has none */
    const struct nzd_term *spec;
    const struct nzd_term *appup;
    bool chosen;
};

/* releases/0.2.0: texts as they are. */
struct release_version {
    const char *name;
    struct nzd_view boot;
    struct nzd_view rel;
    struct nzd_view relup;
    struct nzd_view sys_config;
    struct nzd_view vm_args;
    struct nzd_view runtime_config;
    struct nzd_view env_script;
    const char *boot_name;
    const char *rel_name;
    const char *sys_config_name;
    const char *vm_args_name;
};

#define RELEASE_VERSIONS_MAX 256u
#define RELEASE_NONE         UINT32_MAX

struct release_reader;

/* Of the file whose content is in the reader's bytes; an index of what was
 * read. */
typedef int release_work(struct release_reader *reader, uint32_t index,
                         struct nzd_err *err);

/* Put off until it is known what the node has. */
struct release_later {
    const char *path;
    struct nzd_buf bytes;
    release_work *work;
    uint32_t index;
};

struct release_reader {
    struct nzd_source *source;
    const struct nzd_release_options *options;
    struct nzd_inventory *out;
    struct nzd_arena kept; /* until the choice is made */
    size_t kept_bytes;
    struct nzd_buf bytes; /* of the current file */
    const char *prefix;   /* "counter-0.2.0/", "", NULL: not yet known */

    struct release_folder *folders;
    uint32_t folder_count;
    uint32_t folder_capacity;
    uint32_t last_folder;
    struct release_version *versions;
    uint32_t version_count;
    const char *start_erts; /* of start_erl.data */
    const char *start_version;
    const char *erts_folder;

    /* For each module and priv file of `out` where it came from: an index of
     * folders, or for consolidated modules of versions or RELEASE_NONE. */
    uint32_t *module_from;
    uint32_t module_from_capacity;
    uint32_t *priv_from;
    uint32_t priv_from_capacity;
    uint64_t spooled; /* bytes of priv and of ERTS */

    struct nzd_names names; /* in the inventory's arena */

    bool settled; /* the options' `known` and `spool` hold */
    struct release_later *later;
    uint32_t later_count;
    uint32_t later_capacity;
    uint64_t later_bytes;
};

/* The text in the inventory's arena, once; NULL without memory. */
const char *release_intern(struct release_reader *reader, const char *text);
const char *release_intern_view(struct release_reader *reader,
                                struct nzd_view view);
/* A copy whose texts live in the arena too; NULL without memory. */
const struct nzd_term *release_copy_term(const struct nzd_term *term,
                                         struct nzd_arena *arena);
/* A copy of the beam in the inventory's arena, names interned. */
const struct nzd_beam *release_keep_beam(struct release_reader *reader,
                                         const struct nzd_beam *beam);
/* Names the bundle's file before the message. */
int release_blame(const struct release_reader *reader, const char *path,
                  int code, struct nzd_err *err);

/* The index of the folder or version that a path lies in, added if need be. */
int release_folder_of(struct release_reader *reader,
                      const struct nzd_layout *layout, uint32_t *out,
                      struct nzd_err *err);
int release_version_of(struct release_reader *reader, struct nzd_view name,
                       uint32_t *out, struct nzd_err *err);

/* The current entry as what its layout says: .app, a file of releases/VSN,
 * start_erl.data, hooks.conf. */
int release_read_application(struct release_reader *reader,
                             const struct nzd_layout *layout, const char *path,
                             struct nzd_err *err);
int release_read_appup(struct release_reader *reader,
                       const struct nzd_layout *layout, const char *path,
                       struct nzd_err *err);
int release_read_file(struct release_reader *reader,
                      const struct nzd_layout *layout, const char *path,
                      struct nzd_err *err);
int release_read_start_erl(struct release_reader *reader, const char *path,
                           struct nzd_err *err);
int release_read_erts(struct release_reader *reader,
                      const struct nzd_layout *layout,
                      const struct nzd_source_entry *entry,
                      struct nzd_err *err);
int release_read_hooks(struct release_reader *reader, const char *path,
                       struct nzd_err *err);

/*
 * Does what depends on `known` and `spool` with the current file, whose bytes
 * are then gone: at once where they hold, else once release_settle() was
 * called, which waits for them. More than 8 MiB are not put off.
 */
int release_later(struct release_reader *reader, const char *path,
                  release_work *work, uint32_t index, struct nzd_err *err);
int release_settle(struct release_reader *reader, struct nzd_err *err);
void release_forget_later(struct release_reader *reader);

/* Once it is known which ERTS counts: drops the files of others, and says what
 * it lacks. */
int release_choose_erts(struct release_reader *reader, struct nzd_err *err);

/* Chooses, fills the inventory's release part, drops what does not count. */
int release_choose(struct release_reader *reader, struct nzd_err *err);

#endif

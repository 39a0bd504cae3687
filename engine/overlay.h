/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_H
#define NZD_ENGINE_OVERLAY_H

/*
 * The overlay: the generation in force over a base, laid out as files in RAM
 * for a VM to boot and load from. A cache, made from the journal; it may
 * vanish at any time.
 *
 *   /run/nzd/overlay/UUID/N/             root; others $XDG_RUNTIME_DIR/nzd/...
 *     lib/counter-0.2.0/ebin/            for each folder of changed code: its
 *                                        modules and counter.app, links to
 *                                        all else that the base has there
 *     lib/counter-0.2.0/ebin/.base       a link to that folder of the base
 *     lib/counter-0.2.0/priv             and so on: links to the base's; a
 *                                        folder in which a file differs is a
 *                                        folder here, of links but for that
 *     consolidated/                      protocols of a Mix release, the same
 *     start.boot                         the base's boot script, made anew; it
 *                                        tells the VM its N (script_mark.h)
 *     base                               the path of the base's boot script
 *     sys.config  vm.args  runtime.exs   the generation's, else links to those
 *                                        of the base that has them
 *     erts                               a link to the ERTS, where it has one
 *                                        of its own
 *   /run/nzd/overlay/UUID/current        a link to the last N that a VM was
 *                                        told to boot
 *   /run/nzd/overlay/UUID/booted         "N PID START": what nzd boot has
 *                                        that process boot; not there: the
 *                                        base
 *
 *   DATA/native/UUID/N/lib/counter-0.2.0/priv/nif.so
 *                                        what of priv is to be loaded or run,
 *                                        linked from there, where DATA/journal
 *                                        is the journal: /run may be mounted
 *                                        so that nothing in it can be. Each is
 *                                        compared whenever it is laid out, so
 *                                        a cut leaves nothing false behind.
 *   DATA/native/UUID/vm-DIGEST/erts-13.2/bin/beam.smp
 *                                        an ERTS, the same. By its content:
 *                                        one generation after the other runs
 *                                        on it, and it is large.
 *
 * Whoever starts a VM names what it boots by `current`: a boot script and a
 * sys.config that are read again, by init:restart/0 or a VM that this one
 * starts, are then those of one generation, whichever was committed
 * meanwhile, and they are there as long as there is one. Code is named by N.
 *
 * UUID: the first 8 digits of the journal's, N the generation. Only whole
 * folders carry the name N: they are made as N.new and renamed.
 */

#include "../journal/journal.h"
#include "../staging/term.h"

#define NZD_OVERLAY_PATH 600 /* bytes of a path, the NUL included */

/* What it lies over. */
struct nzd_overlay_base {
    const struct nzd_digest *identity;
    const struct nzd_term *script; /* NULL: none is known, none is made */
    const char *boot_file;         /* ".../releases/0.1.0/start.boot", or "" */
};

/* One folder of the base's code path, and what is there instead. */
struct nzd_overlay_folder {
    char *base;
    char *instead;
};

struct nzd_overlay {
    char root[NZD_OVERLAY_PATH];   /* ends in '/' */
    char native[NZD_OVERLAY_PATH]; /* ends in '/'; "": there can be none */
    char folder[NZD_OVERLAY_PATH]; /* root and N; "": nothing differs */
    struct nzd_overlay_folder *folders;
    uint32_t folder_count;
    bool has_boot;               /* start.boot is there */
    bool has_config;             /* sys.config is not the base's */
    bool has_args;               /* vm.args is not the base's */
    char erts[NZD_OVERLAY_PATH]; /* ".../erts-13.2/bin"; "": the base's */
};

/*
 * Lays out generation `generation`: the one in force over the base, or what an
 * open transaction of this number would put in force. Fails NZD_ENOTFOUND where
 * there is no place for it (no runtime folder), NZD_EJOURNAL where the journal
 * does not hold all of it, NZD_EBUNDLE where a script or a sys.config cannot be
 * made to boot over the base, NZD_EINTERNAL on I/O errors; a half-made folder
 * is removed. clear() is due in any case.
 */
int nzd_overlay_make(struct nzd_journal *journal,
                     const struct nzd_overlay_base *base, uint64_t generation,
                     struct nzd_overlay *out, struct nzd_err *err);
void nzd_overlay_clear(struct nzd_overlay *overlay);

/* A file of an ERTS. */
struct nzd_overlay_program {
    const char *path; /* below erts-VSN: "bin/beam.smp" */
    struct nzd_digest blob;
};

/* Lays an ERTS out alone, to be tried before any overlay names it; `folder` is
 * that of its programs then. Sorted by path. Fails as above. Where nothing
 * comes to name it, the next sweep removes it. */
int nzd_overlay_make_erts(struct nzd_journal *journal, const char *version,
                          const struct nzd_overlay_program *programs,
                          uint32_t count, char folder[NZD_OVERLAY_PATH],
                          struct nzd_err *err);

/* Has `current` name its folder, or nothing: at one instant. */
int nzd_overlay_set_current(const struct nzd_overlay *overlay,
                            struct nzd_err *err);

/* The folder in RAM that overlays lie below, or NULL: there is none that this
 * user may write. */
const char *nzd_overlay_place(void);

/* ".../nzd/overlay/UUID/", made where it is not there. NZD_ENOTFOUND as
 * above. */
int nzd_overlay_root(struct nzd_journal *journal, char root[NZD_OVERLAY_PATH],
                     struct nzd_err *err);

/* For a VM that is to start: that folder goes beside its place, unread, where
 * it is not this user's, so that it is made anew. Only below folders that are
 * ours. Never fails: what stays is refused by nzd_overlay_root(). */
void nzd_overlay_set_aside(struct nzd_journal *journal);

/* This process becomes a VM that boots the generation; 0: none. */
int nzd_overlay_set_booted(const char *root, uint64_t generation,
                           struct nzd_err *err);
/* Of the VM that runs; 0: it boots the base, or was not started by nzd boot. */
uint64_t nzd_overlay_booted(const char *root);

/* Removes the folders of all other generations, but for `before`, whose files
 * a process may still read by the path it knows (0: none), and the one that
 * `current` names: a VM may be starting from it. Never fails. */
void nzd_overlay_sweep(const struct nzd_overlay *overlay, uint64_t generation,
                       uint64_t before);
/* Removes those of transactions behind `in_force` that have come to nothing,
 * so all but its own and what `current` names. Never fails. */
void nzd_overlay_sweep_undone(const struct nzd_overlay *overlay,
                              uint64_t generation, uint64_t in_force);
/* Where nothing is in force and no transaction is open: all of what such a one
 * has left, `current` too. Never fails. */
void nzd_overlay_sweep_all(struct nzd_journal *journal);

#endif

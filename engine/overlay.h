/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_H
#define NZD_ENGINE_OVERLAY_H

/*
 * The overlay: the code in force over a base, laid out as files in RAM for a
 * VM to load from. A cache, made from the journal; it may vanish at any time.
 *
 *   /run/nzd/overlay/UUID/N/MODULE.beam      root
 *   $XDG_RUNTIME_DIR/nzd/overlay/...         others
 *
 * UUID: the first 8 digits of the journal's, N the generation. Only whole
 * folders carry the name N: they are made as N.new and renamed.
 */

#include "../journal/journal.h"

#define NZD_OVERLAY_PATH 600 /* bytes of a path, the NUL included */

/*
 * Lays out generation `generation`, which must be the one in force over
 * `base`, and gives its folder and that of all generations (`root`), both of
 * NZD_OVERLAY_PATH bytes. `folder` is "" where nothing differs from the base.
 * Fails NZD_ENOTFOUND where there is no place for it (no runtime folder),
 * NZD_EINTERNAL on I/O errors; a half-made folder is removed.
 */
int nzd_overlay_make(struct nzd_journal *journal, const struct nzd_digest *base,
                     uint64_t generation, char *folder, char *root,
                     struct nzd_err *err);

/* Removes the folders of all other generations. Never fails. */
void nzd_overlay_sweep(const char *root, uint64_t generation);

#endif

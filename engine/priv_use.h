/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PRIV_USE_H
#define NZD_ENGINE_PRIV_USE_H

/*
 * Which files of priv the VM has taken in, so that another file in their place
 * would change nothing, or half of it: libraries that it has mapped (NIFs,
 * drivers), as /proc/PID/maps names them, and what it runs, as its ports: the
 * programs of the processes below it, and the scripts that an interpreter was
 * given. Seen by their names below priv, as the folder above may be another
 * generation's. And where no file can be exchanged at all: in a node of
 * another host, where overlays have no place, in a VM that booted no release,
 * and in applications that its boot script does not name.
 *
 * It can only be said of the moment: what is loaded later comes from the files
 * that are there then.
 */

#include "question.h"

/* Sets `priv_fixed` of q->old's applications and `use` of its files. Where
 * /proc does not show the VM, each shared library (by its name) counts as
 * loaded. NZD_EINTERNAL without memory. */
int nzd_priv_use(struct nzd_question *q, struct nzd_err *err);

#endif

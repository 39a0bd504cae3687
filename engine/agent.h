/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_AGENT_H
#define NZD_ENGINE_AGENT_H

/*
 * The agent as the program carries it: the object code of the modules
 * engine/beam/nzd_agent*.erl, compiled when nzd is built. Their names hold the
 * first 12 hex digits of the SHA-256 of all their sources, so a node can hold
 * the agents of two releases of nzd side by side, and a name that is loaded
 * there is this very agent's. Written by engine/beam/embed.sh; static, never
 * freed.
 */

#include "link.h"

/* The first is the one that is started: "nzd_agent_1f0c33ab9e27". The others
 * have longer names: "nzd_agent_1f0c33ab9e27_who". */
extern const struct nzd_link_module nzd_agent[];
extern const unsigned nzd_agent_count;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_AGENT_H
#define NZD_ENGINE_AGENT_H

/*
 * The agent as the program carries it: the object code of
 * engine/beam/nzd_agent.erl, compiled when nzd is built. Its module name ends
 * in the first 12 hex digits of the SHA-256 of that source, so a node can hold
 * the agents of two releases of nzd side by side, and a name that is loaded
 * there is this very agent. Written by engine/beam/embed.sh; static, never
 * freed.
 */

extern const char nzd_agent_name[]; /* "nzd_agent_1f0c33ab9e27" */
extern const unsigned char nzd_agent_beam[];
extern const unsigned nzd_agent_beam_size; /* bytes */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_DESCRIPTORS_H
#define NZD_ENGINE_DESCRIPTORS_H

/* What a process of ours that does one thing keeps open: nothing else. */

/* Closes all from `first` on. */
void nzd_descriptors_close(int first);

#endif

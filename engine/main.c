/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include <malloc.h>
#include <stdlib.h>

/* Large buffers come and go; what is free goes back to the system, on a device
 * where nzd shares its memory with the node. */
static void keep_the_heap_small(void)
{
#ifdef M_TRIM_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
#endif
}

int main(int argc, char **argv)
{
    keep_the_heap_small();
    exit(nzd_command_run(argc, argv));
}

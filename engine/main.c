/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"
#include "version.h"

#include <features.h>
#include <malloc.h>
#ifdef __GLIBC__
#include <nss.h>
#endif
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

/*
 * A static program would have to load the modules of glibc that nsswitch.conf
 * names, and only the ones of its own version do; ld warns of that. Files and
 * DNS are within.
 */
static void look_up_without_modules(void)
{
#ifdef __GLIBC__
    if (!nzd_version_is_static())
        return;
    (void)__nss_configure_lookup("hosts", "files dns");
    (void)__nss_configure_lookup("passwd", "files");
    (void)__nss_configure_lookup("group", "files");
    (void)__nss_configure_lookup("initgroups", "files");
#endif
}

int main(int argc, char **argv)
{
    keep_the_heap_small();
    look_up_without_modules();
    exit(nzd_command_run(argc, argv));
}

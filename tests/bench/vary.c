/* SPDX-License-Identifier: Apache-2.0 */
#include "vary.h"

#include "../harness.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t number_at(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
           (uint32_t)at[2] << 8 | at[3];
}

/* Two bytes of the version, which is the end of the chunk with the attributes:
 * 16 bytes and the ends of two lists. */
void bench_vary_beam(const char *path, unsigned number)
{
    unsigned char head[12];
    FILE *file = fopen(path, "r+");
    if (!file || fread(head, 1, 12, file) != 12)
        harness_fail("%s cannot be read", path);
    while (fread(head, 1, 8, file) == 8) {
        uint32_t size = number_at(head + 4);
        if (!memcmp(head, "Attr", 4)) {
            fseek(file, (long)size - 4, SEEK_CUR);
            fputc((int)(number & 255), file);
            fputc((int)(number >> 8 & 255), file);
            fclose(file);
            return;
        }
        fseek(file, (long)((size + 3) & ~3u), SEEK_CUR);
    }
    harness_fail("%s has no attributes", path);
}

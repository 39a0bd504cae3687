/* SPDX-License-Identifier: Apache-2.0 */
#include "utf8.h"

#define HIGHEST 0x10ffffu

static bool surrogate(uint32_t character)
{
    return character >= 0xd800 && character <= 0xdfff;
}

/* Bytes that follow `lead`, 0 for ASCII, -1 when none can begin so. */
static int following(uint8_t lead)
{
    if (lead < 0x80)
        return 0;
    if (lead >= 0xc2 && lead < 0xe0)
        return 1;
    if (lead >= 0xe0 && lead < 0xf0)
        return 2;
    return lead >= 0xf0 && lead < 0xf5 ? 3 : -1;
}

int32_t nzd_utf8_take(struct nzd_view *view)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t character;
    int more;

    if (view->size == 0)
        return -1;
    more = following(view->data[0]);
    if (more < 0 || (size_t)more >= view->size)
        return -1;
    character = more == 0 ? view->data[0] : view->data[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((view->data[i] & 0xc0) != 0x80)
            return -1;
        character = character << 6 | (view->data[i] & 0x3fu);
    }
    if (character < least[more] || character > HIGHEST || surrogate(character))
        return -1;
    view->data += more + 1;
    view->size -= (size_t)more + 1;
    return (int32_t)character;
}

size_t nzd_utf8_put(uint8_t out[4], uint32_t character)
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t size;

    if (character > HIGHEST || surrogate(character))
        return 0;
    size = character < 0x80      ? 1
           : character < 0x800   ? 2
           : character < 0x10000 ? 3
                                 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    out[0] = (uint8_t)(lead[size] | character);
    return size;
}

bool nzd_utf8_count(struct nzd_view view, size_t *out)
{
    size_t count = 0;

    while (view.size > 0) {
        if (nzd_utf8_take(&view) < 0)
            return false;
        count++;
    }
    *out = count;
    return true;
}

void nzd_utf8_latin1(struct nzd_view latin1, struct nzd_buf *out)
{
    for (size_t i = 0; i < latin1.size; i++) {
        uint8_t bytes[4];

        nzd_buf_bytes(out, bytes, nzd_utf8_put(bytes, latin1.data[i]));
    }
}

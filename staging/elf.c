/* SPDX-License-Identifier: Apache-2.0 */
#include "elf.h"

#include <elf.h>
#include <string.h>

/* Where things are in a header of either class. */
struct reader {
    struct nzd_view file;
    bool wide; /* ELFCLASS64 */
    bool big;  /* ELFDATA2MSB */
};

static uint64_t number(const struct reader *in, uint64_t at, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        unsigned place = in->big ? i : size - 1 - i;

        value = value << 8 | in->file.data[at + place];
    }
    return value;
}

static bool holds(const struct reader *in, uint64_t at, uint64_t size)
{
    return at <= in->file.size && size <= in->file.size - at;
}

bool nzd_elf_machine(struct nzd_view head, uint8_t out[NZD_ELF_MACHINE])
{
    if (head.size < NZD_ELF_HEAD || memcmp(head.data, ELFMAG, SELFMAG) != 0)
        return false;
    out[0] = head.data[EI_CLASS];
    out[1] = head.data[EI_DATA];
    out[2] = head.data[18];
    out[3] = head.data[19];
    return true;
}

static int damaged(struct nzd_err *err, const char *why)
{
    return nzd_err_set(err, NZD_EBUNDLE, "%s", why);
}

static int read_interpreter(const struct reader *in, uint64_t at, uint64_t size,
                            struct nzd_elf *out, struct nzd_err *err)
{
    if (size == 0 || size > sizeof(out->interpreter) ||
        in->file.data[at + size - 1] != '\0' || in->file.data[at] != '/')
        return damaged(err, "it names no loader where it should");
    memcpy(out->interpreter, in->file.data + at, size);
    return 0;
}

/* One program header, at `at`. */
static int read_segment(const struct reader *in, uint64_t at, bool *loads,
                        struct nzd_elf *out, struct nzd_err *err)
{
    unsigned word = in->wide ? 8 : 4;
    uint64_t type = number(in, at, 4);
    uint64_t offset = number(in, at + word, word);
    uint64_t size = number(in, at + (in->wide ? 32 : 16), word);

    if (type != PT_LOAD && type != PT_INTERP && type != PT_DYNAMIC)
        return 0;
    if (!holds(in, offset, size))
        return damaged(err, "it ends before its last segment");
    *loads = *loads || type == PT_LOAD;
    return type == PT_INTERP ? read_interpreter(in, offset, size, out, err) : 0;
}

static int read_segments(const struct reader *in, struct nzd_elf *out,
                         struct nzd_err *err)
{
    uint64_t at = number(in, in->wide ? 32 : 28, in->wide ? 8 : 4);
    uint64_t size = number(in, in->wide ? 54 : 42, 2);
    uint64_t count = number(in, in->wide ? 56 : 44, 2);
    bool loads = false;
    int code = 0;

    if (size < (in->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) ||
        !holds(in, at, size * count))
        return damaged(err, "it ends in its headers");
    for (uint64_t i = 0; i < count && code == 0; i++)
        code = read_segment(in, at + i * size, &loads, out, err);
    if (code == 0 && !loads)
        code = damaged(err, "it holds nothing to be loaded");
    return code;
}

int nzd_elf_read(struct nzd_view file, struct nzd_elf *out, struct nzd_err *err)
{
    struct reader in = {.file = file};
    uint64_t type;

    memset(out, 0, sizeof(*out));
    if (file.size < SELFMAG || memcmp(file.data, ELFMAG, SELFMAG) != 0)
        return nzd_err_set(err, NZD_ENOTFOUND, "it is no ELF file");
    if (!nzd_elf_machine(file, out->machine))
        return damaged(err, "it ends in its headers");
    in.wide = out->machine[0] == ELFCLASS64;
    in.big = out->machine[1] == ELFDATA2MSB;
    if ((!in.wide && out->machine[0] != ELFCLASS32) ||
        (!in.big && out->machine[1] != ELFDATA2LSB))
        return damaged(err, "it is of no known class or byte order");
    if (!holds(&in, 0, in.wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return damaged(err, "it ends in its headers");
    type = number(&in, 16, 2);
    if (type != ET_EXEC && type != ET_DYN)
        return damaged(err, "it is no program");
    return read_segments(&in, out, err);
}

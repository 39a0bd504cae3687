/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORD 512u

void tree_open(struct tree *tree)
{
    strcpy(tree->root, "/tmp/nzd-tree.XXXXXX");
    assert_non_null(mkdtemp(tree->root));
}

void tree_close(struct tree *tree)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", tree->root);
    assert_int_equal(system(command), 0);
}

const char *tree_path(const struct tree *tree, const char *relative)
{
    static char paths[8][1600];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof(paths[0]), "%s/%s", tree->root, relative);
    return path;
}

static void make_parents(const char *path)
{
    char copy[1600];

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0755);
        *slash = '/';
    }
}

void tree_write(const struct tree *tree, const char *relative, const void *data,
                size_t size)
{
    const char *path = tree_path(tree, relative);
    FILE *file;

    make_parents(path);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void tree_text(const struct tree *tree, const char *relative, const char *text)
{
    tree_write(tree, relative, text, strlen(text));
}

uint8_t *tree_read(const struct tree *tree, const char *relative, size_t *size)
{
    FILE *file = fopen(tree_path(tree, relative), "r");
    uint8_t *data;
    long end;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    end = ftell(file);
    assert_true(end >= 0);
    rewind(file);
    data = malloc((size_t)end + 1);
    assert_non_null(data);
    *size = fread(data, 1, (size_t)end, file);
    assert_int_equal(*size, end);
    fclose(file);
    return data;
}

void tree_run(const struct tree *tree, const char *command)
{
    char whole[4096];

    snprintf(whole, sizeof(whole), "cd '%s' && %s", tree->root, command);
    if (system(whole) != 0)
        fail_msg("%s", command);
}

void tree_compile(const struct tree *tree, const char *folder,
                  const char *module, const char *source)
{
    char name[300], command[1200];

    snprintf(name, sizeof(name), "src/%s.erl", module);
    tree_text(tree, name, source);
    snprintf(command, sizeof(command),
             "mkdir -p '%s' && erlc +deterministic -o '%s' %s", folder, folder,
             name);
    tree_run(tree, command);
}

/* --- tar --- */

static void append(struct tar *tar, const void *data, size_t size)
{
    size_t padded = (size + RECORD - 1) / RECORD * RECORD;

    if (padded == 0)
        return;
    tar->data = realloc(tar->data, tar->size + padded);
    assert_non_null(tar->data);
    memset(tar->data + tar->size, 0, padded);
    if (size > 0)
        memcpy(tar->data + tar->size, data, size);
    tar->size += padded;
}

/* POSIX ustar: name 0, mode 100, size 124, checksum 148, type 156, link 157. */
static void header(struct tar *tar, const char *name, char type,
                   const char *link, uint64_t size)
{
    uint8_t record[RECORD] = {0};
    unsigned sum = 0;

    snprintf((char *)record, 100, "%s", name);
    memcpy(record + 100, "0000644", 8);
    memcpy(record + 108, "0000000", 8);
    memcpy(record + 116, "0000000", 8);
    snprintf((char *)record + 124, 12, "%011llo", (unsigned long long)size);
    memcpy(record + 136, "00000000000", 12);
    memset(record + 148, ' ', 8);
    record[156] = (uint8_t)type;
    if (link)
        snprintf((char *)record + 157, 100, "%s", link);
    memcpy(record + 257, "ustar\00000", 8);
    for (size_t i = 0; i < RECORD; i++)
        sum += record[i];
    snprintf((char *)record + 148, 8, "%06o", sum);
    append(tar, record, RECORD);
}

void tar_entry(struct tar *tar, const char *name, char type, const char *link,
               const void *data, size_t size)
{
    header(tar, name, type, link, size);
    append(tar, data, size);
}

void tar_lie(struct tar *tar, const char *name, uint64_t claimed,
             const void *data, size_t size)
{
    header(tar, name, '0', NULL, claimed);
    append(tar, data, size);
}

void tar_end(struct tar *tar)
{
    uint8_t zeros[2 * RECORD] = {0};

    append(tar, zeros, sizeof(zeros));
}

void tar_clear(struct tar *tar)
{
    free(tar->data);
    memset(tar, 0, sizeof(*tar));
}

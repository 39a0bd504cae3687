/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs a fuzz harness without a fuzzer: `replay SEED COUNT FOLDER...` gives
 * every file of the folders to LLVMFuzzerTestOneInput, then COUNT mutations
 * of them that follow from SEED alone. Where there is no file, the mutations
 * start from nothing. The input of a run that ends in a crash is left in
 * `crash-SEED` in the working directory.
 */

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_LIMIT (1u << 20) /* bytes of one file that are used */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_set_death_callback(void (*callback)(void))
    __attribute__((weak));

struct input {
    uint8_t *data;
    size_t size;
};

static struct input *inputs;
static size_t input_count;
static uint64_t state;
static uint8_t work[INPUT_LIMIT + 64];
static size_t work_size;
static char crash_name[64];

/* splitmix64: the same numbers on every machine. */
static uint64_t draw(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(size_t limit)
{
    return limit ? (size_t)(draw() % limit) : 0;
}

/* Also from a signal's handler: system calls only. */
static void keep_crash(void)
{
    int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t size = write(fd, work, work_size);
    close(fd);
    if (size != (ssize_t)work_size)
        unlink(crash_name);
}

static void keep_aborted(int number)
{
    keep_crash();
    signal(number, SIG_DFL);
    raise(number);
}

static void run(const struct input *input)
{
    /* A copy of exactly this size, so that a read past its end is seen. */
    uint8_t *copy = malloc(input->size ? input->size : 1);
    if (!copy)
        abort();
    memcpy(copy, input->data, input->size);
    if (input->data != work)
        memcpy(work, input->data, input->size);
    work_size = input->size;
    LLVMFuzzerTestOneInput(copy, input->size);
    free(copy);
}

static void add_input(const char *path)
{
    struct input *grown =
        realloc(inputs, (input_count + 1) * sizeof(struct input));
    uint8_t *data = malloc(INPUT_LIMIT);
    FILE *file = fopen(path, "rb");
    if (!grown || !data || !file) {
        perror(path);
        exit(1);
    }
    inputs = grown;
    inputs[input_count].data = data;
    inputs[input_count].size = fread(data, 1, INPUT_LIMIT, file);
    input_count++;
    fclose(file);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void add_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, visible, alphasort);
    for (int i = 0; i < count; i++) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
            add_input(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

/* What breaks parsers: flipped bits, extreme numbers, cuts, repeats. */
static size_t mutate(uint8_t *data, size_t size)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t at = below(size);
    size_t length = 1 + below(16);
    switch (draw() % 6) {
    case 0:
        if (size)
            data[at] ^= (uint8_t)(1u << below(8));
        return size;
    case 1:
        if (size)
            data[at] = extremes[below(sizeof extremes)];
        return size;
    case 2:
        if (size >= 4 && at <= size - 4)
            memset(data + at, extremes[below(sizeof extremes)], 4);
        return size;
    case 3:
        return at;
    case 4:
        if (size + length > INPUT_LIMIT)
            return size;
        memmove(data + at + length, data + at, size - at);
        for (size_t i = 0; i < length; i++)
            data[at + i] = (uint8_t)draw();
        return size + length;
    default:
        if (at + length > size)
            return size;
        memmove(data + at, data + at + length, size - at - length);
        return size - length;
    }
}

static void run_mutation(void)
{
    size_t size = 0;
    if (input_count) {
        const struct input *from = &inputs[below(input_count)];
        memcpy(work, from->data, from->size);
        size = from->size;
    }
    for (size_t n = 1 + below(6); n; n--)
        size = mutate(work, size);
    run(&(struct input){work, size});
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SEED COUNT FOLDER...\n", argv[0]);
        return 2;
    }
    state = strtoull(argv[1], NULL, 10);
    snprintf(crash_name, sizeof crash_name, "crash-%.20s", argv[1]);
    signal(SIGABRT, keep_aborted);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(keep_crash);

    for (int i = 3; i < argc; i++)
        add_folder(argv[i]);
    for (size_t i = 0; i < input_count; i++)
        run(&inputs[i]);
    unsigned long mutations = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 0; i < mutations; i++)
        run_mutation();

    printf("%zu inputs, %lu mutations, seed %s\n", input_count, mutations,
           argv[1]);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    free(inputs);
    return 0;
}

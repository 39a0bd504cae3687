/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The command that `nzd boot` starts, as parts: "args" (a word on each line, @
 * is the folder of the files), "env" (NAME=VALUE lines of what it may change),
 * "script" (bin/counter), "start_erl", "boot", "vm.args". Besides memory
 * errors: what is to be started instead has a program.
 */

#include "../engine/launch.h"
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS 16

static const char *const changed[] = {NZD_LAUNCH_ENVIRONMENT, "NZD_BOOT",
                                      "RELEASE_VSN", "ERL_AFLAGS"};
#define CHANGED (sizeof(changed) / sizeof(changed[0]))

static const char *root(void)
{
    static const char *const folders[] = {
        "/bin",     "/releases",    "/releases/0.1.0",
        "/erts-13", "/erts-13/bin", "/other",
    };
    static bool made;
    const char *path = fuzz_folder();
    char folder[64];

    if (made)
        return path;
    made = true;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        (void)snprintf(folder, sizeof(folder), "%s%s", path, folders[i]);
        fuzz_require(mkdir(folder, 0700) == 0);
    }
    return path;
}

static void put_file(const char *name, const char *text)
{
    char path[96];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", root(), name);
    if (!text[0]) {
        (void)unlink(path);
        return;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    fuzz_require(fd >= 0 && nzd_write_all(fd, text, strlen(text)) == 0);
    close(fd);
}

static void put_files(const struct fuzz_parts *parts)
{
    put_file("bin/counter", fuzz_part(parts, "script"));
    put_file("bin/erl", fuzz_part(parts, "erl"));
    put_file("releases/start_erl.data", fuzz_part(parts, "start_erl"));
    put_file("releases/0.1.0/start.boot", fuzz_part(parts, "boot"));
    put_file("releases/0.1.0/vm.args", fuzz_part(parts, "vm.args"));
    put_file("releases/0.1.0/sys.config", fuzz_part(parts, "sys.config"));
    put_file("releases/0.1.0/elixir", fuzz_part(parts, "script"));
    put_file("erts-13/bin/beam.smp", "x");
    put_file("erts-13/bin/erlexec", "x");
}

static void put_environment(struct nzd_arena *arena, const char *text)
{
    unsigned count;
    char **lines = fuzz_lines(arena, text, WORDS, &count);

    for (size_t i = 0; i < CHANGED; i++)
        unsetenv(changed[i]);
    setenv("PATH", "/nowhere", 1);
    for (unsigned i = 0; i < count; i++) {
        char *value = strchr(lines[i], '=');

        if (!value)
            continue;
        *value++ = '\0';
        for (size_t n = 0; n < CHANGED; n++)
            if (strcmp(lines[i], changed[n]) == 0)
                setenv(lines[i], value, 1);
    }
}

/* "@" is the folder of the files. */
static void place_words(struct nzd_arena *arena, char **words)
{
    for (; *words; words++)
        if (**words == '@')
            *words = nzd_arena_printf(arena, "%s/%s", root(), *words + 1);
}

static void start_instead(const struct nzd_launch *launch, char **argv,
                          bool with_erts, struct nzd_arena *arena)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_launch_files files = {
        .boot = "/run/nzd/overlay/x/current/start",
        .config = "/run/nzd/overlay/x/current/sys.config",
        .vm_args = "/run/nzd/overlay/x/current/vm.args",
        .erts = with_erts ? "/run/nzd/overlay/x/current/erts/bin" : NULL,
    };
    char **out = NULL;
    int rc = nzd_launch_instead(launch, argv, &files, arena, &out, &err);

    fuzz_require(rc == 0 || (rc == NZD_EREFUSED && err.message[0]));
    fuzz_require(rc != 0 || (out && out[0] && out[0][0]));
    nzd_launch_forget();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_launch launch;
    struct nzd_err err = NZD_ERR_INIT;
    struct fuzz_parts parts;
    unsigned count;
    char **words;
    int rc;

    fuzz_split(nzd_view_of(data, size), &parts);
    put_files(&parts);
    put_environment(&parts.arena, fuzz_part(&parts, "env"));
    words = fuzz_lines(&parts.arena, fuzz_part(&parts, "args"), WORDS, &count);
    place_words(&parts.arena, words);
    nzd_launch_forget();
    if (count > 0) {
        rc = nzd_launch_read(words, &launch, &err);
        fuzz_require(rc == 0 || (rc == NZD_EREFUSED && err.message[0]));
        if (rc == 0) {
            start_instead(&launch, words, false, &parts.arena);
            start_instead(&launch, words, true, &parts.arena);
        }
    }
    fuzz_parts_clear(&parts);
    return 0;
}

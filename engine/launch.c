/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_MAX (256u << 10) /* bytes of a start script that are read */

static int unknown(struct nzd_err *err, const char *why, const char *what)
{
    return nzd_err_set(err, NZD_EREFUSED, "%s: %s", what, why);
}

/* False where it does not fit. */
static bool join(char out[PATH_MAX], const char *a, const char *b)
{
    int size = snprintf(out, PATH_MAX, "%s/%s", a, b);
    return size > 0 && size < PATH_MAX;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
}

static bool is_file(const char *path)
{
    return access(path, R_OK) == 0;
}

/* --- the program --------------------------------------------------------- */

static bool find_in_path(const char *name, char out[PATH_MAX])
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t size = strcspn(path, ":");
        int printed = snprintf(out, PATH_MAX, "%.*s/%s", (int)size, path, name);
        if (size && printed > 0 && printed < PATH_MAX && access(out, X_OK) == 0)
            return true;
        path += size + (path[size] == ':');
    }
    return false;
}

static bool find_program(const char *name, char out[PATH_MAX])
{
    char found[PATH_MAX];
    if (strchr(name, '/'))
        return realpath(name, out) != NULL;
    return find_in_path(name, found) && realpath(found, out) != NULL;
}

/* The value of NAME="VALUE" at the beginning of a line. */
static bool shell_value(const char *text, const char *name, char *out,
                        size_t size)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) != 0 ||
            strncmp(line + length, "=\"", 2) != 0)
            continue;
        line += length + 2;
        length = strcspn(line, "\"\n");
        if (length >= size)
            return false;
        memcpy(out, line, length);
        out[length] = '\0';
        return true;
    }
    return false;
}

/* --- the emulator -------------------------------------------------------- */

/* "erts-13.1.5" of ".../erts-13.1.5/bin". */
static bool erts_of_folder(const char *folder, char erts[64])
{
    const char *at = strstr(folder, "/erts-");
    size_t size;
    if (!at)
        return false;
    at += strlen("/erts-");
    size = strcspn(at, "/");
    if (size == 0 || size >= 64)
        return false;
    memcpy(erts, at, size);
    erts[size] = '\0';
    return true;
}

static bool emulator_in(const char *folder, struct nzd_launch *out)
{
    return erts_of_folder(folder, out->erts) &&
           join(out->emulator, folder, "beam.smp") && is_file(out->emulator);
}

/* The script `erl` of an installation lies in ROOT/bin, and beside each
 * emulator; it says which one it starts. */
static bool emulator_of_script(const char *script, struct nzd_launch *out)
{
    struct nzd_buf text = {0};
    char folder[PATH_MAX], root[PATH_MAX];
    const char *at;
    bool found = false;
    snprintf(folder, sizeof folder, "%s", script);
    cut_name(folder);
    if (emulator_in(folder, out))
        return true;
    if (nzd_host_read(script, SCRIPT_MAX, &text) == 0 &&
        (at = strstr(nzd_buf_string(&text), "/erts-"))) {
        snprintf(root, sizeof root, "%s", folder);
        cut_name(root);
        int size = snprintf(folder, sizeof folder, "%.3000s/%.*s/bin", root,
                            (int)strcspn(at + 1, "/\"\n"), at + 1);
        found = size > 0 && emulator_in(folder, out);
    }
    nzd_buf_clear(&text);
    return found;
}

/* The release's own, else the one that `erl` of PATH starts. */
static bool emulator_of_release(struct nzd_launch *out, const char *erts)
{
    char folder[PATH_MAX], erl[PATH_MAX];
    int size =
        snprintf(folder, sizeof folder, "%.3000s/erts-%s/bin", out->root, erts);
    if (size > 0 && emulator_in(folder, out))
        return true;
    return find_program("erl", erl) && emulator_of_script(erl, out);
}

/* --- erl and erlexec ----------------------------------------------------- */

static const char *boot_argument(char *const argv[])
{
    for (int i = 1; argv[i]; i++) {
        if (strcmp(argv[i], "--") == 0 || strcmp(argv[i], "-extra") == 0)
            break;
        if (strcmp(argv[i], "-boot") == 0)
            return argv[i + 1];
    }
    return NULL;
}

static bool flags_boot(void)
{
    const char *flags = getenv("ERL_AFLAGS");
    return flags && strstr(flags, "-boot ");
}

static int read_erl(char *const argv[], struct nzd_launch *out,
                    struct nzd_err *err)
{
    const char *boot = boot_argument(argv);
    char path[PATH_MAX];
    if (flags_boot())
        return unknown(err, "ERL_AFLAGS names a boot script", argv[0]);
    if (!boot)
        return unknown(err, "no -boot names a release", argv[0]);
    int size = snprintf(path, sizeof path, "%s.boot", boot);
    if (size < 0 || size >= PATH_MAX || !realpath(path, out->boot))
        return unknown(err, "its boot script is not there", boot);
    snprintf(out->root, sizeof out->root, "%s", out->boot);
    for (int i = 0; i < 3; i++)
        cut_name(out->root);
    snprintf(path, sizeof path, "%s", out->program);
    cut_name(path);
    if (!emulator_in(path, out) && !emulator_of_script(out->program, out))
        return unknown(err, "its emulator cannot be told", argv[0]);
    return 0;
}

/* --- the scripts of releases --------------------------------------------- */

static bool set_boot(struct nzd_launch *out, const char *version,
                     const char *name)
{
    int size = snprintf(out->boot, PATH_MAX, "%.3000s/releases/%.500s/%s.boot",
                        out->root, version, name);
    return size > 0 && size < PATH_MAX && is_file(out->boot);
}

static void root_of_script(struct nzd_launch *out)
{
    snprintf(out->root, sizeof out->root, "%s", out->program);
    cut_name(out->root); /* bin/NAME */
    cut_name(out->root);
}

/* "13.1.5 0.2.0" */
static bool read_start_erl(const struct nzd_launch *launch, char erts[64],
                           char version[256])
{
    struct nzd_buf text = {0};
    char path[PATH_MAX];
    bool read = join(path, launch->root, "releases/start_erl.data") &&
                nzd_host_read(path, 512, &text) == 0 &&
                sscanf(nzd_buf_string(&text), "%63s %255s", erts, version) == 2;
    nzd_buf_clear(&text);
    return read;
}

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && value[0] ? value : otherwise;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; word && *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

static int read_mix(char *const argv[], struct nzd_launch *out,
                    struct nzd_err *err)
{
    static const char *const starts[] = {"start", "start_iex", "daemon",
                                         "daemon_iex", NULL};
    char erts[64], version[256];
    if (!is_one_of(argv[1], starts))
        return unknown(err, "only start and daemon start a release", argv[0]);
    root_of_script(out);
    out->detached = strncmp(argv[1], "daemon", 6) == 0;
    out->kind = NZD_LAUNCH_MIX;
    if (!read_start_erl(out, erts, version))
        return unknown(err, "it has no releases/start_erl.data", out->root);
    if (!set_boot(out, environment("RELEASE_VSN", version),
                  environment("RELEASE_BOOT_SCRIPT", "start")))
        return unknown(err, "its boot script is not there", out->boot);
    if (!emulator_of_release(out, erts))
        return unknown(err, "its emulator cannot be told", argv[0]);
    return 0;
}

static int read_relx(char *const argv[], const char *text,
                     struct nzd_launch *out, struct nzd_err *err)
{
    static const char *const starts[] = {"foreground", "console", "daemon",
                                         "start", NULL};
    char erts[64], version[256], name[256];
    if (!is_one_of(argv[1], starts))
        return unknown(err,
                       "only foreground, console and daemon start a "
                       "release",
                       argv[0]);
    root_of_script(out);
    out->detached =
        strcmp(argv[1], "foreground") != 0 && strcmp(argv[1], "console") != 0;
    out->kind = NZD_LAUNCH_RELX;
    if (!shell_value(text, "ERTS_VSN", erts, sizeof erts) ||
        !shell_value(text, "REL_VSN", version, sizeof version) ||
        !shell_value(text, "export REL_NAME", name, sizeof name))
        return unknown(err, "its version cannot be told", argv[0]);
    if (!set_boot(out, version, name) && !set_boot(out, version, "start"))
        return unknown(err, "its boot script is not there", out->boot);
    if (!emulator_of_release(out, erts))
        return unknown(err, "its emulator cannot be told", argv[0]);
    return 0;
}

static int read_script(char *const argv[], struct nzd_launch *out,
                       struct nzd_err *err)
{
    struct nzd_buf text = {0};
    int code;
    if (nzd_host_read(out->program, SCRIPT_MAX, &text) != 0)
        code = unknown(err, "it cannot be read", argv[0]);
    else if (strstr(nzd_buf_string(&text), "RELEASE_BOOT_SCRIPT"))
        code = read_mix(argv, out, err);
    else if (strstr(nzd_buf_string(&text), "console_boot"))
        code = read_relx(argv, nzd_buf_string(&text), out, err);
    else
        code =
            unknown(err, "it is neither erl nor a release's script", argv[0]);
    nzd_buf_clear(&text);
    return code;
}

int nzd_launch_read(char *const argv[], struct nzd_launch *out,
                    struct nzd_err *err)
{
    const char *name = base_name(argv[0]);
    memset(out, 0, sizeof *out);
    if (!find_program(argv[0], out->program))
        return unknown(err, "there is no such program", argv[0]);
    if (strcmp(name, "erl") == 0 || strcmp(name, "erlexec") == 0)
        return read_erl(argv, out, err);
    return read_script(argv, out, err);
}

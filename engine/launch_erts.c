/* SPDX-License-Identifier: Apache-2.0 */
#include "launch_erts.h"

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT_MAX (256u << 10) /* bytes of a start script that are read */
#define START      "NZD_START"

struct instead {
    const struct nzd_launch *launch;
    const char *folder; /* of the other ERTS: ".../erts-13.2/bin" */
    const char *root;   /* what the base's erl would say */
    struct nzd_arena *arena;
    char *const *argv;
    struct nzd_err *err;
};

/*
 * %s: the folder, the root, quoted. A function is called in place of each
 * `exec` behind the alias; its own were read before. What a start script of
 * Mix runs is another script, read the same way. A shell that expands no
 * aliases would start the wrong emulator: it starts none.
 */
static const char wrapper[] =
    "nzd_erlexec() {\n"
    "  BINDIR=%s\n"
    "  export BINDIR\n"
    "  unset " START "\n"
    "  exec \"$BINDIR/erlexec\" \"$@\"\n"
    "}\n"
    "nzd_exec() {\n"
    "  case \"$1\" in\n"
    "  */erlexec)\n"
    "    shift\n"
    "    nzd_erlexec \"$@\" ;;\n"
    "  erl | */erl)\n"
    "    shift\n"
    "    ROOTDIR=%s EMU=beam PROGNAME=erl\n"
    "    export ROOTDIR EMU PROGNAME\n"
    "    nzd_erlexec \"$@\" ;;\n"
    "  */releases/*/elixir | */releases/*/iex)\n"
    "    exec /bin/sh -c \"$" START "\" \"$@\" ;;\n"
    "  *)\n"
    "    exec \"$@\" ;;\n"
    "  esac\n"
    "}\n"
    "nzd_seen() { exit 7; }\n"
    "(alias exec=nzd_seen && eval 'exec true')\n"
    "[ $? = 7 ] || { echo 'nzd: /bin/sh expands no aliases' >&2; exit 126; }\n"
    "alias exec=nzd_exec\n"
    ". \"$0\"\n";

static int refuse(struct instead *in, const char *what, const char *why)
{
    return nzd_err_set(in->err, NZD_EREFUSED,
                       "%s cannot start another ERTS than its own: %s", what,
                       why);
}

/* --- the environment ----------------------------------------------------- */

static bool set_base(const struct instead *in)
{
    const char *text =
        nzd_arena_printf(in->arena, "%s %s", in->launch->erts, in->folder);
    return text && setenv(NZD_LAUNCH_BASE_ERTS, text, 1) == 0;
}

/* The operator's own, which erlexec needs, is kept for the next boot. */
static bool set_bindir(const struct instead *in)
{
    const char *own = getenv("BINDIR");
    return setenv("NZD_BINDIR", own ? own : "", 1) == 0 &&
           setenv("BINDIR", in->folder, 1) == 0;
}

bool nzd_launch_is_erts(const char *folder)
{
    const char *native = strstr(folder, "/native/");
    return native && strstr(native, "/vm-") && strstr(native, "/erts-");
}

static void forget_bindir(void)
{
    const char *now = getenv("BINDIR"), *own = getenv("NZD_BINDIR");
    if (now && nzd_launch_is_erts(now)) {
        if (own && own[0])
            setenv("BINDIR", own, 1);
        else
            unsetenv("BINDIR");
    }
    unsetenv("NZD_BINDIR");
}

/* erlexec has put its folder before the others. */
static void forget_path(void)
{
    const char *path = getenv("PATH");
    struct nzd_buf kept = {0};
    char part[PATH_MAX];
    while (path && *path) {
        size_t size = strcspn(path, ":");
        snprintf(part, sizeof part, "%.*s", (int)size, path);
        if (!nzd_launch_is_erts(part))
            nzd_buf_printf(&kept, "%s%.*s", kept.size ? ":" : "", (int)size,
                           path);
        path += size + (path[size] == ':');
    }
    if (kept.size && !kept.failed)
        setenv("PATH", nzd_buf_string(&kept), 1);
    nzd_buf_clear(&kept);
}

void nzd_launch_forget_erts(void)
{
    forget_bindir();
    forget_path();
    unsetenv(NZD_LAUNCH_BASE_ERTS);
    unsetenv(START);
}

/* --- erl and erlexec ----------------------------------------------------- */

/* The folder above erts-VSN. */
static const char *find_root(const struct instead *in)
{
    const char *emulator = in->launch->emulator;
    const char *end = emulator + strlen(emulator);
    for (int up = 0; up < 3 && end; up++)
        end = memrchr(emulator, '/', (size_t)(end - emulator));
    return end ? nzd_arena_printf(in->arena, "%.*s", (int)(end - emulator),
                                  emulator)
               : NULL;
}

static char **copy_argv(struct instead *in, size_t skip, size_t before)
{
    size_t count = 0;
    while (in->argv[count])
        count++;
    char **out = nzd_arena_alloc(in->arena, (before + count + 1) * sizeof *out);
    if (out)
        memcpy(out + before, in->argv + skip, (count + 1 - skip) * sizeof *out);
    return out;
}

/* erl, a script, says what erlexec wants to know. */
static bool set_erl(const struct instead *in)
{
    const char *name = strrchr(in->argv[0], '/');
    if (strcmp(name ? name + 1 : in->argv[0], "erl") != 0)
        return true;
    return setenv("ROOTDIR", in->root, 1) == 0 &&
           setenv("EMU", "beam", 1) == 0 && setenv("PROGNAME", "erl", 1) == 0;
}

static char **erl_instead(struct instead *in)
{
    char **out = copy_argv(in, 0, 0);
    if (!out || !set_bindir(in) || !set_erl(in))
        return NULL;
    out[0] = (char *)(uintptr_t)nzd_arena_printf(in->arena, "%s/erlexec",
                                                 in->folder);
    return out[0] ? out : NULL;
}

/* --- the scripts of releases --------------------------------------------- */

/* `exec` with files and no program is not to be told from one with a program
 * once it is a function. */
static bool redirects(const char *text)
{
    for (const char *at = text; (at = strstr(at, "exec ")); at += 5) {
        const char *word = at + 5 + strspn(at + 5, " \t");
        word += strspn(word, "0123456789");
        if (*word == '<' || *word == '>')
            return true;
    }
    return false;
}

static int check_text(struct instead *in, const char *path)
{
    struct nzd_buf text = {0};
    int code = 0;
    if (nzd_host_read(path, SCRIPT_MAX, &text) != 0)
        code = refuse(in, path, "it cannot be read");
    else if (strncmp(nzd_buf_string(&text), "#!/bin/sh", 9) != 0)
        code = refuse(in, path, "it is no script of /bin/sh");
    else if (redirects(nzd_buf_string(&text)))
        code = refuse(in, path, "it uses exec to open files");
    nzd_buf_clear(&text);
    return code;
}

static int check_scripts(struct instead *in)
{
    const char *slash = strrchr(in->launch->boot, '/');
    const char *inner =
        nzd_arena_printf(in->arena, "%.*s/elixir",
                         (int)(slash - in->launch->boot), in->launch->boot);
    if (in->launch->detached)
        return refuse(in, in->launch->program,
                      "as a daemon another process starts the VM");
    int code = check_text(in, in->launch->program);
    if (!code && in->launch->kind == NZD_LAUNCH_MIX)
        code = inner ? check_text(in, inner) : nzd_err_memory(in->err);
    return code;
}

/* As one word of a shell; NULL without memory, or where it holds a quote. */
static const char *quote(struct instead *in, const char *text)
{
    return strchr(text, '\'') ? NULL
                              : nzd_arena_printf(in->arena, "'%s'", text);
}

static char **script_instead(struct instead *in)
{
    const char *folder = quote(in, in->folder);
    const char *root = quote(in, in->root);
    const char *own =
        strchr(in->argv[0], '/') ? in->argv[0] : in->launch->program;
    const char *text = folder && root
                           ? nzd_arena_printf(in->arena, wrapper, folder, root)
                           : NULL;
    char **out = copy_argv(in, 1, 4);
    if (!text || !out || setenv(START, text, 1) != 0)
        return NULL;
    out[0] = (char *)(uintptr_t) "/bin/sh";
    out[1] = (char *)(uintptr_t) "-c";
    out[2] = (char *)(uintptr_t)text;
    out[3] = (char *)(uintptr_t)own;
    return out;
}

int nzd_launch_with_erts(const struct nzd_launch *launch, const char *folder,
                         struct nzd_arena *arena, char *const argv[],
                         char *const **out, struct nzd_err *err)
{
    struct instead in = {.launch = launch,
                         .folder = folder,
                         .arena = arena,
                         .argv = argv,
                         .err = err};
    bool script = launch->kind != NZD_LAUNCH_ERL;
    int code = script ? check_scripts(&in) : 0;
    if (code)
        return code;
    in.root = find_root(&in);
    char **words = in.root && set_base(&in)
                       ? (script ? script_instead(&in) : erl_instead(&in))
                       : NULL;
    *out = words;
    return words ? 0 : nzd_err_memory(err);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"

#include "host.h"
#include "launch_erts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SCRIPT_MAX       (256u << 10) /* bytes of a start script that are read */
#define FOREGROUND_FLAGS "-noinput +Bd"

struct instead {
    const struct nzd_launch *launch;
    int folder; /* bytes of launch->boot that name it */
    const struct nzd_launch_files *files;
    char *const *argv;
    struct nzd_arena *arena;
    struct nzd_err *err;
};

static int refuse(struct instead *in, const char *what, const char *why)
{
    return nzd_err_set(in->err, NZD_EREFUSED, "%s: %s", what, why);
}

/* --- the release's own files --------------------------------------------- */

/* The file of this name beside the release's boot script. */
static const char *beside(struct instead *in, const char *name)
{
    return nzd_arena_printf(in->arena, "%.*s/%s", in->folder, in->launch->boot,
                            name);
}

static bool is_there(const char *path)
{
    struct stat file;
    return path && stat(path, &file) == 0;
}

static bool is_same(const char *a, const char *b)
{
    struct stat first, second;
    return a && b && stat(a, &first) == 0 && stat(b, &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* As -config takes it: the extension may be left out. */
static bool is_config(struct instead *in, const char *name)
{
    const char *file = ends_with(name, ".config")
                           ? name
                           : nzd_arena_printf(in->arena, "%s.config", name);
    return is_same(file, beside(in, "sys.config"));
}

static bool is_vm_args(struct instead *in, const char *name)
{
    return is_same(name, beside(in, "vm.args"));
}

/* --- the environment ----------------------------------------------------- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* The operator's own, where there is one, is kept for the next boot. */
static int put(struct instead *in, const char *name, const char *value)
{
    const char *kept = nzd_arena_printf(in->arena, "NZD_%s", name);
    return kept && value && setenv(kept, environment(name), 1) == 0 &&
                   setenv(name, value, 1) == 0
               ? 0
               : nzd_err_memory(in->err);
}

/* What the value is that nzd_launch_instead() has given it. A script may have
 * gone on from there, with a copy. */
static bool is_ours(const char *value)
{
    return strstr(value, "/nzd/overlay/") || ends_with(value, ".runtime");
}

/* What the agent has given it, so that init:restart/0 reads it: of a VM that
 * was started with the base, or not by us. */
static bool is_of_restart(const char *value)
{
    const char *name = strrchr(value, '/');
    return strstr(value, "/nzd/overlay/") ||
           (name && !strncmp(name, "/nzd-", 5) && ends_with(value, ".runtime"));
}

static void forget(const char *name, bool is(const char *value))
{
    char kept[64];
    snprintf(kept, sizeof kept, "NZD_%s", name);
    const char *own = getenv(kept), *value = getenv(name);
    if (value && is(value)) {
        if (own && own[0])
            setenv(name, own, 1);
        else
            unsetenv(name);
    }
    unsetenv(kept);
}

static void forget_foreground_flags(void)
{
    char *flags = getenv("ERL_ZFLAGS");
    size_t size = flags ? strlen(flags) : 0, ours = strlen(FOREGROUND_FLAGS);
    if (size < ours || !ends_with(flags, FOREGROUND_FLAGS))
        return;
    size -= ours;
    flags[size - (size && flags[size - 1] == ' ')] = '\0';
    if (!flags[0])
        unsetenv("ERL_ZFLAGS");
}

void nzd_launch_forget(void)
{
    const char *generation = getenv("NZD_BOOT");
    if (!generation || strcmp(generation, "0") == 0) {
        forget("RELEASE_SYS_CONFIG", is_of_restart);
        return;
    }
    forget("RELEASE_BOOT_SCRIPT", is_ours);
    forget("RELEASE_SYS_CONFIG", is_ours);
    forget("RELEASE_VM_ARGS", is_ours);
    forget("RELX_CONFIG_PATH", is_ours);
    forget("VMARGS_PATH", is_ours);
    forget_foreground_flags();
    nzd_launch_forget_erts();
}

/* --- erl and erlexec ----------------------------------------------------- */

/* Of the words up to the end of the VM's own, the one behind `flag` that is
 * the release's file; 0: none. */
static size_t find_word(struct instead *in, const char *flag,
                        bool (*is)(struct instead *in, const char *name))
{
    char *const *argv = in->argv;
    for (size_t i = 1; argv[i] && argv[i + 1]; i++) {
        if (strcmp(argv[i], "--") == 0 || strcmp(argv[i], "-extra") == 0)
            break;
        if (strcmp(argv[i], flag) == 0 && is(in, argv[i + 1]))
            return i + 1;
    }
    return 0;
}

/* argv with `count` words in place of `replaced` at `at`. */
static char **rewrite(struct instead *in, size_t at, size_t replaced,
                      const char *const *words, size_t count)
{
    size_t length = 0, kept = 0;
    while (in->argv[length])
        length++;
    char **out = nzd_arena_alloc(in->arena, (length + count + 1) * sizeof *out);
    for (size_t i = 0; out && i < at; i++)
        out[kept++] = in->argv[i];
    for (size_t i = 0; out && i < count; i++)
        out[kept++] = (char *)(uintptr_t)words[i];
    for (size_t i = at + replaced; out && i < length; i++)
        out[kept++] = in->argv[i];
    return out;
}

static int replace(struct instead *in, const char *flag, const char *file,
                   bool (*is)(struct instead *in, const char *name))
{
    size_t at = file ? find_word(in, flag, is) : 0;
    if (!file)
        return 0;
    if (!at)
        return nzd_err_set(in->err, NZD_EREFUSED,
                           "%s: no %s names the release's own file, of which "
                           "the generation has another",
                           in->argv[0], flag);
    in->argv = rewrite(in, at, 1, &file, 1);
    return in->argv ? 0 : nzd_err_memory(in->err);
}

/* Elixir's config providers read the file by the name that erlinit gives. */
static int name_config(struct instead *in)
{
    const char *name = environment("RELEASE_SYS_CONFIG");
    const char *config = in->files->config;
    if (!config || !is_config(in, name))
        return 0;
    return put(in, "RELEASE_SYS_CONFIG",
               nzd_arena_printf(in->arena, "%.*s",
                                (int)(strrchr(config, '.') - config), config));
}

static int erl_instead(struct instead *in)
{
    const char *const boot[] = {"-boot", in->files->boot};
    int code = replace(in, "-config", in->files->config, is_config);
    if (!code)
        code = replace(in, "-args_file", in->files->vm_args, is_vm_args);
    if (!code)
        code = name_config(in);
    if (code)
        return code;
    in->argv = rewrite(in, 1, 0, boot, 2);
    return in->argv ? 0 : nzd_err_memory(in->err);
}

/* --- the scripts of releases --------------------------------------------- */

static bool text_holds(const char *path, const char *word)
{
    struct nzd_buf text = {0};
    bool holds = path && nzd_host_read(path, SCRIPT_MAX, &text) == 0 &&
                 strstr(nzd_buf_string(&text), word);
    nzd_buf_clear(&text);
    return holds;
}

/* "NAME=" on a line that is no comment, and not only where it is not set. */
static bool assigns(const char *text, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = text; *line; line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        const char *at = line + strspn(line, " \t");
        const char *word =
            *at == '#' ? NULL
                       : memmem(at, (size_t)(line + length - at), name, size);
        if (word && word[size] == '=' &&
            !memmem(word + size, (size_t)(line + length - word) - size, ":-",
                    2))
            return true;
        line += length;
    }
    return false;
}

/* The release's env.sh is read behind us. */
static int check_env(struct instead *in, const char *name)
{
    struct nzd_buf text = {0};
    const char *path = beside(in, "env.sh");
    bool sets = path && nzd_host_read(path, SCRIPT_MAX, &text) == 0 &&
                assigns(nzd_buf_string(&text), name);
    nzd_buf_clear(&text);
    return sets ? nzd_err_set(in->err, NZD_EREFUSED, "%s: it sets %s", path,
                              name)
                : 0;
}

/* The variable is free, or names the release's own file. */
static int check_free(struct instead *in, const char *name,
                      bool (*is)(struct instead *in, const char *name))
{
    const char *value = environment(name);
    if (!value[0] || is(in, value))
        return 0;
    return nzd_err_set(in->err, NZD_EREFUSED,
                       "%s names another file than the release's: %s", name,
                       value);
}

static int check_known(struct instead *in, const char *word, const char *name)
{
    if (text_holds(in->launch->program, word))
        return 0;
    return nzd_err_set(in->err, NZD_EREFUSED, "%s: it does not take %s",
                       in->launch->program, name);
}

/* Mix puts releases/VSN/ before the name: the way up and down from there. */
static int put_boot_script(struct instead *in)
{
    char real[PATH_MAX];
    const char *folder = beside(in, "");
    const char *way = "";
    if (!folder || !realpath(folder, real))
        return nzd_err_memory(in->err);
    for (const char *at = real; way && *at; at++)
        if (*at == '/' && at[1])
            way = nzd_arena_printf(in->arena, "../%s", way);
    if (way)
        way = nzd_arena_printf(in->arena, "%s%s", way, in->files->boot + 1);
    return put(in, "RELEASE_BOOT_SCRIPT", way);
}

/* A copy that an earlier start of the script has made is the release's, too. */
static bool is_mix_config(struct instead *in, const char *name)
{
    return is_config(in, name) || ends_with(name, ".runtime");
}

static int put_mix_config(struct instead *in)
{
    static const char name[] = "RELEASE_SYS_CONFIG";
    const char *config = in->files->config;
    if (!config)
        return 0;
    int code = check_known(in, "DEFAULT_SYS_CONFIG", name);
    if (!code)
        code = check_env(in, name);
    if (!code)
        code = check_free(in, name, is_mix_config);
    return code ? code
                : put(in, name,
                      nzd_arena_printf(in->arena, "%.*s",
                                       (int)(strrchr(config, '.') - config),
                                       config));
}

static int put_mix_args(struct instead *in)
{
    static const char name[] = "RELEASE_VM_ARGS";
    if (!in->files->vm_args)
        return 0;
    int code = check_known(in, "RELEASE_VM_ARGS", name);
    if (!code)
        code = check_env(in, name);
    if (!code)
        code = check_free(in, name, is_vm_args);
    return code ? code : put(in, name, in->files->vm_args);
}

static int mix_instead(struct instead *in)
{
    int code = check_env(in, "RELEASE_BOOT_SCRIPT");
    if (!code)
        code = put_boot_script(in);
    if (!code)
        code = put_mix_config(in);
    if (!code)
        code = put_mix_args(in);
    if (code)
        return code;
    in->argv = rewrite(in, 1, 0, NULL, 0);
    return in->argv ? 0 : nzd_err_memory(in->err);
}

/* A file that the script makes anew at each start is not exchanged for one
 * that it does not; and it takes one of the release's root before any. */
static int check_plain(struct instead *in, const char *name)
{
    const char *source = nzd_arena_printf(in->arena, "%s.src", name);
    const char *made = source ? beside(in, source) : NULL;
    const char *above =
        nzd_arena_printf(in->arena, "%s/%s", in->launch->root, name);
    if (is_there(made))
        return refuse(in, made, "the start script puts values into it");
    if (is_there(above))
        return refuse(in, above, "it stands in for the release's");
    if (environment("RELX_REPLACE_OS_VARS")[0])
        return refuse(in, "RELX_REPLACE_OS_VARS",
                      "the start script puts values into its files");
    return 0;
}

static int put_relx(struct instead *in, const char *variable, const char *name,
                    const char *file,
                    bool (*is)(struct instead *in, const char *name))
{
    if (!file)
        return 0;
    int code = check_known(in, variable, variable);
    if (!code)
        code = check_plain(in, name);
    if (!code)
        code = check_free(in, variable, is);
    return code ? code : put(in, variable, file);
}

/* What `foreground` would have given. */
static int add_foreground_flags(struct instead *in)
{
    const char *own = environment("ERL_ZFLAGS");
    const char *flags = nzd_arena_printf(in->arena, "%s%s" FOREGROUND_FLAGS,
                                         own, own[0] ? " " : "");
    return flags && setenv("ERL_ZFLAGS", flags, 1) == 0
               ? 0
               : nzd_err_memory(in->err);
}

static int relx_instead(struct instead *in)
{
    const struct nzd_launch_files *files = in->files;
    const char *verb = in->argv[1];
    bool console =
        strcmp(verb, "foreground") == 0 || strcmp(verb, "console") == 0;
    const char *const words[] = {console ? "console_boot" : "daemon_boot",
                                 files->boot};
    int code = put_relx(in, "RELX_CONFIG_PATH", "sys.config", files->config,
                        is_config);
    if (!code)
        code =
            put_relx(in, "VMARGS_PATH", "vm.args", files->vm_args, is_vm_args);
    if (!code && strcmp(verb, "foreground") == 0)
        code = add_foreground_flags(in);
    if (code)
        return code;
    in->argv = rewrite(in, 1, 1, words, 2);
    return in->argv ? 0 : nzd_err_memory(in->err);
}

int nzd_launch_instead(const struct nzd_launch *launch, char *const argv[],
                       const struct nzd_launch_files *files,
                       struct nzd_arena *arena, char ***out,
                       struct nzd_err *err)
{
    static int (*const ways[])(struct instead *
                               in) = {[NZD_LAUNCH_ERL] = erl_instead,
                                      [NZD_LAUNCH_MIX] = mix_instead,
                                      [NZD_LAUNCH_RELX] = relx_instead};
    const char *slash = strrchr(launch->boot, '/');
    struct instead in = {.launch = launch,
                         .folder = slash ? (int)(slash - launch->boot) : 0,
                         .files = files,
                         .argv = argv,
                         .arena = arena,
                         .err = err};
    *out = NULL;
    int code = ways[launch->kind](&in);
    if (!code && files->erts)
        code = nzd_launch_with_erts(launch, files->erts, arena, in.argv,
                                    &in.argv, err);
    if (!code)
        *out = (char **)(uintptr_t)in.argv;
    return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config_internal.h"

#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/nzd.conf"
#define FILE_MAX     (256u << 10) /* bytes */
#define BUNDLE_MAX   (64u << 10)

/* --- from the parsed form -------------------------------------------- */

static int take_text(cfg_t *cfg, const char *key, struct nzd_config *out,
                     const char **text, struct nzd_err *err)
{
    const char *value = cfg_getstr(cfg, key);

    if (!value)
        return 0;
    *text = nzd_arena_text(&out->arena, value, strlen(value));
    return *text ? 0 : nzd_err_memory(err);
}

static int take_restart(const struct nzd_config_source *source, cfg_t *cfg,
                        struct nzd_config *out)
{
    cfg_t *restart = cfg_getsec(cfg, "restart");
    unsigned words = cfg_size(restart, "command");

    nzd_parse_duration(cfg_getstr(restart, "timeout"),
                       &out->restart_timeout_us);
    if (words > NZD_HOOK_ARGS ||
        (words && !cfg_getnstr(restart, "command", 0)[0]))
        return nzd_config_fail(source, restart->line,
                               words > NZD_HOOK_ARGS
                                   ? "restart: more than 32 words"
                                   : "restart: the command has no name");
    for (unsigned i = 0; i < words; i++) {
        const char *word = cfg_getnstr(restart, "command", i);

        out->restart_command[i] =
            nzd_arena_text(&out->arena, word, strlen(word));
        if (!out->restart_command[i])
            return nzd_err_memory(source->err);
    }
    out->restart_words = words;
    return 0;
}

static uint64_t count_of(cfg_t *cfg, const char *key)
{
    uint64_t count = 0;

    nzd_parse_count(cfg_getstr(cfg, key), &count);
    return count;
}

static void take_soak(cfg_t *soak, struct nzd_config *out)
{
    struct nzd_soak_limits *limits = &out->soak;

    nzd_parse_duration(cfg_getstr(soak, "for"), &out->soak_us);
    nzd_parse_duration(cfg_getstr(soak, "before"), &out->soak_before_us);
    nzd_parse_duration(cfg_getstr(soak, "hooks"), &out->soak_hooks_us);
    limits->crashes = count_of(soak, "crashes");
    limits->restarts = count_of(soak, "restarts");
    limits->queue = count_of(soak, "queue");
    limits->run_queue = count_of(soak, "run_queue");
    nzd_parse_duration(cfg_getstr(soak, "latency"), &limits->latency_us);
    nzd_parse_percent(cfg_getstr(soak, "memory"), &limits->memory_percent);
    nzd_parse_percent(cfg_getstr(soak, "processes"),
                      &limits->processes_percent);
}

static void take_trial(cfg_t *trial, struct nzd_config *out)
{
    nzd_parse_duration(cfg_getstr(trial, "confirm"), &out->trial_confirm_us);
    out->trial_hung_restart = strcmp(cfg_getstr(trial, "hung"), "restart") == 0;
    nzd_parse_duration(cfg_getstr(trial, "hung_after"),
                       &out->trial_hung_after_us);
}

/* Every value was checked when it was read. */
static int take_settings(cfg_t *cfg, struct nzd_config *out,
                         struct nzd_err *err)
{
    cfg_t *boot = cfg_getsec(cfg, "boot");
    uint64_t count = 0;
    int rc = take_text(cfg, "node", out, &out->node, err);

    if (rc == 0)
        rc = take_text(cfg, "cookie_file", out, &out->cookie_file, err);
    if (rc == 0)
        rc = take_text(cfg, "journal", out, &out->journal, err);
    if (rc == 0)
        rc = take_text(cfg, "journal_group", out, &out->journal_group, err);
    out->max = (enum nzd_level)nzd_level_of(cfg_getstr(cfg, "max"));
    nzd_parse_duration(cfg_getstr(cfg, "drain"), &out->drain_us);
    nzd_parse_count(cfg_getstr(cfg, "keep"), &count);
    out->keep = (uint32_t)count;
    nzd_parse_size(cfg_getstr(cfg, "journal_max"), &out->journal_max);
    nzd_parse_count(cfg_getstr(boot, "tries"), &count);
    out->boot_tries = (uint32_t)count;
    nzd_parse_duration(cfg_getstr(boot, "timeout"), &out->boot_timeout_us);
    nzd_parse_duration(cfg_getstr(boot, "healthy"), &out->boot_healthy_us);
    take_soak(cfg_getsec(cfg, "soak"), out);
    take_trial(cfg_getsec(cfg, "trial"), out);
    return rc;
}

static int take_hooks(const struct nzd_config_source *source, cfg_t *cfg,
                      unsigned limit, struct nzd_config *out)
{
    unsigned count = cfg_size(cfg, "hook");

    if (count > limit)
        return nzd_config_fail(source, cfg->line, "%u hooks, at most %u", count,
                               limit);
    for (unsigned i = 0; i < count; i++) {
        int rc = nzd_config_hook(source, cfg_getnsec(cfg, "hook", i), out);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- texts and files ------------------------------------------------- */

static int load_text(const struct nzd_config_source *source,
                     struct nzd_view text, struct nzd_config *out)
{
    cfg_t *cfg = NULL;
    int rc = nzd_config_parse(source, text, &cfg);

    if (rc < 0)
        return rc;
    rc = take_settings(cfg, out, source->err);
    if (rc == 0)
        rc = take_restart(source, cfg, out);
    if (rc == 0)
        rc = take_hooks(source, cfg, NZD_HOOKS_MAX, out);
    cfg_free(cfg);
    return rc;
}

/* It names programs that run with this user's rights. `own`: one that was
 * named, as by sudo, may be anybody's. */
static int judge_file(int fd, const char *path, bool own, struct nzd_err *err)
{
    struct stat status;

    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    if (status.st_mode & S_IWOTH) {
        nzd_err_set(err, NZD_EUSAGE,
                    "%s: everybody may write it, and it names programs to run",
                    path);
        nzd_err_next(err, "see what it says, then chmod o-w %s", path);
        return NZD_EUSAGE;
    }
    if (own || status.st_uid == 0 || status.st_uid == geteuid())
        return 0;
    nzd_err_set(err, NZD_EUSAGE,
                "%s: it is neither root's nor yours, and names programs to run",
                path);
    nzd_err_next(err,
                 "see what it says, then chown it; --config %s takes it "
                 "all the same",
                 path);
    return NZD_EUSAGE;
}

static int read_file(const char *path, bool required, struct nzd_buf *out,
                     struct nzd_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t got = 1;
    int code;

    if (fd < 0 && errno == ENOENT && !required)
        return 0;
    if (fd < 0)
        return nzd_err_system(err, NZD_EUSAGE, errno, "%s", path);
    code = judge_file(fd, path, required, err);
    if (code < 0) {
        close(fd);
        return code;
    }
    while (got > 0 && out->size <= FILE_MAX) {
        uint8_t *to = nzd_buf_reserve(out, 4096);

        if (!to)
            break;
        got = read(fd, to, 4096);
        if (got > 0)
            out->size += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    if (got < 0)
        nzd_err_system(err, NZD_EUSAGE, errno, "%s", path);
    close(fd);
    if (got < 0)
        return NZD_EUSAGE;
    if (out->failed)
        return nzd_err_memory(err);
    if (out->size > FILE_MAX)
        return nzd_err_set(err, NZD_EUSAGE, "%s: more than 256 KB", path);
    return 0;
}

static int hooks_room(struct nzd_config *config, struct nzd_err *err)
{
    config->hooks =
        nzd_arena_alloc(&config->arena, (NZD_HOOKS_MAX + NZD_HOOKS_BUNDLE) *
                                            sizeof(*config->hooks));
    return config->hooks ? 0 : nzd_err_memory(err);
}

int nzd_config_load(const char *path, struct nzd_config *out,
                    struct nzd_err *err)
{
    struct nzd_config_source source = {
        .name = path ? path : DEFAULT_FILE, .code = NZD_EUSAGE, .err = err};
    struct nzd_config config = {0};
    struct nzd_buf text = {0};
    int rc = hooks_room(&config, err);

    if (rc == 0)
        rc = read_file(source.name, path != NULL, &text, err);
    if (rc == 0)
        rc = load_text(&source, nzd_buf_view(&text), &config);
    nzd_buf_clear(&text);
    if (rc < 0)
        nzd_config_clear(&config);
    *out = config;
    return rc;
}

void nzd_config_clear(struct nzd_config *config)
{
    nzd_arena_clear(&config->arena);
    memset(config, 0, sizeof(*config));
}

int nzd_config_add_bundle_hooks(struct nzd_config *config, struct nzd_view text,
                                struct nzd_err *err)
{
    struct nzd_config_source source = {.name = "nzd/hooks.conf",
                                       .code = NZD_EBUNDLE,
                                       .bundle = true,
                                       .err = err};
    unsigned before = config->hook_count;
    cfg_t *cfg = NULL;
    int rc;

    for (unsigned i = 0; i < before; i++) {
        if (config->hooks[i].from_bundle)
            return nzd_err_set(err, NZD_EINTERNAL,
                               "the hooks of two bundles at once");
    }
    if (text.size > BUNDLE_MAX)
        return nzd_err_set(err, NZD_EBUNDLE, "%s: more than 64 KB",
                           source.name);
    rc = nzd_config_parse(&source, text, &cfg);
    if (rc < 0)
        return rc;
    rc = take_hooks(&source, cfg, NZD_HOOKS_BUNDLE, config);
    if (rc < 0)
        config->hook_count = before;
    cfg_free(cfg);
    return rc;
}

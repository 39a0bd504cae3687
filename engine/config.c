/* SPDX-License-Identifier: Apache-2.0 */
#include "config_internal.h"

#include "config_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/nzd.conf"
#define FILE_MAX     (256u << 10) /* bytes */
#define BUNDLE_MAX   (64u << 10)
#define YEAR_US      (365 * 86400 * 1000000ull)

#define JOURNAL_LEAST (1ull << 20)
#define JOURNAL_MOST  (1ull << 40)
#define COUNT_MOST    100000u
#define LIMIT_MOST    1000000000u
#define PERCENT_MOST  1000000u

/* --- units ----------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t value;
};

/* The digits at the start of *text, which is moved behind them. */
static bool parse_digits(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *out = value;
    return true;
}

bool nzd_parse_count(const char *text, uint64_t *out)
{
    return parse_digits(&text, out) && !*text;
}

static bool parse_unit(const char *text, const struct unit *units,
                       uint64_t *out)
{
    uint64_t value;

    if (!parse_digits(&text, &value))
        return false;
    if (!*text) {
        *out = 0;
        return value == 0;
    }
    for (; units->name; units++) {
        if (strcmp(text, units->name) != 0)
            continue;
        if (value > UINT64_MAX / units->value)
            return false;
        *out = value * units->value;
        return true;
    }
    return false;
}

bool nzd_parse_duration(const char *text, uint64_t *out_us)
{
    static const struct unit units[] = {
        {"ms", 1000},         {"s", 1000000},        {"m", 60000000},
        {"h", 3600000000ull}, {"d", 86400000000ull}, {NULL, 0}};

    return parse_unit(text, units, out_us);
}

bool nzd_parse_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {{"B", 1},          {"K", 1u << 10},
                                        {"M", 1u << 20},   {"G", 1u << 30},
                                        {"T", 1ull << 40}, {NULL, 0}};

    return parse_unit(text, units, out);
}

bool nzd_config_duration(const char *text, uint64_t *out_us)
{
    return nzd_parse_duration(text, out_us) && *out_us > 0 &&
           *out_us <= YEAR_US;
}

/* --- messages -------------------------------------------------------- */

int nzd_config_fail(const struct nzd_config_source *source, int line,
                    const char *format, ...)
{
    char text[NZD_ERR_MESSAGE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return nzd_err_set(source->err, source->code, "%s:%d: %s", source->name,
                       line, text);
}

/*
 * libconfuse hands its callbacks no pointer of ours, so the source that is
 * being parsed stands here for as long as cfg_parse_buf() runs.
 */
static _Thread_local const struct nzd_config_source *parsing;

/* libconfuse's own complaints: behind our scanner only keys that do not
 * exist, and values where a section or a list belongs. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    static const char unknown[] = "no such option ";
    char text[NZD_ERR_MESSAGE];

    vsnprintf(text, sizeof(text), format, args);
    if (strncmp(text, unknown, sizeof(unknown) - 1) == 0)
        nzd_config_fail(parsing, cfg->line, "unknown key %s",
                        text + sizeof(unknown) - 1);
    else
        nzd_config_fail(parsing, cfg->line, "%s", text);
}

/* --- values, checked where they stand so that the line is right ------ */

static int accept_if(bool good, cfg_t *cfg, cfg_opt_t *opt, const char *value,
                     void *result, const char *wanted)
{
    *(const char **)result = value;
    if (good)
        return 0;
    nzd_config_fail(parsing, cfg->line, "%s = \"%.80s\": %s", opt->name, value,
                    wanted);
    return -1;
}

static int on_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    return accept_if(value[0] != '\0', cfg, opt, value, result, "empty");
}

static int on_path(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    return accept_if(value[0] == '/', cfg, opt, value, result,
                     "an absolute path is needed");
}

static int on_level(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    return accept_if(nzd_level_of(value) > NZD_LEVEL_NOTHING, cfg, opt, value,
                     result,
                     "one of hot, migrate, restart-app, restart-vm, reboot "
                     "is needed");
}

static int on_wait(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t us;

    return accept_if(nzd_parse_duration(value, &us) && us <= YEAR_US, cfg, opt,
                     value, result,
                     "a duration with its unit is needed (200ms, 5s, 10m)");
}

static int on_trial(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t us;

    return accept_if(nzd_parse_duration(value, &us) && us <= NZD_TRIAL_MOST_US,
                     cfg, opt, value, result,
                     "a duration of at most 30d with its unit is needed (10m)");
}

static int on_soak(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t us;

    return accept_if(nzd_parse_duration(value, &us) && us <= NZD_SOAK_MOST_US,
                     cfg, opt, value, result,
                     "a duration of at most 1d with its unit is needed (30s)");
}

static int on_limit(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t count;

    return accept_if(nzd_parse_count(value, &count) && count <= LIMIT_MOST, cfg,
                     opt, value, result,
                     "a number from 0 to 1000000000 is needed");
}

/* "50%" */
static bool parse_percent(const char *value, uint64_t *out)
{
    char digits[16];
    size_t size = strlen(value);

    if (size < 2 || size > sizeof digits || value[size - 1] != '%')
        return false;
    memcpy(digits, value, size - 1);
    digits[size - 1] = '\0';
    return nzd_parse_count(digits, out) && *out <= PERCENT_MOST;
}

static int on_percent(cfg_t *cfg, cfg_opt_t *opt, const char *value,
                      void *result)
{
    uint64_t percent;

    return accept_if(parse_percent(value, &percent), cfg, opt, value, result,
                     "a percentage from 0% to 1000000% is needed (50%)");
}

static int on_hung(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    return accept_if(strcmp(value, "wait") == 0 ||
                         strcmp(value, "restart") == 0,
                     cfg, opt, value, result, "one of wait, restart is needed");
}

static int on_timeout(cfg_t *cfg, cfg_opt_t *opt, const char *value,
                      void *result)
{
    uint64_t us;

    return accept_if(nzd_config_duration(value, &us), cfg, opt, value, result,
                     "a duration above 0 with its unit is needed "
                     "(200ms, 5s, 10m)");
}

static int on_size(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t bytes;

    return accept_if(nzd_parse_size(value, &bytes) && bytes >= JOURNAL_LEAST &&
                         bytes <= JOURNAL_MOST,
                     cfg, opt, value, result,
                     "a size from 1M to 1T with its unit is needed (64M)");
}

static int on_count(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    uint64_t count;

    return accept_if(
        nzd_parse_count(value, &count) && count >= 1 && count <= COUNT_MOST,
        cfg, opt, value, result, "a number from 1 to 100000 is needed");
}

static int on_phase(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    return accept_if(strcmp(value, "pre") == 0 || strcmp(value, "post") == 0 ||
                         strcmp(value, "outcome") == 0,
                     cfg, opt, value, result,
                     "one of pre, post, outcome is needed");
}

/* --- keys ------------------------------------------------------------ */

static cfg_opt_t hook_keys[] = {
    CFG_STR_CB("phase", NULL, CFGF_NODEFAULT, on_phase),
    CFG_STR_CB("call", NULL, CFGF_NODEFAULT, on_text),
    CFG_STR_LIST("args", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("command", NULL, CFGF_NODEFAULT),
    CFG_STR_CB("timeout", NULL, CFGF_NODEFAULT, on_timeout),
    CFG_END(),
};

static cfg_opt_t boot_keys[] = {
    CFG_STR_CB("tries", "3", CFGF_NONE, on_count),
    CFG_STR_CB("timeout", "10s", CFGF_NONE, on_timeout),
    CFG_STR_CB("healthy", "30s", CFGF_NONE, on_wait),
    CFG_END(),
};

static cfg_opt_t restart_keys[] = {
    CFG_STR_LIST("command", NULL, CFGF_NODEFAULT),
    CFG_STR_CB("timeout", "2m", CFGF_NONE, on_timeout),
    CFG_END(),
};

static cfg_opt_t trial_keys[] = {
    CFG_STR_CB("confirm", "0", CFGF_NONE, on_trial),
    CFG_STR_CB("hung", "wait", CFGF_NONE, on_hung),
    CFG_STR_CB("hung_after", "30s", CFGF_NONE, on_timeout),
    CFG_END(),
};

static cfg_opt_t soak_keys[] = {
    CFG_STR_CB("for", "0", CFGF_NONE, on_soak),
    CFG_STR_CB("before", "5s", CFGF_NONE, on_soak),
    CFG_STR_CB("hooks", "10s", CFGF_NONE, on_timeout),
    CFG_STR_CB("crashes", "0", CFGF_NONE, on_limit),
    CFG_STR_CB("restarts", "0", CFGF_NONE, on_limit),
    CFG_STR_CB("queue", "1000", CFGF_NONE, on_limit),
    CFG_STR_CB("run_queue", "100", CFGF_NONE, on_limit),
    CFG_STR_CB("latency", "100ms", CFGF_NONE, on_wait),
    CFG_STR_CB("memory", "50%", CFGF_NONE, on_percent),
    CFG_STR_CB("processes", "100%", CFGF_NONE, on_percent),
    CFG_END(),
};

#define HOOK_SECTION                                                           \
    CFG_SEC("hook", hook_keys, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES)

static cfg_opt_t file_keys[] = {
    CFG_STR_CB("node", NULL, CFGF_NODEFAULT, on_text),
    CFG_STR_CB("cookie_file", NULL, CFGF_NODEFAULT, on_path),
    CFG_STR_CB("journal", NULL, CFGF_NODEFAULT, on_path),
    CFG_STR_CB("max", "migrate", CFGF_NONE, on_level),
    CFG_STR_CB("drain", "5s", CFGF_NONE, on_wait),
    CFG_STR_CB("keep", "20", CFGF_NONE, on_count),
    CFG_STR_CB("journal_max", "64M", CFGF_NONE, on_size),
    HOOK_SECTION,
    CFG_SEC("boot", boot_keys, CFGF_NONE),
    CFG_SEC("restart", restart_keys, CFGF_NONE),
    CFG_SEC("soak", soak_keys, CFGF_NONE),
    CFG_SEC("trial", trial_keys, CFGF_NONE),
    CFG_END(),
};

static cfg_opt_t bundle_keys[] = {
    HOOK_SECTION,
    CFG_END(),
};

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
    parse_percent(cfg_getstr(soak, "memory"), &limits->memory_percent);
    parse_percent(cfg_getstr(soak, "processes"), &limits->processes_percent);
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

static int parse(const struct nzd_config_source *source, struct nzd_view text,
                 cfg_opt_t *keys, cfg_t **out)
{
    struct nzd_buf safe = {0};
    cfg_t *cfg = NULL;
    int rc =
        nzd_config_scan(source->name, text, source->code, &safe, source->err);

    if (rc < 0)
        goto out;
    cfg = cfg_init(keys, CFGF_NONE);
    if (!cfg) {
        rc = nzd_err_memory(source->err);
        goto out;
    }
    /* cfg_init() may have taken the user's language for messages. */
    setlocale(LC_MESSAGES, "C");
    cfg_set_error_function(cfg, on_error);
    parsing = source;
    if (cfg_parse_buf(cfg, nzd_buf_string(&safe)) != CFG_SUCCESS)
        rc = nzd_config_fail(source, cfg->line, "cannot be read");
    parsing = NULL;
out:
    nzd_buf_clear(&safe);
    if (rc < 0 && cfg) {
        cfg_free(cfg);
        cfg = NULL;
    }
    *out = cfg;
    return rc;
}

static int load_text(const struct nzd_config_source *source,
                     struct nzd_view text, struct nzd_config *out)
{
    cfg_t *cfg = NULL;
    int rc = parse(source, text, file_keys, &cfg);

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
    rc = parse(&source, text, bundle_keys, &cfg);
    if (rc < 0)
        return rc;
    rc = take_hooks(&source, cfg, NZD_HOOKS_BUNDLE, config);
    if (rc < 0)
        config->hook_count = before;
    cfg_free(cfg);
    return rc;
}

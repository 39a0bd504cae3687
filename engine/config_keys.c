/* SPDX-License-Identifier: Apache-2.0 */
#include "config_internal.h"

#include "config_scan.h"
#include "units.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define YEAR_US (365 * 86400 * 1000000ull)

#define JOURNAL_LEAST (1ull << 20)
#define JOURNAL_MOST  (1ull << 40)
#define COUNT_MOST    100000u
#define LIMIT_MOST    1000000000u
#define PERCENT_MOST  1000000u

bool nzd_config_duration(const char *text, uint64_t *out_us)
{
    return nzd_parse_duration(text, out_us) && *out_us > 0 &&
           *out_us <= YEAR_US;
}

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

static int on_percent(cfg_t *cfg, cfg_opt_t *opt, const char *value,
                      void *result)
{
    uint64_t percent;

    return accept_if(
        nzd_parse_percent(value, &percent) && percent <= PERCENT_MOST, cfg, opt,
        value, result, "a percentage from 0% to 1000000% is needed (50%)");
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
    CFG_STR_CB("journal_group", NULL, CFGF_NODEFAULT, on_text),
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

/* --- a text ------------------------------------------------------------- */

int nzd_config_parse(const struct nzd_config_source *source,
                     struct nzd_view text, cfg_t **out)
{
    struct nzd_buf safe = {0};
    cfg_t *cfg = NULL;
    int rc =
        nzd_config_scan(source->name, text, source->code, &safe, source->err);

    if (rc < 0)
        goto out;
    cfg = cfg_init(source->bundle ? bundle_keys : file_keys, CFGF_NONE);
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

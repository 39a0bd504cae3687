/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "units.h"

#include <getopt.h>
#include <string.h>

#define FIRST_LONG 256 /* what getopt_long() returns for option 0 */
#define WORD_MAX   32u /* longer words are near nothing */

static const struct {
    const char *name;
    char letter;
    const char *value; /* NULL: takes none */
    const char *help;
} rows[NZD_OPTION_COUNT] = {
    [NZD_OPTION_DRY_RUN] = {"dry-run", 0, NULL, "plan and check only"},
    [NZD_OPTION_MAX] = {"max", 0, "LEVEL",
                        "most disruptive verdict allowed (migrate)"},
    [NZD_OPTION_MIN] = {"min", 0, "LEVEL", "do at least this much"},
    [NZD_OPTION_DRAIN] = {"drain", 0, "TIME",
                          "wait for processes in old code (5s)"},
    [NZD_OPTION_KILL] = {"kill", 0, "WHAT",
                         "PID, NAME, MODULE or all may be ended"},
    [NZD_OPTION_ACCEPT_GAP] = {"accept-gap", 0, NULL,
                               "accept calls that would meet undef"},
    [NZD_OPTION_ADOPT] = {"adopt", 0, NULL,
                          "take over a node of another journal"},
    [NZD_OPTION_RETRY] = {"retry", 0, NULL, "also a bundle that failed before"},
    [NZD_OPTION_REHEARSE] = {"rehearse", 0, NULL,
                             "try each code_change on copies of states"},
    [NZD_OPTION_TO] = {"to", 0, "N", "put generation N in force, 0: the base"},
    [NZD_OPTION_SOAK] = {"soak", 0, "TIME",
                         "watch the new code so long before it is kept"},
    [NZD_OPTION_CONFIRM] = {"confirm", 0, "TIME",
                            "undone then, unless nzd confirm keeps it"},
    [NZD_OPTION_CHECK] = {"check", 0, NULL,
                          "exit 10 when something is not as it should be"},
    [NZD_OPTION_BEFORE_START] = {"before-start", 0, NULL,
                                 "no VM runs yet: ask no node"},
    [NZD_OPTION_ATTEND] = {"attend", 0, NULL,
                           "stay until a trial is over, and see to its end"},
    [NZD_OPTION_WAIT] = {"wait", 0, "TIME", "wait for the journal's lock"},
    [NZD_OPTION_TIMEOUT] = {"timeout", 0, "TIME",
                            "for each answer of the node or its processes"},
    [NZD_OPTION_NODE] = {"node", 0, "NAME[@HOST]",
                         "the node (the only one on this host)"},
    [NZD_OPTION_COOKIE_FILE] = {"cookie-file", 0, "FILE",
                                "where its cookie is"},
    [NZD_OPTION_PORT] = {"port", 0, "N", "its port, without epmd"},
    [NZD_OPTION_JOURNAL] = {"journal", 0, "DIR", "the journal's directory"},
    [NZD_OPTION_CONFIG] = {"config", 0, "FILE", "instead of /etc/nzd.conf"},
    [NZD_OPTION_JSON] = {"json", 0, NULL, "answer in lines of JSON"},
    [NZD_OPTION_COLOR] = {"color", 0, "WHEN", "auto, always, never"},
    [NZD_OPTION_QUIET] = {"quiet", 'q', NULL, "no progress"},
    [NZD_OPTION_VERBOSE] = {"verbose", 'v', NULL, "more detail"},
    [NZD_OPTION_HELP] = {"help", 'h', NULL, "this text"},
    [NZD_OPTION_VERSION] = {"version", 'V', NULL, "the version of nzd"},
};

const char *nzd_option_name(enum nzd_option option)
{
    return rows[option].name;
}

void nzd_options_help(uint32_t mask, struct nzd_buf *out)
{
    for (unsigned i = 0; i < NZD_OPTION_COUNT; i++) {
        char left[40] = "";

        if (!(mask & NZD_OPTION_BIT(i)))
            continue;
        if (rows[i].letter)
            snprintf(left, sizeof(left), "-%c, ", rows[i].letter);
        snprintf(left + strlen(left), sizeof(left) - strlen(left), "--%s%s%s",
                 rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        nzd_buf_printf(out, "  %-22s %s\n", left, rows[i].help);
    }
}

/* --- near words ------------------------------------------------------ */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
    unsigned two = a < b ? a : b;

    return two < c ? two : c;
}

/* Levenshtein's distance of two words of at most WORD_MAX bytes. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    unsigned width = (unsigned)strlen(b);

    for (unsigned j = 0; j <= width; j++)
        row[j] = j;
    for (unsigned i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= width; j++) {
            unsigned above = row[j];

            row[j] =
                least(above + 1, row[j - 1] + 1, diagonal + (*a != b[j - 1]));
            diagonal = above;
        }
    }
    return row[width];
}

const char *nzd_nearest(const char *word, const char *const *words,
                        size_t count)
{
    size_t length = strlen(word);
    unsigned best = 3;
    const char *found = NULL;

    if (length == 0 || length > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned far;

        if (length >= 3 && strncmp(word, words[i], length) == 0)
            return words[i];
        far = strlen(words[i]) > WORD_MAX ? best : distance(word, words[i]);
        if (far < best && far < length) {
            best = far;
            found = words[i];
        }
    }
    return found;
}

/* --- values ---------------------------------------------------------- */

static int bad_value(enum nzd_option option, const char *value,
                     const char *wanted, struct nzd_err *err)
{
    return nzd_err_set(err, NZD_EUSAGE, "--%s %s: %s", rows[option].name, value,
                       wanted);
}

static int take_level(enum nzd_option option, const char *value,
                      enum nzd_level *out, bool *has, struct nzd_err *err)
{
    int level = nzd_level_of(value);

    if (level <= NZD_LEVEL_NOTHING)
        return bad_value(option, value,
                         "one of hot, migrate, restart-app, restart-vm, "
                         "reboot is needed",
                         err);
    *out = (enum nzd_level)level;
    *has = true;
    return 0;
}

static int take_duration(enum nzd_option option, const char *value,
                         uint64_t *out, struct nzd_err *err)
{
    if (!nzd_parse_duration(value, out))
        return bad_value(option, value,
                         "a duration with its unit is needed (200ms, 5s, 10m)",
                         err);
    return 0;
}

static int take_confirm(const char *value, struct nzd_options *out,
                        struct nzd_err *err)
{
    int rc = take_duration(NZD_OPTION_CONFIRM, value, &out->confirm_us, err);

    out->has_confirm = true;
    if (rc == 0 && out->confirm_us > NZD_TRIAL_MOST_US)
        rc = bad_value(NZD_OPTION_CONFIRM, value, "30d is the most", err);
    return rc;
}

static int take_soak(const char *value, struct nzd_options *out,
                     struct nzd_err *err)
{
    int rc = take_duration(NZD_OPTION_SOAK, value, &out->soak_us, err);

    out->has_soak = true;
    if (rc == 0 && out->soak_us > NZD_SOAK_MOST_US)
        rc = bad_value(NZD_OPTION_SOAK, value, "1d is the most", err);
    return rc;
}

static int take_number(enum nzd_option option, const char *value,
                       uint64_t first, uint64_t last, uint64_t *out,
                       struct nzd_err *err)
{
    uint64_t number;

    if (!nzd_parse_count(value, &number) || number < first || number > last)
        return bad_value(option, value, "that is no such number", err);
    *out = number;
    return 0;
}

static int take_text(enum nzd_option option, const char *value,
                     const char **out, struct nzd_err *err)
{
    if (!value[0])
        return bad_value(option, "\"\"", "an empty value", err);
    *out = value;
    return 0;
}

static int take_color(const char *value, enum nzd_color_mode *out,
                      struct nzd_err *err)
{
    static const char *const names[] = {"auto", "always", "never"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = (enum nzd_color_mode)i;
            return 0;
        }
    }
    return bad_value(NZD_OPTION_COLOR, value,
                     "one of auto, always, never is needed", err);
}

static int take_kill(const char *value, struct nzd_options *out,
                     struct nzd_err *err)
{
    if (out->kill_count == NZD_KILL_MAX)
        return nzd_err_set(err, NZD_EUSAGE, "more than %d times --kill",
                           NZD_KILL_MAX);
    /* The journal keeps what may be killed as words: none may be two. */
    if (strpbrk(value, " \t\n"))
        return nzd_err_set(err, NZD_EUSAGE,
                           "--kill takes one PID, NAME, MODULE or all, "
                           "without white space; repeat it for more");
    return take_text(NZD_OPTION_KILL, value, &out->kill[out->kill_count++],
                     err);
}

static int take_port(const char *value, struct nzd_options *out,
                     struct nzd_err *err)
{
    uint64_t port = 0;
    int rc = take_number(NZD_OPTION_PORT, value, 1, 65535, &port, err);

    out->port = (uint16_t)port;
    return rc;
}

static int take_value(enum nzd_option option, const char *value,
                      struct nzd_options *out, struct nzd_err *err)
{
    switch (option) {
    case NZD_OPTION_MAX:
        return take_level(option, value, &out->max, &out->has_max, err);
    case NZD_OPTION_MIN:
        return take_level(option, value, &out->min, &out->has_min, err);
    case NZD_OPTION_DRAIN:
        out->has_drain = true;
        return take_duration(option, value, &out->drain_us, err);
    case NZD_OPTION_WAIT:
        return take_duration(option, value, &out->wait_us, err);
    case NZD_OPTION_TIMEOUT:
        return take_duration(option, value, &out->timeout_us, err);
    case NZD_OPTION_SOAK:
        return take_soak(value, out, err);
    case NZD_OPTION_CONFIRM:
        return take_confirm(value, out, err);
    case NZD_OPTION_TO:
        out->has_to = true;
        return take_number(option, value, 0, UINT64_MAX, &out->to, err);
    case NZD_OPTION_KILL:
        return take_kill(value, out, err);
    case NZD_OPTION_PORT:
        return take_port(value, out, err);
    case NZD_OPTION_COLOR:
        return take_color(value, &out->color, err);
    case NZD_OPTION_NODE:
        return take_text(option, value, &out->node, err);
    case NZD_OPTION_COOKIE_FILE:
        return take_text(option, value, &out->cookie_file, err);
    case NZD_OPTION_JOURNAL:
        return take_text(option, value, &out->journal, err);
    case NZD_OPTION_CONFIG:
        return take_text(option, value, &out->config, err);
    default:
        return nzd_err_set(err, NZD_EINTERNAL, "--%s has no value",
                           rows[option].name);
    }
}

static void take_flag(enum nzd_option option, struct nzd_options *out)
{
    switch (option) {
    case NZD_OPTION_DRY_RUN:
        out->dry_run = true;
        break;
    case NZD_OPTION_ACCEPT_GAP:
        out->accept_gap = true;
        break;
    case NZD_OPTION_ADOPT:
        out->adopt = true;
        break;
    case NZD_OPTION_RETRY:
        out->retry = true;
        break;
    case NZD_OPTION_REHEARSE:
        out->rehearse = true;
        break;
    case NZD_OPTION_CHECK:
        out->check = true;
        break;
    case NZD_OPTION_BEFORE_START:
        out->before_start = true;
        break;
    case NZD_OPTION_ATTEND:
        out->attend = true;
        break;
    case NZD_OPTION_JSON:
        out->json = true;
        break;
    case NZD_OPTION_QUIET:
        out->quiet = true;
        break;
    case NZD_OPTION_VERBOSE:
        out->verbose = true;
        break;
    default: /* --help and --version are only seen */
        break;
    }
}

/* --- getopt ---------------------------------------------------------- */

/* The table in getopt's form; `letters` gets ":hqvV". */
static void getopt_tables(struct option *longs, char *letters)
{
    *letters++ = ':';
    for (int i = 0; i < NZD_OPTION_COUNT; i++) {
        longs[i] = (struct option){
            rows[i].name, rows[i].value ? required_argument : no_argument, NULL,
            FIRST_LONG + i};
        if (rows[i].letter)
            *letters++ = rows[i].letter;
    }
    longs[NZD_OPTION_COUNT] = (struct option){NULL, 0, NULL, 0};
    *letters = '\0';
}

static int option_of(int code)
{
    if (code >= FIRST_LONG && code < FIRST_LONG + NZD_OPTION_COUNT)
        return code - FIRST_LONG;
    for (int i = 0; code > 0 && i < NZD_OPTION_COUNT; i++) {
        if (rows[i].letter == code)
            return i;
    }
    return -1;
}

static int unknown_long(const char *given, struct nzd_err *err)
{
    const char *names[NZD_OPTION_COUNT];
    size_t length = strcspn(given, "=");
    char word[WORD_MAX + 2];
    const char *near;

    for (unsigned i = 0; i < NZD_OPTION_COUNT; i++)
        names[i] = rows[i].name;
    snprintf(word, sizeof(word), "%.*s", (int)(length > 64 ? 64 : length),
             given);
    near = nzd_nearest(word, names, NZD_OPTION_COUNT);
    nzd_err_set(err, NZD_EUSAGE, "unknown option --%.*s", (int)length, given);
    if (near)
        nzd_err_next(err, "did you mean --%s?", near);
    return NZD_EUSAGE;
}

/* getopt_long() returned '?' or ':'; `given` is what it stopped at. */
static int bad_option(int code, const char *given, struct nzd_err *err)
{
    int option = option_of(optopt);

    if (option >= 0 && code == ':')
        return nzd_err_set(err, NZD_EUSAGE, "--%s needs a value: %s",
                           rows[option].name, rows[option].value);
    if (option >= 0)
        return nzd_err_set(err, NZD_EUSAGE, "--%s takes no value",
                           rows[option].name);
    if (optopt > 0)
        return nzd_err_set(err, NZD_EUSAGE, "unknown option -%c", optopt);
    return unknown_long(given + strspn(given, "-"), err);
}

static int take_arguments(int argc, char **argv, struct nzd_command_line *out,
                          struct nzd_err *err)
{
    const unsigned most =
        sizeof(out->options.args) / sizeof(out->options.args[0]);

    if (optind < argc)
        out->command = argv[optind++];
    for (; optind < argc; optind++) {
        if (out->options.arg_count == most)
            return nzd_err_set(err, NZD_EUSAGE, "too many arguments");
        out->options.args[out->options.arg_count++] = argv[optind];
    }
    return 0;
}

int nzd_options_parse(int argc, char **argv, struct nzd_command_line *out,
                      struct nzd_err *err)
{
    struct option longs[NZD_OPTION_COUNT + 1];
    char letters[NZD_OPTION_COUNT + 2];
    int code;
    int rc = 0;

    memset(out, 0, sizeof(*out));
    getopt_tables(longs, letters);
    opterr = 0;
    optind = 0; /* both C libraries then begin anew */
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        int option = option_of(code);
        int failed = 0;

        if (option < 0) {
            failed = bad_option(code, argv[optind - 1], err);
        } else {
            out->seen |= NZD_OPTION_BIT(option);
            if (rows[option].value)
                failed = take_value((enum nzd_option)option, optarg,
                                    &out->options, err);
            else
                take_flag((enum nzd_option)option, &out->options);
        }
        /* Goes on, so that a --json further right counts. */
        rc = rc < 0 ? rc : failed;
    }
    if (rc == 0)
        rc = take_arguments(argc, argv, out, err);
    return rc;
}

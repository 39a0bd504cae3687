/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"
#include "terminal.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What people see, in a real terminal, of a real node. One node for all. */

static struct terminal *terminal;

/* A build of modules with names that are long, wide, or meant for a terminal
 * to obey; a file cannot have the last one's name. */
#define NAMES                                                                  \
    "Wide = unicode:characters_to_binary([16#8a08, 16#6578, $_, 16#1f680]), "  \
    "[begin {ok, _, B} = "                                                     \
    "compile:forms([{attribute,1,module,list_to_atom(N)}]), "                  \
    "ok = file:write_file(iolist_to_binary([F, \".beam\"]), "                  \
    "binary:replace(B, list_to_binary(N), iolist_to_binary(R), [global])) "    \
    "end || {F, N, R} <- [{L, L, L} || L <- [lists:duplicate(60, $n) ++ "      \
    "\"_end\", \"plain\"]] ++ [{Wide, \"elevenbytes\", Wide}]%s], halt()."
/* What it stands for has as many bytes. */
#define HOSTILE " ++ [{\"red\", \"hostiles\", [27 | \"[31mred\"]}]"

static const char *names(struct scene *scene, const char *name,
                         const char *more)
{
    struct harness *harness = scene->harness;
    const char *ebin = harness_path(harness, "%s/names/ebin", name);
    const char *const argv[] = {
        "sh", "-c",
        harness_text(harness,
                     "mkdir -p '%s' && cd '%s' && "
                     "echo '{application,names,[{vsn,\"1\"}]}.' >names.app && "
                     "erl +fnu -noshell -eval '" NAMES "'",
                     ebin, ebin, more),
        NULL};
    struct harness_run run = harness_run(harness, argv, NULL);

    assert_status(run, 0);
    return harness_path(harness, "%s", name);
}

static int setup(void **state)
{
    int status = scene_setup(state);
    struct scene *scene = *state;

    scene_config(scene, "soak {\n before = 300ms\n}\n");
    terminal = terminal_open(scene->harness);
    return status;
}

/* --- looking -------------------------------------------------------------- */

#define ARGV(scene, ...)                                                       \
    scene_argv((scene), harness_argv((scene)->harness, (scene)->node,          \
                                     __VA_ARGS__, NULL))

static int show(unsigned columns, const char *const *argv,
                const char *const *environment)
{
    terminal_begin(terminal, columns, argv, environment);
    return terminal_end(terminal);
}

/* Behind a number: "9.9 s" of one call is "10 s" of the next, "1000 KB" is
 * "1 MB". */
static size_t unit_length(const char *text)
{
    static const char *const units[] = {"us", "ms", "min", "s",  "h", "d",
                                        "KB", "MB", "GB",  "TB", "B"};
    size_t i;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strncmp(text, units[i], strlen(units[i])) == 0)
            return strlen(units[i]);
    return 0;
}

/* At a digit: what follows the number and its unit. */
static const char *behind_number(const char *text)
{
    while (isdigit((unsigned char)*text) ||
           (*text == '.' && isdigit((unsigned char)text[1])))
        text++;
    return text + unit_length(text);
}

static char *without_blanks(struct scene *scene, const char *text)
{
    char *out = harness_alloc(scene->harness, strlen(text) + 1);
    char *to = out;

    for (; *text; text++)
        if (!isspace((unsigned char)*text))
            *to++ = *text;
    return out;
}

/* Without what differs from one call to the next, and where lines end. */
static const char *squeezed(struct scene *scene, const char *text)
{
    char *out = without_blanks(scene, text);
    const char *from = out;
    char *to = out;

    while (*from)
        if (isdigit((unsigned char)*from))
            from = behind_number(from);
        else
            *to++ = *from++;
    *to = '\0';
    return out;
}

static void check_unbroken(void)
{
    assert_string_equal(terminal_screen(terminal), terminal_joined(terminal));
}

/* At this width the terminal breaks no line, and no text is lost. */
static void check_width(struct scene *scene, unsigned columns,
                        const char *const *argv)
{
    static const char *const plain[] = {"LC_ALL=C.UTF-8", NULL};
    struct harness_run run = harness_run(scene->harness, argv, plain);

    assert_int_equal(show(columns, argv, NULL), run.status);
    check_unbroken();
    assert_string_equal(squeezed(scene, terminal_screen(terminal)),
                        squeezed(scene, run.out));
}

/* --- apply ---------------------------------------------------------------- */

static void apply_on_a_terminal(void **state)
{
    struct scene *scene = *state;
    const char *screen;

    if (!terminal)
        skip();
    terminal_begin(terminal, 80,
                   ARGV(scene, "apply", scene_bundle(scene, "0.2.0")), NULL);
    assert_int_equal(terminal_end(terminal), 0);
    screen = terminal_screen(terminal);
    assert_matches(screen, "^plan       counter 0.1.0 -> 0.2.0, .* [mu]?s$");
    assert_matches(screen, "^switch     .* [mu]?s$");
    assert_matches(screen, "^committed 1: counter 0.2.0 runs on ");
    assert_lacks(screen, "[");
    check_unbroken();
    assert_contains(terminal_bytes(terminal), "\033[32mcommitted");
    assert_runs(scene, "0.2.0");
}

/* The bar is redrawn at the width that there is, and leaves nothing; ^C is
 * answered by the undo, on a line of its own. */
static void a_window_that_shrinks(void **state)
{
    struct scene *scene = *state;
    const char *screen;

    if (!terminal)
        skip();
    terminal_begin(
        terminal, 80,
        ARGV(scene, "apply", "--soak", "30s", scene_bundle(scene, "0.3.0")),
        NULL);
    terminal_wait_for(terminal, "^soak       \\[[#.]{20}\\]  ?[0-9]+%$");
    terminal_resize(terminal, 40);
    terminal_wait_for(terminal, "^soak       \\[#[#.]{19}\\]  ?[0-9]+%$");
    terminal_type(terminal, "C-c");
    assert_int_equal(terminal_end(terminal), 6);
    screen = terminal_screen(terminal);
    assert_matches(screen, "^undo       ");
    assert_matches(screen, "^rolled back 2: ");
    assert_lacks(screen, "^C");
    assert_lacks(screen, "#");
    assert_lacks(screen, "%");
    assert_runs(scene, "0.2.0");
}

/* Before ARMED it is refused, as clean. */
static void stopped_before_armed(void **state)
{
    struct scene *scene = *state;

    if (!terminal)
        skip();
    scene_config(scene, "soak {\n before = 20s\n}\n");
    terminal_begin(terminal, 20,
                   ARGV(scene, "apply", "--retry", "--soak", "30s",
                        scene_bundle(scene, "0.3.0")),
                   NULL);
    terminal_wait_for(terminal, "^watch       [0-9]+%$");
    terminal_type(terminal, "C-c");
    assert_int_equal(terminal_end(terminal), 5);
    assert_lacks(terminal_screen(terminal), "^C");
    assert_lacks(terminal_screen(terminal), "%");
    assert_matches(terminal_screen(terminal), "^nzd: ");
    scene_config(scene, "%s", "");
    assert_runs(scene, "0.2.0");
}

/* --- answers -------------------------------------------------------------- */

static void colours_only_where_they_are_wanted(void **state)
{
    static const char *const no_color[] = {"NO_COLOR=1", NULL};
    static const char *const dumb[] = {"TERM=dumb", NULL};
    struct scene *scene = *state;
    const char *const *status = ARGV(scene, "status");
    const char *const *never = ARGV(scene, "status", "--color", "never");

    if (!terminal)
        skip();
    assert_int_equal(show(80, status, NULL), 0);
    assert_contains(terminal_bytes(terminal), "\033[32mcounter 0.2.0\033[0m");
    assert_int_equal(show(80, status, no_color), 0);
    assert_lacks(terminal_bytes(terminal), "\033");
    assert_int_equal(show(80, status, dumb), 0);
    assert_lacks(terminal_bytes(terminal), "\033");
    assert_int_equal(show(80, never, NULL), 0);
    assert_lacks(terminal_bytes(terminal), "\033");
    assert_lacks(harness_run(scene->harness, status, NULL).out, "\033");
    assert_contains(scene_nzd(scene, "status", "--color", "always").out,
                    "\033[32m");
}

/* Lines for programs: progress on stderr, the answer on stdout. */
static void no_terminal(void **state)
{
    struct scene *scene = *state;
    struct harness_run run = scene_nzd(scene, "rollback");

    assert_status(run, 0);
    assert_matches(run.err, "^plan       counter 0.2.0 -> 0.1.0");
    assert_matches(run.out, "^committed 4: ");
    assert_lacks(run.err, "\033");
    assert_lacks(run.err, "\r");
}

static void narrow_terminals_lose_nothing(void **state)
{
    struct scene *scene = *state;
    const char *bundle = names(scene, "build", "");
    const char *const *const answers[] = {
        ARGV(scene, "plan", bundle),
        ARGV(scene, "plan", scene_bundle(scene, "0.3.0")),
        ARGV(scene, "status"),
        ARGV(scene, "journal", "show"),
        ARGV(scene, "journal", "show", "1"),
    };

    if (!terminal)
        skip();
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        check_width(scene, 50, answers[i]);
        check_width(scene, 40, answers[i]);
        check_width(scene, 20, answers[i]);
    }
}

/* Columns stand below each other, whatever the names are made of. */
static void names_of_all_kinds(void **state)
{
    static const char *const c[] = {"LC_ALL=C", NULL};
    struct scene *scene = *state;
    const char *const *plan =
        ARGV(scene, "plan", harness_path(scene->harness, "build"));

    if (!terminal)
        skip();
    assert_int_equal(show(100, plan, NULL), 0);
    assert_matches(terminal_screen(terminal),
                   "^    \\+ \xE8\xA8\x88\xE6\x95\xB8_\xF0\x9F\x9A\x80 {33} +"
                   "[0-9a-f]{8} ");
    assert_matches(terminal_screen(terminal),
                   "^    \\+ plain {35} +[0-9a-f]{8} ");
    assert_int_equal(show(100, plan, c), 0);
    assert_contains(terminal_screen(terminal),
                    "+ \\u{8a08}\\u{6578}_\\u{1f680}");
    for (const char *at = terminal_bytes(terminal); *at; at++)
        assert_true((unsigned char)*at < 0x7F);
}

/* A name that a terminal would obey is shown, not sent. */
static void hostile_names(void **state)
{
    struct scene *scene = *state;
    const char *const *plan =
        ARGV(scene, "plan", names(scene, "hostile", HOSTILE));

    if (!terminal)
        skip();
    (void)show(80, plan, NULL);
    assert_contains(terminal_joined(terminal), "[31mred");
    assert_lacks(terminal_bytes(terminal), "\033[31mred");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply_on_a_terminal),
        cmocka_unit_test(a_window_that_shrinks),
        cmocka_unit_test(stopped_before_armed),
        cmocka_unit_test(colours_only_where_they_are_wanted),
        cmocka_unit_test(no_terminal),
        cmocka_unit_test(narrow_terminals_lose_nothing),
        cmocka_unit_test(names_of_all_kinds),
        cmocka_unit_test(hostile_names),
    };

    return cmocka_run_group_tests(tests, setup, scene_teardown);
}

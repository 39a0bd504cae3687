/* SPDX-License-Identifier: Apache-2.0 */
#include "document.h"
#include "likeness.h"
#include "stage.h"
#include "wording.h"

#include "../journal/bytes.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * README.md, CONTRIBUTING.md and the manual say what is so. A display begins
 * with
 * "$ " and is run, in the order of the page, and prints what is shown
 * (likeness.h); it exits 0, unless it ends in "; echo $?". Or it has a mark:
 *
 *   node RELEASE [boot]   a new node that runs it, and an empty journal; with
 *                         `boot` the VM is started by nzd boot
 *   again                 the VM is killed and started as it was
 *   first COMMAND         is run before, and exits 0
 *   eval EXPRESSION       is evaluated in the node before
 *   conf                  is a configuration: read, and in force from here on
 *   file PATH             is the text of this file, but for its comments
 *   picture               shows no commands
 *   not run: WHY          commands, which are there and have these options
 *
 * In the commands /srv, /etc/nzd.conf and /var/lib/nzd are places of the
 * test, counter@web1 is the name of its node; the bundles lie in the current
 * folder.
 */

static struct harness *harness;
static unsigned run_count, parsed_count;
static bool tell; /* what is printed, instead of comparing it */

#define TEXT(...) harness_text(harness, __VA_ARGS__)
#define PATH(...) harness_path(harness, __VA_ARGS__)

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void check_command(const struct document *document, unsigned line,
                          const char *text)
{
    const char *why = wording_fault(harness, text);
    if (why)
        harness_fail("%s:%u: %s: \"%s\"", document->path, line, why, text);
    parsed_count++;
}

static void check_line(const struct document *document, unsigned line,
                       const char *text)
{
    for (const char *at = text; (at = strstr(at, "nzd ")); at += 4)
        if ((at == text || strchr(" /|(\"", at[-1])) &&
            (islower(at[4]) || at[4] == '-'))
            check_command(document, line, at);
}

/* All of a text, but for its comments. */
static void check_commands(const struct document *document, unsigned line,
                           const char *text)
{
    for (size_t size; *text; line++, text += size + (text[size] != '\0')) {
        size = strcspn(text, "\n");
        const char *one = TEXT("%.*s", (int)size, text);
        const char *comment = strstr(one, "# ");
        check_line(document, line,
                   comment ? TEXT("%.*s", (int)(comment - one), one) : one);
    }
}

/* --- displays --- */

static const struct document_mark *mark_of(const struct document_display *of,
                                           const char *word)
{
    for (const struct document_mark *mark = of->marks; mark; mark = mark->next)
        if (begins(mark->text, word))
            return mark;
    return NULL;
}

static void prepare(const struct document *document,
                    const struct document_display *display)
{
    for (const struct document_mark *mark = display->marks; mark;
         mark = mark->next) {
        struct harness_run run;
        if (begins(mark->text, "node ")) {
            stage_node(mark->text + 5);
        } else if (strcmp(mark->text, "again") == 0) {
            stage_again();
        } else if (begins(mark->text, "eval ")) {
            stage_eval(mark->text + 5);
        } else if (begins(mark->text, "first ")) {
            run = stage_run(mark->text + 6);
            if (run.status != 0)
                harness_fail("%s:%u: %s: exit %d\n%s", document->path,
                             display->line, mark->text, run.status, run.out);
        } else if (!begins(mark->text, "conf") &&
                   !begins(mark->text, "file ") &&
                   !begins(mark->text, "picture") &&
                   !begins(mark->text, "not run: ")) {
            harness_fail("%s:%u: there is no mark \"%s\"", document->path,
                         display->line, mark->text);
        }
    }
}

/* What holds a bundle's reader is the kernel's: one without Landlock, which is
 * asked here and not nzd, is told of as that. */
static const char *as_on_this_kernel(const char *shown)
{
    static const char all[] = "what reads a bundle can do nothing else";
    const char *at = strstr(shown, all);
    const long create_ruleset = 444;
    const unsigned ask_version = 1;
    if (!at || syscall(create_ruleset, NULL, 0, ask_version) >= 1)
        return shown;
    return TEXT("%.*swhat reads a bundle is held by: system calls, user, "
                "rights, limits (not here: files)%s",
                (int)(at - shown), shown, at + sizeof(all) - 1);
}

/* One command, and what it prints up to the next. */
static void run_one(const struct document *document, unsigned line,
                    const char *command, const char *shown)
{
    struct harness_run run = stage_run(command);
    if (tell) {
        printf("%s:%u: $ %s\n%s", document->path, line, command, run.out);
        return;
    }
    const char *why =
        likeness_differs(harness, as_on_this_kernel(shown), run.out);
    run_count++;
    if (why)
        harness_fail("%s:%u: $ %s\n  %s\nall of it:\n%s", document->path, line,
                     command, why, run.out);
    if (run.status != 0)
        harness_fail("%s:%u: $ %s\n  exit %d, which is not shown",
                     document->path, line, command, run.status);
}

/* Where the next line that begins with "$ " begins, or the end. */
static const char *next_command(const char *text)
{
    while (*text && !begins(text, "$ "))
        text += strcspn(text, "\n") + 1;
    return text;
}

static void run_display(const struct document *document,
                        const struct document_display *display)
{
    const char *at = display->text;
    unsigned line = display->line;
    while (*at) {
        const char *end = at + 2 + strcspn(at + 2, "\n");
        while (strchr("\\|", end[-1]) && *end)
            end += 1 + strcspn(end + 1, "\n");
        const char *rest = next_command(end + 1);
        const char *command = TEXT("%.*s", (int)(end - at - 2), at + 2);
        check_commands(document, line, command);
        run_one(document, line, command,
                TEXT("%.*s", (int)(rest - end - 1), end + 1));
        for (; at < rest; at++)
            line += *at == '\n';
    }
}

static void read_config(const struct document *document,
                        const struct document_display *display)
{
    struct harness_run run;
    stage_configure(display->text);
    run = stage_run("nzd journal show");
    if (run.status == 2)
        harness_fail("%s:%u: %s", document->path, display->line, run.out);
    run_count++;
}

/* Lines that hold more than a comment. */
static const char *without_comments(const char *text)
{
    struct nzd_buf buf = {0};
    for (size_t size; *text; text += size + (text[size] != '\0')) {
        size = strcspn(text, "\n");
        if (size > 0 && *text != '#')
            nzd_buf_printf(&buf, "%.*s\n", (int)size, text);
    }
    const char *done = TEXT("%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return done;
}

static void compare_file(const struct document *document,
                         const struct document_display *display,
                         const char *path)
{
    const char *file = without_comments(harness_read_file(harness, path));
    if (strcmp(without_comments(display->text), file) != 0)
        harness_fail("%s:%u: %s is otherwise:\n%s", document->path,
                     display->line, path, file);
    run_count++;
}

static void do_display(const struct document *document,
                       const struct document_display *display)
{
    const struct document_mark *file = mark_of(display, "file ");
    prepare(document, display);
    if (mark_of(display, "conf"))
        read_config(document, display);
    else if (file)
        compare_file(document, display, file->text + 5);
    else if (mark_of(display, "not run: ") ||
             (mark_of(display, "picture") && !strstr(display->text, "\n$ ")))
        check_commands(document, display->line, display->text);
    else if (begins(display->text, "$ "))
        run_display(document, display);
    else
        harness_fail("%s:%u: what is shown is neither run nor marked",
                     document->path, display->line);
}

/* --- documents --- */

static void play(const char *path)
{
    struct document *document = document_read(harness, path);
    for (struct document_display *display = document->displays; display;
         display = display->next)
        do_display(document, display);
    for (struct document_phrase *phrase = document->phrases; phrase;
         phrase = phrase->next) {
        if (begins(phrase->text, "nzd "))
            check_command(document, phrase->line, phrase->text);
        else if (!wording_is_option(harness, phrase->text))
            harness_fail("%s:%u: no command has %s", path, phrase->line,
                         phrase->text);
    }
    stage_end();
}

/* "nzd-boot 8", "CONTRIBUTING.md" */
static void check_reference(const char *path, unsigned line, const char *text)
{
    char name[64], section[8], pattern[96];
    glob_t found;
    if (sscanf(text, "%63s %7s", name, section) == 2) {
        if (!begins(name, "nzd"))
            return;
        snprintf(pattern, sizeof pattern, "*/%s.%s", name, section);
        text = pattern;
    }
    if (glob(text, 0, NULL, &found) != 0)
        harness_fail("%s:%u: there is no %s", path, line, text);
    globfree(&found);
}

static void all_pages(void (*visit)(const char *path))
{
    glob_t pages;
    if (glob("*.md", 0, NULL, &pages) != 0 ||
        glob("*/*.[1-9]", GLOB_APPEND, NULL, &pages) != 0)
        harness_fail("no manual is here");
    for (size_t i = 0; i < pages.gl_pathc; i++)
        visit(pages.gl_pathv[i]);
    globfree(&pages);
}

static void follow(const char *path)
{
    struct document *document = document_read(harness, path);
    for (struct document_reference *reference = document->references; reference;
         reference = reference->next)
        check_reference(path, reference->line, reference->text);
}

static void what_they_refer_to_is_there(void **state)
{
    (void)state;
    all_pages(follow);
}

static void what_they_show_is_so(void **state)
{
    (void)state;
    all_pages(play);
    print_message("%u displays and commands run, %u looked up\n", run_count,
                  parsed_count);
    assert_true(run_count >= 20);
}

/* --- a page that is wrong is found --- */

static const struct {
    const char *page, *why;
} wrong[] = {
    {"```\n$ nzd --version\nnzd 0.0.0\n...\n```\n", "shown: nzd 0.0.0"},
    {"```\n$ nzd --version\n```\n", "is not shown: nzd "},
    {"```\n$ nzd status --timeout 0\n...\n```\n", "exit 2, which is not shown"},
    {"```\nnzd status\n```\n", "neither run nor marked"},
    {"<!--@ picture -->\n```\na\n$ nzd status\n```\n",
     "neither run nor marked"},
    {"<!--@ later -->\n```\nnzd status\n```\n", "no mark \"later\""},
    {"<!--@ not run: a device -->\n\n", "no display follows"},
    {"<!--@ not run: a device -->\n```\nnzd aply x\n```\n",
     "there is no command aply"},
    {"<!--@ not run: a device -->\n```\nssh d nzd apply --so 3s x\n```\n",
     "nzd apply has no --so"},
    {"<!--@ conf -->\n```\nkeeep = 3\n```\n", "unknown key 'keeep'"},
    {"<!--@ file LICENSE -->\n```\nours\n```\n", "LICENSE is otherwise"},
    {"Say `nzd journal list` or\n`nzd\nplan --dry`.\n",
     "nzd journal has no list"},
    {"Say `nzd\nplan --to 3`.\n", "nzd plan has no --to"},
    {"With `--soft` it\n", "no command has --soft"},
    {"\n    nzd status\n", "stands in fences"},
    {"~~~\nnzd status\n~~~\n", "stands in fences"},
    {"- so:\n  ```\n  nzd status\n  ```\n", "stands in fences"},
    {"[no](no.md)\n", "there is no no.md"},
};

static void a_wrong_page_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const argv[] = {"/proc/self/exe", PATH("wrong.md"), NULL};
        struct harness_run run;
        harness_write_file(argv[1], wrong[i].page);
        run = harness_run(harness, argv, NULL);
        assert_status(run, 1);
        assert_contains(run.err, wrong[i].why);
    }
}

static int open_stage(void **state)
{
    (void)state;
    harness = harness_open();
    stage_open(harness);
    return 0;
}

static int close_stage(void **state)
{
    (void)state;
    harness_close(harness);
    return 0;
}

/* test_documents FILE: that page alone; with a word more, what its commands
 * print. */
static const char *page;

static void one_page(void **state)
{
    (void)state;
    follow(page);
    play(page);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest one[] = {cmocka_unit_test(one_page)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_page_is_found),
        cmocka_unit_test(what_they_refer_to_is_there),
        cmocka_unit_test(what_they_show_is_so),
    };
    page = argc > 1 ? argv[1] : NULL;
    tell = argc > 2;
    return page ? cmocka_run_group_tests(one, open_stage, close_stage)
                : cmocka_run_group_tests(tests, open_stage, close_stage);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_node.h"
#include "document.h"
#include "likeness.h"

#include "../journal/bytes.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

struct stage {
    struct harness *harness;
    struct beam_node *node;
    const char *host;   /* how the documents call the node */
    const char *config; /* as the document has it */
    unsigned run, parsed;
};

static struct stage stage;
static bool tell; /* what is printed, instead of comparing it */

#define TEXT(...) harness_text(stage.harness, __VA_ARGS__)
#define PATH(...) harness_path(stage.harness, __VA_ARGS__)

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* --- names of the document and of the test --- */

static const char *replaced(const char *text, const char *what,
                            const char *instead)
{
    struct nzd_buf buf = {0};
    for (const char *at; (at = strstr(text, what)); text = at + strlen(what)) {
        nzd_buf_bytes(&buf, text, (size_t)(at - text));
        nzd_buf_text(&buf, instead);
    }
    nzd_buf_text(&buf, text);
    const char *done = TEXT("%s", nzd_buf_string(&buf));
    nzd_buf_clear(&buf);
    return done;
}

static const struct {
    const char *shown, *real;
} places[] = {{"/srv/", "srv/"},
              {"/etc/nzd.conf", "nzd.conf"},
              {"/root/.erlang.cookie", ".erlang.cookie"},
              {"/run/nzd", "run/nzd"}, /* of who is not root */
              {"/var/lib/nzd", "state"}};

#define PLACES (sizeof places / sizeof *places)

static const char *to_real(const char *text)
{
    for (size_t i = 0; i < PLACES; i++)
        text = replaced(text, places[i].shown, PATH("%s", places[i].real));
    return stage.node ? replaced(text, stage.host, beam_node_name(stage.node))
                      : text;
}

static const char *to_shown(const char *text)
{
    for (size_t i = 0; i < PLACES; i++)
        text = replaced(text, PATH("%s", places[i].real), places[i].shown);
    return stage.node ? replaced(text, beam_node_name(stage.node), stage.host)
                      : text;
}

/* --- the stage --- */

static void write_config(void)
{
    const char *text = to_real(stage.config);
    if (!strstr(text, "cookie_file"))
        text = TEXT("cookie_file = \"%s\"\n%s",
                    harness_cookie_file(stage.harness), text);
    if (stage.node && !strstr(text, "node "))
        text = TEXT("node = \"%s\"\n%s", beam_node_name(stage.node), text);
    if (!strstr(text, "journal "))
        text = TEXT("journal = \"%s\"\n%s", PATH("state/journal"), text);
    harness_write_file(PATH("nzd.conf"), text);
}

/* A program nzd that finds the configuration without being told. */
static void write_nzd(void)
{
    const char *real = harness_argv(stage.harness, NULL, NULL)[0];
    mkdir(PATH("bin"), 0700);
    harness_write_file(PATH("bin/nzd"),
                       TEXT("#!/bin/sh\n"
                            "case $1 in -*|'') exec %s \"$@\" ;; esac\n"
                            "command=$1\n"
                            "shift\n"
                            "exec %s $command --config %s \"$@\"\n",
                            real, real, PATH("nzd.conf")));
    chmod(PATH("bin/nzd"), 0700);
}

static struct harness_run shell(const char *command)
{
    const char *const argv[] = {
        "sh", "-c",
        TEXT("unset SSH_CONNECTION SSH_CLIENT SUDO_USER COLUMNS; "
             "PATH=%s:$PATH; cd %s && { %s\n} 2>&1",
             PATH("bin"), PATH("work"), command),
        NULL};
    return harness_run(stage.harness, argv, NULL);
}

static void link_bundles(void)
{
    const char *folder = harness_fixture(stage.harness, ".");
    struct harness_run run;
    mkdir(PATH("work"), 0700);
    run = shell(TEXT("ln -s %s/*.tar.gz .", folder));
    assert_status(run, 0);
}

static void end_node(void)
{
    if (stage.node && beam_node_alive(stage.node))
        beam_node_kill(stage.node);
    stage.node = NULL;
}

/* "counter-0.1.0", "greeter-0.1.0 boot" */
static void start_node(const char *words)
{
    char release[64], name[64], how[8] = "";
    const char *version;
    end_node();
    if (sscanf(words, "%63s %7s", release, how) < 1)
        harness_fail("node %s: which release?", words);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(release, "-"), release);
    version = release + strlen(name);
    harness_remove(stage.harness, PATH("state"));
    harness_remove(stage.harness, PATH("srv/%s", name));
    mkdir(PATH("srv"), 0700);
    mkdir(PATH("state"), 0700);
    harness_copy(stage.harness, harness_fixture(stage.harness, release),
                 PATH("srv/%s", name));
    stage.config = "";
    write_config();
    const char *const prefix[] = {harness_argv(stage.harness, NULL, NULL)[0],
                                  "boot",
                                  "--config",
                                  PATH("nzd.conf"),
                                  "--",
                                  NULL};
    stage.node = beam_node_start(
        stage.harness, &(struct beam_node_options){
                           .release = PATH("srv/%s", name),
                           .version = *version ? version + 1 : NULL,
                           .name = name,
                           .prefix = strcmp(how, "boot") == 0 ? prefix : NULL});
    stage.host = TEXT("%s@web1", name);
    write_config();
}

/* --- which commands there are --- */

/* NULL: there is no such command. */
static const char *help_of(const char *command)
{
    static struct {
        char command[32];
        const char *text;
    } known[16];
    size_t i = 0;
    struct harness_run run;
    while (i < 15 && known[i].text && strcmp(known[i].command, command) != 0)
        i++;
    if (known[i].text && strcmp(known[i].command, command) == 0)
        return known[i].text;
    run = shell(TEXT("nzd %s --help", command));
    if (run.status != 0)
        return NULL;
    snprintf(known[i].command, sizeof known[i].command, "%s", command);
    known[i].text = run.out;
    return run.out;
}

static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; (at = strstr(at, word)); at++)
        if ((at == text || !(isalnum(at[-1]) || at[-1] == '-')) &&
            !(isalnum(at[size]) || at[size] == '-'))
            return true;
    return false;
}

/* Why "nzd apply --soak 30s" cannot be said; NULL: it can. */
static const char *no_command(const char *text)
{
    static const char *const with_words[] = {"journal", "health"};
    char command[32] = "", word[64];
    const char *help;
    int size = 0;
    if (sscanf(text, "nzd %31[a-z] %n", command, &size) != 1)
        return begins(text, "nzd --version") || begins(text, "nzd --help") ||
                       begins(text, "nzd COMMAND")
                   ? NULL
                   : "no command";
    help = has_word(help_of(""), command) ? help_of(command) : NULL;
    if (!help)
        return TEXT("there is no command %s", command);
    text += size ? (size_t)size : strlen(text);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(command, with_words[i]) == 0 && islower(*text) &&
            sscanf(text, "%63[a-z]", word) == 1 && !has_word(help, word))
            return TEXT("nzd %s has no %s", command, word);
    for (; sscanf(text, " %63[^] |,;=)]%n", word, &size) == 1; text += size) {
        if (strcmp(word, "--") == 0 || strchr("&|;>)#\"", *word))
            return NULL;
        if (*word == '-' && isalpha(word[word[1] == '-' ? 2 : 1]) &&
            !has_word(help, word))
            return TEXT("nzd %s has no %s", command, word);
        text += strspn(text + size, "] =)");
    }
    return NULL;
}

static void check_command(const struct document *document, unsigned line,
                          const char *text)
{
    const char *why = no_command(text);
    if (why)
        harness_fail("%s:%u: %s: \"%s\"", document->path, line, why, text);
    stage.parsed++;
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

/* Options that a sentence names alone are some command's. */
static bool is_option(const char *text)
{
    static const char *all;
    char word[64];
    if (!all)
        all = TEXT("%s%s%s%s%s%s", help_of("apply"), help_of("rollback"),
                   help_of("recover"), help_of("status"), help_of("journal"),
                   help_of(""));
    return sscanf(text, "%63[a-z-]", word) == 1 &&
           (has_word(all, word) || strcmp(word, "--version") == 0);
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
            start_node(mark->text + 5);
        } else if (strcmp(mark->text, "again") == 0) {
            beam_node_kill(stage.node);
            beam_node_start_again(stage.node);
        } else if (begins(mark->text, "eval ")) {
            beam_node_eval(stage.node, "%s", to_real(mark->text + 5));
        } else if (begins(mark->text, "first ")) {
            run = shell(to_real(mark->text + 6));
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

/* One command, and what it prints up to the next. */
static void run_one(const struct document *document, unsigned line,
                    const char *command, const char *shown)
{
    struct harness_run run = shell(to_real(command));
    if (tell) {
        printf("%s:%u: $ %s\n%s", document->path, line, command,
               to_shown(run.out));
        return;
    }
    const char *why = likeness_differs(stage.harness, shown, to_shown(run.out));
    stage.run++;
    if (why)
        harness_fail("%s:%u: $ %s\n  %s\nall of it:\n%s", document->path, line,
                     command, why, to_shown(run.out));
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
    stage.config = display->text;
    write_config();
    run = shell("nzd journal show");
    if (run.status == 2)
        harness_fail("%s:%u: %s", document->path, display->line, run.out);
    stage.run++;
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
    const char *file = without_comments(harness_read_file(stage.harness, path));
    if (strcmp(without_comments(display->text), file) != 0)
        harness_fail("%s:%u: %s is otherwise:\n%s", document->path,
                     display->line, path, file);
    stage.run++;
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
    struct document *document = document_read(stage.harness, path);
    for (struct document_display *display = document->displays; display;
         display = display->next)
        do_display(document, display);
    for (struct document_phrase *phrase = document->phrases; phrase;
         phrase = phrase->next) {
        if (begins(phrase->text, "nzd "))
            check_command(document, phrase->line, phrase->text);
        else if (!is_option(phrase->text))
            harness_fail("%s:%u: no command has %s", path, phrase->line,
                         phrase->text);
    }
    end_node();
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
    struct document *document = document_read(stage.harness, path);
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
    print_message("%u displays and commands run, %u looked up\n", stage.run,
                  stage.parsed);
    assert_true(stage.run >= 20);
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
        run = harness_run(stage.harness, argv, NULL);
        assert_status(run, 1);
        assert_contains(run.err, wrong[i].why);
    }
}

static int open_stage(void **state)
{
    (void)state;
    stage.harness = harness_open();
    stage.host = "counter@web1";
    stage.config = "";
    mkdir(PATH("run"), 0700);
    setenv("XDG_RUNTIME_DIR", PATH("run"), 1);
    write_nzd();
    link_bundles();
    return 0;
}

static int close_stage(void **state)
{
    (void)state;
    harness_close(stage.harness);
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

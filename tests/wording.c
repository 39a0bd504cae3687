/* SPDX-License-Identifier: Apache-2.0 */
#include "wording.h"

#include "stage.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* NULL: there is no such command. */
static const char *help_of(struct harness *harness, const char *command)
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
    run = stage_run(harness_text(harness, "nzd %s --help", command));
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

const char *wording_fault(struct harness *harness, const char *text)
{
    static const char *const with_words[] = {"journal", "health"};
    char command[32] = "", word[64];
    const char *help;
    int size = 0;
    if (sscanf(text, "nzd %31[a-z] %n", command, &size) != 1)
        return strncmp(text, "nzd --version", 13) == 0 ||
                       strncmp(text, "nzd --help", 10) == 0 ||
                       strncmp(text, "nzd COMMAND", 11) == 0
                   ? NULL
                   : "no command";
    help = has_word(help_of(harness, ""), command) ? help_of(harness, command)
                                                   : NULL;
    if (!help)
        return harness_text(harness, "there is no command %s", command);
    text += size ? (size_t)size : strlen(text);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(command, with_words[i]) == 0 && islower(*text) &&
            sscanf(text, "%63[a-z]", word) == 1 && !has_word(help, word))
            return harness_text(harness, "nzd %s has no %s", command, word);
    for (; sscanf(text, " %63[^] |,;=)]%n", word, &size) == 1; text += size) {
        if (strcmp(word, "--") == 0 || strchr("&|;>)#\"", *word))
            return NULL;
        if (*word == '-' && isalpha(word[word[1] == '-' ? 2 : 1]) &&
            !has_word(help, word))
            return harness_text(harness, "nzd %s has no %s", command, word);
        text += strspn(text + size, "] =)");
    }
    return NULL;
}

bool wording_is_option(struct harness *harness, const char *text)
{
    static const char *all;
    char word[64];
    if (!all)
        all = harness_text(harness, "%s%s%s%s%s%s", help_of(harness, "apply"),
                           help_of(harness, "rollback"),
                           help_of(harness, "recover"),
                           help_of(harness, "status"),
                           help_of(harness, "journal"), help_of(harness, ""));
    return sscanf(text, "%63[a-z-]", word) == 1 &&
           (has_word(all, word) || strcmp(word, "--version") == 0);
}

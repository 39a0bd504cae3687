/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Command lines, a word on each line, and every word as a duration, a size and
 * a count. Besides memory errors: no text comes from anywhere but the words,
 * and no value wraps.
 */

#include "../engine/options.h"
#include "../engine/units.h"
#include "support.h"

#include <string.h>

#define WORDS 24

static void check_number(const char *word)
{
    size_t length = strlen(word);
    uint64_t value = 0;

    if (nzd_parse_count(word, &value)) {
        fuzz_require(length > 0 && strspn(word, "0123456789") == length);
        fuzz_require(value == strtoull(word, NULL, 10));
    }
    if (nzd_parse_duration(word, &value))
        fuzz_require(value == 0 || value >= strtoull(word, NULL, 10));
    if (nzd_parse_size(word, &value))
        fuzz_require(value >= strtoull(word, NULL, 10));
}

static bool is_within(const char *text, char *const *words, unsigned count)
{
    for (unsigned i = 0; text && i < count; i++)
        if (text >= words[i] && text <= words[i] + strlen(words[i]))
            return true;
    return !text;
}

static void check_line(const struct nzd_command_line *line, char *const *words,
                       unsigned count)
{
    const struct nzd_options *options = &line->options;

    fuzz_require(is_within(line->command, words, count));
    fuzz_require(is_within(options->journal, words, count));
    fuzz_require(is_within(options->config, words, count));
    fuzz_require(is_within(options->node, words, count));
    fuzz_require(is_within(options->cookie_file, words, count));
    fuzz_require(options->kill_count <= NZD_KILL_MAX &&
                 options->arg_count <= 8);
    for (unsigned i = 0; i < options->kill_count; i++)
        fuzz_require(is_within(options->kill[i], words, count));
    for (unsigned i = 0; i < options->arg_count; i++)
        fuzz_require(is_within(options->args[i], words, count));
    fuzz_require(line->seen < NZD_OPTION_BIT(NZD_OPTION_COUNT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_command_line line;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_arena arena = {0};
    unsigned count;
    char *text = nzd_arena_text(&arena, (const char *)data, size);
    char **words;
    int rc;

    fuzz_require(text != NULL);
    words = fuzz_lines(&arena, text, WORDS, &count);
    for (unsigned i = 0; i < count; i++)
        check_number(words[i]);
    if (count > 0) {
        rc = nzd_options_parse((int)count, words, &line, &err);
        fuzz_require(rc == 0 || (rc == NZD_EUSAGE && err.message[0]));
        check_line(&line, words, count);
    }
    nzd_arena_clear(&arena);
    return 0;
}

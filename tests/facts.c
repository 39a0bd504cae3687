/* SPDX-License-Identifier: Apache-2.0 */
#include "facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const char facts_made[] = "-module(made).\n"
                          "-behaviour(gen_server).\n"
                          "-export([a/2,code_change/3,init/1,handle_call/3,"
                          "handle_cast/2]).\n"
                          "-on_load(load/0).\n"
                          "-vsn(\"7\"). -note([a]). -note(b).\n"
                          "load() -> erlang:load_nif(\"x\", 0).\n"
                          "a(X, Y) -> F = fun(Z) -> {X, Y, Z} end,"
                          " fun('\xc3\xa9') -> F(1.5) end.\n"
                          "code_change(_, S, _) -> {ok, S}.\n"
                          "init(_) -> {ok, #{}}.\n"
                          "handle_call(_, _, S) -> {reply, ok, S}.\n"
                          "handle_cast(_, S) -> {noreply, S}.\n";

int facts_set_up(void **state)
{
    *state = calloc(1, sizeof(struct facts));
    return *state ? 0 : -1;
}

int facts_set_up_vm(void **state)
{
    struct facts *facts;

    if (facts_set_up(state))
        return -1;
    facts = *state;
    facts->harness = harness_open();
    return 0;
}

int facts_tear_down(void **state)
{
    struct facts *facts = *state;

    nzd_buf_clear(&facts->buf);
    nzd_arena_clear(&facts->arena);
    if (facts->harness)
        harness_close(facts->harness);
    free(facts);
    return 0;
}

const char *facts_run(struct harness *harness, const char *function)
{
    const char *folder = getenv("NZD_TEST_BEAM");
    const char *code = harness_text(
        harness,
        "try nzd_test_facts:%s(\"%s\"), halt(0) "
        "catch C:R:S -> io:format(standard_error, \"~p\", [{C,R,S}]), halt(1) "
        "end",
        function, harness_dir(harness));
    const char *const argv[] = {
        "erl",     "-noshell", "+pc",
        "unicode", "-pa",      folder ? folder : "build/tests/beam",
        "-eval",   code,       NULL};
    struct harness_run run = harness_run(harness, argv, NULL);

    assert_status(run, 0);
    return run.out;
}

struct nzd_view facts_file(struct harness *harness, const char *name)
{
    const char *path = harness_path(harness, "%s", name);
    FILE *file = fopen(path, "rb");
    struct stat status;
    uint8_t *data;
    size_t size;

    if (!file || fstat(fileno(file), &status) != 0)
        harness_fail("%s: not there", path);
    size = (size_t)status.st_size;
    data = harness_alloc(harness, size + 1);
    if (fread(data, 1, size, file) != size)
        harness_fail("%s: not read", path);
    (void)fclose(file);
    return nzd_view_of(data, size);
}

bool facts_block(struct nzd_reader *reader, struct nzd_view *block)
{
    if (reader->left == 0)
        return false;
    *block = nzd_read_block(reader, UINT32_MAX);
    if (reader->failed)
        harness_fail("a block is cut short");
    return true;
}

void facts_write(struct harness *harness, const char *name,
                 struct nzd_view bytes)
{
    const char *path = harness_path(harness, "%s", name);
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(bytes.data, 1, bytes.size, file) != bytes.size ||
        fclose(file) != 0)
        harness_fail("%s: not written", path);
}

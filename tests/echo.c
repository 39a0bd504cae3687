/* SPDX-License-Identifier: Apache-2.0 */
#include "echo.h"

#include "../engine/host.h"
#include "../engine/interrupt.h"
#include "../staging/term.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_module(struct echo *fixture, unsigned at, const char *name)
{
    const char *folder = getenv("NZD_TEST_BEAM");
    char path[4096];
    FILE *file;
    int byte;

    (void)snprintf(path, sizeof(path), "%s/%s.beam",
                   folder ? folder : "build/tests/beam", name);
    file = fopen(path, "rb");
    if (!file)
        harness_fail("%s is not built: make tests", path);
    while ((byte = fgetc(file)) != EOF)
        nzd_buf_u8(&fixture->beams[at], (uint8_t)byte);
    (void)fclose(file);
    fixture->agent[at].name = name;
    fixture->agent[at].beam = nzd_buf_view(&fixture->beams[at]);
}

static void read_agent(struct echo *fixture)
{
    read_module(fixture, 0, "nzd_test_echo");
    read_module(fixture, 1, "nzd_test_hook");
    fixture->options.agent = fixture->agent;
    fixture->options.agent_count = 2;
}

int echo_set_up(void **state)
{
    struct echo *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    nzd_interrupt_install();
    fixture->harness = harness_open();
    read_agent(fixture);
    *state = fixture;
    return 0;
}

int echo_tear_down(void **state)
{
    struct echo *fixture = *state;

    nzd_link_close(fixture->link);
    harness_close(fixture->harness);
    nzd_buf_clear(&fixture->beams[0]);
    nzd_buf_clear(&fixture->beams[1]);
    nzd_buf_clear(&fixture->request);
    nzd_buf_clear(&fixture->reply);
    nzd_arena_clear(&fixture->arena);
    free(fixture);
    return 0;
}

void echo_aim(struct echo *fixture, const char *node)
{
    static char cookie[256];
    const char *text = harness_read_file(fixture->harness,
                                         harness_cookie_file(fixture->harness));

    (void)snprintf(cookie, sizeof(cookie), "%.*s", (int)strcspn(text, "\n"),
                   text);
    fixture->options.node = node;
    fixture->options.cookie = cookie;
}

int echo_try_open(struct echo *fixture)
{
    nzd_link_close(fixture->link);
    fixture->link = NULL;
    nzd_err_clear(&fixture->err);
    return nzd_link_open(&fixture->options, &fixture->link, &fixture->err);
}

void echo_open(struct echo *fixture)
{
    int code = echo_try_open(fixture);

    if (code != 0)
        harness_fail("%s", fixture->err.message);
}

struct beam_node *echo_start(struct echo *fixture, int net_ticktime)
{
    struct beam_node_options options = {.name = "link",
                                        .net_ticktime = net_ticktime};
    struct beam_node *node = beam_node_start(fixture->harness, &options);

    echo_aim(fixture, beam_node_name(node));
    return node;
}

void echo_freeze(struct echo *fixture, struct beam_node *node)
{
    const char *path = harness_text(fixture->harness, "/proc/%d/stat",
                                    (int)beam_node_pid(node));
    struct nzd_buf text = {0};

    beam_node_freeze(node);
    for (int i = 0; i < 400; i++) {
        if (nzd_host_read(path, 4096, &text) == 0 &&
            strstr(nzd_buf_string(&text), ") T "))
            break;
        process_sleep_ms(5);
    }
    nzd_buf_clear(&text);
}

void echo_ask(struct echo *fixture)
{
    int code = nzd_link_send(fixture->link, nzd_buf_view(&fixture->request),
                             5 * SECOND, &fixture->err);

    if (code != 0)
        harness_fail("%s", fixture->err.message);
}

const struct nzd_term *echo_answer(struct echo *fixture)
{
    const struct nzd_term *term;

    nzd_arena_clear(&fixture->arena);
    if (nzd_link_receive(fixture->link, 10 * SECOND, &fixture->reply,
                         &fixture->err) != 0 ||
        nzd_term_decode(nzd_buf_view(&fixture->reply), &fixture->arena, &term,
                        &fixture->err) != 0)
        harness_fail("%s", fixture->err.message);
    return term;
}

void assert_answer(struct echo *fixture, const char *tag, int64_t number)
{
    const struct nzd_term *term = echo_answer(fixture);
    int64_t value = -1;

    assert_true(nzd_term_is_tagged(term, tag, 2));
    assert_true(nzd_term_integer(nzd_term_at(term, 1), &value));
    assert_int_equal(value, number);
}

void assert_echo(struct echo *fixture, int64_t number)
{
    struct nzd_buf *out = &fixture->request;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 3);
    nzd_etf_atom(out, "echo");
    nzd_link_put_self(fixture->link, out);
    nzd_etf_integer(out, number);
    echo_ask(fixture);
    assert_answer(fixture, "echo", number);
}

void assert_refused(struct echo *fixture, int code, const char *why)
{
    assert_int_equal(echo_try_open(fixture), code);
    assert_int_equal(fixture->err.code, code);
    assert_contains(fixture->err.message, why);
    assert_null(fixture->link);
}

void echo_close(struct echo *fixture, struct beam_node *node)
{
    nzd_link_close(fixture->link);
    fixture->link = NULL;
    beam_node_wait_for(node, "ets:info(sys_dist, size)", "0", 5000);
}

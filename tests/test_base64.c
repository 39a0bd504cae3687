/* SPDX-License-Identifier: Apache-2.0 */
#include "../engine/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648, section 10. */
static const struct {
    const char *bytes;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void test_vectors(void **state)
{
    struct nzd_buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        nzd_buf_reset(&out);
        nzd_base64(&out, nzd_view_text(vectors[i].bytes));
        assert_string_equal(nzd_buf_string(&out), vectors[i].text);
        nzd_buf_reset(&out);
        assert_true(nzd_unbase64(&out, nzd_view_text(vectors[i].text)));
        assert_string_equal(nzd_buf_string(&out), vectors[i].bytes);
    }
    nzd_buf_clear(&out);
}

static void test_every_byte(void **state)
{
    struct nzd_buf text = {0};
    struct nzd_buf bytes = {0};
    uint8_t all[256 * 3];

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t size = sizeof(all) - 5; size <= sizeof(all); size++) {
        nzd_buf_reset(&text);
        nzd_buf_reset(&bytes);
        nzd_base64(&text, nzd_view_of(all, size));
        assert_true(nzd_unbase64(&bytes, nzd_buf_view(&text)));
        assert_int_equal(bytes.size, size);
        assert_memory_equal(bytes.data, all, size);
    }
    nzd_buf_clear(&text);
    nzd_buf_clear(&bytes);
}

/* One text for the same bytes, and no other. */
static void test_refused(void **state)
{
    static const char *const texts[] = {
        "Z",    "Zg",   "Zg=",      "Zg===",    "Zh==",    "Zm9=",
        "====", "Z===", "Zg==Zg==", "Zm9v\n",   "Zm 9",    "Zm-_",
        "Z=g=", "=Zg=", "Zm9vYm=v", "Zm9v====", "Zm9\xC3",
    };
    struct nzd_buf out = {0};

    (void)state;
    nzd_buf_text(&out, "before");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (nzd_unbase64(&out, nzd_view_text(texts[i])))
            fail_msg("\"%s\" was taken", texts[i]);
        assert_string_equal(nzd_buf_string(&out), "before");
    }
    nzd_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}

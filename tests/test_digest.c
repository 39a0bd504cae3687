/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_hex(const struct nzd_digest *digest, const char *expected)
{
    char hex[NZD_DIGEST_HEX];

    nzd_digest_hex(hex, digest);
    assert_string_equal(hex, expected);
}

/* As xxhsum -H2 and -H3 of xxHash 0.8 print them. */
static void test_known_digests(void **state)
{
    struct nzd_digest empty = nzd_digest_of(nzd_view_of(NULL, 0));
    struct nzd_digest abc = nzd_digest_of(nzd_view_text("abc"));

    (void)state;
    check_hex(&empty, "99aa06d3014798d86001c324468d497f");
    check_hex(&abc, "06b05ab6733a618578af5f94892f3950");
    assert_true(nzd_checksum_of(nzd_view_text("abc")) == 0x78af5f94892f3950);
}

/* RFC 1321, appendix A.5. */
static void test_known_md5(void **state)
{
    struct nzd_view views[] = {nzd_view_text("message "), nzd_view_of(NULL, 0),
                               nzd_view_text("digest")};
    struct nzd_digest digest = nzd_md5_of(views, 3);

    (void)state;
    check_hex(&digest, "f96b697d7cb7938d525a2f31aaf161d0");
    digest = nzd_md5_of(NULL, 0);
    check_hex(&digest, "d41d8cd98f00b204e9800998ecf8427e");
}

static void test_in_pieces(void **state)
{
    uint8_t data[1000];
    struct nzd_digester *digester = nzd_digester_begin();
    struct nzd_digest whole;
    struct nzd_digest pieces;
    struct nzd_md5 md5;
    struct nzd_view view = nzd_view_of(data, sizeof(data));

    (void)state;
    assert_non_null(digester);
    memset(data, 'x', sizeof(data));
    nzd_md5_init(&md5);
    for (size_t i = 0; i < sizeof(data); i += 100) {
        nzd_digester_add(digester, nzd_view_of(data + i, 100));
        nzd_digester_add(digester, nzd_view_of(NULL, 0));
        nzd_md5_add(&md5, nzd_view_of(data + i, 100));
        nzd_md5_add(&md5, nzd_view_of(NULL, 0));
    }
    whole = nzd_digest_of(view);
    pieces = nzd_digester_end(digester);
    assert_true(nzd_digest_equal(&whole, &pieces));
    whole = nzd_md5_of(&view, 1);
    pieces = nzd_md5_end(&md5);
    assert_true(nzd_digest_equal(&whole, &pieces));
    data[999] ^= 1;
    pieces = nzd_digest_of(view);
    assert_false(nzd_digest_equal(&whole, &pieces));
}

static void test_zero(void **state)
{
    struct nzd_digest digest = {{0}};

    (void)state;
    assert_true(nzd_digest_is_zero(&digest));
    digest.bytes[15] = 1;
    assert_false(nzd_digest_is_zero(&digest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_digests),
        cmocka_unit_test(test_known_md5),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_zero),
    };

    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "other_erts.h"

#include <stdio.h>
#include <string.h>

static const char *shell(struct harness *harness, const char *script)
{
    const char *const argv[] = {"sh", "-ec", script, NULL};
    struct harness_run run = harness_run(harness, argv, NULL);
    assert_status(run, 0);
    return run.out;
}

/* A VM must be asked: once is enough. */
const char *other_erts_own(struct harness *harness)
{
    static char own[4096];
    if (!own[0])
        snprintf(own, sizeof own, "%s",
                 shell(harness,
                       "erl -noshell -eval 'io:format(\"~s/erts-~s/bin\", "
                       "[code:root_dir(), erlang:system_info(version)]), "
                       "halt().'"));
    return own;
}

static char *own_version(struct harness *harness)
{
    const char *own = strstr(other_erts_own(harness), "/erts-") + 6;
    char *text = harness_alloc(harness, strlen(own) + 1);
    memcpy(text, own, strcspn(own, "/"));
    return text;
}

const char *other_erts_version(struct harness *harness)
{
    char *text = own_version(harness);
    for (char *at = text; *at; at++)
        *at = *at == '.' ? '.' : '9';
    return text;
}

void other_erts_release(struct harness *harness, const char *fixture,
                        const char *to)
{
    const char *bin = other_erts_own(harness);
    const char *own = own_version(harness);
    const char *other = other_erts_version(harness);
    harness_copy(harness, harness_fixture(harness, fixture), to);
    shell(harness,
          harness_text(harness,
                       "mkdir -p %s/erts-%s/bin; cd %s/erts-%s/bin\n"
                       "for f in beam.smp erlexec erl_child_setup "
                       "inet_gethost heart epmd; do cp %s/$f .; done\n"
                       "sed -i 's/%s/%s/g' beam.smp\n"
                       "sed -i 's/^[^ ]*/%s/' %s/releases/start_erl.data\n",
                       to, other, to, other, bin, own, other, other, to));
}

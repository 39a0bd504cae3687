/* SPDX-License-Identifier: Apache-2.0 */
#include "check_parts.h"

#include "../journal/attempts.h"
#include "host.h"
#include "overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- which one, and its cookie ------------------------------------------- */

void nzd_check_cookie(struct nzd_checking *c)
{
    const struct nzd_options *options = &c->context->options;
    const struct nzd_config *config = &c->context->config;
    struct nzd_target *target = &c->q.target;
    struct nzd_err err = NZD_ERR_INIT;
    char warning[256] = "";
    const struct nzd_target_options wanted = {
        .node = options->node ? options->node : config->node,
        .cookie_file =
            options->cookie_file ? options->cookie_file : config->cookie_file,
        .port = options->port,
    };
    int code = nzd_target_find(&wanted, target, warning, sizeof warning, &err);
    c->found = target->node[0] != '\0';
    c->has_cookie = code == 0;
    if (code) {
        nzd_check_fail(&c->list, c->found ? "cookie" : "node", &err);
    } else if (warning[0]) {
        nzd_check_warn(&c->list, "cookie", "%s", warning);
        nzd_check_next(&c->list, "chmod 400 it: the cookie is all that keeps "
                                 "others from running code there");
    } else {
        nzd_check_ok(&c->list, "cookie", "%s", target->cookie_from);
    }
}

/* --- the node ------------------------------------------------------------ */

static int connect_node(struct nzd_checking *c, struct nzd_err *err)
{
    struct nzd_question *q = &c->q;
    int code = nzd_question_connect(c->context, q, err);
    if (code)
        return code;
    nzd_inventory_init(&q->old);
    code = nzd_node_base(q->node, &q->hello, &q->old, &q->base, err);
    c->connected = code == 0;
    return code;
}

static bool owns(const struct nzd_checking *c)
{
    const uint8_t *owner = c->q.hello.owner;
    return c->journal &&
           memcmp(owner, nzd_journal_uuid(c->journal), NZD_DIGEST_SIZE) == 0;
}

static void check_agent(struct nzd_checking *c)
{
    const struct nzd_hello *hello = &c->q.hello;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_digest owner;
    if (hello->has_owner && !owns(c)) {
        memcpy(owner.bytes, hello->owner, sizeof owner.bytes);
        nzd_node_foreign(c->q.node, &owner, &err);
        nzd_check_fail(&c->list, "agent", &err);
    } else if (hello->left_us) {
        nzd_check_ok(&c->list, "agent",
                     "holds the deadline of transaction %" PRIu64, hello->txn);
    } else if (strcmp(hello->phase, "idle") != 0 &&
               strcmp(hello->phase, "undone") != 0) {
        nzd_check_warn(&c->list, "agent", "transaction %" PRIu64 " is %s in it",
                       hello->txn, hello->phase);
        nzd_check_next(&c->list, "nzd recover, where no nzd is at work");
    } else {
        nzd_check_ok(&c->list, "agent", "nothing is open in it");
    }
}

void nzd_check_node(struct nzd_checking *c)
{
    const struct nzd_hello *hello = &c->q.hello;
    struct nzd_err err = NZD_ERR_INIT;
    char up[32];
    if (!c->has_cookie)
        return;
    if (connect_node(c, &err)) {
        nzd_check_fail(&c->list, "node", &err);
        nzd_check_next(&c->list,
                       "see that %s runs, and that its cookie is "
                       "that of %s",
                       c->q.target.node, c->q.target.cookie_from);
        return;
    }
    nzd_format_duration(up, hello->uptime_us);
    nzd_check_ok(&c->list, "node", "%s answers, OTP %s, %s, up %s",
                 nzd_node_name(c->q.node), hello->otp,
                 hello->embedded ? "embedded" : "interactive", up);
    check_agent(c);
}

/* --- how it is started --------------------------------------------------- */

static bool by_nzd_boot(const struct nzd_checking *c, uint64_t *booted)
{
    if (!c->connected)
        return nzd_host_nzd_boot(c->q.target.pid, booted);
    *booted = c->q.hello.nzd_booted;
    return c->q.hello.by_nzd_boot;
}

void nzd_check_boot(struct nzd_checking *c)
{
    uint64_t booted = 0;
    if (!c->found) {
        nzd_check_warn(&c->list, "boot", "not to be told without a node");
    } else if (c->q.target.local && !c->connected && !c->q.target.pid) {
        nzd_check_warn(&c->list, "boot",
                       "%s does not run: not to be told how it is started",
                       c->q.target.node);
    } else if (!c->q.target.local) {
        nzd_check_warn(&c->list, "boot",
                       "%s is on another host: a restart there boots what its "
                       "own journal says, or the base",
                       c->q.target.node);
    } else if (!by_nzd_boot(c, &booted)) {
        nzd_check_warn(&c->list, "boot",
                       "nzd boot did not start the VM: a new start of it boots "
                       "the base");
        nzd_check_next(&c->list, "start it by nzd boot -- COMMAND (erlinit's "
                                 "--alternate-exec, systemd's ExecStart)");
    } else if (booted) {
        nzd_check_ok(&c->list, "boot",
                     "nzd boot started the VM%s generation %" PRIu64,
                     c->connected ? ", which has booted" : " with", booted);
    } else {
        nzd_check_ok(&c->list, "boot", "nzd boot started the VM%s the base",
                     c->connected ? ", which has booted" : " with");
    }
}

void nzd_check_overlay(struct nzd_checking *c)
{
    const char *place = nzd_overlay_place();
    struct statvfs room;
    char bytes[32];
    if (!place) {
        nzd_check_warn(&c->list, "overlay",
                       "%s cannot be written: generations cannot be laid out, "
                       "and a restart boots the base",
                       geteuid() == 0 ? "/run" : "$XDG_RUNTIME_DIR");
        nzd_check_next(&c->list, "mount a tmpfs there, or run as the VM's user "
                                 "with XDG_RUNTIME_DIR set");
        return;
    }
    if (statvfs(place, &room) == 0)
        nzd_format_bytes(bytes, (uint64_t)room.f_bavail * room.f_frsize);
    else
        snprintf(bytes, sizeof bytes, "some");
    nzd_check_ok(&c->list, "overlay", "%s/nzd/overlay, %s free", place, bytes);
}

static void tell_health(struct nzd_checking *c,
                        const struct nzd_attempts *attempts, uint32_t limit)
{
    uint64_t generation = attempts->generation;
    if (attempts->tries >= limit) {
        nzd_check_warn(&c->list, "health",
                       "generation %" PRIu64 " is bad, or has used its %" PRIu32
                       " tries: the next boot takes the one before",
                       generation, limit);
        nzd_check_next(&c->list, "nzd health ok, where it is good after all");
    } else {
        nzd_check_ok(
            &c->list, "health",
            "generation %" PRIu64 ": %s, %" PRIu32 " of %" PRIu32 " tries used",
            generation, attempts->healthy ? "healthy" : "not found healthy yet",
            attempts->tries, limit);
    }
}

void nzd_check_health(struct nzd_checking *c)
{
    struct nzd_attempts attempts;
    struct nzd_err err = NZD_ERR_INIT;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/boot", c->directory);
    if (nzd_attempts_read(c->directory, &attempts, &err)) {
        nzd_check_fail(&c->list, "health", &err);
    } else if (access(path, F_OK) == 0 && access(path, W_OK) != 0) {
        nzd_check_warn(&c->list, "health", "%s cannot be written: %s", path,
                       strerror(errno));
        nzd_check_next(&c->list, "a generation that was never healthy and "
                                 "cannot be counted is not booted");
    } else if (!attempts.generation) {
        nzd_check_ok(&c->list, "health", "no boot of a generation was counted");
    } else {
        tell_health(c, &attempts,
                    nzd_attempts_limit(attempts.healthy,
                                       c->context->config.boot_tries));
    }
}

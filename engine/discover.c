/* SPDX-License-Identifier: Apache-2.0 */
#include "discover.h"
#include "discover_internal.h"
#include "host.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODE_MAX 255 /* characters of a node name: it is an atom */

struct search {
    const char *proc;
    const struct nzd_target_options *options;
    struct nzd_vm_list vms;
    struct nzd_target target;
    char *warning;
    size_t warning_size;
};

/* --- which node --- */

static int refuse_name(const char *name, struct nzd_err *err)
{
    return nzd_err_set(err, NZD_EUSAGE,
                       "\"%s\" is not a node name: NAME or NAME@HOST", name);
}

static int check_name(const char *name, struct nzd_err *err)
{
    const char *at = strchr(name, '@');

    if (name[0] == '\0' || strlen(name) > NODE_MAX)
        return refuse_name(name, err);
    if (at && (at == name || at[1] == '\0' || strchr(at + 1, '@')))
        return refuse_name(name, err);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '/' || *c == '\'' || *c == '"' ||
            *c == 127)
            return refuse_name(name, err);
    return 0;
}

/* `name` with or without its host is the node of this VM. */
static bool names_vm(const char *name, const struct nzd_vm *vm)
{
    size_t length = strlen(name);

    if (strchr(name, '@'))
        return strcmp(name, vm->node) == 0;
    return strncmp(vm->node, name, length) == 0 && vm->node[length] == '@';
}

static int refuse_several(const struct nzd_vm_list *vms, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    int code;

    for (size_t i = 0; i < vms->count && i < 8; i++)
        nzd_buf_printf(&text, "%s%s (process %" PRId64 ")", i ? ", " : "",
                       vms->vms[i].node, vms->vms[i].pid);
    if (vms->count > 8)
        nzd_buf_text(&text, ", ...");
    code = nzd_err_set(err, NZD_EUSAGE,
                       "which node is meant? On this host run %zu: %s",
                       vms->count, nzd_buf_string(&text));
    nzd_err_next(err, "name one: --node %s", vms->vms[0].node);
    nzd_buf_clear(&text);
    return code;
}

static int refuse_none(const struct nzd_vm_list *vms, struct nzd_err *err)
{
    int code;

    if (vms->undistributed)
        code = nzd_err_set(err, NZD_ENODE,
                           "process %" PRId64 " is a BEAM that was started "
                           "without -name or -sname, and no other runs here",
                           vms->undistributed);
    else
        code = nzd_err_set(err, NZD_ENODE,
                           "no distributed BEAM runs on this host");
    nzd_err_next(err, "name the node: --node NAME@HOST");
    return code;
}

static void take_vm(struct search *search, const struct nzd_vm *vm)
{
    memcpy(search->target.node, vm->node, sizeof(search->target.node));
    search->target.pid = vm->pid;
    search->target.local = true;
}

static int find_only(struct search *search, struct nzd_err *err)
{
    if (search->vms.count == 0)
        return refuse_none(&search->vms, err);
    if (search->vms.count > 1)
        return refuse_several(&search->vms, err);
    take_vm(search, &search->vms.vms[0]);
    return check_name(search->target.node, err);
}

static int find_named(struct search *search, const char *name,
                      struct nzd_err *err)
{
    struct nzd_target *target = &search->target;
    char host[NZD_HOST_NAME];
    int code = check_name(name, err);

    if (code != 0)
        return code;
    for (size_t i = 0; i < search->vms.count; i++)
        if (names_vm(name, &search->vms.vms[i])) {
            take_vm(search, &search->vms.vms[i]);
            return 0;
        }
    nzd_host_short_name(host);
    if (strchr(name, '@'))
        (void)snprintf(target->node, sizeof(target->node), "%s", name);
    else
        (void)snprintf(target->node, sizeof(target->node), "%s@%s", name, host);
    target->local = nzd_host_is_local(target->node);
    return check_name(target->node, err);
}

/* --- its cookie --- */

static int find_given(struct search *search, struct nzd_err *err)
{
    struct nzd_err own = NZD_ERR_INIT;

    if (nzd_cookie_read(search->options->cookie_file, &search->target,
                        search->warning, search->warning_size, &own) == 0)
        return 0;
    return nzd_err_set(err, NZD_EUSAGE, "%s", own.message);
}

static int find_cookie(struct search *search, struct nzd_err *err)
{
    struct nzd_target *target = &search->target;
    const char *home = getenv("HOME");
    int code = NZD_ENOTFOUND;

    if (search->options->cookie_file)
        return find_given(search, err);
    if (target->pid)
        code = nzd_cookie_of_vm(search->proc, target->pid, target,
                                search->warning, search->warning_size, err);
    if (code == NZD_ENOTFOUND && home && home[0] == '/' &&
        strlen(home) < NZD_VM_PATH)
        code = nzd_cookie_of_home("", home, target, search->warning,
                                  search->warning_size, err);
    if (code == NZD_ENOTFOUND) {
        code = nzd_err_set(err, NZD_EUSAGE, "no cookie is to be found for %s%s",
                           target->node,
                           target->local && !target->pid
                               ? ", and no VM is seen here that has this name"
                               : "");
        nzd_err_next(err, "name the file that holds it: --cookie-file FILE");
    }
    return code;
}

int nzd_target_find_in(const char *proc,
                       const struct nzd_target_options *options,
                       struct nzd_target *out, char *warning,
                       size_t warning_size, struct nzd_err *err)
{
    struct search *search = calloc(1, sizeof(*search));
    int code;

    if (warning_size > 0)
        warning[0] = '\0';
    if (!search)
        return nzd_err_memory(err);
    search->proc = proc;
    search->options = options;
    search->warning = warning;
    search->warning_size = warning_size;
    search->target.port = options->port;
    code = nzd_vm_scan(proc, &search->vms, err);
    if (code == 0)
        code = options->node ? find_named(search, options->node, err)
                             : find_only(search, err);
    if (code == 0)
        code = find_cookie(search, err);
    *out = search->target;
    free(search);
    return code;
}

int nzd_target_find(const struct nzd_target_options *options,
                    struct nzd_target *out, char *warning, size_t warning_size,
                    struct nzd_err *err)
{
    return nzd_target_find_in("/proc", options, out, warning, warning_size,
                              err);
}

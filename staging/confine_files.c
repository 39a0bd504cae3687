/* SPDX-License-Identifier: Apache-2.0 */
#include "confine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Landlock by its numbers, which are the same for all processors: libraries
 * have no calls for it, and the headers of a build may be older than the
 * kernel (Documentation/userspace-api/landlock.rst).
 */

#define CREATE_RULESET 444
#define ADD_RULE       445
#define RESTRICT_SELF  446

#define ASK_VERSION  1u
#define PATH_BENEATH 1u

#define MAY_READ_FILE (1ull << 2)
#define MAY_READ_DIR  (1ull << 3)
#define RIGHTS_1      ((1ull << 13) - 1) /* of the first version */
#define RIGHT_REFER   (1ull << 13)       /* of version 2 */
#define RIGHT_CUT     (1ull << 14)       /* of version 3 */
#define RIGHT_IOCTL   (1ull << 15)       /* of version 5 */
#define NET_TCP       3ull               /* bind, connect; of version 4 */
#define SCOPES        3ull               /* sockets, signals; of version 6 */

struct ruleset {
    uint64_t files;
    uint64_t net;
    uint64_t scopes;
};

struct beneath {
    uint64_t rights;
    int32_t parent;
} __attribute__((packed));

static int make(void)
{
    struct ruleset rules = {.files = RIGHTS_1};
    long version = syscall(CREATE_RULESET, NULL, 0, ASK_VERSION);
    size_t size = sizeof(rules.files);

    if (version < 1)
        return -1;
    if (version >= 2)
        rules.files |= RIGHT_REFER;
    if (version >= 3)
        rules.files |= RIGHT_CUT;
    if (version >= 4) {
        rules.net = NET_TCP;
        size = sizeof(rules.files) + sizeof(rules.net);
    }
    if (version >= 5)
        rules.files |= RIGHT_IOCTL;
    if (version >= 6) {
        rules.scopes = SCOPES;
        size = sizeof(rules);
    }
    return (int)syscall(CREATE_RULESET, &rules, size, 0);
}

/* What cannot be opened is not read later either. */
static int allow(int rules, const char *folder)
{
    struct beneath below = {.rights = MAY_READ_FILE | MAY_READ_DIR};
    int result;

    below.parent = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (below.parent < 0)
        return 0;
    result = (int)syscall(ADD_RULE, rules, PATH_BENEATH, &below, 0);
    close(below.parent);
    return result;
}

int confine_files(const struct nzd_confine *confine)
{
    int rules = make();
    int result = rules < 0 ? -1 : 0;

    for (uint32_t i = 0; result == 0 && i < confine->folder_count; i++)
        result = allow(rules, confine->folders[i]);
    if (result == 0)
        result = (int)syscall(RESTRICT_SELF, rules, 0);
    if (rules >= 0)
        close(rules);
    return result;
}

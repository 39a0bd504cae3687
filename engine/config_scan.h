/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CONFIG_SCAN_H
#define NZD_ENGINE_CONFIG_SCAN_H

/*
 * What stands before libconfuse. libconfuse expands ${NAME} from the
 * environment, includes other files, counts the lines of comments wrongly,
 * skips characters it does not know and keeps its scanner's state after a
 * string that does not end. So the text is read here first, in the same
 * grammar, and written anew:
 *
 *   file    = { setting | section }
 *   section = key [ title ] "{" { setting } "}"
 *   setting = key "=" ( value | "{" [ value { "," value } ] "}" )
 *   key     = letters, digits, "_", "-"; begins with a letter
 *   value   = word | "string" | 'string'
 *
 * with every title and value as a quoted string of printable ASCII in which
 * nothing is special, every line where it was, and no comments. A key set
 * twice in its section is an error. Pure: no I/O.
 */

#include "../journal/bytes.h"

/*
 * Appends the rewritten text to `out`. Fails with `code` and the message
 * "NAME:LINE: ...". Input: UTF-8, no control bytes but tab and line ends.
 */
int nzd_config_scan(const char *name, struct nzd_view text, int code,
                    struct nzd_buf *out, struct nzd_err *err);

#endif

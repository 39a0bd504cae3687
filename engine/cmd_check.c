/* SPDX-License-Identifier: Apache-2.0 */
#include "check_parts.h"

int nzd_cmd_check(struct nzd_context *context)
{
    struct nzd_checking c = {.context = context};
    nzd_check_configuration(&c);
    nzd_check_reading(&c);
    nzd_check_cookie(&c);
    nzd_check_journal(&c);
    nzd_check_lock(&c);
    nzd_check_transactions(&c);
    nzd_check_node(&c);
    nzd_check_boot(&c);
    nzd_check_overlay(&c);
    nzd_check_health(&c);
    nzd_check_print(&context->output, &c.list);
    nzd_question_clear(&c.q);
    nzd_journal_close(c.journal);
    return nzd_check_exit(&c.list);
}

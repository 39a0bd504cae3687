/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The moves of state.h, written out: a row for each from, a mark for each to,
 * in the order of the numbers on disk. */
static const char *const legal[NZD_STATE_COUNT] = {
    /*                   -ARrTCUBPFQ */
    [NZD_STATE_NONE] = "01100000000",
    [NZD_STATE_ABORTED] = "00000000000",
    [NZD_STATE_ARMED] = "00011111100",
    [NZD_STATE_RESTARTING] = "00001111100",
    [NZD_STATE_TRIAL] = "00000111100",
    [NZD_STATE_COMMITTED] = "00000000001",
    [NZD_STATE_UNDOING] = "00000011110",
    [NZD_STATE_ROLLED_BACK] = "00000000000",
    [NZD_STATE_REBOOT_PENDING] = "00000001110",
    [NZD_STATE_FAILED] = "00000000000",
    [NZD_STATE_QUARANTINED] = "00000100000",
};

static void test_moves(void **state)
{
    (void)state;
    for (int from = 0; from < NZD_STATE_COUNT; from++) {
        for (int to = 0; to < NZD_STATE_COUNT; to++) {
            bool can =
                nzd_state_can_move((enum nzd_state)from, (enum nzd_state)to);

            if (can != (legal[from][to] == '1'))
                fail_msg("%s to %s", nzd_state_name((enum nzd_state)from),
                         nzd_state_name((enum nzd_state)to));
        }
    }
    assert_false(nzd_state_can_move((enum nzd_state)11, NZD_STATE_ARMED));
    assert_false(nzd_state_can_move(NZD_STATE_ARMED, (enum nzd_state)64));
}

/* What is open can end; what is settled needs nothing. */
static void test_open_states_need_recovery(void **state)
{
    (void)state;
    for (int i = 0; i < NZD_STATE_COUNT; i++) {
        enum nzd_state one = (enum nzd_state)i;

        for (int fate = 0; fate <= NZD_VM_UNKNOWN; fate++) {
            enum nzd_recovery recovery =
                nzd_state_recovery(one, (enum nzd_vm_fate)fate);

            assert_int_equal(recovery == NZD_RECOVERY_NOTHING,
                             !nzd_state_is_open(one));
            if (nzd_state_is_open(one) && fate == NZD_VM_UNKNOWN)
                assert_int_equal(recovery, NZD_RECOVERY_UNSETTLED);
        }
    }
}

static void test_recovery(void **state)
{
    (void)state;
    assert_int_equal(nzd_state_recovery(NZD_STATE_ARMED, NZD_VM_SAME),
                     NZD_RECOVERY_UNDO);
    assert_int_equal(nzd_state_recovery(NZD_STATE_UNDOING, NZD_VM_RESTARTED),
                     NZD_RECOVERY_ROLLED_BACK);
    assert_int_equal(nzd_state_recovery(NZD_STATE_RESTARTING, NZD_VM_SAME),
                     NZD_RECOVERY_CONTINUE);
    assert_int_equal(nzd_state_recovery(NZD_STATE_RESTARTING, NZD_VM_RESTARTED),
                     NZD_RECOVERY_JUDGE_TARGET);
    assert_int_equal(nzd_state_recovery(NZD_STATE_TRIAL, NZD_VM_SAME),
                     NZD_RECOVERY_LEAVE_TRIAL);
    assert_int_equal(nzd_state_recovery(NZD_STATE_TRIAL, NZD_VM_RESTARTED),
                     NZD_RECOVERY_ROLLED_BACK);
    assert_int_equal(nzd_state_recovery(NZD_STATE_REBOOT_PENDING, NZD_VM_SAME),
                     NZD_RECOVERY_REBOOT);
    assert_int_equal(
        nzd_state_recovery(NZD_STATE_REBOOT_PENDING, NZD_VM_RESTARTED),
        NZD_RECOVERY_JUDGE_BOOT);
    assert_int_equal(nzd_state_recovery((enum nzd_state)99, NZD_VM_SAME),
                     NZD_RECOVERY_UNSETTLED);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(nzd_state_name(NZD_STATE_ROLLED_BACK), "rolled_back");
    assert_string_equal(nzd_state_name(NZD_STATE_REBOOT_PENDING),
                        "reboot_pending");
    assert_string_equal(nzd_state_name((enum nzd_state)11), "unknown");
    assert_true(nzd_state_is_known(10));
    assert_false(nzd_state_is_known(11));
    assert_false(nzd_state_is_known(-1));
    for (int i = 0; i < NZD_STATE_COUNT; i++) {
        for (int j = 0; j < i; j++)
            assert_string_not_equal(nzd_state_name((enum nzd_state)i),
                                    nzd_state_name((enum nzd_state)j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_open_states_need_recovery),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}

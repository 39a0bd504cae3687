#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh TRIPLE [all]: builds nzd for another machine and runs it under
# qemu-user: programs of the tests that need no node, a journal that goes there
# and back, and real nodes of this machine over loopback. Without `all` a few of
# each. Where compiler, emulator or libraries are not to be had it says so, and
# exits 0.
set -eu
cd "$(dirname "$0")/../.."

triple=$1
all=${2-}
build=build/$triple

skip()
{
    echo "cross: $triple: skipped: $1"
    exit 0
}

case $triple in
arm-*) emulator=qemu-arm ;;
*) emulator=qemu-${triple%%-*} ;;
esac
tests/tools/deps.sh cross "$triple" || true
command -v "$triple-gcc" >/dev/null || skip "there is no $triple-gcc"
command -v "$emulator" >/dev/null || skip "there is no $emulator"
sysroot=$PWD/build/sysroot/$triple
status=0
tests/cross/sysroot.sh "$triple" "$sysroot" || status=$?
[ $status != 77 ] || skip 'its libraries cannot be fetched'
[ $status = 0 ] || exit $status

# lock is not among them: qemu shows a process another start time of itself
# than others see. What asks a VM of this machine is there where `all` is.
units='bytes record state digest term beam config journal source transfer'
nodes=
if [ "$all" = all ]; then
    units="$units base64 beam_reach beam_rename elf format inventory collect
        journal_damage journal_files journal_target link_wire options output
        plan settings spool sys_config verdict command cmd_journal"
    nodes='rollback apply hooks journal_use cmd_transfer migrate'
fi
programs=$(for name in $units; do echo "$build/tests/test_$name"; done)

# shellcheck disable=SC2086
make -s -j2 CROSS="$triple" all static $programs

# Each nzd runs by itself and says what it is; the static one needs no other file.
said=$("$emulator" "$build/static/nzd" --version)
echo "$said" | grep -q '^built statically of '
echo "$said" | grep -q ' of '"$([ "${triple#arm}" = "$triple" ] && echo 64 || echo 32)"' bits$'
"$emulator" -L "$sysroot" "$build/nzd" --version | grep -q '^built with '

mkdir -p "$build/tests/cross"
cat >"$build/tests/nzd" <<END
#!/bin/sh
exec $emulator $PWD/$build/static/nzd "\$@"
END
chmod +x "$build/tests/nzd"
export NZD_TESTED="$PWD/$build/tests/nzd"

# shellcheck disable=SC2086
NZD_TEST_WITH="$emulator -L $sysroot" tests/run.sh "$build" $programs

# Real nodes of this machine.
hosts=build/tests/cross/smoke
for name in $nodes; do
    hosts="$hosts build/tests/test_$name"
done
# shellcheck disable=SC2086
make -s -j2 all fixtures build/tests/cross/words $hosts
# shellcheck disable=SC2086
tests/run.sh "$build/nodes" $hosts
case $triple in
arm-*) NZD_OTHER=$NZD_TESTED NZD_TESTED=$PWD/build/nzd \
        tests/run.sh build/words build/tests/cross/words ;;
esac

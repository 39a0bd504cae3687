#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh TRIPLE [all]: builds nzd for another machine and runs it under
# qemu-user, for i686 by this machine itself: programs of the tests that need no
# node, a journal that goes there and back, and real nodes of this machine over
# loopback. Without `all` a few of each. Where compiler, emulator or libraries
# are not to be had it says so, and exits 77.
set -eu
cd "$(dirname "$0")/../.."

triple=$1
all=${2-}
build=build/$triple

skip()
{
    echo "cross: $triple: skipped: $1"
    exit 77
}

sysroot=$PWD/build/sysroot/$triple
bits=64
case $triple in
i686-*) bits=32 ;;
arm-*) bits=32 emulator=qemu-arm ;;
*) emulator=qemu-${triple%%-*} ;;
esac
if [ -n "${emulator-}" ]; then
    loader="$emulator -L $sysroot"
else
    emulator=env
    libraries=i386-linux-gnu
    loader="$sysroot/lib/ld-linux.so.2 --library-path
        $sysroot/lib/$libraries:$sysroot/usr/lib/$libraries"
fi

tests/tools/deps.sh cross "$triple"
command -v "$triple-gcc" >/dev/null || skip "there is no $triple-gcc"
command -v "$emulator" >/dev/null || skip "there is no $emulator"
status=0
tests/cross/sysroot.sh "$triple" "$sysroot" || status=$?
[ $status != 77 ] || skip 'its libraries cannot be fetched'
[ $status = 0 ] || exit $status
# A kernel may have been built without 32 bits.
[ "$emulator" != env ] || $loader --version >/dev/null 2>&1 ||
    skip 'the kernel runs no such program'

# lock is not among them under qemu, which shows a process another start time of
# itself than others see, nor elf where the loader is what runs. What asks a VM of this machine is there where `all` is.
units='bytes record state digest term term_refused beam config journal journal_keep source transfer
    transfer_refused'
nodes=
if [ "$all" = all ]; then
    units="$units base64 beam_vm beam_reach beam_rename elf format inventory
        inventory_refused collect journal_damage journal_files journal_room
        journal_target link_wire options output plan settings settings_need spool
        sys_config verdict verdict_code command cmd_journal"
    [ "$emulator" != env ] || units="$(echo "$units" | sed 's/ elf / /') lock"
    nodes='rollback apply apply_json hooks hooks_program journal_use journal_use_disk'
fi
programs=$(for name in $units; do echo "$build/tests/test_$name"; done)

# shellcheck disable=SC2086
${NZD_MAKE:-make} -s -j2 CROSS="$triple" all static $programs

# Each nzd runs by itself and says what it is; the static one needs no other file.
said=$($emulator "$build/static/nzd" --version)
echo "$said" | grep -q '^built statically of '
echo "$said" | grep -q " of $bits bits$"
$loader "$build/nzd" --version | grep -q " of $bits bits$"

# Where words have 32 bits: no call of libc that takes or gives a time of 32.
times='ppoll __ppoll_chk pselect select time gettimeofday clock_gettime nanosleep
    clock_nanosleep setitimer timerfd_settime stat stat64 lstat lstat64 fstat fstat64
    fstatat fstatat64 nftw nftw64 gmtime_r localtime_r mktime timegm utimensat
    futimens wait4 getrusage fcntl fcntl64 prctl ioctl'
"$triple-nm" "$build/libnzd.a" 2>/dev/null | sed -n "s/^ *U //p" | sort -u >"$build/needed"
# shellcheck disable=SC2086
if [ $bits = 32 ] && printf '%s\n' $times | grep -xFf - "$build/needed"; then
    echo "cross: $triple: these calls end in 2038" >&2
    exit 1
fi

mkdir -p "$build/tests/cross"
cat >"$build/tests/nzd" <<END
#!/bin/sh
exec $emulator $PWD/$build/static/nzd "\$@"
END
chmod +x "$build/tests/nzd"
export NZD_TESTED="$PWD/$build/tests/nzd"
# What no emulator does for it is not asked of it.
[ "$emulator" = env ] || export NZD_TEST_EMULATED=1

# shellcheck disable=SC2086
NZD_TEST_WITH=$loader tests/run.sh "$build" $programs

# Real nodes of this machine.
hosts=build/tests/cross/smoke
for name in $nodes; do
    hosts="$hosts build/tests/test_$name"
done
# shellcheck disable=SC2086
${NZD_MAKE:-make} -s -j2 all fixtures build/tests/cross/words $hosts
# shellcheck disable=SC2086
tests/run.sh "$build/nodes" $hosts
if [ $bits = 32 ]; then
    NZD_OTHER=$NZD_TESTED NZD_TESTED=$PWD/build/nzd \
        tests/run.sh build/words build/tests/cross/words
fi

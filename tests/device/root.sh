#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# root.sh OUT RELEASE NZD SHARED...: a squashfs as the root filesystem of a
# device: a release and this host's emulator under /srv/erlang, nzd under
# /usr/bin, the libraries that they name, empty folders where the init of the
# tests mounts something, those SHARED with the host among them.
set -eu

out=$1 release=$2 nzd=$3
shift 3
root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root"' EXIT

# Dash for system(3), by which the VM starts epmd.
copy_libraries()
{
    ldd "$@" 2>/dev/null | sed -n 's/.*\(=> \|^\t\)\(\/[^ ]*\) (0x.*/\2/p' |
        sort -u | xargs -r cp -L --parents -t "$root"
}

mkdir -p "$root/dev" "$root/proc" "$root/run" "$root/tmp" "$root/data" \
    "$root/etc" "$root/root" "$root/bin" "$root/usr/bin" "$root/srv/erlang"
for shared in "$@"; do
    mkdir -p "$root/$shared"
done

app=$root/srv/erlang/$(basename "${release%-*}")
cp -r "$release" "$app"
erts=$(erl -noshell -eval 'io:format("~s/erts-~s",
    [code:root_dir(), erlang:system_info(version)]), halt().')
mkdir -p "$app/${erts##*/}/bin"
cp "$nzd" "$root/usr/bin/nzd"
cp -L /bin/sh "$root/bin/sh"
for program in beam.smp erlexec erl_child_setup inet_gethost epmd; do
    cp -L "$erts/bin/$program" "$app/${erts##*/}/bin"
done
copy_libraries "$root/usr/bin/nzd" "$root/bin/sh" "$app/${erts##*/}"/bin/*

: >"$root/etc/nzd.conf"
echo '127.0.0.1 localhost device' >"$root/etc/hosts"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf nzdtestcookie >"$root/root/.erlang.cookie"
chmod 0400 "$root/root/.erlang.cookie"
rm -f "$out"
mksquashfs "$root" "$out" -quiet -no-progress -all-root -noappend \
    -noI -noD -noF -noX >/dev/null

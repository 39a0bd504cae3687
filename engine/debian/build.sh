#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# build.sh BUILD OUTPUT: a Debian package of the nzd in BUILD, below OUTPUT; what
# `make install` installs, where Debian wants it. The same nzd gives the same
# package. MAINTAINER of the environment is written into it.
set -eu
umask 022
export LC_ALL=C TZ=UTC0

here=$(dirname "$0")
build=$1
output=$2
maintainer=${MAINTAINER:-nzd maintainers <maintainers@nzd.invalid>}
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$here/changelog")
told=$("$build/nzd" --version | sed -n '1s/^nzd //p')
[ "$version" = "$told" ] || {
    echo "deb: $here/changelog says $version, nzd --version says $told" >&2
    exit 1
}
: "${SOURCE_DATE_EPOCH:=$(date -d "$(sed -n 's/^ -- .*  //p' "$here/changelog")" +%s)}"
export SOURCE_DATE_EPOCH

root=$output/root
doc=$root/usr/share/doc/nzd
rm -rf "$root" "$output/debian"
rm -f "$output"/nzd_*.deb
make -s install DESTDIR="$root" PREFIX=/usr ZSH=share/zsh/vendor-completions
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/nzd"

filled()
{
    sed "s|@MAINTAINER@|$maintainer|; s|@VERSION@|$version|" "$1"
}
filled "$here/changelog" >"$doc/changelog"
install -m 644 CHANGELOG.md "$doc/NEWS.md"
install -m 644 "$here/copyright" "$doc/copyright"
gzip -9n "$doc/changelog" "$root"/usr/share/man/man*/*

# dpkg-shlibdeps wants a source package beside it.
mkdir -p "$output/debian" "$root/DEBIAN"
printf 'Source: nzd\n\nPackage: nzd\nArchitecture: any\n' >"$output/debian/control"
depends=$(cd "$output" && dpkg-shlibdeps -O root/usr/bin/nzd 2>/dev/null |
    sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || {
    echo 'deb: dpkg-shlibdeps knows no package of the libraries' >&2
    exit 1
}
arch=$(dpkg --print-architecture)
size=$(cd "$root" && find usr -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
filled "$here/control" | sed "s/@ARCHITECTURE@/$arch/; s/@SIZE@/$size/;
    s/@DEPENDS@/$depends/" >"$root/DEBIAN/control"
install -m 755 "$here/postinst" "$root/DEBIAN/postinst"
(cd "$root" && find usr -type f | sort | xargs md5sum) >"$root/DEBIAN/md5sums"

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$output/nzd_${version}_$arch.deb" >/dev/null
rm -rf "$root" "$output/debian"
echo "$output/nzd_${version}_$arch.deb"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# machine.sh enter GROUP FOLDER FILES SHARED...: pid 1 of a new pid namespace
#     becomes systemd, in the control group and with a root of its own, made in
#     RAM below FOLDER: this host's root filesystem with FILES laid over it, and
#     the folders SHARED with this host.
# machine.sh lacks: says why there can be none; nothing where there can.
# machine.sh group: how the path of a control group begins; a pid ends it.
# machine.sh sweep: removes the groups whose maker, the number in their name,
#     is gone.
set -eu

systemd=/lib/systemd/systemd

# Of version 2, by itself or beside those of version 1.
groups()
{
    awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts
}

# The files of a control group go with their folder.
remove()
{
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || :
}

sweep()
{
    for group in "$(groups)"/nzd-machine-*; do
        [ -d "$group" ] || continue
        [ -d "/proc/${group##*-}" ] || remove "$group"
    done
}

can_do()
{
    group=$(groups)/nzd-machine-$$
    mkdir "$group" || return 1
    unshare --mount --uts --net --ipc --pid --fork sh -ec "
        echo 0 >$group/cgroup.procs
        unshare --cgroup --mount sh -ec '
            mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/a
            mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w \
                none /mnt/a
            mount -t cgroup2 none /mnt/a/sys && mkdir /mnt/a/sys/try
            rmdir /mnt/a/sys/try'" 2>/dev/null
    able=$?
    remove "$group"
    return $able
}

lacks()
{
    sweep
    if [ "$(id -u)" != 0 ]; then
        echo "only root may mount"
    elif [ ! -x $systemd ] || ! command -v systemctl >/dev/null; then
        echo "systemd is not installed"
    elif ! command -v unshare nsenter pivot_root >/dev/null; then
        echo "unshare, nsenter or pivot_root is not there"
    elif [ -z "$(groups)" ]; then
        echo "no control groups of version 2 are mounted"
    elif ! (set +e; can_do); then
        echo "no control groups or overlays can be made in a namespace here"
    fi
}

# Nothing of this host's devices but what says nothing.
devices()
{
    mount -t tmpfs -o mode=755 none dev
    for device in null zero full random urandom tty; do
        : >"dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 none dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    : >dev/kmsg
}

enter()
{
    echo 0 >"$1/cgroup.procs"
    shift
    exec unshare --cgroup --mount --uts --net --ipc "$0" boot "$@"
}

boot()
{
    folder=$1 files=$2
    shift 2
    mount -t tmpfs -o mode=755 none "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root"
    mount -t overlay none "$folder/root" \
        -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work"
    cd "$folder/root"
    # Its units are those of FILES, and the targets without what they want.
    rm -rf etc/systemd lib/systemd/system-generators var/lib/nzd \
        lib/systemd/system/*.wants etc/nzd.conf
    cp -a "$files/." .
    mount -t proc none proc
    mount -t sysfs -o ro none sys
    mount -t tmpfs none sys/fs/cgroup
    mount -t cgroup2 none sys/fs/cgroup
    mount -t tmpfs -o mode=755 none run
    mount -t tmpfs -o mode=1777 none tmp
    for shared in "$@"; do
        mkdir -p ".$shared"
        mount --rbind "$shared" ".$shared"
    done
    devices
    mkdir run/host
    pivot_root . run/host
    umount -l /run/host
    exec env -i container=nzd PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        $systemd --unit=machine.target --log-target=console \
        --log-level=notice --show-status=no </dev/null
}

command=$1
shift
case $command in
enter | boot | lacks | sweep) $command "$@" ;;
group) echo "$(groups)/nzd-machine-" ;;
esac

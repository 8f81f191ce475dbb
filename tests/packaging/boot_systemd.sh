#!/bin/sh
# Boots a systemd of its own, as process 1 of its own namespaces, on an overlay of this machine's root: nothing that
# happens there is left afterwards, and this machine's network is not there.
#
#     boot_systemd.sh FOLDER
#
# FOLDER/etc is laid over /etc. FOLDER/main is run by the root of that systemd; when it ends, so does everything. FOLDER
# is /lab in there, and what is written to it stays.
set -eu
if [ "${2:-}" != inside ]; then
  exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup sh "$0" "$1" inside
fi
folder=$1
mount --make-rprivate /
mkdir "$folder/root"
mount -t tmpfs tmpfs "$folder/root"
cd "$folder/root"
mkdir upper work tree
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work tree
cd tree
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p lab
mount --bind "$folder" lab
cp -r lab/etc/. etc/
cat >etc/systemd/system/lab.service <<UNIT
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
StandardOutput=append:/lab/output
StandardError=append:/lab/output
ExecStart=/lab/main
UNIT
exec env -i container=lab "PATH=$PATH" chroot . /lib/systemd/systemd --system --unit=lab.service \
  --log-target=console --log-level=warning --show-status=0

#!/bin/sh
# Runs the one file in a root that holds nothing but it, glibc and iproute2, as on the barest of boxes.
#
#   empty_root.sh make               makes build/empty_root anew from dist/xdpsteer
#   empty_root.sh check              fails if anything was written in there but the cache
#   empty_root.sh run [ARGS...]      runs xdpsteer in it; the pid is xdpsteer's own, and all mounts end with it
set -eu
project=$(cd "$(dirname "$0")/../.." && pwd)
root=$project/build/empty_root

if [ "$1" = make ]; then
  rm -rf "$root"
  mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/tmp" "$root/etc" "$root/var/cache" "$root/sbin"
  ln -s ../run "$root/var/run"
  cp "$project/dist/xdpsteer" "$root/xdpsteer"
  cp /sbin/ip /sbin/tc "$root/sbin/"
  # libgcc_s and libbpf's own needs are not among them, unless iproute2 brings them.
  for library in $(ldd /sbin/ip /sbin/tc | grep -o '/[^ ]*' | sort -u | grep -v ':$') \
    $(for name in libc libm libdl librt libpthread; do find /lib/*-linux-gnu -maxdepth 1 -name "$name.so.*"; done); do
    mkdir -p "$root$(dirname "$library")"
    cp -Ln "$library" "$root$library"
  done
  : >"$root/etc/resolv.conf" # the machine's is put in its place
  find "$root" | sort >"$root.list"
  exit 0
fi
if [ "$1" = check ]; then
  find "$root" -path "$root/var/cache/xdpsteer" -prune -o -print | sort | diff "$root.list" - >&2 && exit 0
  echo "empty_root.sh: the lines above were written outside of the cache" >&2
  exit 1
fi

shift
# Who may not mount starts it where it is: some tests do without privileges.
unshare --mount true 2>/dev/null || exec "$root/xdpsteer" "$@"
exec unshare --mount --propagation slave sh -c '
  root=$1; shift
  mount --bind "$root" "$root" # "ip netns exec" wants its root to be a mount
  for directory in proc sys dev run tmp; do mount --rbind "/$directory" "$root/$directory"; done
  ! test -e /etc/resolv.conf || mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
  exec chroot "$root" /xdpsteer "$@"' sh "$root" "$@"

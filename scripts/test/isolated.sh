#!/bin/sh
# isolated.sh PROGRAM [ARGS...]: runs a program in process and mount namespaces of its own, with its own /run and
# /dev/shm. It fails if the program leaves a network namespace. When it is killed, the kernel ends all that it started.
set -eu
[ "$(id -u)" = 0 ] || { echo "This needs root: it makes network namespaces and loads BPF programs"; exit 1; }
# The shell stays: it is process 1 there, and reaps orphans.
exec unshare --mount --pid --fork --kill-child --mount-proc --propagation slave sh -c '
  mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns && mount -t tmpfs -o mode=1777 tmpfs /dev/shm || exit 1
  "$@"
  code=$?
  left=$(ls /run/netns)
  [ -z "$left" ] || { echo "network namespaces were left behind:" $left; exit 1; }
  exit $code' sh "$@"

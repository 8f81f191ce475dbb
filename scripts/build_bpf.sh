#!/bin/sh
# Compiles bpf/*.bpf.c to build/*.bpf.o where a source is newer than its object.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
for source in bpf/*.bpf.c; do
  object=build/$(basename "$source" .c).o
  if [ -e "$object" ] && [ -z "$(find bpf "$0" -newer "$object" -name '*.[chs]*' -print)" ]; then continue; fi
  case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x86 ;; esac
  clang -O2 -g -std=gnu11 -Wall -Wextra -Werror -target bpf -mcpu=v3 "-D__TARGET_ARCH_$arch" \
    -I "/usr/include/$(uname -m)-linux-gnu" "-ffile-prefix-map=$PWD=." -fdebug-compilation-dir=. -c "$source" -o "$object.tmp"
  llvm-strip -g "$object.tmp" # drops DWARF, keeps BTF
  mv "$object.tmp" "$object"
done

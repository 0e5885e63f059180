#!/bin/bash
# Tests docker/Dockerfile and docker/compose.yaml without a container engine: creates a Debian system
# with debootstrap, executes the Dockerfile's instructions in it, and runs the result in namespaces
# of its own, without network and as the image's user.
#
#   docker/prove.sh             the runtime image around target/pgo/spnegate, or a plainer build's
#   docker/prove.sh --build     builds in the Dockerfile's build stage too (many minutes)
#   docker/prove.sh --compose   runs both services of compose.yaml too (with target/debug/lab)
#
# Requires root, debootstrap, python3-yaml, iproute2, and network access to Debian's packages.
# Everything is written below target/docker-proof; the Debian system is kept there for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/target/docker-proof
base=$work/bookworm

if [ "$(id -u)" != 0 ]; then
  echo "docker-proof: making file systems and name spaces wants root" >&2
  exit 1
fi
binary=$PWD/target/pgo/spnegate
for kind in release debug; do
  [ -x "$binary" ] || binary=$PWD/target/$kind/spnegate
done
if [ ! -x "$binary" ] && [[ " $* " != *" --build "* ]]; then
  echo "docker-proof: no binary: run cargo build first" >&2
  exit 1
fi
mkdir -p "$work"
if [ ! -d "$base" ]; then
  echo "docker-proof: making a Debian with debootstrap (a minute)"
  rm -rf "$base.part"
  debootstrap --variant=minbase bookworm "$base.part" http://deb.debian.org/debian >"$work/debootstrap.log"
  mv "$base.part" "$base"
fi
options=(--work "$work" --base "$base" --binary "$binary")
[ ! -x target/debug/lab ] || options+=(--lab "$PWD/target/debug/lab")
cache=${SPNEGATE_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/spnegate-lab}
[ ! -d "$cache" ] || options+=(--cache "$cache")
# the system's Python, for which Debian's python3-yaml is installed
exec /usr/bin/python3 -B docker/proof/prove.py "${options[@]}" "$@"

#!/usr/bin/env bash
# Tries every way in as a new user would, on a bare Debian 12: tests/packaging/run.sh [STEP…], as root.
#
# The bare system is made by debootstrap in build/packaging/root, from the mirror of this machine's apt sources; each step runs in a
# copy of it. Steps: library fetch source package run test (in_root.sh describes them); without arguments all of them run.
set -euo pipefail
cd "$(dirname "$0")/../.."
base=$PWD/build/packaging
[ "$(id -u)" = 0 ] || { echo "tests/packaging/run.sh must run as root: it makes a system by debootstrap"; exit 1; }
mkdir -p "$base"

if [ ! -e "$base/root/done" ]; then
  rm -rf "$base/root"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
  debootstrap --variant=minbase --include=ca-certificates bookworm "$base/root" "$mirror" >"$base/debootstrap.log" 2>&1 || {
    tail "$base/debootstrap.log"; exit 1; }
  # The same sources, keys and proxy as this machine, of Debian alone.
  rm -f "$base/root/etc/apt/sources.list"
  cp /etc/apt/sources.list.d/debian.sources "$base/root/etc/apt/sources.list.d/"
  cp /etc/apt/apt.conf.d/* "$base/root/etc/apt/apt.conf.d/" 2>/dev/null || true
  # Services are not started in the copies.
  printf '#!/bin/sh\nexit 101\n' >"$base/root/usr/sbin/policy-rc.d"
  chmod +x "$base/root/usr/sbin/policy-rc.d"
  touch "$base/root/done"
fi

run_step() {
  local step=$1 root=$base/$1
  rm -rf "$root"
  cp -a "$base/root" "$root"
  git clone -q . "$root/cairn"
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  # Certificates that this machine trusts, for npm.
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >"$base/certificates.log" 2>&1
  unshare --mount --pid --fork bash -c "
    mount --rbind /dev '$root/dev' && mount -t proc proc '$root/proc' &&
    exec chroot '$root' env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
      NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
      bash /cairn/tests/packaging/in_root.sh $step" >"$base/$step.log" 2>&1 || {
    tail -30 "$base/$step.log"; echo "packaging: step $step failed; its log is $base/$step.log"; return 1; }
  echo "packaging: $step: $(tail -1 "$base/$step.log")"
  rm -rf "$root"
}

[ $# != 0 ] || set -- library fetch source package run test
for step in "$@"; do run_step "$step"; done

#!/usr/bin/env bash
# Builds the Debian packages cairn, libcairn0 and libcairn-dev from the work tree into build/package/, and checks them by lintian.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^project(cairn VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
work=build/package
tree=$work/cairn-$version
rm -rf "$work"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard | xargs -0 -I{} sh -c '[ ! -e "$1" ] || printf "%s\0" "$1"' _ {} |
  tar --null -T - -c | tar -x -C "$tree"
mv "$tree/packaging/debian" "$tree/debian"
cp packaging/cairn.service "$tree/debian/cairn.service"
cp packaging/cairn.sysusers "$tree/debian/cairn.sysusers"
# The newest commit dates the package, so that the same sources make the same package.
maintainer=${CAIRN_MAINTAINER:-$(git log -1 --format=%ae)}
sed -i "s/@MAINTAINER@/$maintainer/" "$tree/debian/control"
cat >"$tree/debian/changelog" <<CHANGELOG
cairn ($version) unstable; urgency=medium

  * Release $version; CHANGELOG.md says what is in it.

 -- The Cairn maintainers <$maintainer>  $(date -u -R -d "@$(git log -1 --format=%ct)")
CHANGELOG
(cd "$tree" && DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" dpkg-buildpackage -us -uc -b) >"$work/build.log" 2>&1 || {
  tail -40 "$work/build.log"; exit 1; }
lintian --fail-on error "$work"/*.deb
ls -l "$work"/*.deb

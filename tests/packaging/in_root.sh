#!/usr/bin/env bash
# One step of run.sh, on the bare system; the clone is /cairn. Commands are those of README.md and docs/, taken from there.
set -euxo pipefail
step=$1
cd /cairn
export DEBIAN_FRONTEND=noninteractive
apt-get update
# Blocks of a page that are marked as run by root.
blocks() { awk '/<!-- run: root -->/ {marked = 1} /^```$/ {inside = 0} inside {print} marked && /^```sh$/ {inside = 1; marked = 0}' "$1"; }

main_job() {  # Commands and libraries are installed.
  cairn --version
  cairn table create /tmp/data
  cairn table put /tmp/data alice "1 Main Street"
  [ "$(cairn table get /tmp/data alice)" = "1 Main Street" ]
  cairn verify /tmp/data
  cairn serve /tmp/served --port 7379 2>/tmp/serve.log &
  server=$!
  apt-get install -y --no-install-recommends redis-tools
  for _ in $(seq 100); do redis-cli PING >/dev/null 2>&1 -p 7379 && break; sleep 0.1; done
  redis-cli -p 7379 SET greeting hello
  then=$(date +%s%3N)
  redis-cli -p 7379 FLUSHALL
  redis-cli -p 7379 TL.ROLLBACK "$then"
  [ "$(redis-cli -p 7379 GET greeting)" = hello ]
  kill $server
  wait $server
}

# The program of README.md, as its user would build it.
program() {
  mkdir -p /tmp/program
  awk '/^```$/ {inside = 0} inside {print} /^```cpp$/ {inside = 1}' README.md >/tmp/program/program.cc
  cd /tmp/program
}

find_package() {  # TARGET
  cat >CMakeLists.txt <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(program LANGUAGES CXX)
find_package(cairn 0.1 REQUIRED)
add_executable(program program.cc)
target_link_libraries(program PRIVATE $1)
CMAKE
  rm -rf build data
  cmake -S . -B build
  cmake --build build
  [ "$(build/program | head -1)" = Hello ]
}

with_pkg_config() {
  rm -rf data
  # shellcheck disable=SC2046
  g++ -std=c++23 program.cc $(pkg-config --cflags --libs "$@" cairn) -o program
  [ "$(./program | tail -1)" = Hello ]
}

library_packages() {
  apt-get install -y --no-install-recommends g++ cmake make pkg-config libfmt-dev liblz4-dev libzstd-dev libxxhash-dev libboost1.81-dev
}

case $step in
  library)  # With all parts off the library builds where its own packages alone are installed.
    library_packages
    cmake -S . -B /tmp/build -DCAIRN_SERVER=OFF -DCAIRN_COMMAND=OFF -DCAIRN_TESTS=OFF -DCAIRN_BENCH=OFF -DCAIRN_EXAMPLES=OFF
    cmake --build /tmp/build -j2
    cmake --install /tmp/build
    ldconfig
    program
    find_package cairn::cairn
    find_package cairn::shared
    with_pkg_config
    with_pkg_config --static ;;
  fetch)  # FetchContent and add_subdirectory.
    library_packages
    program
    for way in 'include(FetchContent)
FetchContent_Declare(cairn SOURCE_DIR /cairn)
FetchContent_MakeAvailable(cairn)' 'add_subdirectory(/cairn cairn)'; do
      printf 'cmake_minimum_required(VERSION 3.25)\nproject(program LANGUAGES CXX)\n%s\nadd_executable(program program.cc)\ntarget_link_libraries(program PRIVATE cairn::cairn)\n' "$way" >CMakeLists.txt
      rm -rf build data
      cmake -S . -B build
      cmake --build build -j2
      [ "$(build/program | head -1)" = Hello ]
      [ ! -e build/bin/cairn ]
    done ;;
  source)  # docs/install.md, from source, and docs/server.md without the package.
    apt-get install -y --no-install-recommends git ca-certificates
    ./dev build release
    blocks docs/install.md | sed -n '/^cmake/,$p' >/tmp/install.sh
    bash -ex /tmp/install.sh
    main_job
    apt-get install -y --no-install-recommends systemd
    blocks docs/server.md >/tmp/server.sh
    bash -ex /tmp/server.sh
    id cairn
    cairn serve --check-config --config /etc/cairn/cairn.toml
    systemd-analyze verify --man=no /etc/systemd/system/cairn.service ;;  # The pages come with the package.
  package)  # docs/install.md, Debian packages.
    apt-get install -y --no-install-recommends git ca-certificates
    blocks docs/install.md | sed -n '/^.\/dev package/,/^cairn/p' >/tmp/install.sh
    bash -ex /tmp/install.sh
    main_job
    id cairn
    cairn serve --check-config --config /etc/cairn/cairn.toml
    systemd-analyze verify /lib/systemd/system/cairn.service
    apt-get install -y --no-install-recommends g++ cmake make pkg-config man-db bash-completion
    man -w cairn cairn.toml
    program
    find_package cairn::cairn
    find_package cairn::shared
    with_pkg_config
    cd /
    apt-get purge -y cairn libcairn0 libcairn-dev
    [ ! -e /etc/cairn/cairn.toml ] ;;
  run)
    apt-get install -y --no-install-recommends git ca-certificates
    # shellcheck disable=SC2016
    time ./dev run --once ;;
  test)
    apt-get install -y --no-install-recommends git ca-certificates
    ./dev test ;;
  *) echo "unknown step $step"; exit 2 ;;
esac
echo "done"

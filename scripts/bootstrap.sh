#!/usr/bin/env bash
# Installs the Debian packages that building and testing Soma needs; does nothing where they are there already.
set -euo pipefail

packages=(gcc clang clang-format clang-tidy cppcheck cmake ninja-build pkg-config git
    libck-dev libmsgpack-dev libjansson-dev libzmq3-dev libzstd-dev libcurl4-openssl-dev etcd-server libcmocka-dev libncurses-dev doxygen valgrind shellcheck python3 iproute2 python3-zmq python3-msgpack
    libclang-rt-14-dev)

missing=()
for package in "${packages[@]}"; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "bootstrap: all ${#packages[@]} packages are there"
    exit 0
fi

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "bootstrap: needs root or sudo to install: ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
fi
echo "bootstrap: installing ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "bootstrap: done"

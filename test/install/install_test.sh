#!/usr/bin/env bash
# Installs a build into a temporary folder and builds an outside program with it, by CMake package and by pkg-config.
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
if grep -q fsanitize "$build/CMakeCache.txt"; then
    echo "skipped: a sanitizer's library needs its runtime in every program; the release build shows this"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
lib=$(dirname "$(find "$work/prefix" -name libsoma.so.0)")

cmake -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
[ "$("$work/cmake/outside")" = tick ]
[ "$("$work/cmake/outside_static")" = tick ]

cmake -S "$here/../../examples/testing" -B "$work/testing" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/testing" >/dev/null
SOMA_SEEDS=100 "$work/testing/account_test" >/dev/null

export PKG_CONFIG_PATH=$lib/pkgconfig
flags=$(pkg-config --cflags --libs soma)
# shellcheck disable=SC2086 # flags are words
cc -std=c11 "$here/outside.c" $flags -o "$work/outside"
[ "$(LD_LIBRARY_PATH=$lib "$work/outside")" = tick ]
# shellcheck disable=SC2046 # flags are words
cc -std=c11 "$here/../../examples/testing"/*.c $(pkg-config --cflags --libs soma_test) -o "$work/account_test"
SOMA_SEEDS=10 "$work/account_test" >/dev/null

[ "$("$work/prefix/bin/soma" --version)" = "soma $(pkg-config --modversion soma)" ]

stray=$(nm -D --defined-only "$lib/libsoma.so" | awk '{print $3}' | grep -v '^soma_' || true)
if [ -n "$stray" ]; then
    echo "exported but not public: $stray"
    exit 1
fi
echo "installed, found both ways, nothing stray exported"

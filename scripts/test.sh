#!/usr/bin/env bash
# Installs, builds and runs all tests. --quick: only the release build and its tests, for the inner loop.
set -euo pipefail
cd "$(dirname "$0")/.."
quick=${1:-}
passed=0

step() {
    echo "== $1 [${SECONDS}s]"
    shift
    "$@"
    passed=$((passed + 1))
}

build() {
    cmake --preset "$1" >/dev/null
    cmake --build --preset "$1"
}

lint() {
    mapfile -t sources < <(git ls-files --cached --others --exclude-standard 'runtime/*.c' 'bridges/*.c' 'channels/*.c' 'nameservice/*.c' 'testkit/*.c' 'tools/*.c')
    # memleak: it does not follow a pointer that memcpy stores into the message, which then owns it
    # unknownMacro: it gives SOMA_MESSAGE up, which counts its arguments; clang-tidy reads those files in full
    cppcheck --quiet -j "$(nproc)" --suppress=memleak:runtime/unpack.c --suppress=unknownMacro --error-exitcode=1 --std=c11 \
        --enable=warning,portability --inline-suppr -Iinclude -I. runtime bridges channels nameservice testkit tools
    printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -n 8 clang-tidy --quiet -p build/clang-release
}

# Many wait for time more than they work, so there may be more of them than there are cores.
tests() {
    ctest --preset "$1" -j "$(($(nproc) + 1))" "${@:2}"
}

# On the release build, which users run, and which takes a half to a fifth of the time.
memcheck() {
    local test
    for test in build/release/test/*_test; do
        # Runs in hundreds of processes, or against real time: the sanitizers have seen those.
        [ -e "test/runtime/$(basename "$test").c" ] || [ -e "test/stress/$(basename "$test").c" ] || continue
        printf '%s\0' "$test"
    done | SOMA_TEST_LIGHT=50 SOMA_SEEDS=5 xargs -0 -P "$(nproc)" -n 1 \
        valgrind --quiet --leak-check=full --error-exitcode=1 --fair-sched=yes
}

# A bounded number of inputs from a fixed seed, some ten seconds each. A finding is left in build/fuzz.
fuzz() {
    local target=$1 runs=$2 found=build/fuzz/found-$1
    shift 2
    rm -rf "$found"
    mkdir "$found"
    if ! "build/fuzz/test/fuzz/fuzz_$target" -seed=1 -runs="$runs" -max_len=512 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix=build/fuzz/ "$@" "$found" "test/fuzz/corpus/$target" >"$found.log" 2>&1; then
        tail -n 50 "$found.log"
        return 1
    fi
    grep '^Done' "$found.log"
}

docs() {
    mkdir -p build/docs
    doxygen docs/Doxyfile >/dev/null
}

scripts/bootstrap.sh
step "release build (gcc)" build release
step "release tests" tests release
if [ "$quick" != --quick ]; then
    step "style" scripts/check_style.sh
    step "shell scripts" shellcheck scripts/*.sh .ci/run test/install/*.sh test/scripts/*.sh test/fuzz/*.sh bench/*.sh \
        bench/peers/*/*.sh docs/*.sh tools/*.bash
    step "clang build" build clang-release
    step "lint" lint
    step "docs" docs
    step "address and undefined behaviour sanitizers, build" build asan
    step "address and undefined behaviour sanitizers, tests" tests asan
    step "thread sanitizer, build" build tsan
    step "thread sanitizer, tests" tests tsan
    step "fuzz targets, build" build fuzz
    step "fuzz unpacking" fuzz unpack 200000
    step "fuzz JSON" fuzz json 800000
    step "fuzz frames" fuzz frame 150000 -detect_leaks=0 # a node is kept, in memory where the detector does not look
    step "fuzz conversations" fuzz conversation 10000
    step "fuzz the bytes of ZMTP" fuzz zmtp_bytes 1000000
    step "fuzz ZMTP" fuzz zmtp 10000 -detect_leaks=0 # likewise
    step "debug build, without zstd" build debug
    step "bridges without zstd" tests debug -R '^bridges/(compress|frame|lone|session)_test'
    step "valgrind" memcheck
fi
echo "== done [${SECONDS}s]"
echo "$passed passed, 0 failed"

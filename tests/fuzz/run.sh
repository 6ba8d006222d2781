#!/usr/bin/env bash
# Every parser by libFuzzer, so many seconds each, and a table of what was found.
#     tests/fuzz/run.sh 60 [PARSER…]
# Needs a nightly compiler and cargo-fuzz; inputs that break a parser are left in
# tests/fuzz/artifacts and belong into tests/fuzz/seeds/PARSER, as they are.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
shift || true
parsers=("$@")
if [ ${#parsers[@]} = 0 ]; then
  mapfile -t parsers < <(sed -n 's/^    target("\([a-z0-9_]*\)".*/\1/p; s/^        "\([a-z0-9_]*\)",$/\1/p' tests/src/lib.rs)
fi
nice -n 15 cargo +nightly fuzz build --fuzz-dir tests/fuzz parsers
printf '%-14s %12s %8s %8s %10s %s\n' parser executions coverage corpus peak_MiB found
for parser in "${parsers[@]}"; do
  corpus=tests/fuzz/corpus/$parser
  found=tests/fuzz/artifacts/$parser
  mkdir -p "$corpus" "$found"
  [ ! -d "tests/fuzz/seeds/$parser" ] || cp -n "tests/fuzz/seeds/$parser"/* "$corpus"/
  log=$found/log.txt
  KOEMASU_PARSER=$parser nice -n 15 cargo +nightly fuzz run --fuzz-dir tests/fuzz parsers "$corpus" -- \
    -fork=0 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=65536 \
    -artifact_prefix="$found/" -print_final_stats=1 >"$log" 2>&1 || true
  stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
  coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2 || true)
  broken=$(find "$found" -type f ! -name log.txt | wc -l)
  printf '%-14s %12s %8s %8s %10s %s\n' "$parser" "$(stat number_of_executed_units)" "${coverage:--}" \
    "$(find "$corpus" -type f | wc -l)" "$(stat peak_rss_mb)" "$broken"
done

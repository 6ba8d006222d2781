#!/usr/bin/env bash
# What only a GPU can show, as a table. Needs an NVIDIA driver and, beside the
# repository, shared/models (or KOEMASU_SHARED).
#
# usage: tests/gpu/run.sh [MINUTES OF SOAK, default 5]
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes="${1:-5}"
if ! nvidia-smi -L >/dev/null 2>&1; then
  echo "no NVIDIA driver answers here: nothing was checked" >&2
  exit 1
fi
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
cargo xtask setup --device cuda
log=$(mktemp)
rows=""
row() { rows+="| $1 | $2 | $3 |"$'\n'; }
check() { # name, nextest filter
  if cargo nextest run -p session --no-capture -E "test(=$2)" >"$log" 2>&1; then
    row "$1" "pass" "$(grep -hE '^(slab|verdict|outside)' "$log" | tail -1 | cut -c1-160)"
  else
    row "$1" "FAIL" "$(grep -hE 'panicked|assert' "$log" | head -1 | cut -c1-160)"
  fi
}
check "tensors come from the registered allocator" gpu::tensors_on_the_gpu_lie_in_the_slab
check "initializers alias the slab: A-B-A" gpu::voices_swap_in_place_on_the_gpu
check "overhead outside the slab is constant, 1,000 runs" gpu::what_lies_outside_the_slab_stays_constant_after_warm_up
check "over the budget: typed error, usable session" gpu::the_budget_is_hard_on_the_gpu_too
cargo build --release --locked -p koemasu
models="${KOEMASU_SHARED:-../shared}/models"
if timeout "$((minutes * 60 + 600))" target/release/koemasu soak \
  --models "$models/micro" --bert "$models/bert-tiny/model.onnx" \
  --tokenizer "$models/bert-tiny/tokenizer.json" \
  --voices 40 --requests "$((minutes * 200))" --png gpu-soak.png >"$log" 2>&1; then
  row "soak with NVML" "pass" "$(tail -1 "$log" | cut -c1-200)"
else
  row "soak with NVML" "FAIL" "$(tail -1 "$log" | cut -c1-200)"
fi
printf '| check | outcome | said |\n|---|---|---|\n%s' "$rows"
! grep -q "| FAIL |" <<<"$rows"

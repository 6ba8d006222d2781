#!/usr/bin/env bash
# What only a GPU can show, on a machine with cargo: the same steps that
# on-device.sh runs from a kit.
#
# usage: OUT=FOLDER tests/gpu/run.sh [MODELS, default ../shared/models]
set -euo pipefail
cd "$(dirname "$0")/../.."
models="${1:-${KOEMASU_SHARED:-../shared}/models}"
if [[ "${KIT_DEVICE:-cuda}" == cuda ]] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "no NVIDIA driver answers here: nothing was checked (KIT_DEVICE=cpu tries the steps themselves)" >&2
  exit 1
fi
cargo xtask setup --device "${KIT_DEVICE:-cuda}"
cargo build --release --workspace --locked
tests=$(cargo test --release --workspace --locked --no-run --test gpu --message-format=json |
  python3 -c 'import json, sys
found = [m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "gpu"]
print(found[-1])')
[[ -d "$models" ]] || models=""
KIT_SECONDS="${KIT_SECONDS:-900}" exec python3 tests/gpu/on_device.py here target/release/koemasu "$tests" "$models"

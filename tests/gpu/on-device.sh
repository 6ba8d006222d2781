#!/usr/bin/env bash
# What only a GPU can show, on a machine that has a driver, Python with numpy and
# CUDA 13's libraries out of wheels, and nothing else: no network, no compiler.
#
# usage: OUT=FOLDER tests/gpu/on-device.sh [KIT, default gpu-kit]
#
# KIT is what `cargo xtask gpu-kit` has packed, beside this repository. Figures
# come to OUT as they are found: table.md, a JSON file for each step, log.txt.
#   KIT_PYTHON   default python3
#   KIT_ROOT     where the kit is unpacked, default a folder of the system's own
#   KIT_SECONDS  bound of it all, default 390
#   KIT_SCALE    what every bound is multiplied by, default 1
#   KIT_SHORT=1  every step as short as it can be
#   KIT_STEPS    names of steps, default all
set -uo pipefail
exec "${KIT_PYTHON:-python3}" "$(dirname "$0")/on_device.py" kit "$@"

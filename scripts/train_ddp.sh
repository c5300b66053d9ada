#!/bin/bash
# Trains one policy on all devices of this machine.
#
#     bash scripts/train_ddp.sh configs/snake_large.yaml 100000000 42
#
# The arguments are a config, the steps of all environments together, and the seed; options of the
# task may follow, as in num_envs=256, and win. One process drives all devices: the GPUs, or on a
# CPU as many simulated devices as it has cores (a power of two, up to 8; NUM_DEVICES=1 sets it).
# PROCESSES=2 starts that many processes instead, which share out the GPUs; num_envs is then the
# config's. TASK names another task than examples.snake.

set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
task="${TASK:-examples.snake}"
python="${PYTHON:-python3}"
if [[ -z "${PYTHON:-}" && -x "${root}/.venv/bin/python" ]]; then
  python="${root}/.venv/bin/python"
fi

stop() {
  echo "error: $1" >&2
  exit 2
}

is_count() {
  [[ "$1" =~ ^[1-9][0-9]*$ ]]
}

if [[ $# -lt 3 ]]; then
  stop "$# argument(s), and three are needed. Write bash scripts/train_ddp.sh configs/snake_small.yaml 500000 42"
fi
config="$1" total_timesteps="$2" seed="$3"
shift 3
if [[ ! -f "${config}" ]]; then
  exist="$(cd "${root}" && ls configs/*.yaml | tr '\n' ' ')"
  stop "${config}: no such config. Those that come with ksim: ${exist% }"
fi
is_count "${total_timesteps}" || stop "total_timesteps ${total_timesteps}: write a number of steps, as in 500000."
[[ "${seed}" =~ ^[0-9]+$ ]] || stop "seed ${seed}: write a number from 0 on, as in 42."

cores="$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 1)"
processes="${PROCESSES:-1}"
is_count "${processes}" || stop "PROCESSES=${processes}: write a number from 1 on."
if [[ "${processes}" -gt "${cores}" ]]; then
  stop "PROCESSES=${processes}: this machine has ${cores} core(s), and a process takes one. Write PROCESSES=${cores}."
fi
if [[ -n "${NUM_DEVICES:-}" ]]; then
  is_count "${NUM_DEVICES}" || stop "NUM_DEVICES=${NUM_DEVICES}: write a number from 1 on."
fi

# Given behind the three arguments, an option wins.
given=("$@")
options=("${config}" "total_timesteps=${total_timesteps}" "seed=${seed}")
add() {
  local option
  for option in ${given[@]+"${given[@]}"}; do
    if [[ "${option%%=*}" == "${1%%=*}" ]]; then
      return
    fi
  done
  options+=("$1")
}

add "matmul_precision=auto"
add "has_metrics_csv=true"
if [[ "${processes}" -eq 1 ]]; then
  add "num_envs=auto"
fi
if [[ -n "${NUM_DEVICES:-}" ]]; then
  add "num_devices=${NUM_DEVICES}"
elif ! command -v nvidia-smi >/dev/null || [[ "${JAX_PLATFORMS:-}" == "cpu" ]]; then
  devices=1
  while [[ $((2 * devices * processes)) -le ${cores} && ${devices} -lt 8 ]]; do
    devices=$((2 * devices))
  done
  add "num_devices=${devices}"
fi
run_dir="runs/ddp_$(basename "${config}" .yaml)_$(date +%Y%m%d_%H%M%S)"
add "run_dir=${run_dir}"
for option in "$@"; do
  if [[ "${option}" == run_dir=* ]]; then
    run_dir="${option#run_dir=}"
  fi
done

export PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}"
if [[ "${processes}" -eq 1 ]]; then
  "${python}" -m "${task}" "${options[@]}" "$@"
else
  "${python}" -m ksim.launch --num-processes "${processes}" "${task}" "${options[@]}" "$@"
fi
echo "The run is in ${run_dir}. Look at it by: tensorboard --logdir ${run_dir}"

#!/bin/bash
# Trains on several nodes of a Slurm cluster: one process a node, with all of its GPUs.
#
#     sbatch deploy/slurm.sh max_steps=1000
#
# What stands behind the script's name goes to the task. The run directory must lie on a file system
# that all nodes see. ksim reads Slurm's variables: no address has to be written anywhere.

#SBATCH --job-name=ksim
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
# Two minutes before the time is up ksim is told to save and stop.
#SBATCH --signal=TERM@120
# After a node failure Slurm starts the job again. It keeps its number, so it finds its checkpoints.
#SBATCH --requeue
#SBATCH --open-mode=append

set -euo pipefail

run_dir="runs/walking_${SLURM_JOB_ID}"

# A failed start is repeated from the last checkpoint; a wrong option (status 2) is not.
for attempt in 1 2 3; do
  status=0
  srun --label --kill-on-bad-exit=1 \
    python -m examples.walking_distributed num_envs=4096 batch_size=1024 "run_dir=${run_dir}" "$@" \
    || status=$?
  if [[ ${status} -eq 0 || ${status} -eq 2 ]]; then
    break
  fi
  echo "start ${attempt} ended with status ${status}" >&2
done
exit "${status}"

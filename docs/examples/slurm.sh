#!/bin/bash
# One learner machine and three of collectors: sbatch docs/examples/slurm.sh. Collectors reach the server by SSH tunnels.
#SBATCH --job-name=slac_tf
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append

set -euo pipefail
gin_file=gin_configs/cheetah_run.gin
root_dir=${SLURM_SUBMIT_DIR}/logs/cheetah_run/seed0
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")

for i in 1 2 3; do
  srun --nodes=1 --ntasks=1 --nodelist="${nodes[$i]}" bash -c "
    ssh -f -N -o ExitOnForwardFailure=yes -o ServerAliveInterval=15 -L 8008:localhost:8008 ${nodes[0]}
    exec bin/launch --roles=collectors --collectors=8 --first_collector=$((8*i)) \
      --gin_file=$gin_file --replay_address=localhost:8008" &
done
srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" \
  bin/launch --gin_file="$gin_file" --root_dir="$root_dir" --port=8008 --collectors=2

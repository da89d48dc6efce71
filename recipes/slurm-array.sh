#!/usr/bin/env bash
# Classify many files on a SLURM cluster, one task of an array for each.
#
#   find /data/experiments -name '*.xml' > files.txt
#   mkdir -p verdicts
#   sbatch --array=1-$(wc -l < files.txt) recipes/slurm-array.sh files.txt verdicts
#
# The weights are part of the installation: no task needs the internet. Without --gres the network
# runs on the CPUs given below. A failed task can be submitted again by its number.
#SBATCH --job-name=spt-explain
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=01:00:00
#SBATCH --output=spt-explain-%A_%a.log
# #SBATCH --gres=gpu:1
set -euo pipefail
list=$1 results=${2%/}
input=$(sed -n "${SLURM_ARRAY_TASK_ID:?submit this with sbatch --array}p" "$list")
[ -n "$input" ] || { echo "no line $SLURM_ARRAY_TASK_ID in $list" >&2; exit 2; }
name=$(basename "$input")
# the task's number keeps files of the same name apart
spt-explain classify "$input" -o "$results/$SLURM_ARRAY_TASK_ID-$name.verdicts.csv" \
    --jobs "${SLURM_CPUS_PER_TASK:-1}" --overwrite

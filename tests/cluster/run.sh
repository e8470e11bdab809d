#!/bin/bash
# A sweep through a real Slurm, on one machine: the same bits as without it, and what was killed goes on.
#
#   sudo tests/cluster/run.sh              # as root on Debian or Ubuntu; not part of `make test`
#   PYTHON=/my/env/bin/python …            # another environment than .venv; it needs the extra `cluster`
#   LOCAL=/a/folder …                      # where the local runs lie, or go; else in a temporary folder
#
# It installs slurm-wlm and munge with apt if they are missing, writes /etc/slurm/slurm.conf (where there is one it
# refuses: a Slurm that is in use is left alone), starts munged, slurmctld and slurmd out of a temporary folder, and then
#   1. runs tests/cluster/smoke.yaml, six runs, locally;
#   2. runs it again through sbatch in another folder, and kills the training of one run (SIGKILL) once it has a
#      checkpoint, for which it is held for half a minute: the other five finish, and the sweep says that one failed;
#   3. runs it once more: only what is missing is done, and the killed training goes on from its checkpoint;
#   4. compares all weights, metrics and levels of both folders to the bit;
#   5. stops its daemons, removes its files, and removes the packages that it installed.
# Ten minutes or so. The last line says whether all of it held; the exit status too.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="$(realpath -s "${PYTHON:-.venv/bin/python}")"
SWEEP=tests/cluster/smoke.yaml
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "run.sh: needs root and apt; see its head." >&2; exit 2; }
"$PYTHON" -c 'import snakemake_executor_plugin_slurm' 2>/dev/null || {
    echo "run.sh: $PYTHON has no snakemake-executor-plugin-slurm; run: pip install -e '.[cluster]'" >&2; exit 2; }

CONF=/etc/slurm/slurm.conf  # the plugin starts jobs without SLURM_CONF, so it has to lie where Debian's looks for it
[ ! -e "$CONF" ] || { echo "run.sh: there is a Slurm here already ($CONF); it is left alone." >&2; exit 2; }

place="$(mktemp -d)" && chmod 755 "$place"
packages() { dpkg-query --show --showformat '${Package}\n' | sort; }
packages > "$place/before"
say() { echo "== $*"; }

take_down() {
    trap '' INT TERM
    for daemon in slurmd slurmctld munged; do
        [ -s "$place/$daemon.pid" ] && kill "$(cat "$place/$daemon.pid")" 2>/dev/null || true
    done
    sleep 3
    new="$(packages | comm -13 "$place/before" -)"
    [ -z "$new" ] || DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq $new >/dev/null 2>&1 || true
    rm -rf "$place" "$CONF"
    say "taken down"
}
trap take_down EXIT

say "Slurm"
command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1; }
mkdir "$place/state" "$place/spool"
mkdir -p "$(dirname "$CONF")"
host="$(hostname -s)"
cat > "$CONF" <<CONF
ClusterName=octavoice
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$place/munge.socket
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 500))
PartitionName=batch Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
dd if=/dev/urandom of="$place/munge.key" bs=1024 count=1 status=none && chmod 400 "$place/munge.key"
munged --force --key-file="$place/munge.key" --socket="$place/munge.socket" --pid-file="$place/munged.pid" \
    --log-file="$place/munged.log" --seed-file="$place/munged.seed"
slurmctld -f "$CONF"
slurmd -f "$CONF" -N "$host"
for _ in $(seq 60); do sinfo -h -o %T 2>/dev/null | grep -q idle && break; sleep 1; done
sinfo -o "%P %D %c %m %T"
sinfo -h -o %T | grep -q idle || { tail -20 "$place"/*.log; exit 1; }

LOCAL="${LOCAL:-$place/local}"
sweep() { OCTAVOICE_HOME="$1" "$PYTHON" -m octavoice sweep "$SWEEP" --cores 2 ${2:+--profile "$2"} 2>&1; }
said() { grep --line-buffered -E "started|done in|failed|of 6 there|^Submitted|Nothing to be done" || true; }

say "1. locally"
sweep "$LOCAL" | said

say "2. through sbatch, one run killed"
(sweep "$place/cluster" tests/cluster/profile || true) > "$place/first.log" &
killed=""
run="$place/cluster/runs/smoke/bach/seed-6"
while kill -0 $! 2>/dev/null && [ -z "$killed" ]; do
    sleep 0.3
    [ -s "$(echo "$run"/with-*/checkpoints/decoder.jsonl)" ] || continue
    killed="$(squeue -h -t R -o "%i %k" | awk '/seed-6/ {print $1; exit}')"
done
if [ -n "$killed" ]; then  # a checkpoint is due every 30 s; the next iteration after that writes it
    scontrol suspend "$killed" && sleep 32 && scontrol resume "$killed"
    until ls "$run"/with-*/checkpoints/decoder.pt >/dev/null 2>&1; do sleep 0.1; done
    scancel --signal=KILL --full "$killed"
    sleep 5
    saved="$("$PYTHON" -c 'import json, sys, torch
print(len(json.loads(torch.load(sys.argv[1], weights_only=True)["rows"])))' "$(echo "$run"/with-*/checkpoints/decoder.pt)")"
fi
wait
say "killed: job ${killed:-none}, with ${saved:-no} iterations in its checkpoint"
said < "$place/first.log"
[ -n "$killed" ] || { tail -50 "$place/first.log"; exit 1; }

say "3. through sbatch again"
sweep "$place/cluster" tests/cluster/profile | tee "$place/second.log" | said
# The progress of the training begins where the checkpoint was.
began="$(grep -oE '[0-9]+/300' "$run"/with-*/logs/training_thesis-decoder.log | head -1)"
echo "the killed training went on from iteration $began"
[ "$began" = "$saved/300" ] && [ "$saved" -gt 0 ]

say "4. compared"
results() { (cd "$1/runs" && find . -path '*/results/*' -type f | sort | xargs sha256sum); }
diff <(results "$LOCAL") <(results "$place/cluster") && echo "$(results "$LOCAL" | wc -l) files of results are the same to the bit"
[ "$(results "$LOCAL" | wc -l)" = 18 ]
say "all of it held"

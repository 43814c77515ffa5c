#!/usr/bin/env bash
# A short proof on a cluster of real kubelets, which is made and removed again: some scenarios, the connections that
# outlive a first policy among them, and agents and controllers that are restarted under load. `make ci-kind` replays
# everything.
#
# Where the machine itself cannot run a cluster nothing is proven: then this says what is missing, and exits with 3.
# Everything else that goes wrong is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
name=palisade-smoke
out=${OUT:-out/kind}
scenarios='walkthrough|stars|first-policy|stops-both-ways|survives-other-changes'
tools=$(mktemp -d)

# run carries a command out in the background, since bash hears of a signal only between commands.
run() {
  "$@" &
  running=$!
  wait "$running"
  running=
}

finish() {
  code=$?
  trap - EXIT
  trap '' INT TERM
  if [ -n "${running:-}" ]; then
    kill -TERM "$running" 2>/dev/null || :
    wait "$running" || :
  fi
  if [ -n "${made:-}" ]; then
    "$tools/kind" down --name "$name" && nothing_left || code=1
  fi
  rm -rf "$tools"
  exit "$code"
}

# nothing_left looks for what the last cluster must not leave on the machine.
nothing_left() {
  clusters=${XDG_CACHE_HOME:-$HOME/.cache}/palisade/kind/clusters
  if [ -n "$(ls -A "$clusters" 2>/dev/null)" ]; then
    echo "other clusters run here, so the Docker daemon stays: $(ls "$clusters")"
    return
  fi
  left=$(ls -d /sys/class/net/palisade-kind /sys/fs/cgroup/palisade-kind /sys/fs/cgroup/*/palisade-kind 2>/dev/null || :)
  [ -z "$left" ] || { echo "left behind: $left"; return 1; }
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

go build -o "$tools/" ./hack/kind/cmd/kind ./cmd/palisade
missing=$("$tools/kind" check)
if [ -n "$missing" ]; then
  printf '\n!!! NO KIND CLUSTER CAN RUN ON THIS MACHINE, so nothing was proven on real kubelets. It lacks:\n%s\n' "$missing"
  exit 3
fi

"$tools/kind" down --name "$name" # of a run that was killed
made=yes
run "$tools/palisade" scenarios run --backend kind --cluster-name "$name" --keep-cluster --run "$scenarios" --out "$out"
PALISADE_E2E_KUBECONFIG=$("$tools/kind" kubeconfig --name "$name")
export PALISADE_E2E_KUBECONFIG
run go test -count=1 -timeout 20m ./scenarios/e2e -v -ginkgo.v -ginkgo.no-color -ginkgo.silence-skips \
  -ginkgo.label-filter 'restart || latency'

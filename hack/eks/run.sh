#!/usr/bin/env bash
# Proves the enforcement on a cluster of Amazon EKS: makes a cluster with the VPC CNI, whose own enforcement is off,
# installs Palisade beside it, replays the scenarios there, and removes everything again, however it ends.
#
#   hack/eks/run.sh --family ipv6                          makes a cluster of two nodes, about an hour in all
#   hack/eks/run.sh --kubeconfig FILE --repository REG     uses a cluster that is there, and removes only Palisade
#   hack/eks/run.sh --dry-run                              prints the commands instead
#   hack/eks/run.sh --delete NAME                          removes what an interrupted run may have left
#
# Needs go, helm comes with it; for a new cluster also eksctl and aws, with credentials in the environment.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
  sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  cat <<'EOF'

  --family ipv4|ipv6    address family of the new cluster (ipv4)
  --name NAME           its name (palisade-ci)
  --region REGION       its region ($AWS_REGION, else us-west-2)
  --kubeconfig FILE     use this cluster instead of a new one
  --repository REG      registry and folder of the images (the account's private ECR, folder palisade-ci)
  --version TAG         tag of the images (dev)
  --no-push             the images are in the registry or on the nodes already
  --set KEY=VALUE       a value of the chart; may be repeated
  --run PATTERN         only these scenarios
  --out FOLDER          reports (out/eks)
  --keep                leave everything as it is in the end
EOF
}

family=ipv4 name=palisade-ci region=${AWS_REGION:-us-west-2} kubeconfig="" repository="" version=dev push=yes
out=$root/out/eks pattern="" keep="" dry="" only_delete=""
values=()
while [ $# -gt 0 ]; do
  case $1 in
    --no-push) push="" ;;
    --keep) keep=yes ;;
    --dry-run) dry=yes ;;
    -h | --help) usage; exit 0 ;;
    --family | --name | --region | --kubeconfig | --repository | --version | --set | --run | --out | --delete)
      [ $# -ge 2 ] || { echo "run.sh: $1 needs a value" >&2; exit 2; }
      case $1 in
        --family) family=$2 ;;
        --name) name=$2 ;;
        --region) region=$2 ;;
        --kubeconfig) kubeconfig=$2 ;;
        --repository) repository=$2 ;;
        --version) version=$2 ;;
        --set) values+=(--set "$2") ;;
        --run) pattern=$2 ;;
        --out) out=$2 ;;
        --delete) name=$2 only_delete=yes ;;
      esac
      shift ;;
    *) echo "run.sh: unknown flag $1" >&2; exit 2 ;;
  esac
  shift
done
config=$root/hack/eks/cluster-$family.yaml
[ -e "$config" ] || { echo "run.sh: --family is ipv4 or ipv6, not $family" >&2; exit 2; }
[[ $name =~ ^[a-z][a-z0-9-]{0,62}$ ]] || { echo "run.sh: --name $name is no name of a cluster" >&2; exit 2; }
[[ $region =~ ^[a-z0-9-]+$ ]] || { echo "run.sh: --region $region is no region" >&2; exit 2; }

step() { printf '\n=== %s (%ss)\n' "$1" "$SECONDS"; }

# run carries a command out, or only prints it. In the background, since bash hears of a signal only between commands.
run() {
  printf '+ %s\n' "$*"
  if [ -n "$dry" ]; then return 0; fi
  "$@" <&0 &
  wait $!
}

helm() { run "$work/helm" "$@"; }
palisade() { run "$work/palisade" "$@"; }

delete_cluster() {
  run eksctl delete cluster --name "$name" --region "$region" --wait --disable-nodegroup-eviction --force
}

work=$(mktemp -d)
cluster="" installed=""

# tear_down removes what was made, and keeps the exit code of what went wrong before.
tear_down() {
  local code=$?
  trap '' INT TERM # what is half removed costs money
  set +e
  wait # for what a signal has ended
  if [ -z "$keep" ]; then
    step "remove everything"
    if [ -n "$cluster" ]; then
      delete_cluster || { echo "run.sh: cluster $name in $region may be left, see above" >&2; code=1; }
    elif [ -n "$installed" ]; then
      remove_palisade || { echo "run.sh: Palisade may be left in the cluster, see above" >&2; code=1; }
    fi
  fi
  rm -rf "$work"
  exit "$code"
}

remove_palisade() {
  helm upgrade palisade "$root/deploy/chart/palisade" --namespace kube-system --kubeconfig "$kubeconfig" \
    --reuse-values --set cleanup=true --wait --timeout 5m &&
    helm uninstall palisade --namespace kube-system --kubeconfig "$kubeconfig" --wait
}

push_images() {
  if [ -z "$repository" ]; then
    local account password
    account=$(run_for_output aws sts get-caller-identity --query Account --output text)
    repository=$account.dkr.ecr.$region.amazonaws.com/palisade-ci
    password=$(run_for_output aws ecr get-login-password --region "$region")
    run go run "$crane" auth login --username AWS --password-stdin "${repository%%/*}" <<<"$password"
  fi
  run go -C "$root" run ./hack/images -o "$work/images" -version "$version" -repository "$repository" \
    -platform linux/amd64,linux/arm64
  local image
  for image in palisade palisade-agent palisade-controller palisade-probe; do
    case $repository in
      *.amazonaws.com/*) make_repository "${repository#*/}/$image" ;;
    esac
    run mkdir -p "$work/push/$image"
    run tar -x -f "$work/images/$image.tar" -C "$work/push/$image"
    run go run "$crane" push "$work/push/$image" "$repository/$image:$version"
  done
}
crane=github.com/google/go-containerregistry/cmd/crane@v0.22.1

make_repository() {
  run aws ecr describe-repositories --region "$region" --repository-names "$1" >/dev/null 2>&1 ||
    run aws ecr create-repository --region "$region" --repository-name "$1"
}

# run_for_output is run for commands whose output is used; a dry run uses a word instead.
run_for_output() {
  printf '+ %s\n' "$*" >&2
  if [ -n "$dry" ]; then echo OUTPUT; else "$@"; fi
}

create_cluster() {
  sed -e "s/^  name: palisade-ci$/  name: $name/" -e "s/^  region: us-west-2$/  region: $region/" \
    "$config" >"$work/cluster.yaml"
  kubeconfig=$work/kubeconfig
  cluster=yes # from here on there may be something to delete
  run eksctl create cluster --config-file "$work/cluster.yaml" --kubeconfig "$kubeconfig"
}

# capabilities says what the chart must give the agent: kernels before 6.12 may want PERFMON.
capabilities() {
  local oldest
  oldest=$(run_for_output kubectl --kubeconfig "$kubeconfig" get nodes \
    -o 'jsonpath={range .items[*]}{.status.nodeInfo.kernelVersion}{"\n"}{end}' | sort -V | sed -n 1p)
  if [ "$(printf '%s\n' "$oldest" 6.12 | sort -V | sed -n 1p)" != 6.12 ]; then
    values+=(--set 'agent.extraCapabilities={PERFMON}')
  fi
}

install_palisade() {
  installed=yes
  helm install palisade "$root/deploy/chart/palisade" --namespace kube-system --kubeconfig "$kubeconfig" \
    --set "image.repository=$repository" --set "image.tag=$version" "${values[@]}" --wait --timeout 5m
}

replay() {
  local scenarios=(scenarios run --backend cluster --kubeconfig "$kubeconfig" --out "$out")
  scenarios+=(--probe-image "$repository/palisade-probe:$version")
  [ -z "$pattern" ] || scenarios+=(--run "$pattern")
  palisade "${scenarios[@]}" "$root/scenarios"
}

# end_jobs ends what runs now. Bash lets its jobs ignore the interrupt of a terminal, and one that has only just been forked takes the signal
# for bash's own and loses it: so who is still there is told again.
end_jobs() {
  local jobs
  for _ in 1 2 3; do
    mapfile -t jobs < <(jobs -pr)
    [ "${#jobs[@]}" -gt 0 ] || return 0
    kill "${jobs[@]}" 2>/dev/null || true
    sleep 1
  done
}

trap tear_down EXIT
trap 'end_jobs; exit 130' INT
trap 'end_jobs; exit 143' TERM
if [ -n "$only_delete" ]; then
  cluster=yes
  exit 0
fi
step "build"
run go -C "$root" build -o "$work/palisade" ./cmd/palisade
run go -C "$root/hack/chart" build -o "$work/helm" helm.sh/helm/v4/cmd/helm
if [ -n "$push" ]; then push_images; fi
repository=${repository:-ghcr.io/palisade-netpol}
if [ -z "$kubeconfig" ]; then
  step "make a cluster"
  create_cluster
fi
step "look before"
palisade check --phase before --kubeconfig "$kubeconfig"
capabilities
step "install"
install_palisade
step "look after"
palisade check --phase after --kubeconfig "$kubeconfig"
step "replay the scenarios"
replay

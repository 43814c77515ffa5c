#!/usr/bin/env bash
# Installs eksctl into a folder, for machines that have none, after comparing it with its published checksum.
#
#   hack/eks/install-eksctl.sh /usr/local/bin
set -euo pipefail
version=v0.215.0
into=${1:?usage: install-eksctl.sh FOLDER}

case $(uname -m) in
  x86_64) file=eksctl_Linux_amd64.tar.gz ;;
  aarch64) file=eksctl_Linux_arm64.tar.gz ;;
  *) echo "install-eksctl.sh: there is no eksctl for $(uname -m)" >&2; exit 1 ;;
esac
url=https://github.com/eksctl-io/eksctl/releases/download/$version
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
curl -fsSLO "$url/$file"
curl -fsSLO "$url/eksctl_checksums.txt"
grep " $file\$" eksctl_checksums.txt | sha256sum --check --strict
tar -xzf "$file"
install -m 0755 eksctl "$into/"

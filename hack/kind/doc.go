// Package kind boots Kubernetes clusters in containers with kind (https://kind.sigs.k8s.io): one control plane and some
// workers, with real kubelets, pods and kube-proxy. It needs Linux, root and Go; a Docker daemon and the image of the
// nodes are found, or made from Debian packages and Go modules (packages docker and nodeimage).
//
// The pod network is not kind's own, which enforces NetworkPolicies itself: a policy that another engine forgot would
// seem enforced. Instead every pod has a veth pair to its node, made by the CNI plugin ptp, and the nodes have routes
// to each other's pods. That is how the Amazon VPC CNI wires pods, too.
//
// A cluster outlives the process that called Up; Down, in any process, removes it and the daemon that was started for
// it. The one trap: kubelets change a few kernel parameters of the whole machine (sysctl.go lists them).
// Down restores those.
package kind

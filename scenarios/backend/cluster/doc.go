// Package cluster is the backend for any cluster that a kubeconfig leads to: real kubelets, real pods that run
// palisade-probe, and whatever enforces NetworkPolicies there.
//
// Scenarios run side by side, each in namespaces of its own. A cluster gives its own names and addresses, so what a
// scenario says is translated on the way there: namespaces and nodes get other names, also where policies select a
// namespace by kubernetes.io/metadata.name, and blocks of addresses become blocks that hold the same of the
// scenario's pods, nodes, Services and hosts outside at their real addresses. Hosts outside need Options.Outside. The
// oracle is asked about the objects as the API server returns them, under the scenario's names. What cannot be
// translated makes a scenario not applicable, with the reason.
//
// To make a pod and remove it takes a node seconds, which is most of what a scenario costs. So a scenario goes on in the
// namespaces of one that is over, with those of its pods that it would make just so, under other names and labels
// (spare.go); Options.Fresh makes all anew.
//
// Probes are controlled through the API server and the kubelet (as by kubectl exec), which no policy can cut off.
package cluster

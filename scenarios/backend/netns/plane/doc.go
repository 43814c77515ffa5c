// Package plane is the control plane of a cluster of namespaces, as it runs in production: etcd, kube-apiserver and
// kube-controller-manager, two replicas of palisade-controller (or none, see PublishHosted), and a palisade-agent for each
// node, all of them processes with credentials of their own and no more than the shipped rights. Pods are introduced to
// agents through their sockets, as palisade-cni does.
//
// There are no kubelets: what those would tell the API server, Write does. What it waits for is seen, never slept
// for: the PolicyEndpoints that a cluster must come to, the version of them that each agent says is in force, and for
// Services the EndpointSlices and a mark by which a kube-proxy shows how far it has come.
package plane

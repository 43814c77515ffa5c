// Package cluster starts real Kubernetes control planes on this machine, for tests and for trying things out: etcd,
// kube-apiserver and kube-controller-manager on loopback, and a real kube-proxy in each network namespace that plays a
// node. There is no kubelet and no container runtime: nodes and pods are objects whose status the caller writes
// (CreateNode, CreatePod), as kwok does. Linux only.
//
// The programs are looked for in Options.BinDir, in $KUBEBUILDER_ASSETS, in PATH and in the user's cache; the first
// place that has all of them is taken. Where none has, hack/k8s is built from the Go module proxy into the cache,
// once. Nothing else is downloaded.
//
// Every process dies with the process that called Start, however that ends, and the state of a cluster whose owner died
// is removed by the next Start. The one trap: a cluster is for one run only. Nothing is synced to disk, and Stop kills
// and deletes.
package cluster

// Package check looks whether a cluster, and the node it runs on, can enforce NetworkPolicies, and whether they do.
// Each Check has a status and, where something should be done, says what.
//
// What is there is read first, into Cluster and Node, and judged after that, by functions of nothing else. Reading
// only lists, and tries things out in a place of its own: a network namespace that goes with the process. Nothing in
// the cluster or on the node is changed.
//
// The one trap: what may not be read is Skipped, which is not OK either.
package check

// Package probe is what runs in the pods of a cluster that scenarios are replayed on: Serve listens, opens
// connections and keeps them, and does so for requests that come through a socket in the container's file system; Ask
// brings one there.
//
// A request is brought by a process that the kubelet starts in the container (kubectl exec), so no policy can cut it
// off.
package probe

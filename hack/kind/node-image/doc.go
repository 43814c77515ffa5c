// Package nodeimage builds the image of kind's nodes from Debian packages and Go modules, for machines that reach no
// image registry: Debian with systemd, containerd and crun; Kubernetes as the one binary of hack/k8s; CNI plugins; and
// the images of Kubernetes itself, made of the same binary.
//
// What kind expects of a node image is followed: an entrypoint that starts an init, /kind/version, kubeadm's units, the
// image store of containerd in the namespace k8s.io. There is no image of kind's default CNI, so clusters of this
// image have to bring their pod network.
//
// The trap: Debian's archive moves on, so an image that is built later holds newer packages under the same key.
package nodeimage

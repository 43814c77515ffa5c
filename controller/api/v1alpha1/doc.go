// Package v1alpha1 holds the Go types of PolicyEndpoint, group networking.k8s.aws: what a network policy controller
// publishes and a node agent enforces.
//
// The group and the shape are those of Amazon EKS, so that either side of this project can work with the other side
// as EKS ships it. What EKS writes must therefore always be accepted, and what this project adds to an object is
// carried in annotations (see package resolve), which others ignore.
//
// +kubebuilder:object:generate=true
// +groupName=networking.k8s.aws
package v1alpha1

//go:generate go tool controller-gen object paths=.
//go:generate go tool controller-gen crd paths=. output:crd:dir=../../../deploy/crds

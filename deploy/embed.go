// Package deploy holds what is applied to a cluster before Palisade runs there, as files in programs that need them.
package deploy

import "embed"

// Manifests are the CustomResourceDefinitions, and the rights of the controller and of the agents.
//
//go:embed crds/*.yaml rbac/*.yaml
var Manifests embed.FS

// Package deploy holds what is applied to a cluster, as files in programs that need them.
//
// The CustomResourceDefinition is in crds, the rights are in rbac, each once: the Helm chart in chart/palisade takes
// both in by symbolic links, and manifests/palisade.yaml is rendered from the chart.
package deploy

import "embed"

//go:generate go run -C ../hack/chart . -o ../../deploy/manifests/palisade.yaml

// Manifests are the CustomResourceDefinitions, and the rights of the controller and of the agents: what a cluster needs
// whose programs run as processes.
//
//go:embed crds/*.yaml rbac/*.yaml
var Manifests embed.FS

// Install is all of Palisade with the chart's default values, as a stream of YAML documents.
//
//go:embed manifests/palisade.yaml
var Install []byte

// Engines is the list of other policy engines and how they are recognised.
//
//go:embed chart/palisade/files/engines.yaml
var Engines []byte

package netns

import (
	"maps"
	"slices"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/plane"
)

// Plane is the control plane of a session with Processes.
func Plane(s backend.Session) *plane.Plane { return s.(*session).control.(*processes).plane }

// Agents are the agents of a session with Processes, sorted by their nodes.
func Agents(s backend.Session) []*plane.Agent {
	var out []*plane.Agent
	for _, n := range s.(*session).allNodes() {
		out = append(out, s.(*session).control.(*processes).agents[n])
	}
	return out
}

// Space is the namespace of a pod.
func Space(s backend.Session, pod string) *ns.NS { return s.(*session).pods[pod].wire.NS() }

// NodeSpace is the namespace of a node.
func NodeSpace(s backend.Session, node string) *ns.NS { return s.(*session).nodes[node].wire.NS() }

// Pods are the names of all pods.
func Pods(s backend.Session) []string { return slices.Sorted(maps.Keys(s.(*session).pods)) }

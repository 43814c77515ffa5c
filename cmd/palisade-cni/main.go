// Command palisade-cni is a CNI plugin that comes after the one that connects a pod: it lets the pod start only when
// the agent of the node filters its interface. In a network configuration list:
//
//	{"type": "palisade-cni", "socket": "/run/palisade/agent.sock", "onAgentDown": "fail", "timeout": "10s"}
//
// What happens when no agent answers within the timeout says onAgentDown: "fail" (the default) makes the runtime try
// again, so that no pod starts unfiltered; "open" lets it start. A pod whose agent answers that it cannot be filtered
// never starts. Deleting a pod needs no agent.
package main

import (
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: add, Check: check, Status: status,
		// The agent notices by itself that an interface is gone, and until then the pod stays filtered.
		Del: func(*skel.CmdArgs) error { return nil },
		GC:  func(*skel.CmdArgs) error { return nil },
	}, version.All, "palisade-cni: starts pods when their NetworkPolicies are in force")
}

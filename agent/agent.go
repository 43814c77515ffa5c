package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// Config says for which node an agent works, and how. The zero value of each optional field is its default.
type Config struct {
	// Pins is a directory on a BPF file system; an agent that is opened with the same directory later goes on where
	// this one stopped. Required.
	Pins string
	// NodeAddrs are the node's own addresses.
	NodeAddrs []netip.Addr
	// NodePorts: see enforce.Input.
	NodePorts enforce.PortRange
	Mode      bpf.Mode
	Hook      hook.Mode
	Capacity  bpf.Capacity
	// MaxPeerEntries is how large the table of single addresses may grow, if Capacity.Hosts is less; default: DefaultMaxPeerEntries.
	MaxPeerEntries int
	// TrackIsolatedOnly, KeepEstablished and FinalVerdict: see bpf.Options.
	TrackIsolatedOnly, KeepEstablished, FinalVerdict bool
	Log                                              *slog.Logger // default: slog.Default()
}

// DefaultMaxPeerEntries is room for 2,097,152 addresses: 64 MiB of buckets, and 64 bytes and more for each entry that is used.
const DefaultMaxPeerEntries = 1 << 22

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// datapath says how the datapath is opened.
func (c Config) datapath() bpf.Options {
	return bpf.Options{
		Dir: c.Pins, Capacity: c.Capacity, Mode: c.Mode,
		TrackIsolatedOnly: c.TrackIsolatedOnly, KeepEstablished: c.KeepEstablished, FinalVerdict: c.FinalVerdict,
	}
}

// Pod is a pod of the node.
type Pod = enforce.Pod

// Agent makes the kernel of one node enforce PolicyEndpoints. Its methods must run on a thread in the node's network
// namespace, one at a time.
type Agent struct {
	cfg      Config
	datapath *datapath
}

// Open finds what an earlier agent left at the pins, or loads it. Nothing that is enforced changes.
func Open(_ context.Context, cfg Config) (*Agent, error) {
	cfg = cfg.withDefaults()
	d, err := openDatapath(cfg)
	if err != nil {
		return nil, err
	}
	return &Agent{cfg, d}, nil
}

// Apply makes the kernel enforce the PolicyEndpoints on exactly these pods, and returns when it does. The tables are
// switched before a new pod's interface gets its programs, so no packet of it is judged by anything older. After an
// error what was enforced before is still enforced, and Apply may be called again.
func (a *Agent) Apply(_ context.Context, pods []Pod, endpoints []*v1alpha1.PolicyEndpoint) error {
	e, err := a.datapath.enforce(enforce.Input{NodeAddrs: a.cfg.NodeAddrs, NodePorts: a.cfg.NodePorts, Pods: pods, Endpoints: endpoints})
	if err != nil {
		return err
	}
	if e.grow != nil {
		a.cfg.Log.Warn("a table is too small", "error", e.grow)
	}
	for _, c := range e.Conditions {
		a.cfg.Log.Warn("closed what cannot be enforced as written", "object", c.Object, "problem", c.Message)
	}
	a.cfg.Log.Debug("synchronised", "tableWrites", e.TableWrites, "podWrites", e.PodWrites, "switched", e.Switched)
	return a.attach(pods)
}

// attach puts the programs on the interfaces of the pods, and drops what is left of pods that are gone.
func (a *Agent) attach(pods []Pod) error {
	wanted := map[int]bool{}
	var errs []error
	for _, p := range pods {
		wanted[int(p.Ifindex)] = true
		errs = append(errs, a.datapath.hooks.Attach(int(p.Ifindex)))
	}
	attached, err := a.datapath.hooks.Attached()
	errs = append(errs, err)
	for _, ifindex := range attached {
		if !wanted[ifindex] {
			errs = append(errs, a.datapath.hooks.Detach(ifindex))
		}
	}
	return errors.Join(errs...)
}

// Close lets go of the kernel's objects. What is enforced stays enforced.
func (a *Agent) Close() error { return a.datapath.node.Close() }

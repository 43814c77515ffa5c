package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/enforce"
)

// flags are what the command line says.
type flags struct {
	kubeconfig, pins, nodeIPs, nodePorts, mode, hook, finder, prefixes string
	mayRoute, socket, listen                                           string
	flowLog, flowLogFile, nodeName                                     string
	startTimeout                                                       time.Duration
	flows, peers, mostPeers                                            int
	trackIsolatedOnly, keepEstablished, finalVerdict                   bool
	pprof                                                              bool
	level                                                              slog.Level
}

func parseFlags(args []string, getenv func(string) string, out io.Writer) (*flags, error) {
	var f flags
	fs := flag.NewFlagSet("palisade-agent", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&f.kubeconfig, "kubeconfig", "",
		"`file` with the API server's address and credentials (default: those of the pod's service account)")
	fs.StringVar(&f.nodeIPs, "node-ips", getenv("NODE_IPS"),
		"`addresses` of the node, separated by commas (default: environment variable NODE_IPS, set it from status.hostIPs)")
	fs.StringVar(&f.nodePorts, "node-ports", enforce.DefaultNodePorts.String(),
		"`range` of the ports of Services on nodes, as the API server's --service-node-port-range: a pod whose egress is isolated "+
			"reaches its own node, but not these ports, behind which are other pods; none for none")
	fs.StringVar(&f.pins, "pins", "/sys/fs/bpf/palisade", "`directory` on a BPF file system to pin programs and tables in")
	fs.StringVar(&f.mode, "mode", "standard",
		"what a pod is that no known policy selects yet: open (\"standard\") or closed (\"strict\")")
	fs.StringVar(&f.hook, "hook", "auto", "where programs are attached: tcx, clsact, or auto: tcx if the kernel has it")
	fs.StringVar(&f.finder, "finder", "auto",
		"how the interface of a pod is found: by the VPC CNI's rule of names (\"name\"), by \"route\", or auto: by either")
	fs.StringVar(&f.prefixes, "interface-prefixes", "",
		"`prefixes`, separated by commas, of names: such interfaces are filtered from the moment they exist, and others only "+
			"when a policy or palisade-cni names their pod (default: interfaces of pods are told by what they are)")
	fs.StringVar(&f.mayRoute, "may-route", "",
		"`pods` that may send from addresses which are not their own, as patterns NAMESPACE/NAME, separated by commas, such as "+
			"kube-system/keepalived-*,vpn/*; what they send is judged by policy all the same. A pod has a name when palisade-cni or a policy "+
			"that selects it tells it, and without one may not (default: none)")
	fs.StringVar(&f.socket, "socket", "/run/palisade/agent.sock", "`path` of the socket for palisade-cni; empty for none")
	fs.DurationVar(&f.startTimeout, "start-timeout", 8*time.Second,
		"how long the start of a pod may wait for its policies")
	fs.BoolVar(&f.trackIsolatedOnly, "track-isolated-only", false,
		"remember flows only where the pod's other direction is isolated: cheaper, but a first policy cuts what a pod has opened")
	fs.BoolVar(&f.keepEstablished, "keep-established", false,
		"let connections go on that a policy does not allow any more; without, they end with their next packet")
	fs.BoolVar(&f.finalVerdict, "final-verdict", false,
		"end the way of packets that pass (TC_ACT_OK): a hundredth less time per packet, end to end, where no other program filters, counts or "+
			"shapes what pods send and receive; one that does, behind Palisade's, sees nothing, and the log names it")
	fs.IntVar(&f.peers, "peer-entries", bpf.DefaultCapacity().Hosts,
		"room for IPv6 addresses of peers, and IPv4 ones, in sparse networks; two are used per address")
	fs.IntVar(&f.mostPeers, "max-peer-entries", agent.DefaultMaxPeerEntries,
		"how large that room may grow when policies need it, rounded up to a power of two; beyond, they close the pods that they select")
	fs.IntVar(&f.flows, "flow-entries", bpf.DefaultCapacity().Flows,
		"how many flows are known at a time, per address family; those in a table of another size are moved")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:9471", "`address` of /healthz, /readyz and /metrics; empty for none")
	fs.StringVar(&f.flowLog, "flow-log", "off",
		"what is written to the flow log: \"denied\", a line of JSON for equal denials of a second, or \"off\"")
	fs.StringVar(&f.flowLogFile, "flow-log-file", "", "`file` that the flow log is appended to (default: standard output)")
	fs.StringVar(&f.nodeName, "node-name", getenv("NODE_NAME"),
		"`name` of the node in the flow log (default: environment variable NODE_NAME, else the host's name)")
	fs.BoolVar(&f.pprof, "pprof", false, "serve /debug/pprof/ there too")
	fs.TextVar(&f.level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return &f, nil
}

// options checks the flags, and reports all that is wrong with them.
func (f *flags) options(log *slog.Logger) (agent.Options, error) {
	o := agent.Options{
		Config: agent.Config{
			Pins: f.pins, Log: log, Capacity: bpf.Capacity{Flows: f.flows, Hosts: f.peers}, MaxPeerEntries: f.mostPeers,
			TrackIsolatedOnly: f.trackIsolatedOnly, KeepEstablished: f.keepEstablished, FinalVerdict: f.finalVerdict,
		},
		LinkPrefixes: splitList(f.prefixes),
		Socket:       f.socket, StartTimeout: f.startTimeout, Listen: f.listen, Pprof: f.pprof,
	}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	if f.keepEstablished && f.trackIsolatedOnly {
		note(errors.New("-keep-established: established flows are known only without -track-isolated-only"))
	}
	var err error
	o.NodeAddrs, err = parseAddrs(f.nodeIPs)
	note(err)
	o.NodePorts, err = parseRange(f.nodePorts)
	note(err)
	o.MayRoute, err = parsePatterns(f.mayRoute)
	note(err)
	o.Mode, err = choose("mode", f.mode, map[string]bpf.Mode{"standard": bpf.Standard, "strict": bpf.Strict})
	note(err)
	o.Hook, err = choose("hook", f.hook, map[string]hook.Mode{"auto": hook.Auto, "tcx": hook.TCX, "clsact": hook.Clsact})
	note(err)
	byName := core.ByName{Prefixes: o.LinkPrefixes}
	o.Finder, err = choose("finder", f.finder, map[string]core.Finder{
		"name": byName, "route": core.ByRoute{}, "auto": core.FirstOf{byName, core.ByRoute{}},
	})
	note(err)
	_, err = choose("flow-log", f.flowLog, map[string]bool{"off": false, "denied": true})
	note(err)
	if f.flowLogFile != "" && f.flowLog == "off" {
		note(errors.New("-flow-log-file: there is no flow log without -flow-log=denied"))
	}
	if o.NodeName = f.nodeName; o.NodeName == "" {
		o.NodeName, err = os.Hostname()
		note(err)
	}
	if f.pins == "" {
		note(errors.New("-pins: a directory is needed, so that policies outlive the agent"))
	}
	for name, entries := range map[string]int{"-flow-entries": f.flows, "-peer-entries": f.peers, "-max-peer-entries": f.mostPeers} {
		if entries < 1 {
			note(fmt.Errorf("%s: %d is not positive", name, entries))
		}
	}
	if max(f.peers, f.mostPeers) > bpf.MostPeers {
		note(fmt.Errorf("-peer-entries, -max-peer-entries: more than %d", bpf.MostPeers))
	}
	o.API, err = f.api()
	note(err)
	return o, errors.Join(errs...)
}

// openFlowLog returns where denials are written, and what ends that.
func (f *flags) openFlowLog(out io.Writer) (io.Writer, func() error, error) {
	if f.flowLogFile == "" {
		return out, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.flowLogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("-flow-log-file: %w", err)
	}
	return file, file.Close, nil
}

func (f *flags) api() (*rest.Config, error) {
	if f.kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", f.kubeconfig)
}

func choose[T any](name, value string, choices map[string]T) (T, error) {
	v, ok := choices[value]
	if !ok {
		return v, fmt.Errorf("-%s: unknown choice %q", name, value)
	}
	return v, nil
}

func parseAddrs(text string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, s := range splitList(text) {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("-node-ips: %w", err)
		}
		addrs = append(addrs, a.Unmap())
	}
	if len(addrs) == 0 {
		return nil, errors.New("-node-ips: the node's addresses are needed to tell its pods from others")
	}
	return addrs, nil
}

// parseRange reads "FIRST-LAST" or "none".
func parseRange(text string) (enforce.PortRange, error) {
	if text == "none" {
		return enforce.NoNodePorts, nil
	}
	before, after, _ := strings.Cut(text, "-")
	first, err := strconv.ParseUint(before, 10, 16)
	last, lastErr := strconv.ParseUint(after, 10, 16)
	if err != nil || lastErr != nil || first == 0 || first > last {
		return enforce.PortRange{}, fmt.Errorf("-node-ports: %q is no range of ports, such as %s, and not none", text, enforce.DefaultNodePorts)
	}
	return enforce.PortRange{First: uint16(first), Last: uint16(last)}, nil
}

// parsePatterns reads which pods may route, and reports all that is no pattern.
func parsePatterns(text string) ([]core.NamePattern, error) {
	var patterns []core.NamePattern
	var errs []error
	for _, s := range splitList(text) {
		p, err := core.ParseNamePattern(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("-may-route: %w", err))
		}
		patterns = append(patterns, p)
	}
	return patterns, errors.Join(errs...)
}

// splitList splits at commas and drops empty parts.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

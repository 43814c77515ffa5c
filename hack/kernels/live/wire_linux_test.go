package live_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/agent"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/bpf/onecpu"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// The addresses of the two pods of a wire, and some of nobody.
var (
	client4, client6 = netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")
	server4, server6 = netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd00:1::2")
	nobody4, nobody6 = netip.MustParseAddr("10.1.0.3"), netip.MustParseAddr("fd00:1::3")
)

// state is whether a policy isolates the client's egress and the server's ingress — it then allows the two to each
// other, TCP and UDP on port 80 — and whether the client may send from addresses that are not its own.
type state struct{ client, server, routes bool }

// wire is a node with two pods of both families and an agent that judges what they send each other.
type wire struct {
	node           *fabric.Node
	client, server *fabric.Pod
	agent          *agent.Agent
	tables         *bpf.Node // the same, for its counters
}

func newWire(t *testing.T, mode hook.Mode) *wire {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	f, err := fabric.New()
	check(t, err)
	t.Cleanup(func() { check(t, f.Close()) })
	w := &wire{}
	w.node, err = f.AddNode("node", []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00:2::1")})
	check(t, err)
	t.Cleanup(func() { check(t, w.node.Release()) })
	w.client = w.pod(t, "client", client4, client6)
	w.server = w.pod(t, "server", server4, server6)
	w.open(t, mode)
	w.apply(t, state{})
	return w
}

func (w *wire) pod(t *testing.T, name string, addrs ...netip.Addr) *fabric.Pod {
	pod, err := w.node.AddPod(fabric.LinkName("default", name), addrs)
	check(t, err)
	t.Cleanup(func() { check(t, pod.Release()) })
	check(t, pod.Up())
	return pod
}

// open starts the agent, and opens what it pinned once more.
func (w *wire) open(t *testing.T, mode hook.Mode) {
	fs, err := pinfs.New()
	check(t, err)
	t.Cleanup(func() { check(t, fs.Close()) })
	pins, err := fs.Mkdir("node")
	check(t, err)
	capacity := bpf.Capacity{Hosts: 1024, Nets: 1024, Flows: 4096}
	w.agent, err = agent.Open(t.Context(), agent.Config{Pins: pins, Hook: mode, Capacity: capacity})
	check(t, err)
	t.Cleanup(func() { check(t, w.agent.Close()) })
	w.tables, err = bpf.Open(bpf.Options{Dir: pins, Capacity: capacity})
	check(t, err)
	t.Cleanup(func() { check(t, w.tables.Close()) })
}

func (w *wire) apply(t *testing.T, s state) {
	t.Helper()
	pods := []agent.Pod{
		{Namespace: "default", Name: "client", Addrs: []netip.Addr{client4, client6},
			Ifindex: uint32(w.client.Ifindex()), MayRoute: s.routes},
		{Namespace: "default", Name: "server", Addrs: []netip.Addr{server4, server6},
			Ifindex: uint32(w.server.Ifindex())},
	}
	var policies []*v1alpha1.PolicyEndpoint
	if s.client {
		p := isolate("client", networkingv1.PolicyTypeEgress, client4, client6)
		p.Spec.Egress = web(server4, server6)
		policies = append(policies, p)
	}
	if s.server {
		p := isolate("server", networkingv1.PolicyTypeIngress, server4, server6)
		p.Spec.Ingress = web(client4, client6)
		policies = append(policies, p)
	}
	check(t, w.node.NS().Do(func() error { return w.agent.Apply(t.Context(), pods, policies) }))
}

func isolate(pod string, direction networkingv1.PolicyType, addrs ...netip.Addr) *v1alpha1.PolicyEndpoint {
	p := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: pod}}
	p.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "default", Name: pod}
	p.Spec.PodIsolation = []networkingv1.PolicyType{direction}
	for _, a := range addrs {
		p.Spec.PodSelectorEndpoints = append(p.Spec.PodSelectorEndpoints,
			v1alpha1.PodEndpoint{PodIP: address(a), Namespace: "default", Name: pod})
	}
	return p
}

// web allows TCP and UDP on port 80 with each of the addresses.
func web(addrs ...netip.Addr) (list []v1alpha1.EndpointInfo) {
	port, tcp, udp := int32(80), corev1.ProtocolTCP, corev1.ProtocolUDP
	for _, a := range addrs {
		list = append(list, v1alpha1.EndpointInfo{
			CIDR: address(a), Ports: []v1alpha1.Port{{Protocol: &tcp, Port: &port}, {Protocol: &udp, Port: &port}},
		})
	}
	return list
}

// short circuits the node: what passes the client's egress goes to the server's link as it is, whatever a router
// would make of it. The filter comes after that of the agent, on the hook that every kernel has.
func (w *wire) shortCircuit(t *testing.T) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(w.server.Ifindex())), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return(),
		},
	})
	check(t, err)
	t.Cleanup(func() { check(t, program.Close()) })
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: w.client.Ifindex(), Parent: netlink.HANDLE_MIN_INGRESS,
			Handle: 1, Priority: 0xfff0, Protocol: unix.ETH_P_ALL,
		},
		Fd: program.FD(), Name: "short-circuit", DirectAction: true,
	}
	check(t, w.node.NS().Do(func() error {
		if err := netlink.QdiscAdd(hook.ClsactQdisc(w.client.Ifindex())); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		return netlink.FilterAdd(filter)
	}))
}

// widen lets frames of a size pass from the client to the server in one piece.
func (w *wire) widen(t *testing.T, mtu int) {
	set := func(n *ns.NS, find func() (netlink.Link, error)) {
		check(t, n.Do(func() error {
			link, err := find()
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(link, mtu)
		}))
	}
	for _, pod := range []*fabric.Pod{w.client, w.server} {
		set(pod.NS(), func() (netlink.Link, error) { return netlink.LinkByName("eth0") })
		set(w.node.NS(), func() (netlink.Link, error) { return netlink.LinkByIndex(pod.Ifindex()) })
	}
}

// packets are the counters of the node.
type packets map[flow.Direction]map[bpf.Reason]uint64

func (w *wire) counted(t *testing.T) packets {
	t.Helper()
	list, err := w.tables.Counters()
	check(t, err)
	p := packets{flow.Egress: {}, flow.Ingress: {}}
	for _, c := range list {
		p[c.Direction][c.Reason] = c.Packets
	}
	return p
}

// since is what was counted after an earlier look.
func (p packets) since(before packets) packets {
	more := packets{flow.Egress: {}, flow.Ingress: {}}
	for dir, reasons := range p {
		for r, n := range reasons {
			if d := n - before[dir][r]; d > 0 {
				more[dir][r] = d
			}
		}
	}
	return more
}

// port is a socket for frames as they are, on the interface of a pod.
type port struct {
	fd      int
	headers bool // frames are sent with a header about segments
}

// plug opens a socket in a pod. It sees what comes and, where it listens, all of it.
func plug(t *testing.T, pod *fabric.Pod, headers bool) *port {
	t.Helper()
	p := &port{headers: headers}
	check(t, pod.NS().Do(func() (err error) {
		if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if headers {
			if err := unix.SetsockoptInt(p.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
				return err
			}
		}
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		return unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
	}))
	t.Cleanup(func() { check(t, unix.Close(p.fd)) })
	patience := unix.NsecToTimeval(long.Nanoseconds())
	check(t, unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience))
	check(t, unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20))
	return p
}

// next returns the next frame that came in, or fails after a while.
func (p *port) next(t *testing.T, buffer []byte) []byte {
	t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); {
		n, from, err := unix.Recvfrom(p.fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		check(t, err)
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			return buffer[:n]
		}
	}
	t.Fatal("no frame came")
	return nil
}

// onOneCPU runs f on one processor: what it sends then stays in order.
func onOneCPU(t *testing.T, f func()) {
	t.Helper()
	free, err := onecpu.Bind()
	check(t, err)
	defer free()
	f()
}

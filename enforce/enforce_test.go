package enforce_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// endpoint makes a PolicyEndpoint of policy default/NAME that isolates pod p's ingress and allows the given entries, each
// written as "CIDR[!EXCEPT…] [PROTOCOL[/PORT[-END]]…]".
func endpoint(name string, entries ...string) *v1alpha1.PolicyEndpoint {
	pe := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-abc"}}
	pe.Spec = v1alpha1.PolicyEndpointSpec{
		PolicyRef:            v1alpha1.PolicyReference{Namespace: "default", Name: name},
		PodIsolation:         []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		PodSelectorEndpoints: []v1alpha1.PodEndpoint{{Namespace: "default", Name: "p", PodIP: "10.1.0.1", HostIP: "10.0.0.1"}},
	}
	for _, e := range entries {
		pe.Spec.Ingress = append(pe.Spec.Ingress, entry(e))
	}
	return pe
}

func entry(text string) v1alpha1.EndpointInfo {
	words := strings.Fields(text)
	blocks := strings.Split(words[0], "!")
	e := v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(blocks[0])}
	for _, x := range blocks[1:] {
		e.Except = append(e.Except, v1alpha1.NetworkAddress(x))
	}
	for _, w := range words[1:] {
		e.Ports = append(e.Ports, port(w))
	}
	return e
}

func port(text string) v1alpha1.Port {
	name, numbers, ok := strings.Cut(text, "/")
	proto := corev1.Protocol(name)
	p := v1alpha1.Port{Protocol: &proto}
	if !ok {
		return p
	}
	var first, last int32
	if n, _ := fmt.Sscanf(numbers, "%d-%d", &first, &last); n == 2 {
		p.EndPort = &last
	}
	p.Port = &first
	return p
}

func pod() enforce.Pod {
	return enforce.Pod{Namespace: "default", Name: "p", UID: "1", Ifindex: 1,
		Addrs: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")}}
}

func build(t *testing.T, c bpf.Capacity, pods []enforce.Pod, endpoints ...*v1alpha1.PolicyEndpoint) *enforce.Result {
	t.Helper()
	r, err := enforce.Build(enforce.Input{
		NodeAddrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Pods: pods, Endpoints: endpoints,
	}, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reason asks the twin about a first packet "SOURCE PROTOCOL/PORT" at the ingress of the pod on an interface.
func reason(t *testing.T, img *bpf.Image, ifindex uint32, probe string) bpf.Outcome {
	t.Helper()
	words := strings.Fields(probe)
	pp, err := flow.ParsePortProto(words[1])
	if err != nil {
		t.Fatal(err)
	}
	src := netip.MustParseAddr(words[0])
	dst := netip.MustParseAddr("10.1.0.1")
	if src.Is6() {
		dst = netip.MustParseAddr("fd00:1::1")
	}
	d := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
	d.Load(img)
	return d.Run(flow.Ingress, ifindex, false, frame.New(flow.Tuple{
		Src: src, Dst: dst, Protocol: pp.Protocol, SrcPort: 40000, DstPort: pp.Port}, frame.First))
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name      string
		endpoints []*v1alpha1.PolicyEndpoint
		allowed   string // probes, separated by commas
		denied    string
	}{
		{"no policy", nil, "192.0.2.1 TCP/1, fd00::2 SCTP/9", ""},
		{"a policy without rules isolates (case 23)", []*v1alpha1.PolicyEndpoint{endpoint("a")},
			"", "192.0.2.1 TCP/1, fd00::2 UDP/53"},
		{"a bare address is one address", []*v1alpha1.PolicyEndpoint{endpoint("a", "10.1.0.2")},
			"10.1.0.2 TCP/80, 10.1.0.2 SCTP/1", "10.1.0.3 TCP/80, fd00:1::2 TCP/80"},
		{"families do not cover one another (case 55)", []*v1alpha1.PolicyEndpoint{endpoint("a", "0.0.0.0/0")},
			"192.0.2.1 TCP/80", "fd00::2 TCP/80"},
		{"host bits do not make another key (aws-network-policy-agent#609)",
			[]*v1alpha1.PolicyEndpoint{endpoint("a", "10.2.3.4/16 TCP/80", "10.2.0.0/16 TCP/81")},
			"10.2.200.1 TCP/80, 10.2.200.1 TCP/81", "10.3.0.1 TCP/80"},
		{"a longer prefix keeps the ports of a shorter one",
			[]*v1alpha1.PolicyEndpoint{endpoint("a", "10.0.0.0/8 TCP/80", "10.2.0.0/16 TCP/81", "10.2.0.7 TCP/82")},
			"10.2.0.7 TCP/80, 10.2.0.7 TCP/81, 10.2.0.7 TCP/82, 10.2.0.8 TCP/80", "10.2.0.8 TCP/82, 10.9.0.1 TCP/81"},
		{"except subtracts from its own block only (case 53, aws-network-policy-agent#326)",
			[]*v1alpha1.PolicyEndpoint{endpoint("a", "10.0.0.0/8!10.2.0.0/16 TCP/80"), endpoint("b", "10.2.0.5 TCP/80")},
			"10.3.0.1 TCP/80, 10.2.0.5 TCP/80", "10.2.0.6 TCP/80"},
		{"except within another rule's block", []*v1alpha1.PolicyEndpoint{endpoint("a",
			"10.0.0.0/8!10.2.0.0/16!10.2.3.0/24 TCP/80", "10.2.0.0/15!10.2.4.0/24 TCP/81")},
			"10.3.0.1 TCP/80, 10.2.3.1 TCP/81, 10.3.0.1 TCP/81", "10.2.3.1 TCP/80, 10.2.4.1 TCP/81, 10.2.4.1 TCP/80"},
		{"ranges include both ends and touch", []*v1alpha1.PolicyEndpoint{endpoint("a",
			"0.0.0.0/0 TCP/255-256 TCP/257 UDP/65535 TCP/1000-1999")},
			"192.0.2.1 TCP/255, 192.0.2.1 TCP/257, 192.0.2.1 UDP/65535, 192.0.2.1 TCP/1999, 192.0.2.1 TCP/1024",
			"192.0.2.1 TCP/254, 192.0.2.1 TCP/258, 192.0.2.1 UDP/255, 192.0.2.1 TCP/999, 192.0.2.1 TCP/2000"},
		{"more than 24 ports for one address, nothing lost", []*v1alpha1.PolicyEndpoint{endpoint("a", "10.1.0.2"+manyPorts(100))},
			"10.1.0.2 TCP/1, 10.1.0.2 TCP/101, 10.1.0.2 TCP/199", "10.1.0.2 TCP/2, 10.1.0.2 TCP/201"},
		{"a protocol without a port is all its ports (case 13)", []*v1alpha1.PolicyEndpoint{endpoint("a", "10.1.0.2 UDP")},
			"10.1.0.2 UDP/1, 10.1.0.2 UDP/65535", "10.1.0.2 TCP/1"},
		{"ports of one rule do not leak to the peers of another (case 20)",
			[]*v1alpha1.PolicyEndpoint{endpoint("a", "10.1.0.2 TCP/80", "10.1.0.3 TCP/443")},
			"10.1.0.2 TCP/80, 10.1.0.3 TCP/443", "10.1.0.2 TCP/443, 10.1.0.3 TCP/80"},
		{"chunks of one policy are one policy", []*v1alpha1.PolicyEndpoint{endpoint("a", "10.1.0.2"), rulesOnly("a", "10.1.0.3")},
			"10.1.0.2 TCP/80, 10.1.0.3 TCP/80", "10.1.0.4 TCP/80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, c.endpoints...)
			for _, probes := range []struct {
				text string
				want flow.Verdict
			}{{c.allowed, flow.Allow}, {c.denied, flow.Deny}} {
				for _, p := range strings.FieldsFunc(probes.text, func(r rune) bool { return r == ',' }) {
					if out := reason(t, r.Image, 1, p); out.Reason.Verdict() != probes.want {
						t.Errorf("%s: %s, want %s", p, out.Reason, probes.want)
					}
				}
			}
		})
	}
}

func manyPorts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " TCP/%d", 2*i+1)
	}
	return b.String()
}

// rulesOnly is a further chunk of a policy, which selects nothing itself.
func rulesOnly(name string, entries ...string) *v1alpha1.PolicyEndpoint {
	pe := endpoint(name, entries...)
	pe.Name += "2"
	pe.Spec.PodSelectorEndpoints = nil
	return pe
}

// TestMalformedClosesThePod: whatever cannot be read closes the pod in that direction and is reported by name.
func TestMalformedClosesThePod(t *testing.T) {
	foreign := endpoint("a", "0.0.0.0/0")
	foreign.Spec.PolicyRef.Namespace = "other"
	unknownType := endpoint("a", "0.0.0.0/0")
	unknownType.Spec.PodIsolation = []networkingv1.PolicyType{"Sideways"}
	wrongRules := endpoint("a", "0.0.0.0/0")
	wrongRules.Annotations = map[string]string{v1alpha1.IngressRulesAnnotation: "0*2"}
	for name, pe := range map[string]*v1alpha1.PolicyEndpoint{
		"bad cidr":              endpoint("a", "10.1.0.0/33"),
		"no address":            endpoint("a", "example.org"),
		"mapped prefix":         endpoint("a", "::ffff:10.0.0.0/104"),
		"bad except":            endpoint("a", "10.0.0.0/8!nonsense"),
		"port too large":        endpoint("a", "10.0.0.0/8 TCP/70000"),
		"port zero":             endpoint("a", "10.0.0.0/8 TCP/0"),
		"range upside down":     endpoint("a", "10.0.0.0/8 TCP/90-80"),
		"unknown protocol":      endpoint("a", "10.0.0.0/8 GRE/1"),
		"foreign policyRef":     foreign,
		"unknown policy type":   unknownType,
		"rules of wrong length": wrongRules,
	} {
		t.Run(name, func(t *testing.T) {
			good := endpoint("good", "0.0.0.0/0 TCP/80")
			r := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, pe, good)
			if out := reason(t, r.Image, 1, "10.1.0.2 TCP/80"); out.Reason != bpf.ReasonClosed {
				t.Errorf("got %s, want closed", out.Reason)
			}
			if !slices.ContainsFunc(r.Conditions, func(c enforce.Condition) bool { return c.Object == "default/a-abc" }) {
				t.Errorf("no condition names default/a-abc: %+v", r.Conditions)
			}
		})
	}
}

// TestPodsAreToldApart: a pod is its namespace, its name and its address (aws-network-policy-agent#327, #616, #671).
func TestPodsAreToldApart(t *testing.T) {
	pods := []enforce.Pod{pod()}
	for i, p := range []struct{ ns, name, ip string }{
		{"default", "p-2", "10.1.0.2"}, {"other", "p", "10.1.0.3"}, {"defaul", "tp", "10.1.0.4"}, {"default", "p", "10.1.0.5"},
	} {
		pods = append(pods, enforce.Pod{Namespace: p.ns, Name: p.name, UID: "u", Ifindex: uint32(i + 2),
			Addrs: []netip.Addr{netip.MustParseAddr(p.ip)}})
	}
	r := build(t, bpf.Capacity{}, pods, endpoint("a"))
	for _, p := range r.Image.Pods {
		want := bpf.SetOpen
		if p.Ifindex == 1 {
			want = bpf.SetClosed
		}
		if p.Sets[flow.Ingress] != want {
			t.Errorf("pod on interface %d has ingress set %d, want %d", p.Ifindex, p.Sets[flow.Ingress], want)
		}
	}
}

func TestHostNetworkPodsAreSkipped(t *testing.T) {
	pe := endpoint("a")
	pe.Spec.PodSelectorEndpoints[0].HostIP = pe.Spec.PodSelectorEndpoints[0].PodIP
	if got := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, pe).Image.Pods[0].Sets[flow.Ingress]; got != bpf.SetOpen {
		t.Errorf("ingress set %d, want open", got)
	}
}

// TestOwnNodeIsReachable: the compiled egress of an isolated pod always holds its node's addresses, but not the ports there behind which
// a Service has other pods.
func TestOwnNodeIsReachable(t *testing.T) {
	const some, others, own = "10.0.0.1", "10.0.0.2", "10.1.0.1"
	for _, c := range []struct {
		services enforce.PortRange
		pages    int
		dst      string
		protocol flow.Protocol
		port     uint16
		want     bpf.Reason
	}{
		{enforce.PortRange{}, 0, some, flow.TCP, 10250, bpf.ReasonPolicy},
		{enforce.PortRange{}, 0, some, flow.TCP, 29999, bpf.ReasonPolicy},
		{enforce.PortRange{}, 0, some, flow.TCP, 30000, bpf.ReasonNoRule},
		{enforce.PortRange{}, 0, some, flow.UDP, 32767, bpf.ReasonNoRule},
		{enforce.PortRange{}, 0, some, flow.SCTP, 30001, bpf.ReasonNoRule},
		{enforce.PortRange{}, 0, some, flow.UDP, 32768, bpf.ReasonPolicy},
		{enforce.PortRange{}, 0, some, flow.ICMP, 7, bpf.ReasonPolicy},
		{enforce.PortRange{}, int(bpf.PortsFirst), some, flow.ICMP, 7, bpf.ReasonPolicy},
		{enforce.PortRange{}, int(bpf.PortsFirst), some, flow.TCP, 30000, bpf.ReasonNoRule},
		{enforce.PortRange{}, int(bpf.PortsFirst), some, flow.TCP, 65535, bpf.ReasonPolicy},
		{enforce.PortRange{}, 0, others, flow.TCP, 10250, bpf.ReasonNoRule},
		{enforce.PortRange{First: 1, Last: 65535}, 0, some, flow.TCP, 10250, bpf.ReasonNoRule},
		{enforce.PortRange{First: 1, Last: 65535}, 0, some, flow.ICMP, 7, bpf.ReasonPolicy},
		{enforce.PortRange{First: 1, Last: 65535}, int(bpf.PortsFirst), some, flow.ICMP, 7, bpf.ReasonPolicy},
		{enforce.NoNodePorts, 0, some, flow.TCP, 30000, bpf.ReasonPolicy},
	} {
		pe := endpoint("a")
		pe.Spec.PodIsolation = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
		r, err := enforce.Build(enforce.Input{
			NodeAddrs: []netip.Addr{netip.MustParseAddr(some)}, NodePorts: c.services,
			Pods: []enforce.Pod{pod()}, Endpoints: []*v1alpha1.PolicyEndpoint{pe},
		}, bpf.Capacity{PortPages: c.pages})
		if err != nil {
			t.Fatal(err)
		}
		d := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
		d.Load(r.Image)
		got := d.Run(flow.Egress, 1, false, frame.New(flow.Tuple{Src: netip.MustParseAddr(own),
			Dst: netip.MustParseAddr(c.dst), Protocol: c.protocol, SrcPort: 4000, DstPort: c.port}, frame.First))
		if got.Reason != c.want {
			t.Errorf("%+v: %s", c, got.Reason)
		}
	}
}

// TestOrderDoesNotMatter: the image is the same, byte for byte, whatever the order of objects, entries and pods.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	a := endpoint("a", "10.0.0.0/8!10.2.0.0/16 TCP/80", "10.2.0.5 UDP/53 TCP/1-9", "fd00::/64")
	b := endpoint("b", "10.1.0.2 TCP/80", "10.1.0.3 TCP/80", "fd00::1")
	other := pod()
	other.Name, other.Ifindex = "q", 2
	pods := []enforce.Pod{pod(), other}
	want := build(t, bpf.Capacity{}, pods, a, b).Image
	for range 20 {
		for _, pe := range []*v1alpha1.PolicyEndpoint{a, b} {
			rng.Shuffle(len(pe.Spec.Ingress), func(i, j int) {
				pe.Spec.Ingress[i], pe.Spec.Ingress[j] = pe.Spec.Ingress[j], pe.Spec.Ingress[i]
			})
		}
		slices.Reverse(pods)
		got := build(t, bpf.Capacity{}, pods, b, a).Image
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, bpf.AddrPage{}, bpf.SetRows{}, bpf.Row{}, bpf.PortPage{}, bpf.PortLeaf{})); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestPoliciesNeedFewRows: what the rules of a policy tell apart lies side by side, so that a set needs a row or two, however many
// policies there are on the node.
func TestPoliciesNeedFewRows(t *testing.T) {
	const count = 100
	var pods []enforce.Pod
	var endpoints []*v1alpha1.PolicyEndpoint
	for i := range count {
		p := pod()
		p.Name, p.Ifindex = fmt.Sprint("p", i), uint32(1+i)
		pods = append(pods, p)
		var entries []string
		for port := range 20 {
			entries = append(entries, fmt.Sprintf("10.%d.%d.0/24 TCP/%d", i, port, 1000+port))
		}
		pe := endpoint(fmt.Sprint("np", i), entries...)
		pe.Spec.PodSelectorEndpoints[0].Name = p.Name
		endpoints = append(endpoints, pe)
	}
	img := build(t, bpf.Capacity{}, pods, endpoints...).Image
	used, sets := 0, map[uint32]bool{}
	for _, r := range img.Rows {
		if r != (bpf.Row{}) {
			used++
		}
	}
	for _, p := range img.Pods {
		sets[p.Sets[flow.Ingress]] = true
	}
	if len(sets) != count || used < count || used > 2*count {
		t.Errorf("%d sets have %d rows, want %d and at most twice as many", len(sets), used, count)
	}
}

// TestSmallChangeMovesLittle: numbers follow from content, so one more policy, or another peer in one rule of many, leaves most of the tables
// as they were.
func TestSmallChangeMovesLittle(t *testing.T) {
	var policies []*v1alpha1.PolicyEndpoint
	var rules []string
	for i := range 40 {
		rule := fmt.Sprintf("10.%d.0.0/16 TCP/%d", i, 1000+i)
		policies, rules = append(policies, endpoint(fmt.Sprintf("np%d", i), rule)), append(rules, rule)
	}
	one, other := endpoint("np", rules...), endpoint("np", append(rules[1:], "10.0.0.0/17 TCP/1000")...)
	for name, c := range map[string][2][]*v1alpha1.PolicyEndpoint{
		"one more policy": {policies[:39], policies}, "another peer in a rule": {{one}, {other}},
	} {
		before := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, c[0]...).Image
		after := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, c[1]...).Image
		changed := 0
		for i := range before.PortLeaves {
			if before.PortLeaves[i] != (bpf.PortLeaf{}) && before.PortLeaves[i] != after.PortLeaves[i] {
				changed++
			}
		}
		for i := range bpf.Fanout {
			for s, class := range before.Peers4[i].Slot {
				if class != 0 && class != after.Peers4[i].Slot[s] {
					changed++
				}
			}
		}
		if changed > 10 {
			t.Errorf("%s: %d of about 80 entries changed", name, changed)
		}
	}
}

// TestWhatDoesNotFitIsClosed: the largest set gives way, its pods are closed and named, the others keep their rules.
func TestWhatDoesNotFitIsClosed(t *testing.T) {
	big := endpoint("big")
	for i := range 300 {
		big.Spec.Ingress = append(big.Spec.Ingress, entry(fmt.Sprintf("fd00:%x::/32 TCP/80", i)))
	}
	little := endpoint("little", "fd00::5 TCP/80", "10.1.0.0/24 TCP/80")
	little.Spec.PodSelectorEndpoints[0].Name = "q"
	q := pod()
	q.Name, q.Ifindex = "q", 2
	r := build(t, bpf.Capacity{Nets: 64}, []enforce.Pod{pod(), q}, big, little)
	if out := reason(t, r.Image, 1, "fd00:1::1 TCP/80"); out.Reason != bpf.ReasonClosed {
		t.Errorf("the pod whose rules do not fit: %s, want closed", out.Reason)
	}
	if out := reason(t, r.Image, 2, "10.1.0.9 TCP/80"); out.Reason != bpf.ReasonPolicy {
		t.Errorf("the other pod: %s, want policy", out.Reason)
	}
	if len(r.Conditions) != 1 || r.Conditions[0].Object != "default/p" {
		t.Errorf("conditions %+v, want one that names default/p", r.Conditions)
	}
}

// TestSparseNetworks: when the pages for IPv4 run out, networks move to the tables of single addresses and prefixes, and
// every verdict stays.
func TestSparseNetworks(t *testing.T) {
	var entries []string
	for i := range 60 {
		entries = append(entries, fmt.Sprintf("10.%d.%d.%d TCP/80", i, i, i), fmt.Sprintf("10.%d.0.0/20!10.%d.1.0/28 TCP/81", i, i))
	}
	pe := endpoint("a", entries...)
	dense := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, pe)
	sparse := build(t, bpf.Capacity{Peers4: bpf.Fanout + 20}, []enforce.Pod{pod()}, pe)
	if len(sparse.Conditions) > 0 || len(sparse.Image.Hosts) == 0 || len(sparse.Image.Nets) == 0 {
		t.Fatalf("conditions %+v, %d hosts, %d nets: want none closed and some of both",
			sparse.Conditions, len(sparse.Image.Hosts), len(sparse.Image.Nets))
	}
	for i := range 62 {
		for _, addr := range []string{"%d.%[1]d.%[1]d", "%d.0.9", "%d.1.3", "%d.1.16", "%d.16.1"} {
			for _, port := range []string{"TCP/80", "TCP/81"} {
				probe := fmt.Sprintf("10."+addr+" "+port, i)
				d, s := reason(t, dense.Image, 1, probe), reason(t, sparse.Image, 1, probe)
				if d.Reason != s.Reason {
					t.Errorf("%s: dense says %s, sparse %s", probe, d.Reason, s.Reason)
				}
			}
		}
	}
}

// TestLegendNamesTheRule: what the kernel decided on leads back to the policy and the rule.
func TestLegendNamesTheRule(t *testing.T) {
	pe := endpoint("web:http=80", "10.1.0.2 TCP/80", "10.1.0.0/24 TCP/80-90")
	pe.Annotations = map[string]string{v1alpha1.IngressRulesAnnotation: v1alpha1.EncodeRules([]int{0, 3})}
	r := build(t, bpf.Capacity{}, []enforce.Pod{pod()}, pe, endpoint("foreign", "10.1.0.2 UDP/80"))
	for probe, want := range map[string][]int{
		"10.1.0.2 TCP/80": {0, 3}, "10.1.0.3 TCP/80": {3}, "10.1.0.2 TCP/91": nil, "10.1.0.2 UDP/80": {-1},
	} {
		out := reason(t, r.Image, 1, probe)
		pp, _ := flow.ParsePortProto(strings.Fields(probe)[1])
		var got []int
		for _, o := range r.Legend.Rules(out.Set, out.Class, pp.Protocol, pp.Port) {
			if name := map[bool]string{true: "foreign", false: "web"}[o.Index < 0]; o.Policy != name || o.Namespace != "default" {
				t.Errorf("%s: rule of %s/%s, want default/%s", probe, o.Namespace, o.Policy, name)
			}
			got = append(got, o.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: rules %v, want %v", probe, got, want)
		}
	}
}

// TestNoRoomAtAllClosesAll: with no room for any set every isolated pod is closed, and nothing fails.
func TestNoRoomAtAllClosesAll(t *testing.T) {
	r := build(t, bpf.Capacity{Sets: int(bpf.SetFirst)}, []enforce.Pod{pod()}, endpoint("a", "10.1.0.2"))
	if out := reason(t, r.Image, 1, "10.1.0.2 TCP/80"); out.Reason != bpf.ReasonClosed || len(r.Conditions) != 1 {
		t.Errorf("%s, conditions %+v; want closed and one condition", out.Reason, r.Conditions)
	}
}

package netns_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// disaster is a cluster of processes under load: some of what is sent is allowed by all policies that are ever in force,
// some is denied by all of them.
type disaster struct {
	*bench
	cluster         *model.Cluster
	allowed, denied []*blaster
	streams         []*stream
	knockers        []*knocker
}

// udpFrom lets pods be called at a UDP port by one pod.
func udpFrom(peer string, port int32) networkingv1.NetworkPolicyIngressRule {
	return rule(corev1.ProtocolUDP, peer, port)
}

func rule(proto corev1.Protocol, peer string, port int32) networkingv1.NetworkPolicyIngressRule {
	number := intstr.FromInt32(port)
	return networkingv1.NetworkPolicyIngressRule{
		Ports: []networkingv1.NetworkPolicyPort{{Protocol: &proto, Port: &number}},
		From: []networkingv1.NetworkPolicyPeer{{
			PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"pod": peer}},
		}},
	}
}

// besieged starts a cluster where a may call b at port 5000 and, from another node, c at port 5002, with UDP and TCP, b may
// call nobody, and everything is under way.
func besieged(t *testing.T) *disaster {
	t.Helper()
	s, err := netns.New(processOptions(t)).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	d := &disaster{bench: &bench{Session: s}, cluster: cluster()}
	for _, p := range d.cluster.Pods {
		p.Labels = map[string]string{"pod": p.Name}
	}
	b := isolate("b", networkingv1.PolicyTypeIngress)
	b.Spec.PolicyTypes = append(b.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	b.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{
		udpFrom("a", 5000), udpFrom("c", 5002), rule(corev1.ProtocolTCP, "a", 5000), rule(corev1.ProtocolTCP, "c", 5002),
	}
	d.cluster.Policies = []*networkingv1.NetworkPolicy{b}
	check(t, d.Apply(t.Context(), d.cluster))
	d.allowed = []*blaster{
		d.blast(t, "default/a", "default/b", "10.0.1.2:5000"), d.blast(t, "default/c", "default/b", "10.0.1.2:5002"),
	}
	d.denied = []*blaster{
		d.blast(t, "default/a", "default/b", "10.0.1.2:5001"), d.blast(t, "default/c", "default/b", "10.0.1.2:5003"),
		d.blast(t, "default/b", "default/a", "10.0.1.1:5000"), d.blast(t, "default/b", "default/c", "10.0.2.1:5000"),
	}
	d.streams = []*stream{
		d.openStream(t, "default/a", "default/b", "10.0.1.2:5000"), d.openStream(t, "default/c", "default/b", "10.0.1.2:5002"),
	}
	d.knockers = []*knocker{
		d.knock(t, "default/a", "default/b", "10.0.1.2:5001"), d.knock(t, "default/c", "default/b", "10.0.1.2:5003"),
		d.knock(t, "default/b", "default/c", "10.0.2.1:5000"),
	}
	return d
}

// change applies a policy more or less that changes the tables, but nothing about what is under way.
func (d *disaster) change(t *testing.T, number int) {
	t.Helper()
	extra := isolate("b", networkingv1.PolicyTypeIngress)
	extra.Name = "extra"
	extra.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{udpFrom("c", int32(6000+number))}
	d.cluster.Policies = append(d.cluster.Policies[:1:1], extra)
	check(t, d.Apply(context.Background(), d.cluster))
}

// verify ends the load and compares everything with the model.
func (d *disaster) verify(t *testing.T) {
	t.Helper()
	for _, x := range d.allowed {
		x.lostNone(t)
	}
	for _, x := range d.denied {
		x.passedNone(t)
	}
	for _, x := range d.streams {
		for _, problem := range x.losses() {
			t.Error(problem)
		}
	}
	for _, x := range d.knockers {
		for _, problem := range x.passages() {
			t.Error(problem)
		}
	}
	d.matchesModel(t)
}

// matchesModel probes every pod from every other one.
func (d *disaster) matchesModel(t *testing.T) {
	t.Helper()
	m := model.New(d.cluster)
	var probes []backend.Probe
	var want []backend.Outcome
	for _, from := range d.cluster.Pods {
		for _, to := range d.cluster.Pods {
			for _, proto := range []flow.Protocol{flow.UDP, flow.TCP} {
				for _, port := range []uint16{80, 5000, 5002, 6003} {
					if from != to {
						probe, outcome := expected(m, from, to, flow.PortProto{Protocol: proto, Port: port})
						probes, want = append(probes, probe), append(want, outcome)
					}
				}
			}
		}
	}
	for i, o := range d.outcomes(t, probes...) {
		if o.Outcome != want[i] {
			t.Errorf("%s to %s/%s: %s, want %s", probes[i].From, probes[i].Protocol, probes[i].To, o.Outcome, want[i])
		}
	}
}

// expected is a probe and what must become of it. Only what must not pass is given up soon.
func expected(m *model.Model, from, to *corev1.Pod, port flow.PortProto) (backend.Probe, backend.Outcome) {
	probe := backend.Probe{
		From: "default/" + from.Name, Protocol: port.Protocol, Timeout: long,
		To: netip.AddrPortFrom(netip.MustParseAddr(to.Status.PodIPs[0].IP), port.Port),
	}
	query := model.Query{
		From: model.Endpoint{Pod: from}, To: model.Endpoint{Pod: to}, Family: flow.IPv4, PortProto: port,
	}
	if m.Decide(query).Verdict == flow.Deny {
		probe.Timeout = 300 * time.Millisecond
		return probe, backend.Blocked
	}
	return probe, backend.Connected
}

func TestAgentsAreKilledTwentyTimes(t *testing.T) {
	d := besieged(t)
	for i := range 20 {
		for _, a := range netns.Agents(d.Session) {
			a.Kill()
			check(t, a.Start())
		}
		d.change(t, i)
	}
	d.verify(t)
}

// rebuilt is another build of the agent, of the same sources.
func rebuilt(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "palisade-agent")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s", "-o", path, "../../../cmd/palisade-agent").
		CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestAgentsAreUpgraded(t *testing.T) {
	binary := rebuilt(t)
	for name, args := range map[string][]string{
		"with the same program":   nil,
		"with a changed program":  {"-track-isolated-only"},
		"with tables of new size": {"-flow-entries", "4096"},
		"with room for peers":     {"-peer-entries", "262144"},
	} {
		t.Run(name, func(t *testing.T) {
			d := besieged(t)
			for i := range 3 {
				for _, a := range netns.Agents(d.Session) {
					a.Kill()
					check(t, a.StartProgram(binary, args...))
				}
				d.change(t, 2*i)
				for _, a := range netns.Agents(d.Session) {
					a.Kill()
					check(t, a.Start())
				}
				d.change(t, 2*i+1)
			}
			d.verify(t)
		})
	}
}

func TestTheAPIServerRestarts(t *testing.T) {
	d := besieged(t)
	for i := range 3 {
		d.change(t, 2*i)
		check(t, netns.Plane(d.Session).Cluster().RestartAPIServer(t.Context()))
		d.change(t, 2*i+1)
	}
	d.verify(t)
}

func TestTheLeaderIsKilled(t *testing.T) {
	d := besieged(t)
	for i := range 3 {
		check(t, netns.Plane(d.Session).KillLeader(t.Context()))
		d.change(t, i)
	}
	d.verify(t)
}

func TestWatchesAreCut(t *testing.T) {
	d := besieged(t)
	for i := range 20 {
		for _, a := range netns.Agents(d.Session) {
			a.Link().Cut()
		}
		d.change(t, i)
	}
	d.verify(t)
}

// TestChunksComeInAnyOrder writes the chunks of policies as small as they can be, in random orders, in place of the
// controllers.
func TestChunksComeInAnyOrder(t *testing.T) {
	d := besieged(t)
	p := netns.Plane(d.Session)
	p.StopControllers()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		more := int32(i)
		b := d.cluster.Policies[0]
		b.Spec.Ingress = append(b.Spec.Ingress[:4:4], udpFrom("a", 7000+more), udpFrom("c", 8000+more))
		version, err := p.PublishShuffled(t.Context(), d.cluster, random)
		check(t, err)
		for _, a := range netns.Agents(d.Session) {
			check(t, a.InForce(t.Context(), version))
		}
	}
	d.verify(t)
}

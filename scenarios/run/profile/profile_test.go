package profile_test

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
)

const head = "apiVersion: palisade.dev/v1alpha1\nkind: CapabilityProfile\nmetadata: {name: engine}\n"

func policy(port networkingv1.NetworkPolicyPort, peer networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{}
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{
		Ports: []networkingv1.NetworkPolicyPort{port}, From: []networkingv1.NetworkPolicyPeer{peer},
	}}
	return p
}

func TestLimitExcusesOnlyWhatUsesIt(t *testing.T) {
	number, name := ptr.To(intstr.FromInt32(80)), ptr.To(intstr.FromString("http"))
	plain := policy(networkingv1.NetworkPolicyPort{Port: number}, networkingv1.NetworkPolicyPeer{})
	ranged := policy(networkingv1.NetworkPolicyPort{Port: number, EndPort: ptr.To[int32](90)}, networkingv1.NetworkPolicyPeer{})
	named := policy(networkingv1.NetworkPolicyPort{Port: name}, networkingv1.NetworkPolicyPeer{})
	block := policy(networkingv1.NetworkPolicyPort{}, networkingv1.NetworkPolicyPeer{
		IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}})
	except := policy(networkingv1.NetworkPolicyPort{}, networkingv1.NetworkPolicyPeer{
		IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.1.0.0/16"}}})
	egress := plain.DeepCopy()
	egress.Spec.PolicyTypes = append(egress.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)

	by := func(p *networkingv1.NetworkPolicy) profile.Use {
		return profile.Use{Protocol: flow.TCP, Family: flow.IPv4, Policies: []*networkingv1.NetworkPolicy{plain, p}}
	}
	for capability, c := range map[profile.Capability]struct{ excused, not profile.Use }{
		profile.SCTP:            {profile.Use{Protocol: flow.SCTP}, profile.Use{Protocol: flow.UDP}},
		profile.IPv6:            {profile.Use{Family: flow.IPv6}, profile.Use{Family: flow.IPv4}},
		profile.EndPort:         {by(ranged), by(named)},
		profile.NamedPorts:      {by(named), by(ranged)},
		profile.IPBlock:         {by(block), by(ranged)},
		profile.Except:          {by(except), by(block)},
		profile.Egress:          {by(egress), by(block)},
		profile.Nodes:           {profile.Use{Node: true}, profile.Use{Service: true}},
		profile.Services:        {profile.Use{Service: true}, profile.Use{Node: true}},
		profile.CutsConnections: {profile.Use{Kept: true}, profile.Use{Refused: true}},
		profile.SilentDrop:      {profile.Use{Refused: true}, profile.Use{Kept: true}},
	} {
		p, err := profile.Parse([]byte(head + "capabilities: {" + string(capability) + ": false}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Limit(c.excused); got != capability {
			t.Errorf("%s: a connection that needs it is excused by %q", capability, got)
		}
		if got := p.Limit(c.not); got != "" {
			t.Errorf("%s: a connection that does not need it is excused by %q", capability, got)
		}
		p.Capabilities[capability] = true
		if got := p.Limit(c.excused); got != "" {
			t.Errorf("%s is declared to be there, and yet excuses %q", capability, got)
		}
	}
}

func TestWithoutProfileNothingIsExcused(t *testing.T) {
	var none *profile.Profile
	if got := none.Limit(profile.Use{Protocol: flow.SCTP, Kept: true, Refused: true}); got != "" {
		t.Errorf("excused by %q", got)
	}
}

func TestParseRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		head + "capabilities: {stcp: false}":              `capability "stcp" is none of sctp,`,
		head + "capabilitys: {sctp: false}":               `unknown field "capabilitys"`,
		head + "capabilities: {sctp: sometimes}":          "cannot unmarshal",
		strings.Replace(head, "v1alpha1", "v2", 1):        "expected apiVersion palisade.dev/v1alpha1",
		strings.Replace(head, "name: engine", "", 1):      "metadata.name is missing",
		strings.Replace(head, "Capability", "Ability", 1): "kind CapabilityProfile",
	} {
		if _, err := profile.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

package resolve

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// checkEgress resolves a policy of namespace x with the given egress rules in s, and compares the entries.
func checkEgress(t *testing.T, s *Snapshot, rules string, want ...string) {
	t.Helper()
	if s == nil {
		s = &Snapshot{}
	}
	s.Policies = []*networkingv1.NetworkPolicy{policy(t, "x/p", `{policyTypes: [Egress], egress: `+rules+`}`)}
	if diff := cmp.Diff(want, egress(t, only(t, s))); diff != "" {
		t.Errorf("egress (-want +got):\n%s", diff)
	}
}

func TestNumericPorts(t *testing.T) {
	tests := map[string]struct{ ports, want string }{
		"absent":               {`null`, ""},
		"empty list":           {`[]`, ""},
		"an empty port is TCP": {`[{}]`, " on TCP"},
		"protocol alone":       {`[{protocol: UDP}]`, " on UDP"},
		"port alone is TCP":    {`[{port: 80}]`, " on TCP/80"},
		"range":                {`[{port: 80, endPort: 90}]`, " on TCP/80-90"},
		"range of one":         {`[{port: 80, endPort: 80}]`, " on TCP/80"},
		"sctp":                 {`[{protocol: SCTP, port: 7}]`, " on SCTP/7"},
		"sorted, each once": {
			`[{port: 80}, {protocol: UDP, port: 53}, {port: 53}, {port: 80}]`,
			" on TCP/53 TCP/80 UDP/53",
		},
		"all and one":            {`[{port: 80}, {protocol: TCP}]`, " on TCP TCP/80"},
		"the highest port there": {`[{port: 1, endPort: 65535}]`, " on TCP/1-65535"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkEgress(t, nil, `[{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: `+tt.ports+`}]`, "0: 10.0.0.0/8"+tt.want)
		})
	}
}

// TestTrap19EgressNamedPorts: a name means on each peer what that peer declares, never the numbers of another.
func TestTrap19EgressNamedPorts(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := func(p *corev1.Pod) {
		c := container("http", corev1.ProtocolTCP, 9000)
		c.RestartPolicy = &always
		p.Spec.InitContainers = append(p.Spec.InitContainers, c, container("http", corev1.ProtocolTCP, 9001))
	}
	s := &Snapshot{Pods: []*corev1.Pod{
		newTestPod("x/a", "10.0.0.1", port("http", "TCP", 80)),
		newTestPod("x/b", "10.0.0.2", port("http", "TCP", 8081), port("http", "", 8080)),
		newTestPod("x/c", "10.0.0.3", port("http", "UDP", 80)),
		newTestPod("x/d", "10.0.0.4", sidecar),
		newTestPod("x/e", "10.0.0.5"),
		newTestPod("x/f", "192.168.0.1", hostNetwork, port("http", "TCP", 80)),
	}}
	named := []string{"0: 10.0.0.1 on TCP/80", "0: 10.0.0.2 on TCP/8080 TCP/8081", "0: 10.0.0.4 on TCP/9000"}
	tests := map[string]struct {
		rule string
		want []string
	}{
		"selected peers": {`{to: [{podSelector: {}}], ports: [{port: http}]}`, named},
		"beside a number": {`{to: [{podSelector: {matchLabels: {app: e}}}], ports: [{port: http}, {port: 443}]}`,
			[]string{"0: 10.0.0.5 on TCP/443"}},
		"selected and in an ipBlock: once": {
			`{to: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.1/32}}], ports: [{port: http}, {port: 443}]}`,
			[]string{"0: 10.0.0.1/32 on TCP/443", "0: 10.0.0.1 on TCP/80 TCP/443", "0: 10.0.0.2 on TCP/443 TCP/8080 TCP/8081",
				"0: 10.0.0.3 on TCP/443", "0: 10.0.0.4 on TCP/443 TCP/9000", "0: 10.0.0.5 on TCP/443"},
		},
		"nobody declares it":     {`{to: [{podSelector: {}}], ports: [{port: nothing}]}`, nil},
		"on anyone":              {`{ports: [{port: http}]}`, named},
		"on anyone, by protocol": {`{ports: [{port: http, protocol: UDP}]}`, []string{"0: 10.0.0.3 on UDP/80"}},
		"on anyone, beside a number": {`{ports: [{port: nothing}, {port: 443}]}`,
			[]string{"0: 0.0.0.0/0 on TCP/443", "0: ::/0 on TCP/443"}},
		"on pods in an ipBlock": {`{to: [{ipBlock: {cidr: 10.0.0.0/29, except: [10.0.0.2/32]}}], ports: [{port: http}]}`,
			[]string{"0: 10.0.0.1 on TCP/80", "0: 10.0.0.4 on TCP/9000"}},
		"on addresses that are no pod's": {`{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}]}`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			checkEgress(t, s, `[`+tt.rule+`]`, tt.want...)
		})
	}
}

// TestTrap19IngressNamedPorts: a name means what the selected pod declares, so pods that differ are published apart.
func TestTrap19IngressNamedPorts(t *testing.T) {
	s := &Snapshot{
		Pods: []*corev1.Pod{
			newTestPod("x/a", "10.0.0.1", port("http", "TCP", 80)),
			newTestPod("x/b", "10.0.0.2", port("http", "TCP", 8080), port("http", "TCP", 8081)),
			newTestPod("x/c", "10.0.0.3"),
			newTestPod("x/d", "10.0.0.4", port("http", "TCP", 80)),
		},
		Policies: []*networkingv1.NetworkPolicy{policy(t, "x/web", `
ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}]}, {ports: [{port: 22}]}]
egress: [{to: [{podSelector: {matchLabels: {app: c}}}]}]`)},
	}
	type seen struct {
		Policy, Named         string
		Pods, Ingress, Egress []string
	}
	ssh := []string{"1: 0.0.0.0/0 on TCP/22", "1: ::/0 on TCP/22"}
	toC := []string{"0: 10.0.0.3"}
	want := []seen{
		{"web", "http/TCP=", []string{"x/c 10.0.0.3@192.168.0.1"}, ssh, toC},
		{"web", "http/TCP=80", []string{"x/a 10.0.0.1@192.168.0.1", "x/d 10.0.0.4@192.168.0.1"},
			append([]string{"0: 192.0.2.0/24 on TCP/80"}, ssh...), toC},
		{"web", "http/TCP=8080+8081", []string{"x/b 10.0.0.2@192.168.0.1"},
			append([]string{"0: 192.0.2.0/24 on TCP/8080 TCP/8081"}, ssh...), toC},
	}
	var got []seen
	for _, pe := range resolveAll(t, s) {
		named := pe.Annotations[v1alpha1.NamedPortsAnnotation]
		got = append(got, seen{v1alpha1.PolicyName(pe), named, pods(pe), ingress(t, pe), egress(t, pe)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
}

// TestOneResolutionKeepsThePlainName: variants exist only where pods disagree.
func TestOneResolutionKeepsThePlainName(t *testing.T) {
	tests := map[string]struct {
		pods []*corev1.Pod
		want []string // ingress
	}{
		"pods that agree": {
			[]*corev1.Pod{
				newTestPod("x/a", "10.0.0.1", port("http", "TCP", 80)), newTestPod("x/b", "10.0.0.2", port("http", "TCP", 80)),
			},
			[]string{"0: 0.0.0.0/0 on TCP/80", "0: ::/0 on TCP/80"},
		},
		"no pods":                        {nil, nil},
		"a pod that does not declare it": {[]*corev1.Pod{newTestPod("x/a", "10.0.0.1")}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pe := only(t, &Snapshot{
				Pods:     tt.pods,
				Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{ingress: [{ports: [{port: http}]}]}`)},
			})
			if pe.Spec.PolicyRef.Name != "p" {
				t.Errorf("policyRef.name = %q, want p", pe.Spec.PolicyRef.Name)
			}
			if diff := cmp.Diff(tt.want, ingress(t, pe)); diff != "" {
				t.Errorf("ingress (-want +got):\n%s", diff)
			}
		})
	}
}

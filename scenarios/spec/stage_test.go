package spec

import (
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

func mustStages(t *testing.T, text string) []Stage {
	t.Helper()
	s, err := parseOne("topic/s.yaml", []byte(text), fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	stages, err := s.Stages()
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// steps is a scenario of pods a (on node-a) and b (on node-b) with the given steps.
func steps(text string) string { return document(twoPods + "steps:\n" + text) }

func pod(name string) string { return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + "}}" }

func TestAddressesAreAssignedInTheOrderOfTheFile(t *testing.T) {
	for name, c := range map[string]struct {
		families string
		want     map[string][]string
	}{
		"IPv4": {"[ipv4]", map[string][]string{
			"node-a": {"10.240.0.1"}, "node-b": {"10.240.0.2"},
			"a": {"10.240.1.2"}, "b": {"10.240.2.2"}, "c": {"10.240.1.3"}, "web": {"10.96.0.10"},
		}},
		"IPv6": {"[ipv6]", map[string][]string{
			"node-a": {"fd00:10:240::1"}, "node-b": {"fd00:10:240::2"},
			"a": {"fd00:10:240:1::2"}, "b": {"fd00:10:240:2::2"}, "c": {"fd00:10:240:1::3"}, "web": {"fd00:10:96::a"},
		}},
		"dual stack, IPv6 first": {"[ipv6, ipv4]", map[string][]string{
			"node-a": {"fd00:10:240::1", "10.240.0.1"}, "node-b": {"fd00:10:240::2", "10.240.0.2"},
			"a": {"fd00:10:240:1::2", "10.240.1.2"}, "b": {"fd00:10:240:2::2", "10.240.2.2"},
			"c": {"fd00:10:240:1::3", "10.240.1.3"}, "web": {"fd00:10:96::a"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			text := document("families: " + c.families + "\n" + twoPods + "steps: [{name: x, apply: [" + pod("c") + "]}]")
			if diff := cmp.Diff(c.want, addresses(mustStages(t, text)[0].Cluster)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// addresses returns the addresses of all objects by name.
func addresses(c *model.Cluster) map[string][]string {
	all := map[string][]string{}
	for _, n := range c.Nodes {
		all[n.Name] = internalAddrs(n)
	}
	for _, p := range c.Pods {
		all[p.Name] = podIPs(p)
	}
	for _, s := range c.Services {
		all[s.Name] = s.Spec.ClusterIPs
	}
	return all
}

func TestAPodRunsOnItsNode(t *testing.T) {
	p := findPod(t, mustStages(t, steps("- {name: x}"))[0].Cluster, "default/b")
	if p.Spec.NodeName != "node-b" || p.Status.HostIP != "10.240.0.2" || p.Status.PodIP != "10.240.2.2" ||
		p.Status.Phase != corev1.PodRunning || p.UID == "" || len(p.Spec.Containers) != 1 {
		t.Errorf("got %+v", p)
	}
	if ready := p.Status.Conditions; len(ready) != 1 || ready[0].Type != corev1.PodReady || ready[0].Status != "True" {
		t.Errorf("conditions %+v", ready)
	}
}

func TestAStatedAddressIsNeverGivenAway(t *testing.T) {
	stages := mustStages(t, steps(`
- name: one
- name: two
  apply: [{apiVersion: v1, kind: Pod, metadata: {name: late}, status: {podIPs: [{ip: 10.240.1.3}]}}]
- name: three
  apply: [`+pod("c")+`, `+pod("d")+`]`))
	got := addresses(stages[2].Cluster)
	if got["late"][0] != "10.240.1.3" || got["c"][0] != "10.240.2.3" || got["d"][0] != "10.240.1.4" {
		t.Errorf("got %v", got)
	}
}

func TestUpdateKeepsIdentityAndAddress(t *testing.T) {
	stages := mustStages(t, steps(`
- name: one
- name: two
  apply:
  - {apiVersion: v1, kind: Pod, metadata: {name: a, labels: {new: label}}}
  - {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 81}]}}`))
	before, after := findPod(t, stages[0].Cluster, "default/a"), findPod(t, stages[1].Cluster, "default/a")
	if after.Labels["new"] != "label" || before.Labels["new"] != "" {
		t.Errorf("labels %v, then %v", before.Labels, after.Labels)
	}
	if before.UID != after.UID || !cmp.Equal(before.Status, after.Status) || before.Spec.NodeName != after.Spec.NodeName {
		t.Errorf("got %+v, then %+v", before, after)
	}
	if was, is := stages[0].Cluster.Services[0], stages[1].Cluster.Services[0]; was.Spec.ClusterIP != is.Spec.ClusterIP ||
		is.Spec.Ports[0].Port != 81 {
		t.Errorf("got %+v, then %+v", was, is)
	}
}

func TestRestartChangesOnlyTheUID(t *testing.T) {
	stages := mustStages(t, steps(
		"- name: one\n- name: two\n  restart: [default/a]\n- name: three\n  restart: [default/a]"))
	uids := map[any]bool{}
	for _, stage := range stages {
		p := findPod(t, stage.Cluster, "default/a")
		uids[p.UID] = true
		if got := podIPs(p)[0] + " " + p.Spec.NodeName; got != "10.240.1.2 node-a" {
			t.Errorf("%s: %s", stage.Name, got)
		}
	}
	if len(uids) != 3 {
		t.Errorf("%d UIDs in three lives", len(uids))
	}
}

func TestANewPodOfAnOldNameIsAnotherPod(t *testing.T) {
	stages := mustStages(t, steps("- name: one\n- name: two\n  delete: [{kind: Pod, name: a}]\n  apply: ["+pod("a")+"]"))
	before, after := findPod(t, stages[0].Cluster, "default/a"), findPod(t, stages[1].Cluster, "default/a")
	if before.UID == after.UID || podIPs(before)[0] == podIPs(after)[0] {
		t.Errorf("got %s %v, then %s %v", before.UID, podIPs(before), after.UID, podIPs(after))
	}
}

func TestDeletingANamespaceTakesEverythingAlong(t *testing.T) {
	c := mustStages(t, steps("- name: one\n  delete: [{kind: Namespace, name: default}]"))[0].Cluster
	if len(c.Pods)+len(c.Services)+len(c.Namespaces)+len(c.EndpointSlices) != 0 || len(c.Nodes) != 2 {
		t.Errorf("left are %d pods, %d services, %d namespaces", len(c.Pods), len(c.Services), len(c.Namespaces))
	}
}

func TestDeletingANodeTakesItsPodsAlong(t *testing.T) {
	c := mustStages(t, steps("- name: one\n  delete: [{kind: Node, name: node-a}]"))[0].Cluster
	if len(c.Pods) != 1 || c.Pods[0].Name != "b" || len(c.Nodes) != 1 {
		t.Errorf("left are %d pods, %d nodes", len(c.Pods), len(c.Nodes))
	}
}

func TestLabelSetsAndRemoves(t *testing.T) {
	stages := mustStages(t, steps(`
- name: one
  label: [{kind: Pod, name: a, labels: {x: "1", z: "2"}}, {kind: Namespace, name: default, labels: {w: ""}}]
- name: two
  label:
  - {kind: Pod, name: a, labels: {x: null, z: "3"}}
  - {kind: Namespace, name: default, labels: {kubernetes.io/metadata.name: null}}`))
	want := []map[string]string{{"x": "1", "z": "2"}, {"z": "3"}}
	for i, stage := range stages {
		if diff := cmp.Diff(want[i], findPod(t, stage.Cluster, "default/a").Labels); diff != "" {
			t.Errorf("%s: %s", stage.Name, diff)
		}
		namespace := map[string]string{"w": "", corev1.LabelMetadataName: "default"}
		if diff := cmp.Diff(namespace, stage.Cluster.Namespaces[0].Labels); diff != "" {
			t.Errorf("%s: %s", stage.Name, diff)
		}
	}
}

func TestHostNetworkAndPendingPods(t *testing.T) {
	got := addresses(mustStages(t, document(`objects:
- {apiVersion: v1, kind: Pod, metadata: {name: host}, spec: {hostNetwork: true, nodeName: node-b}}
- {apiVersion: v1, kind: Pod, metadata: {name: pending}, status: {phase: Pending}}
steps: [{name: x}]`))[0].Cluster)
	if diff := cmp.Diff([]string{"10.240.0.2"}, got["host"]); diff != "" || got["pending"] != nil {
		t.Errorf("got %v", got)
	}
}

func TestAServiceHasTheFamiliesItAsksFor(t *testing.T) {
	got := addresses(mustStages(t, document(`families: [ipv4, ipv6]
objects:
- {apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {ports: [{port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: six}, spec: {ipFamilies: [IPv6], ports: [{port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: both}, spec: {ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: none}, spec: {clusterIP: None, ports: [{port: 80}]}}
steps: [{name: x}]`))[0].Cluster)
	want := map[string][]string{
		"node-a": {"10.240.0.1", "fd00:10:240::1"}, "node-b": {"10.240.0.2", "fd00:10:240::2"},
		"plain": {"10.96.0.10"}, "six": {"fd00:10:96::a"}, "both": {"10.96.0.11", "fd00:10:96::b"}, "none": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReplayingIsPure(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range loadCorpus(t) {
		if seen[s.Path()] { // one case of a file replays as all do
			continue
		}
		seen[s.Path()] = true
		first, err := s.Stages()
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Stages()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: replayed again it differs:\n%s", s.Path(), diff)
		}
	}
}

func TestPortsAreAllThatAnythingNames(t *testing.T) {
	stages := mustStages(t, document(`objects:
- apiVersion: v1
  kind: Pod
  metadata: {name: a}
  spec: {containers: [{name: c, ports: [{name: dns, containerPort: 53, protocol: UDP}]}]}
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
- {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: x, port: 80, targetPort: 8080}]}}
steps:
- name: one
  expect:
  - {from: default/b, to: default/a, port: TCP/443, verdict: allow}
- name: two
  probes: [sctp/7]
  apply:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: p}
    spec:
      ingress: [{ports: [{port: 1, endPort: 20}, {port: dns, protocol: UDP}]}]
      egress: [{ports: [{port: 65535, protocol: SCTP}]}]`))
	want := "TCP/1 TCP/20 TCP/21 TCP/443 TCP/8080 UDP/53 SCTP/7 SCTP/65535"
	for _, stage := range stages {
		if diff := cmp.Diff(want, words(stage.Ports)); diff != "" {
			t.Errorf("%s: %s", stage.Name, diff)
		}
	}
}

func words(ports []flow.PortProto) string {
	text := ""
	for i, p := range ports {
		if i > 0 {
			text += " "
		}
		text += p.String()
	}
	return text
}

func TestThereIsAlwaysAPort(t *testing.T) {
	stages := mustStages(t, document("objects: ["+pod("a")+"]\nsteps: [{name: x}]"))
	if got := words(stages[0].Ports); got != "TCP/80" {
		t.Errorf("got %s", got)
	}
}

func TestExpectationsAreResolved(t *testing.T) {
	tcp80, udp53 := flow.PortProto{Protocol: flow.TCP, Port: 80}, flow.PortProto{Protocol: flow.UDP, Port: 53}
	a, b, web := "default/a", "default/b", "default/web"
	for name, c := range map[string]struct {
		families, entry string
		want            []Expectation
	}{
		"one cell": {
			"[ipv4]",
			"{from: default/a, to: default/b, port: TCP/80, verdict: deny}",
			[]Expectation{
				{From: a, To: b, PortProto: tcp80, Family: flow.IPv4},
			},
		},
		"a product without self": {
			"[ipv4]",
			"{from: [default/a, default/b], to: [default/a, default/b], port: [TCP/80, UDP/53], verdict: allow}",
			[]Expectation{
				{From: a, To: b, PortProto: tcp80, Family: flow.IPv4, Verdict: flow.Allow},
				{From: a, To: b, PortProto: udp53, Family: flow.IPv4, Verdict: flow.Allow},
				{From: b, To: a, PortProto: tcp80, Family: flow.IPv4, Verdict: flow.Allow},
				{From: b, To: a, PortProto: udp53, Family: flow.IPv4, Verdict: flow.Allow},
			},
		},
		"self alone": {
			"[ipv4]",
			"{from: default/a, to: default/a, port: TCP/80, verdict: allow}",
			[]Expectation{
				{From: a, To: a, PortProto: tcp80, Family: flow.IPv4, Verdict: flow.Allow},
			},
		},
		"both families": {
			"[ipv6, ipv4]",
			"{from: default/a, to: node/node-b, port: TCP/80, verdict: deny}",
			[]Expectation{
				{From: a, To: "node/node-b", PortProto: tcp80, Family: flow.IPv6},
				{From: a, To: "node/node-b", PortProto: tcp80, Family: flow.IPv4},
			},
		},
		"one of two": {
			"[ipv6, ipv4]",
			"{from: default/a, to: default/b, port: TCP/80, family: ipv4, verdict: deny}",
			[]Expectation{
				{From: a, To: b, PortProto: tcp80, Family: flow.IPv4},
			},
		},
		"a Service of one family": {
			"[ipv6, ipv4]",
			"{from: default/a, service: default/web, port: TCP/80, verdict: deny}",
			[]Expectation{
				{From: a, Service: web, PortProto: tcp80, Family: flow.IPv6},
			},
		},
		"repeated": {
			"[ipv4]",
			"{from: [default/a, default/a], to: default/b, port: TCP/80, verdict: deny}",
			[]Expectation{
				{From: a, To: b, PortProto: tcp80, Family: flow.IPv4},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := document("families: " + c.families + "\n" + twoPods + "steps:\n- name: x\n  expect:\n  - " + c.entry)
			for i := range c.want {
				c.want[i].Line, c.want[i].Col = 13, 5
			}
			if diff := cmp.Diff(c.want, mustStages(t, text)[0].Expect); diff != "" {
				t.Error(diff)
			}
		})
	}
}

package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict/stricttest"
)

func mustCases(t *testing.T, text string) []*Scenario {
	t.Helper()
	cases, err := Parse("topic/s.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func names(cases []*Scenario) []string {
	var names []string
	for _, s := range cases {
		names = append(names, s.Metadata.Name)
	}
	return names
}

func TestEveryCombinationIsACase(t *testing.T) {
	for vary, want := range map[string][]string{
		"":                                     {"s"},
		"vary: {families: [ipv6]}":             {"s/ipv6"},
		"vary: {families: [ipv4, ipv6, dual]}": {"s/ipv4", "s/ipv6", "s/dual"},
		"vary: {protocols: [UDP], placement: [same-node, cross-node]}": {"s/udp/same-node", "s/udp/cross-node"},
		"vary: {families: [ipv6, ipv4], order: [backward, forward]}": {
			"s/ipv6/backward", "s/ipv6/forward", "s/ipv4/backward", "s/ipv4/forward",
		},
	} {
		got := names(mustCases(t, step("")+vary))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", vary, diff)
		}
	}
}

func TestVaryRefusesWithOneSentence(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown family": {
			"vary: {families: [ipv4, §ipv5]}", `vary.families must be of ipv4, ipv6, dual, each once; "ipv5" is not`,
		},
		"an order twice":       {"vary: {order: [forward, §forward]}", "vary.order must be of together, forward, backward"},
		"a protocol":           {"vary: {protocols: [§tcp]}", "vary.protocols must be of TCP, UDP, SCTP"},
		"a placement":          {"vary: {placement: [§near]}", "vary.placement must be of same-node, cross-node"},
		"nothing":              {"vary: §{}", "vary says nothing"},
		"null":                 {"vary: §null", "vary says nothing"},
		"an unknown dimension": {"vary: {§nodes: [1]}", `unknown field "nodes"`},
		"families in two places": {
			"families: §[ipv4]\nvary: {families: [ipv6]}", "families and vary.families cannot both be given",
		},
		"a protocol that does not vary": {
			"objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: §$(protocol)}}", "since vary lists no protocols",
		},
		"an unknown placeholder": {
			"objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: §$(port)}}", "$(port) has no meaning",
		},
		"an address that is none": {
			"objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: §$(10.240.1)}}",
			"$(10.240.1) is neither an IPv4 address nor an IPv4 block",
		},
		"an IPv6 address": {
			"objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: §$(fd00::1)}}",
			"$(fd00::1) is neither",
		},
		"a block between the numbers": {
			"families: [ipv6]\nobjects:\n- {apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {b: §$(10.0.0.0/12)}}}",
			"$(10.0.0.0/12) has no counterpart in IPv6",
		},
		"one address where two are needed": {
			"families: [ipv4, ipv6]\n" +
				"objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: §$(10.240.1.9)}}",
			"$(10.240.1.9) cannot be of two families here",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(document(c.text + "\nsteps: [{name: x}]"))
			_, err := Parse("s.yaml", []byte(text), nil)
			stricttest.WantOne(t, err, line, col, c.want)
		})
	}
}

func TestAnOrderThatLeadsThroughAContradictionIsRefused(t *testing.T) {
	text := document(`vary: {order: [backward]}
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: node-a}, status: {podIP: 10.240.1.9}}
steps:
- name: one
- name: two
  apply:
  - {apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Succeeded}}
  - {apiVersion: v1, kind: Pod, metadata: {name: b}, status: {podIP: 10.240.1.9}}`)
	_, err := Parse("s.yaml", []byte(text), nil)
	for _, want := range []string{`s.yaml:10:3: step "two" cannot come backward`, "is already the address of"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestPlaceholdersStandForTheTwinOfAnAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"10.240.2.16":     "fd00:10:240:2::10",
		"10.240.255.255":  "fd00:10:240:ff::ff",
		"203.0.113.7":     "fd00:203:0:71::7",
		"10.240.2.64/26":  "fd00:10:240:2::40/122",
		"10.240.2.16/32":  "fd00:10:240:2::10/128",
		"10.240.2.0/24":   "fd00:10:240:2::/64",
		"10.240.2.0/23":   "fd00:10:240:2::/63",
		"10.240.0.0/16":   "fd00:10:240::/48",
		"10.0.0.0/8":      "fd00:10::/32",
		"0.0.0.0/0":       "::/0",
		"10.240.2.99/26":  "fd00:10:240:2::40/122", // host bits go
		"10.240.128.0/17": "fd00:10:240:80::/57",
	} {
		b := binder{families: []flow.Family{flow.IPv6}}
		if got := b.address(nil, addr); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
		b.families[0] = flow.IPv4
		if got := b.address(nil, addr); got != addr {
			t.Errorf("%s: got %s in IPv4", addr, got)
		}
	}
}

// TestTwinsAreInTheSameBlocks: what a block holds, its twin holds the twin of, and nothing else.
func TestTwinsAreInTheSameBlocks(t *testing.T) {
	for bits := range 33 {
		block := netip.PrefixFrom(netip.MustParseAddr("10.240.130.100"), bits).Masked()
		twin, ok := twinBlock(flow.IPv6, block)
		if !ok {
			continue
		}
		for i := range 32 {
			b := netip.MustParseAddr("10.240.130.100").As4()
			b[i/8] ^= 0x80 >> (i % 8)
			a := netip.AddrFrom4(b)
			if in, out := block.Contains(a), twin.Contains(twinAddr(flow.IPv6, a)); in != out {
				t.Errorf("%s in %s: %v; its twin in %s: %v", a, block, in, twin, out)
			}
		}
	}
}

const blockAndStatedAddress = `objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: node-a}, status: {podIPs: [{ip: $(10.240.1.9)}]}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: p}
  spec:
    podSelector: {}
    ingress: [{from: [{ipBlock: {cidr: $(10.240.1.0/24), except: [$(10.240.1.8/29)]}}, {podSelector: {}}]}]
steps: [{name: x}]
`

func TestInAClusterOfTwoFamiliesAnAddressIsThereTwice(t *testing.T) {
	c := mustStages(t, document("families: [ipv6, ipv4]\n"+blockAndStatedAddress))[0].Cluster
	if got := podIPs(c.Pods[0]); !slices.Equal(got, []string{"fd00:10:240:1::9", "10.240.1.9"}) {
		t.Errorf("addresses %v", got)
	}
	var blocks []string
	for _, peer := range c.Policies[0].Spec.Ingress[0].From {
		if peer.IPBlock != nil {
			blocks = append(blocks, fmt.Sprint(peer.IPBlock.CIDR, peer.IPBlock.Except))
		}
	}
	want := []string{"fd00:10:240:1::/64[fd00:10:240:1::8/125]", "10.240.1.0/24[10.240.1.8/29]"}
	if diff := cmp.Diff(want, blocks); diff != "" {
		t.Error(diff)
	}
}

func TestPlacement(t *testing.T) {
	text := document("vary: {placement: [same-node, cross-node]}\nobjects: [" + pod("a") + ", " + pod("b") + ", " +
		pod("c") + "]\nsteps: [{name: x}]")
	for i, want := range []string{"node-a node-a node-a", "node-a node-b node-b"} {
		stages, err := mustCases(t, text)[i].Stages()
		if err != nil {
			t.Fatal(err)
		}
		var nodes []string
		for _, p := range stages[0].Cluster.Pods {
			nodes = append(nodes, p.Spec.NodeName)
		}
		if got := strings.Join(nodes, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOrder(t *testing.T) {
	text := document(`vary: {order: [together, forward, backward]}
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
steps:
- name: one
- name: two
  delete: [{kind: Pod, name: a}]
  apply:
  - {apiVersion: v1, kind: Pod, metadata: {name: c}}
  - {apiVersion: v1, kind: Pod, metadata: {name: b, labels: {new: label}}}
  label: [{kind: Pod, name: c, labels: {new: label}}]`)
	for i, want := range [][]string{
		{"a b | ", "b+ c+ | "},
		{"a b | a", "b+ c+ | b c+"},
		{"a b | b", "b+ c+ | b+"},
	} {
		stages, err := mustCases(t, text)[i].Stages()
		if err != nil {
			t.Fatal(err)
		}
		for j, stage := range stages {
			got := podNames(stage.Cluster) + " | "
			for _, c := range stage.Before {
				got += podNames(c)
			}
			if got != want[j] {
				t.Errorf("case %d: step %s: got %q, want %q", i, stage.Name, got, want[j])
			}
		}
	}
}

// podNames lists the pods of c, those with a label with a plus.
func podNames(c *model.Cluster) string {
	var names []string
	for _, p := range c.Pods {
		if len(p.Labels) > 0 {
			names = append(names, p.Name+"+")
		} else {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, " ")
}

func TestAnExpectationOfAnotherFamilyIsForItsOwnCases(t *testing.T) {
	text := document("vary: {families: [ipv4, ipv6]}\n" + twoPods +
		"steps: [{name: x, expect: [{from: default/a, to: default/b, port: TCP/80, family: ipv6, verdict: allow}]}]")
	for i, want := range []int{0, 1} {
		stages, err := mustCases(t, text)[i].Stages()
		if err != nil || len(stages[0].Expect) != want {
			t.Errorf("case %d: %d expectations, error %v", i, len(stages[0].Expect), err)
		}
	}
}

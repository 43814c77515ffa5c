package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// fakeOutside makes hosts beside the nodes of a fake cluster.
type fakeOutside struct{ *fakeCluster }

func (o fakeOutside) target(number int) target {
	return target{pod: fmt.Sprintf("external/%d", number)}
}

func (o fakeOutside) Host(_ context.Context, number int) ([]netip.Addr, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[o.target(number)] = o.target(number).pod
	return []netip.Addr{netip.MustParseAddr(fmt.Sprintf("172.18.0.%d", 20+number))}, nil
}

func (o fakeOutside) Probe(ctx context.Context, number int, args []string, in io.Reader, out, log io.Writer) error {
	return o.run(ctx, o.target(number), args, in, out, log)
}

const guests = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: guests}
description: A pod and two hosts outside.
external: [{name: friend}, {name: stranger}]
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}}
steps:
- name: one of them may call
  apply:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web}
    spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.10/32}}]}]}
  expect:
  - {from: external/friend, to: default/web, port: TCP/80, verdict: allow}
  - {from: external/stranger, to: default/web, port: TCP/80, verdict: deny}
  - {from: default/web, to: external/friend, port: TCP/80, verdict: allow}
`

// TestHostsOutsideAreReal: they have other addresses than in the scenario, answer under other names, and who is denied
// there is the one of the real address.
func TestHostsOutsideAreReal(t *testing.T) {
	for denied, passes := range map[int]bool{1: true, 0: false} {
		c := newFakeCluster(t)
		c.denied[fmt.Sprintf("external/%d 10.244.1.1", denied)] = true
		b := newBackend(Options{Image: "probe", Prefix: "run", Outside: fakeOutside{c}}, c.client, c.run)
		_, in := stages(t, guests)
		o := run.Options{Backend: b, Pause: time.Millisecond, Settle: time.Millisecond, Looks: 2}
		result, err := run.Run(t.Context(), o, []run.Input{in})
		if err != nil {
			t.Fatal(err)
		}
		if s := result.Scenarios[0]; s.Error != "" || result.Passed() != passes {
			t.Errorf("host %d is denied: passed %v, error %q; %+v", denied, result.Passed(), s.Error, s.Steps)
		}
		if asked := len(c.requests[target{pod: "external/0"}]); asked == 0 {
			t.Error("nobody asked the host outside")
		}
	}
}

func TestHostsOutsideAreLentToOneSessionAtATime(t *testing.T) {
	var o outsiders
	first, second := o.lease(2), o.lease(1)
	if !slices.Equal(first, []int{0, 1}) || !slices.Equal(second, []int{2}) {
		t.Errorf("lent %v and %v", first, second)
	}
	o.giveBack(first)
	if again := o.lease(3); !slices.Contains(again, 0) || !slices.Contains(again, 1) || slices.Contains(again, 2) {
		t.Errorf("lent %v while 2 is not back", again)
	}
}

func TestWithoutHostsOutsideTheirScenariosDoNotApply(t *testing.T) {
	for _, with := range []bool{false, true} {
		c := newFakeCluster(t)
		b := c.backend()
		if with {
			b.opts.Outside = fakeOutside{c}
		}
		stages, in := stages(t, guests)
		err := b.Applies(t.Context(), in.Scenario, stages)
		if with != (err == nil) || err != nil && !strings.Contains(err.Error(), needsOutside) {
			t.Errorf("with hosts outside %v: %v", with, err)
		}
	}
}

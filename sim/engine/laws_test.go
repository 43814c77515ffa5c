package engine_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// law is a change of a cluster and what it must not do. Laws need no expected verdicts, so they find what the model and the
// tables have both wrong.
type law struct {
	name     string
	change   func(*random.Drawing) // of the cluster that is drawn on
	opens    bool                  // it may open connections, but must not close any; else nothing changes
	newNames bool                  // the objects have other names afterwards, but stand in the same order
}

var laws = []law{
	{name: "a rule more closes nothing", change: addRule, opens: true},
	{name: "a peer more closes nothing", change: addPeer, opens: true},
	{name: "a port more closes nothing", change: addPort, opens: true},
	{name: "the order of things says nothing", change: shuffle},
	{name: "the names of things say nothing", change: rename, newNames: true},
	{name: "two rules for two peers are one rule for both", change: splitPeers},
	{name: "two rules for two ports are one rule for both", change: splitPorts},
	{name: "two policies with a rule each are one policy with both", change: splitPolicies},
	{name: "saying it twice says no more", change: sayTwice},
	{name: "a pod more changes nothing between others", change: addPod},
	{name: "a pod that has ended might as well be gone", change: removeEnded},
	{name: "a policy that selects nobody changes nothing", change: addIdlePolicy},
	{name: "isolating the isolated changes nothing", change: isolateAgain},
	{name: "rules of a direction without isolation might as well be gone", change: dropIgnored},
	{name: "defaults might as well be written down", change: writeDefaults},
	{name: "matchLabels is In with one value", change: labelsAsExpressions},
	{name: "no peers are all addresses of both families", change: peersAsBlocks},
	{name: "a block is its two halves", change: halveBlocks},
	{name: "a block is its prefix, whatever the bits beyond", change: setHostBits},
	{name: "a range is its two halves", change: halveRanges},
	{name: "listing what is there adds nothing", change: listAll},
	{name: "Services change nothing between pods", change: removeServices},
}

// TestLaws draws clusters, changes them, and holds the verdicts before and after against each other, on the model and on
// the tables.
func TestLaws(t *testing.T) {
	judges := []engine.Engine{engine.NewModel(), engine.NewTables()}
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { l.check(t, judges) })
		})
	}
}

// lawProbes are few ports that tell much.
func lawProbes() []flow.PortProto {
	return []flow.PortProto{
		{Protocol: flow.TCP, Port: 80}, {Protocol: flow.TCP, Port: 256}, {Protocol: flow.TCP, Port: 65535},
		{Protocol: flow.UDP, Port: 53}, {Protocol: flow.SCTP, Port: 80},
	}
}

func (l *law) check(t *rapid.T, judges []engine.Engine) {
	before := random.Cluster(t)
	after := deepCopy(before)
	l.change(random.Continue(t, after))
	asked := random.Queries(before, lawProbes())
	askedAfter := asked
	if l.newNames {
		askedAfter = random.Queries(after, lawProbes())
	}
	for _, e := range judges {
		want := verdicts(t, e, before, asked)
		for i, got := range verdicts(t, e, after, askedAfter) {
			if got != want[i] && (!l.opens || rank(got) <= rank(want[i])) {
				t.Fatalf("%s: engine %s said %s before and says %s after", random.Describe(asked[i]), e.Name(), want[i], got)
			}
		}
	}
}

// rank orders verdicts by how much they allow.
func rank(v flow.Verdict) int { return [...]int{flow.Deny: 0, flow.Undefined: 1, flow.Allow: 2}[v] }

func verdicts(t *rapid.T, e engine.Engine, c *model.Cluster, queries []model.Query) []flow.Verdict {
	if err := e.Load(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	list := make([]flow.Verdict, len(queries))
	for i, q := range queries {
		var err error
		if list[i], err = e.Verdict(q); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func deepCopy(c *model.Cluster) *model.Cluster {
	return &model.Cluster{
		Namespaces: copies(c.Namespaces), Nodes: copies(c.Nodes), Pods: copies(c.Pods), Services: copies(c.Services),
		EndpointSlices: copies(c.EndpointSlices), Policies: copies(c.Policies),
	}
}

func copies[T interface{ DeepCopy() T }](list []T) []T {
	var all []T
	for _, o := range list {
		all = append(all, o.DeepCopy())
	}
	return all
}

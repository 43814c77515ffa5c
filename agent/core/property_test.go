package core_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

const (
	somePods     = 3
	somePeers    = 5
	somePolicies = 3
)

// version is one state of a policy: its objects by name. None: the policy does not exist.
type version map[string]*endpoint

func peer(n int) string { return fmt.Sprintf("10.9.0.%d", n) }

// drawVersion draws a policy that is spread over a few objects at random.
func drawVersion(t *rapid.T, policy string, mark bool) version {
	chunks := make([]*endpoint, rapid.IntRange(0, 3).Draw(t, "chunks"))
	for i := range chunks {
		chunks[i] = object(policy, nil)
		chunks[i].Name = fmt.Sprintf("%s-%d", policy, i)
	}
	if len(chunks) == 0 {
		return nil
	}
	chunk := func() *endpoint { return chunks[rapid.IntRange(0, len(chunks)-1).Draw(t, "chunk")] }
	for n := 1; n <= somePods; n++ {
		if rapid.Bool().Draw(t, "pod") {
			o := chunk()
			o.Spec.PodSelectorEndpoints = append(o.Spec.PodSelectorEndpoints, pods(n)...)
		}
	}
	for n := 1; n <= somePeers; n++ {
		if rapid.Bool().Draw(t, "peer") {
			o := chunk()
			o.Spec.Ingress = append(o.Spec.Ingress, object("", nil, peer(n)).Spec.Ingress...)
		}
	}
	if mark {
		chunks = marked(chunks...)
	}
	v := version{}
	for _, o := range chunks {
		v[o.Name] = o
	}
	return v
}

// writes are the inputs that lead from one version to the next, in an order of their own.
func writes(t *rapid.T, old, new version) []core.Input {
	var list []core.Input
	for _, name := range slices.Sorted(maps.Keys(new)) {
		list = append(list, core.Changed{Object: new[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if new[name] == nil {
			list = append(list, core.Deleted{Name: core.Name{Namespace: "shop", Name: name}})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return rapid.Permutation(list).Draw(t, "order")
}

// player delivers writes to a State, one at a time.
type player struct {
	*rapid.T
	state   *core.State
	now     time.Time
	program *core.Program
	check   func(enforce.Input)
}

func newPlayer(t *rapid.T, check func(enforce.Input)) *player {
	p := &player{T: t, now: start, check: check}
	p.state = core.New(core.Config{NodeAddrs: nodeAddrs, LinkPrefixes: []string{"eni"}, Settle: time.Second})
	var host core.HostListed
	for n := 1; n <= somePods; n++ {
		host.Links = append(host.Links, veth(uint32(n), linkOf(n)))
		host.Routes = append(host.Routes, core.Route{Addr: addrOf(n), Ifindex: uint32(n)})
	}
	p.step(core.Listed{})
	p.step(host)
	return p
}

func (p *player) step(in core.Input) {
	p.now = p.now.Add(time.Millisecond)
	for _, e := range p.state.Step(p.now, in) {
		if program, ok := e.(core.Program); ok {
			if p.program != nil {
				p.Fatal("two programs at once")
			}
			p.program = &program
			p.check(program.Input)
		}
	}
}

// finish ends the program under way, if there is one.
func (p *player) finish(err error) {
	if p.program != nil {
		p.program = nil
		p.step(core.Programmed{Err: err})
	}
}

// settle lets all time pass that the State may want, and ends all programs. It returns what was programmed last.
func (p *player) settle(last *enforce.Input) {
	for range 10 {
		p.finish(nil)
		p.now = p.now.Add(time.Minute)
		p.step(core.Tick{})
	}
	if p.program != nil {
		p.Fatal("programs without end")
	}
	if last == nil {
		p.Fatal("nothing was programmed")
	}
}

// judge compares a program's tables with those of objects of which nothing is missing, on the same pods.
func judge(t *rapid.T, in enforce.Input, objects []*endpoint, what string) {
	want := in
	want.Endpoints = objects
	w, got := image(t, want), image(t, in)
	if !reflect.DeepEqual(w, got) {
		t.Fatalf("%s (-want +got):\n%s", what, cmp.Diff(w, got, cmpopts.EquateComparable(addrOf(1))))
	}
}

func image(t *rapid.T, in enforce.Input) *bpf.Image {
	built, err := enforce.Build(in, bpf.Capacity{})
	if err != nil {
		t.Fatal(err)
	}
	return built.Image
}

// TestMarkedPoliciesTakeEffectAsAWhole: whatever the order of the writes of several policies, and whatever fails and
// waits in between, each program is that of the last complete version of each policy.
func TestMarkedPoliciesTakeEffectAsAWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		complete := make([]version, somePolicies)
		var last *enforce.Input
		p := newPlayer(t, func(in enforce.Input) {
			last = &in
			judge(t, in, all(complete), "program of incomplete policies")
		})
		delivered, next := make([]version, somePolicies), make([]version, somePolicies)
		queues := make([][]core.Input, somePolicies)
		for range rapid.IntRange(1, 30).Draw(t, "events") {
			i := rapid.IntRange(0, somePolicies-1).Draw(t, "policy")
			if len(queues[i]) == 0 {
				next[i] = drawVersion(t, fmt.Sprintf("policy%d", i), true)
				queues[i] = writes(t, delivered[i], next[i])
				continue
			}
			write := queues[i][0]
			queues[i] = queues[i][1:]
			delivered[i] = after(delivered[i], write)
			if arrived(delivered[i], next[i]) {
				complete[i] = next[i]
			}
			if rapid.IntRange(0, 9).Draw(t, "relist") == 0 {
				write = core.Listed{Objects: all(delivered)}
			}
			p.step(write)
			p.disturb()
		}
		for i, queue := range queues {
			for _, write := range queue {
				delivered[i] = after(delivered[i], write)
				if arrived(delivered[i], next[i]) {
					complete[i] = next[i]
				}
				p.step(write)
			}
		}
		p.settle(last)
		judge(t, *last, all(complete), "last program")
	})
}

// arrived says whether what was delivered of a version says all that it says: an object that is the same as in the
// version before need not come again.
func arrived(delivered, next version) bool {
	return maps.EqualFunc(delivered, next, func(a, b *endpoint) bool {
		return a == b || b.Annotations[v1alpha1.SetHashAnnotation] == "" && a.Annotations[v1alpha1.SetHashAnnotation] == "" &&
			a.Annotations[v1alpha1.ChunkHashAnnotation] == b.Annotations[v1alpha1.ChunkHashAnnotation]
	})
}

// disturb lets a program end, well or not, and a moment pass.
func (p *player) disturb() {
	switch rapid.IntRange(0, 3).Draw(p.T, "disturbance") {
	case 0:
		p.finish(nil)
	case 1:
		p.finish(errBroken)
		p.now = p.now.Add(40 * time.Millisecond)
		p.step(core.Tick{})
	}
}

// TestUnmarkedPoliciesNeverLoseWhatMayComeAgain: while the objects of a policy change in any order, what both versions
// allow stays allowed, who is isolated by both stays isolated, and nothing that once was in force in between is lost; in
// the end all is as the last version says.
func TestUnmarkedPoliciesNeverLoseWhatMayComeAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var old, new version
		var last *enforce.Input
		changing := false
		p := newPlayer(t, func(in enforce.Input) {
			if changing {
				keeps(t, in, old, new)
				grows(t, last, in)
			}
			last = &in
		})
		for range rapid.IntRange(1, 4).Draw(t, "versions") {
			new = drawVersion(t, "web", false)
			changing = true
			for _, write := range writes(t, old, new) {
				p.step(write)
				p.disturb()
				p.now = p.now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "pause")) * time.Millisecond)
			}
			changing = false
			p.settle(last)
			judge(t, *last, all([]version{new}), "settled program")
			old = new
		}
	})
}

// keeps compares a program in the middle of a change with both ends of it.
func keeps(t *rapid.T, in enforce.Input, old, new version) {
	before, after := in, in
	before.Endpoints, after.Endpoints = all([]version{old}), all([]version{new})
	for n := 1; n <= somePods; n++ {
		if !isolated(t, before, n) || !isolated(t, after, n) {
			continue // a pod that becomes isolated may be so before all that it accepts is known
		}
		if !isolated(t, in, n) {
			t.Fatalf("pod %d is isolated before and after, but not in between", n)
		}
		for m := 1; m <= somePeers; m++ {
			if allows(t, before, n, peer(m)) && allows(t, after, n, peer(m)) && !allows(t, in, n, peer(m)) {
				t.Fatalf("pod %d accepts peer %d before and after, but not in between", n, m)
			}
		}
	}
}

// grows compares two programs of one change.
func grows(t *rapid.T, before *enforce.Input, in enforce.Input) {
	for n := 1; before != nil && n <= somePods; n++ {
		if !isolated(t, *before, n) {
			continue
		}
		if !isolated(t, in, n) {
			t.Fatalf("pod %d was isolated for a moment only", n)
		}
		for m := 1; m <= somePeers; m++ {
			if allows(t, *before, n, peer(m)) && !allows(t, in, n, peer(m)) {
				t.Fatalf("pod %d accepted peer %d for a moment only", n, m)
			}
		}
	}
}

// after is what is there after a write.
func after(v version, in core.Input) version {
	out := maps.Clone(v)
	if out == nil {
		out = version{}
	}
	switch in := in.(type) {
	case core.Changed:
		out[in.Object.Name] = in.Object
	case core.Deleted:
		delete(out, in.Name.Name)
	}
	return out
}

// all are the objects of several policies.
func all(versions []version) []*endpoint {
	var list []*endpoint
	for _, v := range versions {
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, v[name])
		}
	}
	return list
}

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// result is what a case cost, and what of it did not fit.
type result struct {
	scaleCase
	compile, sync time.Duration
	writes        int
	moreCompile   time.Duration // with one peer more
	moreSync      time.Duration
	moreWrites    int
	process       float64            // bytes, when all of it is loaded
	kernel        map[string]float64 // bytes by map
	usage         []bpf.Usage
	pods, closed  int
	conditions    []enforce.Condition
	packets       int
}

func measure(c scaleCase) (_ *result, err error) {
	kernel, err := bpf.NewHarness(c.capacity, bpf.Standard)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	r := &result{scaleCase: c}
	in := c.make(0)
	in.Memory = &enforce.Memory{}
	start := time.Now()
	built, err := c.build(in)
	if err != nil {
		return nil, err
	}
	r.compile = time.Since(start)
	if r.sync, r.writes, err = load(kernel, built.Image); err != nil {
		return nil, err
	}
	r.conditions, r.pods, r.usage = built.Conditions, len(in.Pods), kernel.Usage()
	if r.kernel, err = memory(kernel); err != nil {
		return nil, err
	}
	if r.process, err = resident(); err != nil {
		return nil, err
	}
	if err := r.send(kernel, in, built); err != nil {
		return nil, err
	}
	return r, r.addPeer(kernel, in)
}

// build compiles as an agent does, which remembers the objects that it has read.
func (c *scaleCase) build(in enforce.Input) (*enforce.Result, error) {
	room := c.capacity
	if room.Hosts == 0 {
		room.Hosts = bpf.MostPeers
	}
	built, err := enforce.Build(in, room)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return built, nil
}

// load makes room for an image, and writes it.
func load(kernel *bpf.Harness, img *bpf.Image) (time.Duration, int, error) {
	start := time.Now()
	if err := kernel.GrowPeers(len(img.Hosts), new(sync.Mutex), func() error { return nil }); err != nil {
		return 0, 0, err
	}
	stats, err := kernel.Sync(img)
	if err != nil {
		return 0, 0, fmt.Errorf("write tables: %w", err)
	}
	return time.Since(start), stats.TableWrites + stats.PodWrites, nil
}

// addPeer measures what one peer more costs, the second time: only then both banks hold what was there before.
func (r *result) addPeer(kernel *bpf.Harness, before enforce.Input) error {
	for more := 1; more <= 2; more++ {
		in := r.make(more)
		in.Memory = before.Memory
		keep(before.Endpoints, in.Endpoints)
		before = in
		start := time.Now()
		built, err := r.build(in)
		if err != nil {
			return fmt.Errorf("with %d peers more: %w", more, err)
		}
		r.moreCompile = time.Since(start)
		if r.moreSync, r.moreWrites, err = load(kernel, built.Image); err != nil {
			return err
		}
	}
	return nil
}

// keep puts objects that were there before in place of those that say the same, as an agent has them.
func keep(before, now []*v1alpha1.PolicyEndpoint) {
	have := map[string]*v1alpha1.PolicyEndpoint{}
	for _, pe := range before {
		have[pe.Name] = pe
	}
	for i, pe := range now {
		if old := have[pe.Name]; old != nil && equality.Semantic.DeepEqual(old, pe) {
			now[i] = old
		}
	}
}

// send sends the samples through the kernel and its twin. What a closed pod is sent must be dropped, and it must be
// a pod that a condition names.
func (r *result) send(kernel *bpf.Harness, in enforce.Input, built *enforce.Result) error {
	twin := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
	twin.Load(built.Image)
	named := closedPods(built.Conditions)
	r.closed = len(named)
	for _, s := range r.samples() {
		pod := in.Pods[s.pod]
		f := s.frame(pod)
		got, err := kernel.Run(s.dir, pod.Ifindex, false, f)
		if err != nil {
			return err
		}
		if t := twin.Run(s.dir, pod.Ifindex, false, f); t != got {
			return fmt.Errorf("%+v: kernel says %s %+v, twin %s %+v", s, got.Reason, got, t.Reason, t)
		}
		// An overflow closes a pod in the direction that is too large; what the other one allows stays.
		allowed := got.Reason.Verdict() == flow.Allow
		shut := named[pod.Namespace+"/"+pod.Name]
		if allowed && !s.allowed || !allowed && s.allowed && !shut {
			return fmt.Errorf("%+v of %s: %s, want it to pass: %t (closed: %t)", s, pod.Name, got.Reason, s.allowed, shut)
		}
		r.packets++
	}
	return nil
}

func (s sample) frame(pod enforce.Pod) []byte {
	own := pod.Addrs[0]
	if s.peer.Is6() {
		own = pod.Addrs[1]
	}
	t := flow.Tuple{Src: s.peer, Dst: own, Protocol: flow.TCP, SrcPort: 40000, DstPort: s.port}
	if s.dir == flow.Egress {
		t.Src, t.Dst = t.Dst, t.Src
	}
	return frame.New(t, frame.First)
}

func closedPods(conditions []enforce.Condition) map[string]bool {
	named := map[string]bool{}
	for _, name := range enforce.ObjectsOf(conditions) {
		named[name] = true
	}
	return named
}

// memory is what each map takes in the kernel.
func memory(kernel *bpf.Harness) (map[string]float64, error) {
	list, err := kernel.Memory()
	sizes := map[string]float64{}
	for _, m := range list {
		sizes[m.Table] = float64(m.Bytes)
	}
	return sizes, err
}

// resident is the memory of this process.
func resident() (float64, error) {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages * os.Getpagesize()), err
}

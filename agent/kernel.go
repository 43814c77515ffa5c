package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/flowlog"
	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/enforce"
)

// kernel runs the effects that change the kernel. Those on tables and those on interfaces are run side by side, because
// attaching waits for running programs; each kind is run one at a time, in order.
type kernel struct {
	*datapath
	memory   enforce.Memory  // of the objects that the last run read
	enforced *flowlog.Tables // for the flow log, nil where there is none
	metrics  *metrics.Metrics
	log      *slog.Logger
}

// restored reads what an earlier agent left.
func (k *kernel) restored() (core.Restored, error) {
	in := core.Restored{Pods: k.node.Pods(), Names: k.node.Names()}
	if k.node.Epoch() == 0 {
		in.Pods, in.Former = nil, in.Pods
	}
	pinned, err := k.hooks.Attached()
	if err != nil {
		return in, err
	}
	for _, ifindex := range pinned {
		in.Pinned = append(in.Pinned, uint32(ifindex))
	}
	all, err := k.hooks.LookAll()
	if err != nil {
		return in, err
	}
	for _, ifindex := range slices.Sorted(maps.Keys(all)) {
		switch all[ifindex].State {
		case hook.Half:
			in.Half = append(in.Half, uint32(ifindex))
		case hook.Older, hook.Current:
			in.Attached = append(in.Attached, uint32(ifindex))
		}
	}
	in.Closed, err = hostnet.Closed()
	return in, err
}

// moveFlows gives the tables of flows the size that they are to have now, while the interfaces that have programs are filtered on.
// Where that does not end, flows are known all the same.
func (k *kernel) moveFlows() {
	begin, before := time.Now(), k.node.Flows()
	moved, err := k.node.MoveFlows(k.hooks.Replace)
	switch {
	case err != nil:
		k.metrics.Failed("move-flows")
		k.log.Error("moving flows to tables of another size did not end, and goes on at the next start", "flows", before, "error", err)
	case moved:
		k.log.Info("flows were moved to tables of another size", "before", before, "now", k.node.Flows(), "took", time.Since(begin))
	}
}

// tables runs an effect on the tables.
func (k *kernel) tables(e core.Effect) core.Input {
	switch e := e.(type) {
	case core.Program:
		return k.program(e)
	case core.Introduce:
		return core.Introduced{Ifindex: e.Pod.Ifindex, Instance: e.Pod.Instance, Err: k.failed("introduce", k.node.Introduce(e.Pod))}
	default:
		return core.Pruned{Err: k.failed("prune", k.node.RemoveStale())}
	}
}

// interfaces runs an effect on interfaces.
func (k *kernel) interfaces(e core.Effect) core.Input {
	k.programs.Lock()
	defer k.programs.Unlock()
	switch e := e.(type) {
	case core.Attach:
		return k.attach(e)
	case core.Inspect:
		return k.inspect(e)
	case core.SetLink:
		set := hostnet.Close
		if e.Up {
			set = hostnet.Open
		}
		return core.LinkSet{Ifindex: e.Ifindex, Up: e.Up, Err: k.failed("set-link", set(int(e.Ifindex)))}
	default:
		return k.detach(e.(core.Detach).Ifindex)
	}
}

// attach puts the programs on an interface. One that is gone may have been seen by somebody who told it late, after the
// kernel had told that it is gone.
func (k *kernel) attach(e core.Attach) core.Attached {
	done := core.Attached{Ifindex: e.Ifindex, Instance: e.Instance}
	err := k.hooks.Attach(int(e.Ifindex))
	if err != nil {
		if lives, unknown := hostnet.Exists(e.Ifindex); unknown == nil && !lives {
			done.Gone = true
			return done
		}
	}
	done.Err = k.failed("attach", err)
	return done
}

// detach removes what is left of an interface that is gone. One that is there keeps its filter, by whatever mistake it
// is taken to be gone.
func (k *kernel) detach(ifindex uint32) core.Detached {
	lives, err := hostnet.Exists(ifindex)
	if err == nil && !lives {
		err = k.hooks.Detach(int(ifindex))
	}
	return core.Detached{Ifindex: ifindex, Lives: lives, Err: k.failed("detach", err)}
}

func (k *kernel) inspectEvery() time.Duration {
	if k.hooks.Told() {
		return inspectTold
	}
	return inspectUntold
}

// inspect looks at the programs on interfaces.
func (k *kernel) inspect(e core.Inspect) core.Input {
	list := make([]int, len(e.Ifindexes))
	for i, ifindex := range e.Ifindexes {
		list[i] = int(ifindex)
	}
	seen, err := k.hooks.Look(list...)
	in := core.Inspected{Err: k.failed("inspect", err), Others: map[uint32]core.Others{}}
	for i, s := range seen {
		in.Others[e.Ifindexes[i]] = core.Others{Before: s.Before, Behind: s.Behind}
		switch s.State {
		case hook.Bare:
			in.Bare = append(in.Bare, e.Ifindexes[i])
		case hook.Half:
			in.Half = append(in.Half, e.Ifindexes[i])
		case hook.Older:
			in.Older = append(in.Older, e.Ifindexes[i])
		}
	}
	return in
}

// program compiles and writes.
func (k *kernel) program(e core.Program) core.Input {
	start, entries := time.Now(), k.node.Capacity().Hosts
	in := e.Input
	in.Memory = &k.memory
	now, err := k.enforce(in)
	if now.Result == nil {
		return core.Programmed{Err: k.failed("compile", err)}
	}
	again := k.failed("grow", now.grow)
	if again == nil && k.node.Capacity().Hosts > entries {
		k.log.Info("the table of single addresses has grown", "before", entries, "now", k.node.Capacity().Hosts)
	}
	if err != nil {
		return core.Programmed{Err: k.failed("write", err), Conditions: now.Conditions}
	}
	if k.enforced != nil {
		k.enforced.Enforced(k.node.Epoch(), e.Input)
	}
	latency := time.Duration(0)
	if now.Switched && !e.Since.IsZero() {
		latency = time.Since(e.Since)
	}
	k.metrics.Overflow(overflowing(now.Result))
	k.metrics.Enforced(time.Since(start), now.Stats, k.node.Usage(), latency)
	k.log.Debug("in force", "took", time.Since(start), "since", latency, "tableWrites", now.TableWrites,
		"podWrites", now.PodWrites, "switched", now.Switched, "epoch", k.node.Epoch())
	if err := k.failed("note-names", k.node.NoteNames(e.Names)); err != nil {
		again = errors.Join(again, fmt.Errorf("after a restart, pods that may route are not known by their names: %w", err))
	}
	return core.Programmed{Conditions: now.Conditions, Again: again}
}

// overflowing counts the pods that Build closed so that the others fit: its conditions follow those of the Program.
func overflowing(r *enforce.Result) int {
	return len(enforce.ObjectsOf(r.Conditions[len(r.Program.Conditions):]))
}

// failed counts and logs an error of a step, and passes it on.
func (k *kernel) failed(step string, err error) error {
	if err != nil {
		k.metrics.Failed(step)
		k.log.Warn("failed, and will be tried again", "step", step, "error", err)
	}
	return err
}

// close lets go of the kernel's objects. What is enforced stays enforced.
func (k *kernel) close(err error) error { return errors.Join(err, k.node.Close()) }

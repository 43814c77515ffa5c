package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// TestLoadsWithTwoCapabilities: CAP_BPF and CAP_NET_ADMIN are enough; CAP_PERFMON is added only where the kernel
// refuses without it what no compiler can do without. Without CAP_PERFMON the verifier also searches the paths that a
// processor may take speculatively, and allows less pointer arithmetic.
func TestLoadsWithTwoCapabilities(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can take capabilities off")
	}
	caps, names := []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, "CAP_BPF CAP_NET_ADMIN"
	if err := withCapabilities(caps, loadSimplest); err != nil {
		t.Logf("CAP_PERFMON is needed: %v", err)
		caps, names = append(caps, unix.CAP_PERFMON), names+" CAP_PERFMON"
	}
	t.Attr("capabilities", names)
	t.Attr("memlock", liftMemlock(t))
	if err := withCapabilities(caps, func() error { return loadCounted(t) }); err != nil {
		t.Fatalf("with %s: %+v", names, err)
	}
	if err := withCapabilities(caps, moveFlows); err != nil {
		t.Fatalf("with %s: %+v", names, err)
	}
}

// liftMemlock lifts the limit of locked memory, which the two capabilities do not allow, and says whether that is
// needed.
func liftMemlock(t *testing.T) string {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur == 0 {
		return "not needed"
	}
	return "raised"
}

// withCapabilities runs f on a thread that has these capabilities and no others.
func withCapabilities(caps []int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its capabilities
		if err := setCapabilities(caps); err != nil {
			done <- fmt.Errorf("take off capabilities: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

func setCapabilities(caps []int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // capabilities 0–31 and 32–63
	for _, c := range caps {
		data[c/32].Permitted |= 1 << (c % 32)
	}
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	return unix.Capset(&header, &data[0])
}

// loadSimplest loads, one by one, the least programs of which every packet filter is made.
func loadSimplest() error {
	for _, simple := range []struct {
		does string
		body asm.Instructions
	}{
		{"a packet's byte is read", asm.Instructions{ // refused by 5.10
			asm.LoadMem(asm.R2, asm.R1, 76, asm.Word), // __sk_buff.data
			asm.LoadMem(asm.R3, asm.R1, 80, asm.Word), // __sk_buff.data_end
			asm.Mov.Reg(asm.R4, asm.R2),
			asm.Add.Imm(asm.R4, 1),
			asm.Mov.Imm(asm.R0, 0),
			asm.JGT.Reg(asm.R4, asm.R3, "exit"),
			asm.LoadMem(asm.R0, asm.R2, 0, asm.Byte),
		}},
		{"two numbers are stored side by side", asm.Instructions{ // refused by 5.10 and 6.1
			asm.Mov.Imm(asm.R0, 1),
			asm.StoreMem(asm.RFP, -8, asm.R0, asm.Word),
			asm.StoreMem(asm.RFP, -4, asm.R0, asm.Word),
		}},
	} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: append(simple.body, asm.Return().WithSymbol("exit")),
		})
		if err != nil {
			return fmt.Errorf("%s: %w", simple.does, err)
		}
		if err := p.Close(); err != nil {
			return err
		}
	}
	return nil
}

// loadCounted loads the programs as Open does, and reports how many instructions the verifier looked at.
func loadCounted(t *testing.T) error {
	n, err := Open(Options{Capacity: Capacity{Hosts: 16, Nets: 16, Flows: 1024}})
	if err != nil {
		return withLog(err)
	}
	defer func() { _ = n.Close() }()
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	if err := n.Configure(spec); err != nil {
		return err
	}
	var progs kernelPrograms
	opts := ebpf.CollectionOptions{MapReplacements: n.maps, Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}}
	if err := spec.LoadAndAssign(&progs, &opts); err != nil {
		return withLog(err)
	}
	defer func() { _ = progs.Close() }()
	for name, p := range map[string]*ebpf.Program{
		kernelProgPodEgress: progs.PodEgress, kernelProgPodIngress: progs.PodIngress,
	} {
		count, err := verified(p.VerifierLog)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.Attr("verified-instructions-"+name, strconv.Itoa(count))
	}
	return nil
}

// moveFlows loads the programs that know two tables of flows, and runs the one that moves them.
func moveFlows() error {
	n, err := Open(Options{Capacity: Capacity{Hosts: 16, Nets: 16, Flows: 1024}})
	if err != nil {
		return withLog(err)
	}
	n.opts.Capacity.Flows *= 2
	moved, err := n.MoveFlows(func() error { return nil })
	if err == nil && !moved {
		err = errors.New("flows were not moved")
	}
	return errors.Join(withLog(err), n.Close())
}

// withLog puts the end of the verifier's log into the error, where there is one.
func withLog(err error) error {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w\n%s", err, fmt.Sprintf("%-120v", refused))
}

// verified reads out of a verifier's statistics how many instructions it looked at. (Program.Info says it too, since
// 5.16.)
func verified(log string) (int, error) {
	var count int
	_, rest, found := strings.Cut(log, "processed ")
	if _, err := fmt.Sscanf(rest, "%d insns", &count); !found || err != nil {
		return 0, fmt.Errorf("no count in the verifier's log %q", log)
	}
	return count, nil
}

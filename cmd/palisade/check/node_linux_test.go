package check

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can take capabilities off and attach programs")
	}
}

// inNamespace moves the test to an empty network namespace.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// TestThisMachine reads the machine that the tests run on, whose kernel the datapath's tests need too.
func TestThisMachine(t *testing.T) {
	needRoot(t)
	inNamespace(t)
	n, err := ReadNode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n.Denied != nil || n.Clsact != nil || n.Kernel == "" || len(n.Programs) != 0 || len(n.Rules) != 0 {
		t.Errorf("%+v", n)
	}
	if last := n.Loads[len(n.Loads)-1]; last.Err != nil {
		t.Errorf("programs cannot be loaded: %v", last.Err)
	}
	r, err := n.Report(Before)
	if err != nil || r.Checks[1].ID != "load" || r.Checks[1].Status == Failed {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestLoadNeedsItsCapabilities: were rights not really taken off, the check could not fail.
func TestLoadNeedsItsCapabilities(t *testing.T) {
	needRoot(t)
	if err := withCapabilities([]int{unix.CAP_NET_ADMIN}, load); err == nil {
		t.Error("the programs load without CAP_BPF")
	}
	if err := withCapabilities(nil, mayLook); err == nil || !strings.Contains(err.Error(), "CAP_BPF is missing") {
		t.Errorf("without any capability: %v", err)
	}
}

// TestFindsProgramsAndRulesOfOthers plays another engine in a namespace of its own.
func TestFindsProgramsAndRulesOfOthers(t *testing.T) {
	needRoot(t)
	inNamespace(t)
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lxc1"}, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	veth, err := netlink.LinkByName("lxc1")
	if err != nil {
		t.Fatal(err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "cil_from_contai", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	var want []Program
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: veth.Attrs().Index, Program: program, Attach: ebpf.AttachTCXIngress,
	})
	if err == nil { // kernels before 6.6 have none
		defer func() { _ = l.Close() }()
		want = append(want, Program{"lxc1", "tcx ingress", "cil_from_contai"})
	}
	if err := tryClsact(program); err != nil {
		t.Fatal(err)
	}
	want = append(want, Program{"lo", "clsact egress", "cil_from_contai"})
	got, err := readPrograms()
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v, want %v", got, err, want)
	}
	for _, p := range want {
		if !slices.Contains(got, p) {
			t.Errorf("%s is not among %v", p, got)
		}
	}
	addChain(t, "filter", "cali-FORWARD")
	rules, err := readRules()
	if err != nil || !slices.Equal(rules, []string{"filter", "cali-FORWARD"}) {
		t.Errorf("rules %q, %v", rules, err)
	}
}

func addChain(t *testing.T, table, chain string) {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tab := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: table})
	conn.AddChain(&nftables.Chain{Table: tab, Name: chain})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

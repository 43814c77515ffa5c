package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/bpf"
)

const (
	// bpffs is where systemd mounts the BPF file system.
	bpffs      = "/sys/fs/bpf"
	pins       = bpffs + "/palisade"
	socketPath = "/run/palisade/agent.sock"
	// chainedConfig is the network configuration that palisade-install writes.
	chainedConfig = "/etc/cni/net.d/00-palisade.conflist"
)

// socketTimeout bounds the question to the agent.
const socketTimeout = 3 * time.Second

// ReadNode looks at this machine, and tries out what the agent will do.
func ReadNode(ctx context.Context) (*Node, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, err
	}
	n := &Node{Name: name, Kernel: unix.ByteSliceToString(uts.Release[:]), BPFFS: mountedBPF()}
	if n.Denied = mayLook(); n.Denied != nil {
		return n, nil
	}
	n.JIT = !contains("/proc/sys/net/core/bpf_jit_enable", "0")
	n.SELinux = contains("/sys/fs/selinux/enforce", "1")
	n.Loads = tryLoads()
	n.TCX, n.Clsact = tryHooks()
	if n.Programs, err = readPrograms(); err != nil {
		return nil, err
	}
	if n.Rules, err = readRules(); err != nil {
		return nil, err
	}
	n.Legacy = !contains("/proc/net/ip_tables_names", "") || !contains("/proc/net/ip6_tables_names", "")
	n.readAgent(ctx)
	return n, nil
}

// contains says whether a file of the kernel consists of text. One that is not there is empty.
func contains(path, text string) bool {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data)) == text
}

func mountedBPF() error {
	var s unix.Statfs_t
	if err := unix.Statfs(bpffs, &s); err != nil {
		return fmt.Errorf("%s: %w", bpffs, err)
	}
	if s.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("no BPF file system is mounted at %s", bpffs)
	}
	return nil
}

// mayLook says which capability is lacking: the first two for what the agent does, the third for a network namespace to
// try it in, and to see the programs of others.
func mayLook() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // capabilities 0–31 and 32–63
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for _, c := range []struct {
		number int
		name   string
	}{{unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}} {
		if data[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			return fmt.Errorf("%s is missing", c.name)
		}
	}
	return nil
}

// tryLoads loads the programs with what the chart gives the agent, and then with more, until the kernel takes them.
func tryLoads() []Load {
	var loads []Load
	names, numbers := []string{"BPF", "NET_ADMIN"}, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}
	for _, more := range []struct {
		name   string
		number int
	}{{}, {"PERFMON", unix.CAP_PERFMON}, {"SYS_RESOURCE", unix.CAP_SYS_RESOURCE}} {
		if more.name != "" {
			names, numbers = append(names, more.name), append(numbers, more.number)
		}
		err := withCapabilities(numbers, load)
		loads = append(loads, Load{append([]string{}, names...), err})
		if err == nil {
			break
		}
	}
	return loads
}

// load loads the programs and their tables, which go with the process.
func load() error {
	node, err := bpf.Open(bpf.Options{})
	if err != nil {
		return err
	}
	return node.Close()
}

// withCapabilities runs f on a thread that has these capabilities and no others, as far as the process has them.
func withCapabilities(capabilities []int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with what it lacks
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		for _, c := range capabilities {
			data[c/32].Permitted |= 1 << (c % 32)
			data[c/32].Effective = data[c/32].Permitted
		}
		if err := unix.Capset(&header, &data[0]); err != nil {
			done <- fmt.Errorf("take off capabilities: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// readAgent looks for an agent and for the CNI plugin.
func (n *Node) readAgent(ctx context.Context) {
	_, err := os.Stat(pins)
	n.Installed = !errors.Is(err, fs.ErrNotExist)
	_, err = os.Stat(chainedConfig)
	n.Chained = err == nil
	ctx, cancel := context.WithTimeout(ctx, socketTimeout)
	defer cancel()
	_, n.Agent = socket.Call(ctx, socketPath, socket.Request{Command: socket.Status})
}

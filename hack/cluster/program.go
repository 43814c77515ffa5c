package cluster

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is a program of the caller's that belongs to the cluster, such as a controller or the agent of a node.
type Program struct {
	Name string // of the process; unique among those of the cluster that run
	Path string // absolute
	Args []string
	// NetNS is the path of the network namespace to run in, as for Link; default: that of this process.
	NetNS string
	// Files are its descriptors from 3 on.
	Files []*os.File
	// Capabilities are all that it can have, by number (capabilities(7)); nil: those of this process.
	Capabilities []int
}

// Process is a running Program.
type Process struct {
	cluster *Cluster
	p       *process
}

// Run starts a program, which dies with this process and no later than the cluster. What it writes goes to
// Dir()/NAME.log.
func (c *Cluster) Run(program Program) (*Process, error) {
	p, err := c.run(processSpec{
		name: program.Name, path: program.Path, args: program.Args, netns: program.NetNS,
		files: program.Files, capabilities: program.Capabilities,
	})
	if err != nil {
		return nil, err
	}
	return &Process{c, p}, nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.p.done }

// Signal sends a signal, and an error if the process has ended.
func (p *Process) Signal(s syscall.Signal) error { return p.p.cmd.Process.Signal(s) }

// Kill ends the process at once and returns when it is gone.
func (p *Process) Kill() {
	p.cluster.mu.Lock()
	if p.cluster.processes[p.p.name] == p.p {
		delete(p.cluster.processes, p.p.name)
	}
	p.cluster.mu.Unlock()
	p.p.kill()
}

// Failure is an error that says what became of the process and quotes the end of its log.
func (p *Process) Failure(what string) error { return p.p.failure(what) }

// limitCapabilities takes from what programs that this thread starts can have all capabilities but some.
func limitCapabilities(keep []int) error {
	if keep == nil {
		return nil
	}
	kept := map[int]bool{}
	for _, c := range keep {
		kept[c] = true
	}
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if kept[c] {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const (
	// pollInterval is how often a starting process is asked whether it is ready.
	pollInterval = 20 * time.Millisecond
	// tailBytes and tailLines bound what an error quotes of a log.
	tailBytes, tailLines = 16 << 10, 15
)

// processSpec says what to run and how.
type processSpec struct {
	name  string
	path  string // absolute; its last element is argv[0], by which an all-in-one binary chooses its program
	args  []string
	log   string     // appended to
	vital bool       // the cluster is of no use without it
	netns string     // path of the network namespace to run in; "" for that of this process
	files []*os.File // descriptors from 3 on
	// capabilities are all that it can have; nil: those of this process
	capabilities []int
}

// process is a child that dies when this process dies.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has been waited for
	err  error         // how it ended; valid once done is closed
}

// startProcess returns when the child runs. The kernel kills the child when the thread that forked it ends (prctl(2),
// PR_SET_PDEATHSIG), so the thread is kept for as long as the child lives.
func startProcess(s processSpec) (*process, error) {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	defer func() { _ = log.Close() }()
	p := &process{name: s.name, log: s.log, cmd: exec.Command(s.path, s.args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles, p.cmd.SysProcAttr = s.files, childAttr()
	started := make(chan error, 1)
	onThreadIn(s.netns, func(err error) {
		if err == nil {
			err = limitCapabilities(s.capabilities)
		}
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	})
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	return p, nil
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once and returns when it is gone. Nothing here has anything to save.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it is gone already
	<-p.done
}

// failure is an error that says what became of the process and quotes the end of its log.
func (p *process) failure(what string) error {
	return fmt.Errorf("%s %s; the end of %s:\n%s", p.name, what, p.log, tail(p.log))
}

// tail returns the last lines of a file, or why they cannot be read.
func tail(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return []byte(err.Error())
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, 2)
	if err != nil {
		return []byte(err.Error())
	}
	buf := make([]byte, min(size, tailBytes))
	n, _ := f.ReadAt(buf, size-int64(len(buf))) // what could be read is all there is to show
	lines := bytes.Split(bytes.TrimSpace(buf[:n]), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n"))
}

// await calls ready until it succeeds. It fails when ctx is done or a process that it depends on ends, with the end
// of the log.
func (c *Cluster) await(ctx context.Context, p *process, ready func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-c.life.Done():
			return context.Cause(c.life)
		case <-p.done:
			return p.failure("ended")
		case <-ctx.Done():
			return p.failure(fmt.Sprintf("not ready: %v (%v)", ctx.Err(), err))
		}
	}
}

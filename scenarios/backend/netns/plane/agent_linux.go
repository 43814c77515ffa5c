package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// Node is a node for an agent to work on.
type Node struct {
	Name  string
	Addrs []netip.Addr
	NS    *ns.NS
	// Pins is the root of a BPF file system, and Dir a directory below it for the agent to pin in.
	Pins *os.File
	Dir  string
}

// Agent is the agent of a node. It can be restarted.
type Agent struct {
	plane   *Plane
	node    Node
	name    string
	socket  string
	process *cluster.Process
	link    *cluster.Link
	client  *http.Client
}

// agentPage is where an agent serves HTTP, inside its node.
const agentPage = "http://127.0.0.1:9471"

// capabilities are those an agent needs: see cmd/palisade-agent.
var capabilities = []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}

// NewAgent prepares the agent of a node, for Start.
func (p *Plane) NewAgent(n Node) (*Agent, error) {
	p.started++
	a := &Agent{plane: p, node: n, name: fmt.Sprintf("%s-%d", agentProgram, p.started)}
	a.socket = fmt.Sprintf("%s/%d.sock", p.cluster.Dir(), p.started)
	var err error
	if a.link, err = p.cluster.Link(fmt.Sprintf("/proc/self/fd/%d", n.NS.FD())); err != nil {
		return nil, err
	}
	a.client = &http.Client{Transport: &http.Transport{DialContext: a.dial, MaxIdleConnsPerHost: 1}}
	return a, nil
}

// dial connects inside the node.
func (a *Agent) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = a.node.NS.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Start starts the process, with further flags.
func (a *Agent) Start(args ...string) error {
	return a.StartProgram(a.plane.program(agentProgram), args...)
}

// StartProgram starts another build of the agent.
func (a *Agent) StartProgram(path string, args ...string) error {
	kubeconfig, err := a.plane.kubeconfig(agentProgram)
	if err != nil {
		return err
	}
	var addrs []string
	for _, addr := range a.node.Addrs {
		addrs = append(addrs, addr.String())
	}
	flags := []string{
		"-kubeconfig", kubeconfig, "-node-ips", strings.Join(addrs, ","), "-pins", "/proc/self/fd/3/" + a.node.Dir,
		"-socket", a.socket, "-start-timeout", podStart.String(),
	}
	a.process, err = a.plane.cluster.Run(cluster.Program{
		Name: a.name, Path: path, Args: append(append(flags, a.plane.opts.AgentArgs...), args...),
		NetNS: fmt.Sprintf("/proc/self/fd/%d", a.node.NS.FD()), Files: []*os.File{a.node.Pins}, Capabilities: capabilities,
	})
	return err
}

// Kill ends the process, as a crash would. What it enforces stays enforced.
func (a *Agent) Kill() {
	if a.process != nil {
		a.process.Kill()
	}
}

// Link is the agent's way to the API server.
func (a *Agent) Link() *cluster.Link { return a.link }

// Close ends the agent for good, before its node goes.
func (a *Agent) Close() {
	a.Kill()
	a.client.CloseIdleConnections()
	a.link.Close()
}

// podStart bounds how long a pod waits for an agent that has perhaps just been started, on a machine that may be busy.
const podStart = time.Minute

// Add lets a pod start, as palisade-cni does: when it returns, the pod's interface is filtered.
func (a *Agent) Add(ctx context.Context, r socket.Request) error {
	r.Command = socket.Add
	ctx, cancel := context.WithTimeout(ctx, podStart)
	defer cancel()
	return a.poll(ctx, func() error {
		_, err := socket.Call(ctx, a.socket, r)
		return err
	})
}

// Delete tells that a pod ends. Its interface goes afterwards.
func (a *Agent) Delete(ctx context.Context, r socket.Request) error {
	r.Command = socket.Del
	_, err := socket.Call(ctx, a.socket, r)
	return err
}

// InForce waits until the agent says that a version of the PolicyEndpoints, or a later one, is in force.
func (a *Agent) InForce(ctx context.Context, version uint64) error {
	last := ""
	err := a.poll(ctx, func() error {
		text, err := a.Get(ctx, "/in-force")
		if err != nil {
			return err
		}
		last = strings.TrimSpace(text)
		if now, err := strconv.ParseUint(last, 10, 64); err != nil || now < version {
			return fmt.Errorf("version %q is in force, not %d yet", last, version)
		}
		return nil
	})
	return err
}

// Get fetches a page of the agent.
func (a *Agent) Get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, agentPage+path, nil)
	if err != nil {
		return "", err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// pollInterval is how often an agent is asked.
const pollInterval = 2 * time.Millisecond

// poll calls f until it succeeds, ctx is done or the agent has ended.
func (a *Agent) poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := f()
		var refused *socket.Refused
		if err == nil || errors.As(err, &refused) {
			return err
		}
		select {
		case <-ticker.C:
		case <-a.process.Done():
			return a.process.Failure("ended")
		case <-ctx.Done():
			return fmt.Errorf("%s on %s: %w", agentProgram, a.node.Name, errors.Join(context.Cause(ctx), err))
		}
	}
}

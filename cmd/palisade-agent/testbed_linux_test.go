package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimek8s "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

const (
	namespace = "shop"
	// patience is how long the tests wait for what must happen soon, on a machine busy with other tests.
	patience = 30 * time.Second
)

var (
	nodeIP   = netip.MustParseAddr("10.250.0.1")
	clientIP = netip.MustParseAddr("10.1.0.1")
	serverIP = netip.MustParseAddr("10.1.0.2")
)

// account is the identity under which the shipped manifests run an agent.
func account() (user string, groups []string) {
	return cluster.ServiceAccount(clustertest.Home, "palisade-agent")
}

// testbed is a cluster with one node, on which the pods client and server run, and an agent as a process of its own.
type testbed struct {
	*testing.T
	cluster   *cluster.Cluster // nil where fake is used instead
	fake      *fakeAPI
	endpoints dynamic.NamespaceableResourceInterface
	node      *fabric.Node
	pods      map[string]*fabric.Pod
	prober    *prober.Prober
	pins      *os.File
	dir       string
	agent     *process
}

// process is a running agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  *logBuffer
	out  *logBuffer
}

// logBuffer is written by a process and read by the test.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// emptyTestbed is one without an API server.
func emptyTestbed(t *testing.T) *testbed {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces and eBPF")
	}
	return &testbed{T: t, dir: t.TempDir(), pods: map[string]*fabric.Pod{}, prober: prober.New()}
}

// newNode is a testbed for what happens between an agent and the kernel.
func newNode(t *testing.T) *testbed {
	b := emptyTestbed(t)
	b.wire()
	b.fake = b.serveFakeAPI()
	return b
}

func newTestbed(t *testing.T) *testbed {
	b := emptyTestbed(t)
	b.cluster = clustertest.Start(t, cluster.Options{Manifests: clustertest.Shipped(t, "agent")})
	client, err := dynamic.NewForConfig(b.cluster.AdminConfig())
	b.must(err)
	b.endpoints = client.Resource(v1alpha1.GroupVersionResource())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	_, err = b.cluster.Client().CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{})
	b.must(err)
	b.wire()
	return b
}

func (b *testbed) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// wire makes the node, its pods and the file system for its pins.
func (b *testbed) wire() {
	f, err := fabric.New()
	b.must(err)
	b.closeLater(f.Close)
	b.node, err = f.AddNode("one", []netip.Addr{nodeIP})
	b.must(err)
	b.closeLater(b.node.Remove)
	b.Cleanup(b.prober.Close)
	if b.cluster != nil {
		_, err = b.cluster.Link(fmt.Sprintf("/proc/self/fd/%d", b.node.NS().FD()))
		b.must(err)
	}
	fs, err := pinfs.New()
	b.must(err)
	b.closeLater(fs.Close)
	b.pins, err = os.Open(fs.Path())
	b.must(err)
	b.closeLater(b.pins.Close)
	for name, addr := range map[string]netip.Addr{"client": clientIP, "server": serverIP} {
		b.addPod(name, addr)
		b.must(b.pods[name].Up())
	}
}

func (b *testbed) closeLater(f func() error) {
	b.Cleanup(func() {
		if err := f(); err != nil {
			b.Error(err)
		}
	})
}

func (b *testbed) addPod(name string, addr netip.Addr) {
	b.Helper()
	p, err := b.node.AddPod(fabric.LinkName(namespace, name), []netip.Addr{addr})
	b.must(err)
	b.pods[name] = p
	b.prober.Add(name, p.NS(), []netip.Addr{addr})
	b.Cleanup(func() {
		if b.pods[name] == p {
			b.removePod(name)
		}
	})
}

// start starts an agent in the node's namespace under the shipped role, as root with the two capabilities it needs.
func (b *testbed) start(args ...string) {
	b.Helper()
	kubeconfig := b.kubeconfig()
	p := &process{done: make(chan struct{}), log: &logBuffer{}, out: &logBuffer{}}
	self, err := os.Executable()
	b.must(err)
	p.cmd = exec.Command(self, append([]string{
		"-kubeconfig", kubeconfig, "-node-ips", nodeIP.String(), "-pins", "/proc/self/fd/3/node",
		"-socket", b.socket(), "-log-level", "debug",
	}, args...)...)
	p.cmd.Env = append(os.Environ(), agentEnv+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.log
	p.cmd.ExtraFiles = []*os.File{b.pins}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	b.must(b.launch(p.cmd))
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	b.agent = p
	b.Cleanup(func() {
		p.stop()
		if b.Failed() {
			b.Logf("agent:\n%s", p.log)
		}
	})
}

func (b *testbed) kubeconfig() string {
	b.Helper()
	if b.fake != nil {
		return b.fake.kubeconfig
	}
	kubeconfig, err := b.cluster.Kubeconfig(account())
	b.must(err)
	return kubeconfig
}

func (b *testbed) socket() string { return filepath.Join(b.dir, "agent.sock") }

// launch starts a command from a thread that is in the node's namespace and can hand on no more than the capabilities
// that an agent needs. The thread lives as long as the test binary, because the command dies with it.
func (b *testbed) launch(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- func() error {
			if err := unix.Setns(b.node.NS().FD(), unix.CLONE_NEWNET); err != nil {
				return err
			}
			if err := limitCapabilities(); err != nil {
				return err
			}
			return cmd.Start()
		}()
		select {}
	}()
	return <-started
}

// needed are the capabilities that an agent runs with.
var needed = []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}

// limitCapabilities takes all others from what programs that this thread starts can have.
func limitCapabilities() error {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		if slices.Contains(needed, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// capabilities are the effective ones of a process, as in /proc/PID/status.
func capabilities(list []int) string {
	var mask uint64
	for _, c := range list {
		mask |= 1 << c
	}
	return fmt.Sprintf("CapEff:\t%016x\n", mask)
}

// stop kills the agent, as a crash would.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// await calls f until it returns true.
func (b *testbed) await(what string, f func() bool) {
	b.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not within %s", what, patience)
		}
		select {
		case <-b.agent.done:
			b.Fatalf("%s: the agent ended", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// awaitReady waits until the agent says that policies are in force.
func (b *testbed) awaitReady() {
	b.Helper()
	b.await("ready", func() bool { return b.get("/readyz") == "ok\n" })
}

// get fetches a page of the agent, empty if there is none.
func (b *testbed) get(path string) string {
	client := http.Client{Transport: &http.Transport{DialContext: b.dial, DisableKeepAlives: true}}
	resp, err := client.Get("http://127.0.0.1:9471" + path)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	b.must(err)
	return string(body)
}

// dial connects from inside the node's namespace.
func (b *testbed) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = b.node.NS().Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// connects says whether a connection from one pod to another one's port arrives.
func (b *testbed) connects(from string, to netip.Addr, port uint16) bool {
	b.Helper()
	target := netip.AddrPortFrom(to, port)
	got, err := b.prober.Probe(b.Context(), []prober.Probe{{
		From: from, To: target, Targets: []netip.AddrPort{target}, Protocol: flow.TCP, Timeout: 200 * time.Millisecond,
	}})
	b.must(err)
	return got[0].Outcome == backend.Connected
}

// put creates or replaces an object.
func (b *testbed) put(o *v1alpha1.PolicyEndpoint) {
	b.Helper()
	o.APIVersion, o.Kind = v1alpha1.GroupVersion().String(), v1alpha1.Kind
	if b.fake != nil {
		b.fake.tell("MODIFIED", o)
		return
	}
	b.must(apply(b.Context(), b.endpoints, o))
}

// putInForce puts an object, and waits until it is in force.
func (b *testbed) putInForce(o *v1alpha1.PolicyEndpoint) {
	b.Helper()
	b.put(marked(b.T, o))
	version := b.fake.version()
	b.await(o.Name+" is in force", func() bool { return strings.TrimSpace(b.get("/in-force")) == version })
}

func (b *testbed) remove(name string) {
	b.Helper()
	b.must(b.endpoints.Namespace(namespace).Delete(b.Context(), name, metav1.DeleteOptions{}))
}

func apply(ctx context.Context, all dynamic.NamespaceableResourceInterface, o *v1alpha1.PolicyEndpoint) error {
	content, err := runtimek8s.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return err
	}
	delete(content["metadata"].(map[string]any), "creationTimestamp")
	object := &unstructured.Unstructured{Object: content}
	_, err = all.Namespace(o.Namespace).Apply(ctx, o.Name, object, metav1.ApplyOptions{FieldManager: "test", Force: true})
	return err
}

// metric returns the line of a metric that begins with a name and labels.
func (b *testbed) metric(begin string) string {
	for line := range strings.Lines(b.get("/metrics")) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

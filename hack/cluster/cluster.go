package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Options say what to start. The zero value is a dual-stack cluster of the programs that Find finds.
type Options struct {
	// BinDir is the directory of the programs. Default: look where the package comment says, and build if need be.
	BinDir string
	// ServiceCIDRs are the ranges of ClusterIPs, the primary family first. Default: 10.96.0.0/16 and fd00:10:96::/112.
	ServiceCIDRs []netip.Prefix
	// Controllers names controllers of kube-controller-manager to run beside those that every cluster has.
	Controllers []string
	// Manifests are YAML files applied, with Apply, before the controller manager starts. CustomResourceDefinitions
	// belong here: the garbage collector looks for new kinds only every 30 s.
	Manifests []string
	// APIServerArgs are further flags of kube-apiserver. They come last, so they win.
	APIServerArgs []string
	// Progress is told, in lines for people, what takes long. Default: os.Stderr.
	Progress io.Writer
}

// Cluster is a running control plane. Its methods may be called from several goroutines.
type Cluster struct {
	options Options
	bins    Binaries
	dir     *stateDir
	ca      *authority
	port    *reservedPort
	admin   kubernetes.Interface

	// life is done when the cluster is, because of Stop or of the end of a vital process; its cause says which.
	life context.Context
	end  context.CancelCauseFunc

	mu        sync.Mutex
	processes map[string]*process // by name; only a process that somebody stopped is missing
	links     map[nsID]*Link
}

// errStopped is what operations on a stopped Cluster return.
var errStopped = errors.New("cluster is stopped")

// Start brings up a control plane and returns when it serves and its controllers work. ctx bounds the start only; the
// cluster runs until Stop. An error holds the last lines that the failed program logged.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	c := &Cluster{
		options:   options.withDefaults(),
		processes: make(map[string]*process),
		links:     make(map[nsID]*Link),
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (o Options) withDefaults() Options {
	if len(o.ServiceCIDRs) == 0 {
		o.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/112")}
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	return o
}

// start does the work of Start and leaves the cleaning up after an error to Stop.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.startEtcd(); err != nil {
		return err
	}
	if err := c.StartAPIServer(ctx); err != nil {
		return err
	}
	if err := c.Apply(ctx, c.options.Manifests...); err != nil {
		return err
	}
	return c.startControllerManager(ctx)
}

// prepare finds the programs and sets up everything that is not a process.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	if c.bins, err = Find(ctx, FindOptions{Dir: c.options.BinDir, Build: true, Progress: c.options.Progress}); err != nil {
		return err
	}
	if c.dir, err = newStateDir(); err != nil {
		return err
	}
	if c.port, err = reservePort(); err != nil {
		return err
	}
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	if err := c.writeCredentials(); err != nil {
		return err
	}
	c.admin, err = kubernetes.NewForConfig(c.AdminConfig())
	return err
}

// Stop kills all processes of the cluster, closes its links and removes its state. It may be called more than once.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(errStopped)
	for id, l := range c.links {
		l.close()
		delete(c.links, id)
	}
	for name, p := range c.processes {
		delete(c.processes, name)
		p.kill()
	}
	c.port.close()
	return c.dir.remove()
}

// Wait blocks until ctx is done, and then returns nil, or until the cluster is of no more use: because of Stop, or
// because a process of the control plane ended that nobody stopped. Then it returns an error, with the last lines
// of the process.
func (c *Cluster) Wait(ctx context.Context) error {
	select {
	case <-c.life.Done():
		return context.Cause(c.life)
	case <-ctx.Done():
		return nil
	}
}

// URL is where the API server serves, on loopback and on the loopback of every namespace with a Link.
func (c *Cluster) URL() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port.number) }

// Dir is the directory of the cluster's state and logs; Stop removes it.
func (c *Cluster) Dir() string { return c.dir.path }

// Binaries are the programs that the cluster runs.
func (c *Cluster) Binaries() Binaries { return c.bins }

// EtcdEndpoint is where etcd serves: a unix:// URL, for clients of this user only.
func (c *Cluster) EtcdEndpoint() string { return "unix://" + c.file("etcd.sock") }

// Client is a client with all rights and without a rate limit.
func (c *Cluster) Client() kubernetes.Interface { return c.admin }

// AdminConfig is the configuration of clients with all rights and without a rate limit.
func (c *Cluster) AdminConfig() *rest.Config {
	config := c.ca.clientConfig(c.ca.admin)
	config.Host = c.URL()
	config.QPS = -1
	return config
}

// LogTails quotes the end of every running process's log, for the messages of failed tests. The whole logs are
// Dir()/NAME.log.
func (c *Cluster) LogTails() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.processes)) {
		fmt.Fprintf(&b, "--- %s\n%s\n", name, tail(c.processes[name].log))
	}
	return b.String()
}

// file is the path of a file in the cluster's directory.
func (c *Cluster) file(name string) string { return filepath.Join(c.dir.path, name) }

// run starts a program of the cluster under a name that no other running process of it has.
func (c *Cluster) run(s processSpec) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, context.Cause(c.life)
	}
	if p, ok := c.processes[s.name]; ok && p.running() {
		return nil, fmt.Errorf("%s is running already", s.name)
	}
	s.log = c.file(s.name + ".log")
	p, err := startProcess(s)
	if err != nil {
		return nil, err
	}
	c.processes[s.name] = p
	if s.vital {
		go c.watch(p)
	}
	return p, nil
}

// watch ends the cluster when p ends and nobody has stopped it.
func (c *Cluster) watch(p *process) {
	<-p.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes[p.name] == p {
		c.end(p.failure("ended"))
	}
}

// stop ends the process of that name and forgets it; no such process is fine.
func (c *Cluster) stop(name string) {
	c.mu.Lock()
	p, ok := c.processes[name]
	delete(c.processes, name)
	c.mu.Unlock()
	if ok {
		p.kill()
	}
}

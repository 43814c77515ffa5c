package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
	"github.com/palisade-netpol/palisade/hack/kind/docker"
)

// IPFamily is which addresses pods and Services have.
type IPFamily string

// The families, as kind names them.
const (
	IPv4 IPFamily = "ipv4"
	IPv6 IPFamily = "ipv6"
	Dual IPFamily = "dual"
)

// Options say what cluster to make. The zero value is a usable one.
type Options struct {
	Name     string    // default: palisade
	Workers  int       // beside the control plane, which runs no pods of users; default: 2
	IPFamily IPFamily  // default: IPv4
	Log      io.Writer // told what is done and how long it may take; default: nobody
	// KeepFailed leaves a cluster that does not become ready, for people to look into; Down removes it.
	KeepFailed bool
}

// Cluster is a running cluster.
type Cluster struct {
	name   string
	docker *docker.Docker
	dir    string // of its state
	nodes  []Node
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "palisade"
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.IPFamily == "" {
		o.IPFamily = IPv4
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o
}

func (o Options) validate() error {
	if err := checkName(o.Name); err != nil {
		return err
	}
	if o.Workers < 1 {
		return fmt.Errorf("%d workers: at least one is needed, or no pod runs", o.Workers)
	}
	switch o.IPFamily {
	case IPv4, IPv6, Dual:
		return nil
	}
	return fmt.Errorf("IP family %q: not one of ipv4, ipv6, dual", o.IPFamily)
}

// checkName takes what can be the beginning of a host's name, and so of a node's.
func checkName(name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("cluster name %q: at most 40 lower-case letters, digits and hyphens between them", name)
	}
	return nil
}

// ErrNoCluster means that no cluster of that name runs.
var ErrNoCluster = errors.New("no such cluster runs")

// Open returns a cluster that Up made, in this process or another. The name may be empty for the default one.
func Open(ctx context.Context, name string) (*Cluster, error) {
	c, err := newCluster(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Kubeconfig()); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", c.name, ErrNoCluster)
	}
	if c.docker, err = docker.Find(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", c.name, ErrNoCluster, err)
	}
	return c, c.readNodes(ctx)
}

// newCluster returns what is known of a cluster without its daemon and nodes.
func newCluster(name string) (*Cluster, error) {
	name = Options{Name: name}.withDefaults().Name
	if err := checkName(name); err != nil {
		return nil, err
	}
	clusters, err := cache.Dir("clusters")
	if err != nil {
		return nil, err
	}
	return &Cluster{name: name, dir: filepath.Join(clusters, name)}, nil
}

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.name }

// Kubeconfig is the path of a file with which processes of this machine are administrators of the cluster.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Nodes are the control plane and the workers, by name.
func (c *Cluster) Nodes() []Node { return c.nodes }

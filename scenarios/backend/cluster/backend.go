package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// Options say which cluster, and how to use it. Config and Image are required.
type Options struct {
	// Config leads to the cluster.
	Config *rest.Config
	// Image is the probe image that nodes have or can pull.
	Image string
	// Prefix is what the names of namespaces begin with; "" means "palisade-run".
	Prefix string
	// Outside makes hosts outside the cluster; nil leaves out the scenarios that need any.
	Outside Outside
	// Fresh gives every scenario namespaces and pods of its own. Otherwise it goes on with those that others have left,
	// which takes a fraction of the time.
	Fresh bool
}

// requests bounds how many requests a second the API server gets from a run, and burst how many at once.
const requests, burst = 200, 400

// Backend is a cluster that scenarios are replayed on. Its methods are safe for concurrent use.
type Backend struct {
	opts   Options
	client kubernetes.Interface
	run    runner
	id     string // of the run

	hosts     hosts
	outsiders outsiders
	hostPort  chan struct{} // held by the one session that uses ports of nodes

	mu       sync.Mutex
	sessions int
	facts    *facts
	leftover []string // namespaces that are on their way out
	spares   []*spare // namespaces that sessions can go on with
	cleaning errgroup.Group
}

// facts are what does not change while scenarios run.
type facts struct {
	nodes    []*corev1.Node // those that scenarios use, in this order
	families []flow.Family  // the preferred one first
}

// New returns the backend. It does not talk to the cluster yet.
func New(o Options) (*Backend, error) {
	config := rest.CopyConfig(o.Config)
	config.QPS, config.Burst, config.UserAgent = requests, burst, "palisade"
	config.WarningHandlerWithContext = rest.NoWarnings{} // scenarios are odd on purpose
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return newBackend(o, client, execIn(config, client.CoreV1().RESTClient())), nil
}

func newBackend(o Options, client kubernetes.Interface, run runner) *Backend {
	if o.Prefix == "" {
		o.Prefix = "palisade-run"
	}
	b := &Backend{
		opts: o, client: client, run: run, id: strings.ToLower(rand.Text()[:5]), hostPort: make(chan struct{}, 1),
	}
	b.hosts.backend = b
	return b
}

// dial makes a link to the probe in a container.
func (b *Backend) dial(t target) *link { return &link{target: t, run: b.run} }

// Name returns "cluster".
func (*Backend) Name() string { return "cluster" }

// Available asks the API server for what scenarios need to know of the cluster.
func (b *Backend) Available() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := b.know(ctx)
	return err
}

// know learns what does not change, once.
func (b *Backend) know(ctx context.Context) (*facts, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.facts != nil {
		return b.facts, nil
	}
	list, err := b.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes of the cluster: %w", err)
	}
	f := &facts{nodes: usable(list.Items)}
	if len(f.nodes) == 0 {
		return nil, errors.New("the cluster has no node that is ready")
	}
	svc, err := b.client.CoreV1().Services(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the Service of the API server: %w", err)
	}
	f.families = familiesOfCluster(svc, f.nodes)
	b.facts = f
	return f, nil
}

// usable returns the nodes that are ready, those without taints first, by name.
func usable(all []corev1.Node) []*corev1.Node {
	var ready []*corev1.Node
	for i := range all {
		if slices.ContainsFunc(all[i].Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			ready = append(ready, &all[i])
		}
	}
	slices.SortFunc(ready, func(a, b *corev1.Node) int {
		if tainted(a) != tainted(b) {
			if tainted(a) {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return ready
}

func tainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule
	})
}

// familiesOfCluster takes the preferred family from a Service and the other from the addresses of pods that nodes hand
// out, or where they do not say from the nodes' own.
func familiesOfCluster(svc *corev1.Service, nodes []*corev1.Node) []flow.Family {
	var families []flow.Family
	add := func(a netip.Addr) {
		if f := flow.FamilyOf(a); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	for _, a := range serviceAddrs(svc) {
		add(a)
	}
	for _, n := range nodes {
		for _, cidr := range n.Spec.PodCIDRs {
			if p, err := netip.ParsePrefix(cidr); err == nil {
				add(p.Addr())
			}
		}
	}
	if len(families) > 0 {
		return families
	}
	for _, a := range nodeAddrs(nodes[0]) {
		add(a)
	}
	return families
}

// Families returns the address families of the cluster, the preferred one first.
func (b *Backend) Families(ctx context.Context) ([]flow.Family, error) {
	f, err := b.know(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(f.families), nil
}

// Open starts a session in namespaces of its own.
func (b *Backend) Open(ctx context.Context) (backend.Session, error) {
	f, err := b.know(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions++
	return newSession(b, f, fmt.Sprintf("%s-%s-%d-", b.opts.Prefix, b.id, b.sessions)), nil
}

// endNamespace deletes a namespace, and notes that it is on its way out.
func (b *Backend) endNamespace(ctx context.Context, name string) error {
	b.mu.Lock()
	b.leftover = append(b.leftover, name)
	b.mu.Unlock()
	return ignoreGone(b.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
}

// goodbye bounds how long Close waits until nothing of a run is left.
const goodbye = 10 * time.Minute

// Close removes what sessions share, and returns when nothing of the run is left in the cluster.
func (b *Backend) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	err := errors.Join(b.cleaning.Wait(), b.hosts.close(ctx), b.endSpares(ctx))
	b.mu.Lock()
	leftover := b.leftover
	b.leftover = nil
	b.mu.Unlock()
	errs := make([]error, len(leftover))
	var work sync.WaitGroup
	for i, name := range leftover {
		work.Go(func() { errs[i] = b.untilNamespaceGone(ctx, name) })
	}
	work.Wait()
	return errors.Join(append(errs, err)...)
}

package plane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/deploy"
	"github.com/palisade-netpol/palisade/hack/cluster"
)

// The programs that a Plane runs besides those of Kubernetes.
const (
	controllerProgram = "palisade-controller"
	agentProgram      = "palisade-agent"
)

// Options say what to run.
type Options struct {
	// Kubernetes is the directory of the programs of Kubernetes; default: where package cluster finds them.
	Kubernetes string
	// Programs is the directory of palisade-controller and palisade-agent. Required.
	Programs string
	// AgentArgs are further flags of every agent.
	AgentArgs []string
	// Hosted leaves out the controllers: somebody else publishes (see PublishHosted).
	Hosted bool
}

// Plane is a running control plane. Its methods are not safe for concurrent use, except those of its agents.
type Plane struct {
	opts        Options
	cluster     *cluster.Cluster
	dynamic     dynamic.Interface
	controllers []*controller
	started     int // controllers and agents so far: names them
	written     map[key]*record
	builtIn     []*corev1.Service
	published   *mirror[*v1alpha1.PolicyEndpoint]
	slices      *mirror[*discoveryv1.EndpointSlice]
	marks       int        // written so far
	random      *rand.Rand // for PublishHosted; the same every time
	stop        context.CancelFunc
}

// laxer lets the API server take what older clusters still hold: blocks with host bits set.
var laxer = []string{"--feature-gates=StrictIPCIDRValidation=false"}

// Start starts everything but agents and returns when it works.
func Start(ctx context.Context, o Options) (*Plane, error) {
	manifests, err := os.MkdirTemp("", "palisade-manifests-")
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	defer func() { _ = os.RemoveAll(manifests) }()
	files, err := unpack(manifests)
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	c, err := cluster.Start(ctx, cluster.Options{BinDir: o.Kubernetes, Manifests: files, APIServerArgs: laxer})
	if err != nil {
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	p := &Plane{opts: o, cluster: c, written: map[key]*record{}, random: rand.New(rand.NewPCG(1, 2))}
	if err := p.begin(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// unpack writes the shipped manifests into a directory.
func unpack(dir string) ([]string, error) {
	files, err := fs.Glob(deploy.Manifests, "*/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range files {
		text, err := fs.ReadFile(deploy.Manifests, name)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, filepath.Base(filepath.Dir(name))+"-"+filepath.Base(name))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, err
		}
		out = append(out, path)
	}
	return out, nil
}

// begin starts what works on the API server.
func (p *Plane) begin(ctx context.Context) error {
	var err error
	config := p.cluster.AdminConfig()
	config.WarningHandler = rest.NoWarnings{} // scenarios may hold what is odd
	if p.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return err
	}
	services, err := p.cluster.Client().CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list the Services of a new cluster: %w", err)
	}
	for i := range services.Items {
		p.builtIn = append(p.builtIn, &services.Items[i])
	}
	if !p.opts.Hosted {
		if err := p.startControllers(); err != nil {
			return err
		}
	}
	following, stop := context.WithCancel(context.Background())
	p.stop = stop
	return p.follow(following)
}

// follow begins to watch what is waited for.
func (p *Plane) follow(ctx context.Context) (err error) {
	endpoints := p.dynamic.Resource(v1alpha1.GroupVersionResource())
	p.published, err = follow(ctx, endpoints, func() *v1alpha1.PolicyEndpoint { return &v1alpha1.PolicyEndpoint{} })
	if err != nil {
		return err
	}
	slices := p.dynamic.Resource(discoveryv1.SchemeGroupVersion.WithResource("endpointslices"))
	p.slices, err = follow(ctx, slices, func() *discoveryv1.EndpointSlice { return &discoveryv1.EndpointSlice{} })
	return err
}

// Cluster is the part of the control plane that is Kubernetes.
func (p *Plane) Cluster() *cluster.Cluster { return p.cluster }

// Stop ends all processes. What agents enforce stays enforced.
func (p *Plane) Stop() error {
	if p.stop != nil {
		p.stop()
	}
	return p.cluster.Stop()
}

// program is the path of one of our programs.
func (p *Plane) program(name string) string { return filepath.Join(p.opts.Programs, name) }

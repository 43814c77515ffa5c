package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/hack/cluster"
)

// The accounts of the shipped manifests.
const (
	home              = "kube-system"
	controllerAccount = "palisade-controller"
	agentAccount      = "palisade-agent"
)

// patience is how long to wait for what must happen soon, on a busy machine.
const patience = 2 * time.Minute

// bed is a control plane with the shipped manifests.
type bed struct {
	cluster *cluster.Cluster
	client  kubernetes.Interface // with all rights, in the compact encoding
	bin     binaries
}

func newBed(ctx context.Context, bin binaries) (*bed, error) {
	c, err := cluster.Start(ctx, cluster.Options{Manifests: []string{
		"deploy/crds/networking.k8s.aws_policyendpoints.yaml", "deploy/rbac/controller.yaml", "deploy/rbac/agent.yaml",
	}})
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(c.AdminConfig())
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return &bed{cluster: c, client: client, bin: bin}, nil
}

func (b *bed) close() error { return b.cluster.Stop() }

// kubeconfig is that of a ServiceAccount.
func (b *bed) kubeconfig(account string) (string, error) {
	return b.cluster.Kubeconfig("system:serviceaccount:"+home+":"+account,
		[]string{"system:serviceaccounts", "system:serviceaccounts:" + home})
}

// startController starts the controller beside the API server.
func (b *bed) startController() (*program, error) {
	kubeconfig, err := b.kubeconfig(controllerAccount)
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := b.cluster.Run(cluster.Program{
		Name: "palisade-controller", Path: b.bin.path("palisade-controller"),
		Args: []string{"-kubeconfig", kubeconfig, "-listen", address},
	})
	if err != nil {
		return nil, err
	}
	return &program{Process: p, address: address, dial: (&net.Dialer{}).DialContext}, nil
}

// freeAddress is one of loopback that nobody listens at. The kernel hands out the same port again only much later.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// agentCapabilities are all that an agent has.
func agentCapabilities() []int { return []int{unix.CAP_BPF, unix.CAP_NET_ADMIN} }

// startAgent starts the agent of a node in the node's namespace.
func (b *bed) startAgent(n *node) (*program, error) {
	kubeconfig, err := b.kubeconfig(agentAccount)
	if err != nil {
		return nil, err
	}
	netns := fmt.Sprintf("/proc/self/fd/%d", n.wire.NS().FD())
	if _, err := b.cluster.Link(netns); err != nil {
		return nil, err
	}
	const address = "127.0.0.1:9471"
	p, err := b.cluster.Run(cluster.Program{
		Name: "palisade-agent", Path: b.bin.path("palisade-agent"), NetNS: netns, Files: []*os.File{n.pins},
		Args: []string{
			"-kubeconfig", kubeconfig, "-node-ips", n.addr.String(), "-pins", "/proc/self/fd/3/node", "-socket", "",
			"-listen", address,
		},
		Capabilities: agentCapabilities(),
	})
	if err != nil {
		return nil, err
	}
	return &program{Process: p, address: address, dial: n.dial}, nil
}

// program is a running controller or agent.
type program struct {
	*cluster.Process
	address string // of its pages
	dial    dialer
}

// page fetches a page of the program.
func (p *program) page(ctx context.Context, path string) (string, error) {
	return fetch(ctx, p.dial, "http://"+p.address+path)
}

// ready waits until the program says that it is.
func (p *program) ready(ctx context.Context) error {
	return await(ctx, p, 5*time.Millisecond, func() (bool, error) {
		_, err := p.page(ctx, "/readyz")
		return err == nil, nil
	})
}

// dialer connects to an address, wherever that is.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func fetch(ctx context.Context, dial dialer, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// await asks, in steps, until the answer is yes. It fails when that takes too long or the program ends.
func await(ctx context.Context, p *program, step time.Duration, ask func() (bool, error)) error {
	pace, late := time.NewTicker(step), time.NewTimer(patience)
	defer pace.Stop()
	defer late.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-pace.C:
		case <-p.Done():
			return p.Failure("ended")
		case <-late.C:
			return p.Failure(fmt.Sprintf("did not do in %s what is waited for", patience))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

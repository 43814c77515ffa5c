package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
)

// kubeProxyHealth is where a kube-proxy tells how it is, inside its namespace.
const kubeProxyHealth = "127.0.0.1:10256"

// kubeProxyConfig is the configuration of a kube-proxy; %[1]q is its kubeconfig and %[2]q its node. Conntrack settings
// are 0 (leave alone) because they would be written to sysctls of the whole machine. Changes are programmed almost at once;
// node ports are served at the addresses of the Node object, as it is the default of this mode.
const kubeProxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: %[1]q}
hostnameOverride: %[2]q
healthzBindAddress: ` + kubeProxyHealth + `
metricsBindAddress: 127.0.0.1:10249
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
  udpTimeout: 0s
  udpStreamTimeout: 0s
nftables: {minSyncPeriod: 10ms}
`

// errNotSynced is the state of a kube-proxy that has not programmed any rules yet.
var errNotSynced = errors.New("no rules programmed yet")

// KubeProxy starts a real kube-proxy, in nftables mode, for a node that is a network namespace (see Link for how to
// name one). It returns when the Services of that time are programmed for at least one address family. The Node
// object must exist with its addresses, loopback must be up, and nft(8) must be in PATH. A namespace that is the
// machine's own is refused, because rules would be written there.
//
// StopKubeProxy ends it; before the namespace goes, close its Link too.
func (c *Cluster) KubeProxy(ctx context.Context, netns, node string) error {
	if _, err := exec.LookPath("nft"); err != nil {
		return fmt.Errorf("kube-proxy on %s: %w", node, err)
	}
	if _, err := c.Link(netns); err != nil {
		return fmt.Errorf("kube-proxy on %s: %w", node, err)
	}
	config, err := c.writeKubeProxyConfig(node)
	if err != nil {
		return fmt.Errorf("kube-proxy on %s: %w", node, err)
	}
	p, err := c.run(processSpec{
		name:  kubeProxyProcess(node),
		path:  c.bins.KubeProxy,
		args:  []string{"--config=" + config},
		netns: netns,
	})
	if err != nil {
		return err
	}
	return c.await(ctx, p, kubeProxySynced(netns))
}

// StopKubeProxy ends the kube-proxy of a node and returns when it is gone. Its rules stay in the namespace.
func (c *Cluster) StopKubeProxy(node string) { c.stop(kubeProxyProcess(node)) }

func kubeProxyProcess(node string) string { return kubeProxyName + "-" + node }

func (c *Cluster) writeKubeProxyConfig(node string) (string, error) {
	kubeconfig, err := c.Kubeconfig("system:kube-proxy", []string{"system:node-proxier"})
	if err != nil {
		return "", err
	}
	path := c.file(kubeProxyProcess(node) + ".yaml")
	return path, os.WriteFile(path, fmt.Appendf(nil, kubeProxyConfig, kubeconfig, node), 0o600)
}

// kubeProxySynced returns a function that asks the kube-proxy of a namespace whether it has programmed rules. Its
// status counts as healthy before that, but lists an address family only from then on.
func kubeProxySynced(netns string) func(context.Context) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = inNetNS(netns, func() error {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+kubeProxyHealth+"/livez", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		var health struct{ Status map[string]any }
		if err := json.NewDecoder(response.Body).Decode(&health); err != nil {
			return fmt.Errorf("read health: %w", err)
		}
		if len(health.Status) == 0 {
			return errNotSynced
		}
		return nil
	}
}

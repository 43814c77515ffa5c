package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names of the processes, which are also those of their programs.
const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
	kubeProxyName         = "kube-proxy"
)

// baseControllers are the controllers that a cluster without kubelets needs: those that keep Services, namespaces,
// owner references and roles working. Left out are all that would judge nodes and pods by heartbeats nobody sends.
const baseControllers = "clusterrole-aggregation-controller,endpointslice-controller," +
	"endpointslice-mirroring-controller,garbage-collector-controller,namespace-controller,service-cidr-controller," +
	"serviceaccount-controller,serviceaccount-token-controller"

// startEtcd starts etcd on unix sockets, which need no free ports and let nobody else in. What it advertises must be
// ports, but as the only member it has nobody to tell.
func (c *Cluster) startEtcd() error {
	const advertised = "http://127.0.0.1:2380"
	_, err := c.run(processSpec{name: etcdName, path: c.bins.Etcd, vital: true, args: []string{
		"--name=default",
		"--data-dir=" + c.file("etcd"),
		"--listen-client-urls=" + c.EtcdEndpoint(),
		"--advertise-client-urls=" + advertised,
		"--listen-peer-urls=unix://" + c.file("etcd-peer.sock"),
		"--initial-advertise-peer-urls=" + advertised,
		"--initial-cluster=default=" + advertised,
		"--unsafe-no-fsync",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}})
	return err
}

// StartAPIServer starts the API server after StopAPIServer and returns when it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	p, err := c.run(processSpec{name: apiServerName, path: c.bins.APIServer, vital: true, args: c.apiServerArgs()})
	if err != nil {
		return err
	}
	return c.await(ctx, p, func(ctx context.Context) error {
		return c.admin.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// StopAPIServer kills the API server, as a crash would, and returns when it is gone. Its address stays reserved;
// connections to it are refused until StartAPIServer.
func (c *Cluster) StopAPIServer() { c.stop(apiServerName) }

// RestartAPIServer stops the API server and starts it with the same address, credentials and data.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	c.StopAPIServer()
	return c.StartAPIServer(ctx)
}

func (c *Cluster) apiServerArgs() []string {
	args := []string{
		"--etcd-servers=" + c.EtcdEndpoint(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.port.number),
		"--permit-port-sharing", // with reservedPort, which is bound but never listens
		"--advertise-address=" + advertiseAddress(c.options.ServiceCIDRs[0]),
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + joinPrefixes(c.options.ServiceCIDRs),
		"--authorization-mode=RBAC",
		"--client-ca-file=" + c.file(caFile),
		"--tls-cert-file=" + c.file(servingCertFile),
		"--tls-private-key-file=" + c.file(servingKeyFile),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file=" + c.file(tokenKeyFile),
		"--service-account-key-file=" + c.file(tokenKeyFile),
		// Pods are created by tests, often before the controllers have made the namespace's ServiceAccount.
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged",
		"--profiling=false",
	}
	return append(args, c.options.APIServerArgs...)
}

// advertiseAddress is an address of the primary service family, as the API server demands. With the endpoint
// reconciler off nobody is told about it, so a documentation address is as good as any (RFC 5737, RFC 3849).
func advertiseAddress(primary netip.Prefix) string {
	if primary.Addr().Is4() {
		return "192.0.2.1"
	}
	return "2001:db8::1"
}

func joinPrefixes(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, ",")
}

// startControllerManager returns when the controllers work: when the default namespace has its ServiceAccount.
func (c *Cluster) startControllerManager(ctx context.Context) error {
	kubeconfig, err := c.Kubeconfig("system:kube-controller-manager", []string{"system:masters"})
	if err != nil {
		return err
	}
	controllers := strings.Join(append([]string{baseControllers}, c.options.Controllers...), ",")
	p, err := c.run(processSpec{name: controllerManagerName, path: c.bins.ControllerManager, vital: true, args: []string{
		"--kubeconfig=" + kubeconfig,
		"--controllers=" + controllers,
		"--leader-elect=false",
		"--secure-port=0",
		"--service-account-private-key-file=" + c.file(tokenKeyFile),
		"--root-ca-file=" + c.file(caFile),
		"--kube-api-qps=2000",
		"--kube-api-burst=4000",
	}})
	if err != nil {
		return err
	}
	return c.await(ctx, p, func(ctx context.Context) error {
		_, err := c.admin.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

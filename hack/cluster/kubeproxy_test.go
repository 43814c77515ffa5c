package cluster_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// checkKubeProxy makes a namespace that is node-1 and holds its pod's address, and reaches the pod by the ClusterIP.
func checkKubeProxy(t *testing.T, c *cluster.Cluster) {
	netns := newNetNS(t)
	inside(t, netns, func() {
		configureNode(t)
		serve(t, netip.AddrPortFrom(podIP, 8080), "hello from web-1")
	})
	if err := c.KubeProxy(t.Context(), "/proc/thread-self/ns/net", "node-1"); err == nil {
		t.Error("a kube-proxy was started in the machine's own namespace")
	}
	must(t, c.KubeProxy(t.Context(), netns, "node-1"))

	service := get(t, c.Client().CoreV1().Services(namespace).Get, "web")
	clustertest.Eventually(t, func() (err error) {
		inside(t, netns, func() { err = expect(service.Spec.ClusterIP+":80", "hello from web-1") })
		return err
	})

	t.Run("a cut link is mended by reconnecting", func(t *testing.T) {
		link, err := c.Link(netns)
		must(t, err)
		link.Cut()
		moveService(t, c)
		inside(t, netns, func() { serve(t, netip.AddrPortFrom(podIP, 8081), "hello again") })
		clustertest.Eventually(t, func() (err error) {
			inside(t, netns, func() { err = expect(service.Spec.ClusterIP+":80", "hello again") })
			return err
		})
	})
	c.StopKubeProxy("node-1")
	if left := processesOf(t, c.Dir(), "/kube-proxy"); len(left) > 0 {
		t.Errorf("processes %q are left", left)
	}
}

// moveService lets the Service lead to another port of the pod.
func moveService(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	service := get(t, c.Client().CoreV1().Services(namespace).Get, "web")
	service.Spec.Ports[0].TargetPort.IntVal = 8081
	_, err := c.Client().CoreV1().Services(namespace).Update(t.Context(), service, metav1.UpdateOptions{})
	must(t, err)
}

// checkGarbageCollection deletes an owner and waits for a custom resource to follow, sooner than the garbage
// collector's next look for new kinds.
func checkGarbageCollection(t *testing.T, c *cluster.Cluster) {
	client, err := dynamic.NewForConfig(c.AdminConfig())
	must(t, err)
	ctx := t.Context()
	kind := schema.GroupVersionResource{Group: "test.palisade.invalid", Version: "v1", Resource: "leaves"}
	leaves := client.Resource(kind).Namespace(namespace)
	owner := newPolicy(t, c.Client(), "owner")
	leaf := &unstructured.Unstructured{}
	leaf.SetAPIVersion("test.palisade.invalid/v1")
	leaf.SetKind("Leaf")
	leaf.SetName("owned")
	leaf.SetOwnerReferences([]metav1.OwnerReference{
		{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Name: owner.Name, UID: owner.UID}})
	_, err = leaves.Create(ctx, leaf, metav1.CreateOptions{})
	must(t, err)

	start := time.Now()
	must(t, c.Client().NetworkingV1().NetworkPolicies(namespace).Delete(ctx, owner.Name, metav1.DeleteOptions{}))
	clustertest.Eventually(t, func() error {
		_, err := leaves.Get(ctx, "owned", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the leaf lives on"), err)
	})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s, as if the kind had not been known at the start", took)
	}
}

// newNetNS makes an anonymous network namespace and returns a path that leads to it.
func newNetNS(t *testing.T) string {
	t.Helper()
	var ns *os.File
	err := cluster.InNetNS("", func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			ns, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	if err != nil {
		t.Skipf("needs the right to make network namespaces: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return fmt.Sprintf("/proc/self/fd/%d", ns.Fd())
}

// inside runs f on a thread in a namespace.
func inside(t *testing.T, netns string, f func()) {
	t.Helper()
	must(t, cluster.InNetNS(netns, func() error { f(); return nil }))
}

// configureNode gives loopback of the calling thread's namespace the addresses of the node and of its pod, and a
// route to everywhere.
func configureNode(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
	for _, a := range []netip.Addr{nodeIP, podIP} {
		address, err := netlink.ParseAddr(a.String() + "/32")
		check(t, err)
		check(t, netlink.AddrAdd(lo, address))
	}
	check(t, netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Src: nodeIP.AsSlice()}))
}

// serve says a line to whoever connects, until the test ends.
func serve(t *testing.T, at netip.AddrPort, line string) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", at.String())
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, line)
			_ = conn.Close()
		}
	}()
}

// expect connects and reads a line.
func expect(address, line string) error {
	conn, err := net.DialTimeout("tcp4", address, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if got != line+"\n" {
		return fmt.Errorf("%s says %q, want %q", address, got, line)
	}
	return nil
}

// check is must for goroutines other than the test's, which t.Fatal cannot end.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

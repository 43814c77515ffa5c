package main

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

func TestNodesReachServicesOfEachOther(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	binDir := clustertest.Binaries(t, "").Dir
	t.Setenv("XDG_CACHE_HOME", shortTempDir(t))
	t.Setenv(commandEnv, "1")
	text := mustRun(t, "up", "-bin-dir", binDir, "-nodes", "2")
	t.Cleanup(func() { mustRun(t, "down") })
	spaces := regexp.MustCompile(`--net=(\S+)`).FindAllStringSubmatch(text, -1)
	if len(spaces) != 2 {
		t.Fatalf("up names %d nodes, want 2:\n%s", len(spaces), text)
	}
	for i, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		node2 := []string{"10.240.0.2", "fd00:10:240::2"}[i]
		listen(t, spaces[1][1], net.JoinHostPort(node2, "8080"))
		ip := newService(t, newClient(t), family, node2)
		clustertest.Eventually(t, func() error { return dial(spaces[0][1], net.JoinHostPort(ip, "80")) })
	}
}

func newClient(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(config(t, kubeconfig(t)))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newService makes a Service of one family without a selector, port 80 of which leads to port 8080 of an address, and
// returns its ClusterIP.
func newService(t *testing.T, client kubernetes.Interface, family discoveryv1.AddressType, to string) string {
	t.Helper()
	name := fmt.Sprintf("web-%c", family[len(family)-1])
	s, err := client.CoreV1().Services("default").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Port: 80}}, IPFamilies: []corev1.IPFamily{corev1.IPFamily(family)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: family, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{to}}},
		Ports: []discoveryv1.EndpointPort{{Port: ptr.To[int32](8080)}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Spec.ClusterIP
}

// inside runs f on a thread of its own in a network namespace.
func inside(space string, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		result <- func() error {
			file, err := os.Open(space)
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

// listen lets the kernel accept connections until the test ends.
func listen(t *testing.T, space, at string) {
	t.Helper()
	err := inside(space, func() error {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
		if err == nil {
			t.Cleanup(func() { _ = l.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func dial(space, to string) error {
	return inside(space, func() error {
		conn, err := net.DialTimeout("tcp", to, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

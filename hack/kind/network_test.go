package kind

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestRoutesLeadToThePodsOfAllOtherNodes(t *testing.T) {
	// The families come in either order, as kubeadm and the kubelet may give them.
	nodes := []Node{
		{"one", addrs("172.18.0.2", "fc00::2"), prefixes("10.244.0.0/24", "fd00:10:244::/64")},
		{"two", addrs("fc00::3", "172.18.0.3"), prefixes("10.244.1.0/24", "fd00:10:244:1::/64")},
		{"three", addrs("172.18.0.4", "fc00::4"), prefixes("fd00:10:244:2::/64", "10.244.2.0/24")},
	}
	got, err := routes(nodes[1], nodes)
	if err != nil {
		t.Fatal(err)
	}
	want := `route replace 10.244.0.0/24 via 172.18.0.2
route replace fd00:10:244::/64 via fc00::2
route replace fd00:10:244:2::/64 via fc00::4
route replace 10.244.2.0/24 via 172.18.0.4
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRoutesNeedAnAddressOfTheFamily(t *testing.T) {
	nodes := []Node{
		{"one", addrs("172.18.0.2"), prefixes("10.244.0.0/24")},
		{"two", addrs("172.18.0.3"), prefixes("fd00::/64")},
	}
	if got, err := routes(nodes[0], nodes); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("routes %q, error %v; want an error that names the node", got, err)
	}
}

func TestConflistIsOneOfCNI(t *testing.T) {
	tests := []struct {
		name string
		pods []netip.Prefix
		ipam string
	}{
		{"IPv4", prefixes("10.244.1.0/24"),
			`{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}`},
		{"IPv6", prefixes("fd00::/64"),
			`{"type":"host-local","ranges":[[{"subnet":"fd00::/64"}]],"routes":[{"dst":"::/0"}]}`},
		{"both", prefixes("10.244.1.0/24", "fd00::/64"),
			`{"type":"host-local","ranges":[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00::/64"}]],` +
				`"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text, err := conflist(test.pods)
			if err != nil {
				t.Fatal(err)
			}
			list, err := libcni.ConfListFromBytes([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Plugins) != 2 || list.Plugins[0].Network.Type != "ptp" || list.Plugins[1].Network.Type != "portmap" {
				t.Fatalf("plugins: %s", text)
			}
			want := `{"type":"ptp","ipam":` + test.ipam + `}`
			if got := string(list.Plugins[0].Bytes); canonical(t, []byte(got)) != canonical(t, []byte(want)) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if !list.Plugins[1].Network.Capabilities["portMappings"] {
				t.Error("ports of the host are not mapped")
			}
		})
	}
}

func TestNodeFromObject(t *testing.T) {
	object := func(address, cidr string) corev1.Node {
		return corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n"},
			Spec:       corev1.NodeSpec{PodCIDRs: []string{cidr}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: address},
			}},
		}
	}
	got, err := newNode(object("172.18.0.2", "10.244.0.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	want := Node{"n", addrs("172.18.0.2"), prefixes("10.244.0.0/24")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]corev1.Node{
		"address": object("n", "10.244.0.0/24"), "pod CIDR": object("172.18.0.2", "10.244.0.0"),
	} {
		if _, err := newNode(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("bad %s: error %v", name, err)
		}
	}
}

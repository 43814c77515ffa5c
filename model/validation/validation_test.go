package validation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/validation"
)

// testCase is a piece of YAML and what is wrong with it: "path: type", in order; nothing if it is right.
type testCase struct {
	name string
	yaml string
	want []string
}

// run decodes each case on top of a valid object and validates the result.
func run[T any](
	t *testing.T, base string, o validation.Options,
	validate func(*T, validation.Options) field.ErrorList, cases []testCase,
) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			object := new(T)
			for _, text := range []string{base, c.yaml} {
				if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
					t.Fatal(err)
				}
			}
			expect(t, c.want, validate(object, o))
		})
	}
}

func expect(t *testing.T, want []string, errs field.ErrorList) {
	t.Helper()
	var got, messages []string
	for _, err := range errs {
		got = append(got, fmt.Sprintf("%s: %s", err.Field, err.Type))
		messages = append(messages, err.Error())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s\n%s", d, strings.Join(messages, "\n"))
	}
}

const meta = "metadata: {namespace: default, name: a}\n"

func TestNetworkPolicy(t *testing.T) {
	run(t, meta, validation.Options{}, validation.NetworkPolicy, []testCase{
		{"valid-empty-spec", "spec: {}", nil},
		{"valid-everything", `spec: {policyTypes: [Ingress, Egress], podSelector: {matchLabels: {a: ""}}, ingress: [
			{from: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}],
			ports: [{}, {protocol: SCTP, port: http}, {port: 80, endPort: 80}]}]}`, nil},
		{"invalid-name", "metadata: {name: A_b}", []string{"metadata.name: Invalid value"}},
		{"invalid-no-name", "metadata: {name: ''}", []string{"metadata.name: Required value"}},
		{"invalid-no-namespace", "metadata: {namespace: ''}", []string{"metadata.namespace: Required value"}},
		{"09 an empty peer", "spec: {ingress: [{}, {from: [{}]}]}", []string{"spec.ingress[1].from[0]: Required value"}},
		{"15 ipBlock beside a selector", "spec: {egress: [{to: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
			[]string{"spec.egress[0].to[0]: Forbidden"}},
		{"28 In without values", "spec: {podSelector: {matchExpressions: [{key: a, operator: In}]}}",
			[]string{"spec.podSelector.matchExpressions[0].values: Required value"}},
		{"28 Exists with values",
			"spec: {ingress: [{from: [{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]}]}",
			[]string{"spec.ingress[0].from[0].podSelector.matchExpressions[0].values: Forbidden"}},
		{"28 an unknown operator", "spec: {podSelector: {matchExpressions: [{key: a, operator: Like}]}}",
			[]string{"spec.podSelector.matchExpressions[0].operator: Invalid value"}},
		{"28 an invalid label value",
			"spec: {ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [-b]}]}}]}]}",
			[]string{"spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values[0]: Invalid value"}},
		{"28 an invalid label key", "spec: {podSelector: {matchLabels: {'a b': c}}}",
			[]string{"spec.podSelector.matchLabels: Invalid value"}},
		{"48 endPort below port", "spec: {ingress: [{ports: [{port: 80, endPort: 79}]}]}",
			[]string{"spec.ingress[0].ports[0].endPort: Invalid value"}},
		{"48 endPort with a name", "spec: {ingress: [{ports: [{port: http, endPort: 80}]}]}",
			[]string{"spec.ingress[0].ports[0].endPort: Invalid value"}},
		{"48 endPort without port", "spec: {ingress: [{ports: [{endPort: 80}]}]}",
			[]string{"spec.ingress[0].ports[0].endPort: Invalid value"}},
		{"51 endPort beyond 65535", "spec: {ingress: [{ports: [{port: 80, endPort: 65536}]}]}",
			[]string{"spec.ingress[0].ports[0].endPort: Invalid value"}},
		{"51 port 0", "spec: {egress: [{ports: [{port: 0}]}]}", []string{"spec.egress[0].ports[0].port: Invalid value"}},
		{"51 port 65536", "spec: {egress: [{ports: [{port: 65536}]}]}",
			[]string{"spec.egress[0].ports[0].port: Invalid value"}},
		{"51 a string of digits", "spec: {egress: [{ports: [{port: '80'}]}]}",
			[]string{"spec.egress[0].ports[0].port: Invalid value"}},
		{"51 a name in capitals", "spec: {egress: [{ports: [{port: Http}]}]}",
			[]string{"spec.egress[0].ports[0].port: Invalid value"}},
		{"an unknown protocol", "spec: {egress: [{ports: [{protocol: ICMP}]}]}",
			[]string{"spec.egress[0].ports[0].protocol: Unsupported value"}},
		{"an unknown policy type", "spec: {policyTypes: [ingress]}",
			[]string{"spec.policyTypes[0]: Unsupported value"}},
		{"too many policy types", "spec: {policyTypes: [Ingress, Egress, Ingress]}",
			[]string{"spec.policyTypes: Invalid value"}},
		{"54 except outside its block", block("10.0.0.0/8", "11.0.0.0/16"),
			[]string{"spec.egress[0].to[0].ipBlock.except[0]: Invalid value"}},
		{"54 except as large as its block", block("10.0.0.0/8", "10.0.0.0/8"),
			[]string{"spec.egress[0].to[0].ipBlock.except[0]: Invalid value"}},
		{"54 except of the other family", block("0.0.0.0/0", "::/64"),
			[]string{"spec.egress[0].to[0].ipBlock.except[0]: Invalid value"}},
		{"54 no CIDR", block("''", "10.0.0.0/8"), []string{"spec.egress[0].to[0].ipBlock.cidr: Required value"}},
		{"54 not a CIDR", block("10.0.0.1", "10.0.0.0/8"), []string{"spec.egress[0].to[0].ipBlock.cidr: Invalid value"}},
		{"56 bits beyond the length", block("10.0.0.5/8", "10.1.0.5/16"), []string{
			"spec.egress[0].to[0].ipBlock.cidr: Invalid value", "spec.egress[0].to[0].ipBlock.except[0]: Invalid value",
		}},
		{"56 leading zeros", block("010.0.0.0/8", "10.1.0.0/16"),
			[]string{"spec.egress[0].to[0].ipBlock.cidr: Invalid value"}},
		{"56 IPv4-mapped", block("'::ffff:10.0.0.0/104'", "10.1.0.0/16"), []string{
			"spec.egress[0].to[0].ipBlock.cidr: Invalid value", "spec.egress[0].to[0].ipBlock.except[0]: Invalid value",
		}},
	})
}

func block(cidr, except string) string {
	return fmt.Sprintf("spec: {egress: [{to: [{ipBlock: {cidr: %s, except: ['%s']}}]}]}", cidr, except)
}

func TestStoredPoliciesKeepOldForms(t *testing.T) {
	run(t, meta, validation.Options{LegacyIP: true}, validation.NetworkPolicy, []testCase{
		{"56 bits beyond the length", block("10.0.0.5/8", "10.1.0.5/16"), nil},
		{"56 leading zeros", block("010.0.0.0/8", "10.1.0.0/016"), nil},
		{"54 except outside its block all the same", block("10.0.0.5/8", "11.0.0.0/16"),
			[]string{"spec.egress[0].to[0].ipBlock.except[0]: Invalid value"}},
	})
}

func TestPod(t *testing.T) {
	run(t, meta, validation.Options{}, validation.Pod, []testCase{
		{"valid-dual-stack", `{status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}],
			hostIP: 192.168.0.1}}`, nil},
		{"44 valid-same-name-in-two-containers", `{spec: {containers: [{ports: [{name: a, containerPort: 1}]},
			{ports: [{name: a, containerPort: 2}]}]}}`, nil},
		{"valid-host-network-port",
			"spec: {hostNetwork: true, containers: [{ports: [{containerPort: 1, hostPort: 1}]}]}", nil},
		{"same name twice in a container",
			"spec: {containers: [{ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]}]}",
			[]string{"spec.containers[0].ports[1].name: Duplicate value"}},
		{"no container port", "spec: {containers: [{ports: [{name: a}]}]}",
			[]string{"spec.containers[0].ports[0].containerPort: Required value"}},
		{"container port 65536", "spec: {initContainers: [{ports: [{containerPort: 65536}]}]}",
			[]string{"spec.initContainers[0].ports[0].containerPort: Invalid value"}},
		{"port name too long", "spec: {containers: [{ports: [{name: abcdefghijklmnop, containerPort: 1}]}]}",
			[]string{"spec.containers[0].ports[0].name: Invalid value"}},
		{"protocol in lower case", "spec: {containers: [{ports: [{protocol: tcp, containerPort: 1}]}]}",
			[]string{"spec.containers[0].ports[0].protocol: Unsupported value"}},
		{"another host port on the host network",
			"spec: {hostNetwork: true, containers: [{ports: [{containerPort: 1, hostPort: 2}]}]}",
			[]string{"spec.containers[0].ports[0].hostPort: Invalid value"}},
		{"an invalid label", "metadata: {labels: {app: 'a b'}}", []string{"metadata.labels: Invalid value"}},
		{"an invalid node name", "spec: {nodeName: N_1}", []string{"spec.nodeName: Invalid value"}},
		{"a sidecar's policy misspelt", "spec: {initContainers: [{restartPolicy: always}]}",
			[]string{"spec.initContainers[0].restartPolicy: Unsupported value"}},
		{"a phase misspelt", "status: {phase: succeeded}", []string{"status.phase: Unsupported value"}},
		{"not an address", "status: {podIP: 10.0.0}", []string{"status.podIP: Invalid value"}},
		{"leading zeros", "status: {podIP: 10.0.0.01}", []string{"status.podIP: Invalid value"}},
		{"IPv4-mapped", "status: {podIPs: [{ip: '::ffff:10.0.0.1'}]}", []string{"status.podIPs[0].ip: Invalid value"}},
		{"two addresses of one family", "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}",
			[]string{"status.podIPs: Invalid value"}},
		{"podIP is not the first of podIPs", "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.2}]}",
			[]string{"status.podIP: Invalid value"}},
		{"an invalid host address", "status: {hostIP: n1}", []string{"status.hostIP: Invalid value"}},
	})
}

func TestNamespaceAndNode(t *testing.T) {
	run(t, "metadata: {name: a}", validation.Options{}, validation.Namespace, []testCase{
		{"valid-any-name-label", "metadata: {labels: {kubernetes.io/metadata.name: other}}", nil},
		{"a name with a dot", "metadata: {name: a.b}", []string{"metadata.name: Invalid value"}},
		{"in a namespace", "metadata: {namespace: b}", []string{"metadata.namespace: Forbidden"}},
	})
	run(t, "metadata: {name: a}", validation.Options{}, validation.Node, []testCase{
		{"valid-addresses", `{status: {addresses: [{type: InternalIP, address: 10.0.0.1}, {type: Hostname, address: a}]},
			spec: {podCIDRs: [10.1.0.0/24, 'fd00::/64']}}`, nil},
		{"not an address", "status: {addresses: [{type: ExternalIP, address: a}]}",
			[]string{"status.addresses[0].address: Invalid value"}},
		{"two blocks of one family", "spec: {podCIDRs: [10.1.0.0/24, 10.2.0.0/24]}",
			[]string{"spec.podCIDRs: Invalid value"}},
	})
}

func TestService(t *testing.T) {
	run(t, meta, validation.Options{}, validation.Service, []testCase{
		{"valid-defaults", "spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}", nil},
		{"valid-headless-without-ports", "spec: {clusterIP: None}", nil},
		{"valid-external-name", "spec: {type: ExternalName, externalName: example.com}", nil},
		{"valid-one-number-of-two-protocols", `{spec: {ports: [{name: a, port: 53, protocol: TCP, targetPort: dns},
			{name: b, port: 53, protocol: UDP, targetPort: 5353}]}}`, nil},
		{"valid-target-that-defaults", "spec: {ports: [{port: 80, targetPort: ''}]}", nil},
		{"no ports", "spec: {}", []string{"spec.ports: Required value"}},
		{"port 0", "spec: {ports: [{port: 0}]}", []string{"spec.ports[0].port: Invalid value"}},
		{"several ports without names", "spec: {ports: [{port: 1}, {port: 2, name: b}]}",
			[]string{"spec.ports[0].name: Required value"}},
		{"one name twice", "spec: {ports: [{port: 1, name: b}, {port: 2, name: b}]}",
			[]string{"spec.ports[1].name: Duplicate value"}},
		{"one port twice", "spec: {ports: [{port: 1, name: a}, {port: 1, protocol: TCP, name: b}]}",
			[]string{"spec.ports[1]: Duplicate value"}},
		{"a target that is no port name", "spec: {ports: [{port: 1, targetPort: '80'}]}",
			[]string{"spec.ports[0].targetPort: Invalid value"}},
		{"an unknown protocol", "spec: {ports: [{port: 1, protocol: HTTP}]}",
			[]string{"spec.ports[0].protocol: Unsupported value"}},
		{"an unknown type", "spec: {type: Internal, ports: [{port: 1}]}", []string{"spec.type: Unsupported value"}},
		{"not an address", "spec: {clusterIP: none, ports: [{port: 1}]}", []string{"spec.clusterIP: Invalid value"}},
		{"clusterIP is not the first of clusterIPs",
			"spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2], ports: [{port: 1}]}",
			[]string{"spec.clusterIP: Invalid value"}},
		{"two ClusterIPs of one family", "spec: {clusterIPs: [10.0.0.1, 10.0.0.2], ports: [{port: 1}]}",
			[]string{"spec.clusterIPs: Invalid value"}},
		{"a headless load balancer", "spec: {type: LoadBalancer, clusterIP: None, ports: [{port: 1}]}",
			[]string{"spec.clusterIP: Invalid value"}},
		{"an external name with a ClusterIP", "spec: {type: ExternalName, clusterIP: 10.0.0.1}",
			[]string{"spec.clusterIPs: Forbidden"}},
		{"an invalid selector", "spec: {ports: [{port: 1}], selector: {app: 'a b'}}",
			[]string{"spec.selector: Invalid value"}},
	})
}

func TestEndpointSlice(t *testing.T) {
	base := meta + "addressType: IPv4"
	run(t, base, validation.Options{}, validation.EndpointSlice, []testCase{
		{"valid-slice", "{ports: [{port: 80}], endpoints: [{addresses: [10.0.0.1]}]}", nil},
		{"valid-name", "{addressType: FQDN, endpoints: [{addresses: [a.example.com]}]}", nil},
		{"no address type", "addressType: ''", []string{"addressType: Required value"}},
		{"an unknown address type", "addressType: ipv4", []string{"addressType: Unsupported value"}},
		{"no address", "endpoints: [{addresses: []}]", []string{"endpoints[0].addresses: Required value"}},
		{"of the other family", "endpoints: [{addresses: ['fd00::1']}]",
			[]string{"endpoints[0].addresses[0]: Invalid value"}},
		{"not an address", "endpoints: [{addresses: [a]}]", []string{"endpoints[0].addresses[0]: Invalid value"}},
		{"not in canonical form", "{addressType: IPv6, endpoints: [{addresses: ['FD00::1']}]}",
			[]string{"endpoints[0].addresses[0]: Invalid value"}},
		{"loopback", "endpoints: [{addresses: [10.0.0.1, 127.0.0.1]}]", []string{"endpoints[0].addresses[1]: Invalid value"}},
		{"link-local", "endpoints: [{addresses: [169.254.0.1]}]", []string{"endpoints[0].addresses[0]: Invalid value"}},
		{"unspecified", "endpoints: [{addresses: [0.0.0.0]}]", []string{"endpoints[0].addresses[0]: Invalid value"}},
		{"two ports without names", "ports: [{port: 1}, {port: 2}]", []string{"ports[1].name: Duplicate value"}},
		{"port 0", "ports: [{port: 0}]", []string{"ports[0].port: Invalid value"}},
		{"an unknown protocol", "ports: [{protocol: tcp}]", []string{"ports[0].protocol: Unsupported value"}},
	})
}

func TestErrorsOfOneMapAreInOrder(t *testing.T) {
	labels := map[string]string{}
	for i := range 20 {
		labels[fmt.Sprintf("key-%d", i)] = fmt.Sprintf("not a value %d", i)
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "a", Labels: labels}}
	want := validation.Pod(p, validation.Options{}).ToAggregate().Error()
	for range 20 {
		if got := validation.Pod(p, validation.Options{}).ToAggregate().Error(); got != want {
			t.Fatalf("another order:\n%s\n%s", want, got)
		}
	}
}

func TestObjectsNamesEachOffender(t *testing.T) {
	name := metav1.ObjectMeta{Namespace: "a", Name: "b"}
	unnamed := metav1.ObjectMeta{Namespace: "a"}
	c := &model.Cluster{
		Namespaces:     []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "N"}}},
		Nodes:          []*corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n/1"}}},
		Pods:           []*corev1.Pod{{ObjectMeta: name}, {ObjectMeta: unnamed}},
		Services:       []*corev1.Service{{ObjectMeta: name}},
		EndpointSlices: []*discoveryv1.EndpointSlice{{ObjectMeta: name}},
		Policies:       []*networkingv1.NetworkPolicy{{ObjectMeta: name}, {ObjectMeta: unnamed}},
	}
	var got []string
	for _, err := range validation.Objects(c, validation.Options{}) {
		subject, _, _ := strings.Cut(err.Error(), ":")
		got = append(got, subject+" "+err.Err.Field)
	}
	want := []string{
		"Namespace N metadata.name", "Node n/1 metadata.name", "Pod a/ metadata.name", "Service a/b spec.ports",
		"EndpointSlice a/b addressType", "NetworkPolicy a/ metadata.name",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

package kind

import (
	"net/netip"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestConfigNamesWhatKindNeeds(t *testing.T) {
	loopback, veth := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.18.99.2")
	tests := []struct {
		name    string
		options Options
		host    host
		want    string
	}{
		{
			name: "two workers on control groups of version 2", options: Options{}, host: host{apiServer: loopback},
			want: `
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {ipFamily: ipv4, disableDefaultCNI: true, kubeProxyMode: nftables, apiServerAddress: 127.0.0.1}
kubeadmConfigPatches:
- "kind: InitConfiguration\ntimeouts:\n  controlPlaneComponentHealthCheck: 10m\n  kubeletHealthCheck: 10m\n\
  \  kubernetesAPICall: 10m\n  tlsBootstrap: 10m\n"
- "kind: JoinConfiguration\ntimeouts:\n  controlPlaneComponentHealthCheck: 10m\n  kubeletHealthCheck: 10m\n\
  \  kubernetesAPICall: 10m\n  tlsBootstrap: 10m\n"
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
`,
		},
		{
			name:    "version 1, and no lower OOM scores",
			options: Options{Workers: 1, IPFamily: Dual},
			host:    host{apiServer: veth, cgroupV1: true, keepOOMScores: true},
			want: `
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {ipFamily: dual, disableDefaultCNI: true, kubeProxyMode: nftables, apiServerAddress: 198.18.99.2}
kubeadmConfigPatches:
- "kind: InitConfiguration\ntimeouts:\n  controlPlaneComponentHealthCheck: 10m\n  kubeletHealthCheck: 10m\n\
  \  kubernetesAPICall: 10m\n  tlsBootstrap: 10m\n"
- "kind: JoinConfiguration\ntimeouts:\n  controlPlaneComponentHealthCheck: 10m\n  kubeletHealthCheck: 10m\n\
  \  kubernetesAPICall: 10m\n  tlsBootstrap: 10m\n"
- "kind: KubeletConfiguration\nfailCgroupV1: false\n"
containerdConfigPatches: ["[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n"]
nodes: [{role: control-plane}, {role: worker}]
`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.options.withDefaults().config(test.host)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := canonical(t, got), canonical(t, []byte(test.want)); a != b {
				t.Errorf("got  %s\nwant %s", a, b)
			}
		})
	}
}

// canonical is YAML as JSON, whose keys are sorted.
func canonical(t *testing.T, document []byte) string {
	t.Helper()
	data, err := yaml.YAMLToJSON(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestOptionsThatMakeNoCluster(t *testing.T) {
	for name, o := range map[string]Options{
		"no pod could run":               {Workers: -1},
		"unknown family":                 {IPFamily: "ipv5"},
		"name of no host":                {Name: "a_b"},
		"name that leaves the folder":    {Name: "../x"},
		"name that ends in a hyphen":     {Name: "a-"},
		"name too long for host names":   {Name: "a123456789b123456789c123456789d123456789e"},
		"name that looks like an option": {Name: "--all"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := o.withDefaults().validate(); err == nil {
				t.Errorf("%+v is accepted", o)
			}
		})
	}
	for name, o := range map[string]Options{
		"all defaults": {}, "one worker": {Workers: 1}, "both families": {IPFamily: Dual}, "short name": {Name: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := o.withDefaults().validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

package kind

import (
	"fmt"
	"net/netip"

	"sigs.k8s.io/yaml"
)

// The part of kind's configuration (kind.x-k8s.io/v1alpha4) that is used here.
type (
	configuration struct {
		Kind              string     `json:"kind"`
		APIVersion        string     `json:"apiVersion"`
		Networking        networking `json:"networking"`
		KubeadmPatches    []string   `json:"kubeadmConfigPatches,omitempty"`
		ContainerdPatches []string   `json:"containerdConfigPatches,omitempty"`
		Nodes             []role     `json:"nodes"`
	}
	networking struct {
		IPFamily          IPFamily   `json:"ipFamily"`
		DisableDefaultCNI bool       `json:"disableDefaultCNI"`
		KubeProxyMode     string     `json:"kubeProxyMode"`
		APIServerAddress  netip.Addr `json:"apiServerAddress"`
	}
	role struct {
		Role string `json:"role"`
	}
)

// host is what a cluster has to know of the machine it runs on.
type host struct {
	cgroupV1 bool
	// keepOOMScores says that no process can be given a lower OOM score, so the runtime must not try.
	keepOOMScores bool
	// apiServer is the address at which the daemon publishes the API server.
	apiServer netip.Addr
}

const (
	// kubeletOnV1 lets the kubelet run with control groups of version 1, which it otherwise refuses.
	kubeletOnV1 = "kind: KubeletConfiguration\nfailCgroupV1: false\n"
	// patience is for machines that are busy: kubeadm would give up after a minute, or four.
	patience = `
timeouts:
  controlPlaneComponentHealthCheck: 10m
  kubeletHealthCheck: 10m
  kubernetesAPICall: 10m
  tlsBootstrap: 10m
`
	// restrictOOMScores keeps containerd from lowering OOM scores.
	restrictOOMScores = "[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n"
)

// config is kind's configuration for a cluster.
func (o Options) config(h host) ([]byte, error) {
	config := configuration{
		Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4",
		Networking: networking{
			IPFamily: o.IPFamily, DisableDefaultCNI: true, KubeProxyMode: "nftables", APIServerAddress: h.apiServer,
		},
		KubeadmPatches: []string{"kind: InitConfiguration" + patience, "kind: JoinConfiguration" + patience},
		Nodes:          []role{{"control-plane"}},
	}
	for range o.Workers {
		config.Nodes = append(config.Nodes, role{"worker"})
	}
	if h.cgroupV1 {
		config.KubeadmPatches = append(config.KubeadmPatches, kubeletOnV1)
	}
	if h.keepOOMScores {
		config.ContainerdPatches = append(config.ContainerdPatches, restrictOOMScores)
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("kind configuration: %w", err)
	}
	return data, nil
}

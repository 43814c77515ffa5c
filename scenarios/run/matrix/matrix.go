// Package matrix turns a cluster into its connectivity matrix: who may open a connection to whom, one probe at a time.
//
// It asks whatever judges, the reference model or any other engine, and passes the answers on as they are, so that
// the matrices of two judges differ exactly where the judges differ.
package matrix

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Judge answers one query; every engine.Engine is one.
type Judge interface {
	Verdict(q model.Query) (flow.Verdict, error)
}

// Matrix is the answer to one probe: Rows[i][j] is the cell (flow.Verdict.Cell) from From[i] to To[j].
type Matrix struct {
	Probe    flow.PortProto
	From, To []string // "namespace/pod", sorted by namespace, then name
	Rows     []string
}

// Square reports whether rows and columns are the same pods.
func (m *Matrix) Square() bool { return slices.Equal(m.From, m.To) }

// Axes are the pods that a matrix is about, each list in the order of Pods.
type Axes struct{ From, To []*corev1.Pod }

// All are the axes of the matrix of all pods.
func All(c *model.Cluster) Axes {
	pods := Pods(c)
	return Axes{From: pods, To: pods}
}

// Pods returns the pods of c in the order of a matrix: by namespace, then by name.
func Pods(c *model.Cluster) []*corev1.Pod {
	pods := slices.Clone(c.Pods)
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// Key returns "namespace/name", which is how matrices, probes and reports name a pod.
func Key(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

// Keys returns the Key of every pod, in the same order.
func Keys(pods []*corev1.Pod) []string {
	keys := make([]string, len(pods))
	for i, p := range pods {
		keys[i] = Key(p)
	}
	return keys
}

// DefaultProbes returns every protocol and port that a container of c declares, sorted by protocol, then port, or
// TCP/80 where none does.
func DefaultProbes(c *model.Cluster) []flow.PortProto {
	var probes []flow.PortProto
	for _, p := range c.Pods {
		for _, containers := range [][]corev1.Container{p.Spec.Containers, sidecars(p)} {
			probes = append(probes, declaredPorts(containers)...)
		}
	}
	if len(probes) == 0 {
		return []flow.PortProto{{Protocol: flow.TCP, Port: 80}}
	}
	slices.SortFunc(probes, ComparePorts)
	return slices.Compact(probes)
}

// ComparePorts orders probes by protocol number (TCP, UDP, SCTP), then port.
func ComparePorts(a, b flow.PortProto) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
}

// sidecars returns the init containers that run as long as the pod does.
func sidecars(p *corev1.Pod) []corev1.Container {
	var long []corev1.Container
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			long = append(long, c)
		}
	}
	return long
}

func declaredPorts(containers []corev1.Container) []flow.PortProto {
	var ports []flow.PortProto
	for _, c := range containers {
		for _, port := range c.Ports {
			proto, err := flow.ParseProtocol(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
			if err == nil && port.ContainerPort > 0 && port.ContainerPort <= 65535 {
				ports = append(ports, flow.PortProto{Protocol: proto, Port: uint16(port.ContainerPort)})
			}
		}
	}
	return ports
}

// Compute asks every judge in parallel, each for its share of the sources, for the verdict of every source on every
// destination and probe. A judge is used by one goroutine only; all must agree. A zero family leaves the choice to the
// judge. The cell of a pod to itself is allowed: a pod cannot block access to itself.
//
// Pods without a network (completed, or without an address yet) keep their row and column, which are undefined.
func Compute(ctx context.Context, axes Axes, probes []flow.PortProto, family flow.Family,
	judges ...Judge,
) ([]Matrix, error) {
	from, to := Keys(axes.From), Keys(axes.To)
	matrices := make([]Matrix, len(probes))
	for i, probe := range probes {
		matrices[i] = Matrix{Probe: probe, From: from, To: to, Rows: make([]string, len(from))}
	}
	err := share(ctx, len(probes)*len(from), len(judges), func(judge, n int) error {
		m, i := &matrices[n/len(from)], n%len(from)
		row, err := computeRow(judges[judge], axes.From[i], axes.To, m.Probe, family)
		m.Rows[i] = row
		return err
	})
	return matrices, err
}

func computeRow(
	j Judge, from *corev1.Pod, to []*corev1.Pod, probe flow.PortProto, family flow.Family,
) (string, error) {
	row := make([]byte, len(to))
	for i, pod := range to {
		v, err := verdict(j, from, pod, probe, family)
		if err != nil {
			return "", fmt.Errorf("judge %s from %s to %s: %w", probe, Key(from), Key(pod), err)
		}
		row[i] = v.Cell()
	}
	return string(row), nil
}

func verdict(j Judge, from, to *corev1.Pod, probe flow.PortProto, family flow.Family) (flow.Verdict, error) {
	if !HasNetwork(from) || !HasNetwork(to) {
		return flow.Undefined, nil
	}
	if from == to {
		return flow.Allow, nil
	}
	return j.Verdict(model.Query{
		From: model.Endpoint{Pod: from}, To: model.Endpoint{Pod: to}, PortProto: probe, Family: family,
	})
}

// HasNetwork reports whether p can send and receive: it has an address and has not ended. A pod that succeeded or
// failed keeps status.podIP, but the address may belong to another pod by now.
func HasNetwork(p *corev1.Pod) bool {
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	return !ended && (p.Status.PodIP != "" || len(p.Status.PodIPs) > 0)
}

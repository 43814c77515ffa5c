package spec

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model/flow"
)

// pod schedules a pod, one node after the other, and makes it run.
func (a *assigner) pod(pod *corev1.Pod, nodes []*corev1.Node) string {
	withContainers(pod)
	if pod.Spec.NodeName == "" && len(nodes) > 0 {
		pod.Spec.NodeName = nodes[a.schedule(len(nodes))].Name
	}
	i := slices.IndexFunc(nodes, func(n *corev1.Node) bool { return n.Name == pod.Spec.NodeName })
	if i < 0 {
		return fmt.Sprintf("there is no node %q for it to run on", pod.Spec.NodeName)
	}
	if pod.Status.Phase == "" {
		pod.Status.Phase = corev1.PodRunning
	}
	setHostIPs(pod, nodes[i])
	if msg := a.setPodIPs(pod, nodes[i]); msg != "" {
		return msg
	}
	setReady(pod)
	return ""
}

// schedule returns which of n nodes the next pod without a node of its own runs on.
func (a *assigner) schedule(n int) int {
	next := a.scheduled
	a.scheduled++
	switch a.placement {
	case sameNode:
		return 0
	case crossNode:
		return min(next, 1, n-1)
	}
	return next % n
}

// withContainers gives a pod without containers one. The image is that of the API's documentation; backends that run
// containers run their own.
func withContainers(pod *corev1.Pod) {
	if len(pod.Spec.Containers) == 0 {
		pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "registry.k8s.io/pause"}}
	}
}

func setHostIPs(pod *corev1.Pod, node *corev1.Node) {
	if pod.Status.HostIP == "" {
		pod.Status.HostIPs = nil
		for _, addr := range internalAddrs(node) {
			pod.Status.HostIPs = append(pod.Status.HostIPs, corev1.HostIP{IP: addr})
		}
		if len(pod.Status.HostIPs) > 0 {
			pod.Status.HostIP = pod.Status.HostIPs[0].IP
		}
	}
}

func internalAddrs(node *corev1.Node) []string {
	var addrs []string
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			addrs = append(addrs, a.Address)
		}
	}
	return addrs
}

// setPodIPs keeps stated addresses, gives a hostNetwork pod those of its node, leaves a pending pod without, and takes
// one address per family out of the node's range for any other pod.
func (a *assigner) setPodIPs(pod *corev1.Pod, node *corev1.Node) string {
	ips := podIPs(pod)
	switch {
	case len(ips) > 0 || pod.Status.Phase == corev1.PodPending:
	case pod.Spec.HostNetwork:
		ips = internalAddrs(node)
	default:
		for _, f := range a.families {
			addr, ok := a.takeFrom(node, f)
			if !ok {
				return fmt.Sprintf("node %s has no free %s address for it", node.Name, f)
			}
			ips = append(ips, addr.String())
		}
	}
	pod.Status.PodIPs = nil
	for _, ip := range ips {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(ips) > 0 {
		pod.Status.PodIP = ips[0]
	}
	return ""
}

func (a *assigner) takeFrom(node *corev1.Node, f flow.Family) (netip.Addr, bool) {
	for _, cidr := range node.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil && flow.FamilyOf(p.Addr()) == f {
			return a.take(p, 2)
		}
	}
	return netip.Addr{}, false
}

// podIPs returns all addresses of a pod. status.podIP repeats the first of status.podIPs where both are given.
func podIPs(pod *corev1.Pod) []string {
	var ips []string
	for _, ip := range pod.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	if len(ips) == 0 && pod.Status.PodIP != "" {
		ips = []string{pod.Status.PodIP}
	}
	return ips
}

// setReady makes a running pod ready and any other not, unless the scenario says something else.
func setReady(pod *corev1.Pod) {
	said := func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady }
	if slices.ContainsFunc(pod.Status.Conditions, said) {
		return
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if pod.Status.Phase == corev1.PodRunning {
		ready.Status = corev1.ConditionTrue
	}
	pod.Status.Conditions = append(pod.Status.Conditions, ready)
}

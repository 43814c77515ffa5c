package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
)

// life is what may be special about a pod.
type life int

const (
	running life = iota
	terminating
	onHostNetwork
	completed // keeps its addresses, which may be another pod's by now
	failed
	starting // pending, but it has its addresses
	pending  // without addresses
)

// lives has running more often than the rest.
var lives = []life{running, running, running, running, running, running, terminating, onHostNetwork, completed, failed,
	starting, pending}

// Pod draws pod number i, whose addresses end in i if it runs. (A drawn cluster has no number above 7.)
func (d *Drawing) Pod(i int) *corev1.Pod {
	name := fmt.Sprintf("p%d", i)
	node := rapid.SampledFrom(d.hosts).Draw(d.T, name+" node")
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID("uid-" + name), Labels: labelSet().Draw(d.T, name+" labels"),
			Namespace: rapid.SampledFrom(d.homes).Draw(d.T, name+" namespace"),
		},
		Spec:   corev1.PodSpec{NodeName: node.Name},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	d.drawContainers(p)
	for _, a := range node.Status.Addresses {
		p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a.Address})
	}
	p.Status.HostIP = p.Status.HostIPs[0].IP
	d.live(p, i)
	return p
}

// live gives the pod its phase and its addresses.
func (d *Drawing) live(p *corev1.Pod, i int) {
	switch rapid.SampledFrom(lives).Draw(d.T, p.Name+" life") {
	case terminating:
		p.DeletionTimestamp = &metav1.Time{}
	case onHostNetwork:
		p.Spec.HostNetwork = true
		for _, ip := range p.Status.HostIPs {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP(ip))
		}
	case completed:
		p.Status.Phase = corev1.PodSucceeded
		i = rapid.IntRange(0, 7).Draw(d.T, p.Name+" had the addresses of")
	case failed:
		p.Status.Phase = corev1.PodFailed
		i = rapid.IntRange(0, 7).Draw(d.T, p.Name+" had the addresses of")
	case starting:
		p.Status.Phase = corev1.PodPending
	case pending:
		p.Status = corev1.PodStatus{Phase: corev1.PodPending}
		return
	}
	if len(p.Status.PodIPs) == 0 {
		p.Status.PodIPs = d.addresses(p.Name, i)
	}
	p.Status.PodIP = p.Status.PodIPs[0].IP
}

func (d *Drawing) addresses(name string, i int) []corev1.PodIP {
	v4, v6 := corev1.PodIP{IP: fmt.Sprintf("10.1.0.%d", i)}, corev1.PodIP{IP: fmt.Sprintf("fd00:1::%x", i)}
	return rapid.SampledFrom([][]corev1.PodIP{{v4, v6}, {v4}, {v6}, {v6, v4}}).Draw(d.T, name+" addresses")
}

// drawContainers declares ports in ordinary containers, sidecars and plain init containers; a name is unique in its
// container only.
func (d *Drawing) drawContainers(p *corev1.Pod) {
	p.Spec.Containers = []corev1.Container{d.container(p.Name, "c")}
	if rapid.IntRange(0, 3).Draw(d.T, p.Name+" has another container") == 3 {
		p.Spec.Containers = append(p.Spec.Containers, d.container(p.Name, "d"))
	}
	switch rapid.IntRange(0, 7).Draw(d.T, p.Name+" has an init container") {
	case 6:
		p.Spec.InitContainers = []corev1.Container{d.container(p.Name, "init")}
	case 7:
		sidecar := d.container(p.Name, "sidecar")
		sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		p.Spec.InitContainers = []corev1.Container{sidecar}
	}
}

func (d *Drawing) container(pod, name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "none"}
	for _, portName := range portNames {
		if rapid.Bool().Draw(d.T, pod+"/"+name+" declares "+portName) {
			c.Ports = append(c.Ports, corev1.ContainerPort{
				Name:          portName,
				Protocol:      rapid.SampledFrom(protocols).Draw(d.T, "protocol"),
				ContainerPort: rapid.SampledFrom(ports).Draw(d.T, "port"),
			})
		}
	}
	return c
}

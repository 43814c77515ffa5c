package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// gate keeps a pod from being scheduled: it is Pending and has no address.
	gate = "palisade.dev/pending"
	// unready is a condition that nobody sets, of pods that run and are not ready.
	unready = "palisade.dev/never-ready"
	// starting is the init container of a pod that is Pending and has an address.
	starting = "palisade-starting"
	// grace is how long a pod is given to stop, in seconds. Probes do not stop by themselves.
	grace = 1
	// longGrace is that of a pod that is to be seen terminating.
	longGrace = 600
)

// podOf returns the pod that stands for one of the scenario: its labels, ports and place, and probes in all containers.
func (s *session) podOf(p *corev1.Pod) *corev1.Pod {
	namespace, name := s.names.namespace(p.Namespace), s.names.pod(p.Namespace, p.Name)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: p.Labels, Annotations: p.Annotations},
		Spec:       s.specOf(p, namespace+"/"+name),
	}
}

// specOf is the specification of a pod whose probes serve under a name: the real one, since the pod may be another one's in
// a later scenario.
func (s *session) specOf(p *corev1.Pod, name string) corev1.PodSpec {
	spec := corev1.PodSpec{
		HostNetwork: p.Spec.HostNetwork, Hostname: p.Spec.Hostname, Subdomain: p.Spec.Subdomain,
		Affinity:                      onNode(s.names.node[p.Spec.NodeName]),
		Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		RestartPolicy:                 corev1.RestartPolicyNever,
		TerminationGracePeriodSeconds: ptr.To[int64](grace),
		AutomountServiceAccountToken:  ptr.To(false),
		EnableServiceLinks:            ptr.To(false),
	}
	s.containers(p, &spec, name)
	switch {
	case isPending(p) && len(p.Status.PodIPs) == 0:
		spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: gate}}
	case isPending(p):
		spec.InitContainers = append(spec.InitContainers, probeContainer(starting, s.backend.opts.Image, name))
	}
	if p.Status.Phase == corev1.PodRunning && !isReady(p) {
		spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: unready}}
	}
	return spec
}

// onNode makes the scheduler choose a node.
func onNode(name string) *corev1.Affinity {
	term := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{
		Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
	}}}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{term},
		},
	}}
}

// containers gives every container of a pod a probe under its own name and with its own ports.
func (s *session) containers(p *corev1.Pod, spec *corev1.PodSpec, name string) {
	for _, c := range p.Spec.Containers {
		spec.Containers = append(spec.Containers, s.container(c, name))
	}
	for _, c := range p.Spec.InitContainers {
		one := s.container(c, name)
		if one.RestartPolicy = c.RestartPolicy; one.RestartPolicy == nil {
			one.Args = []string{"exit"}
		}
		spec.InitContainers = append(spec.InitContainers, one)
	}
}

func (s *session) container(c corev1.Container, name string) corev1.Container {
	one := probeContainer(c.Name, s.backend.opts.Image, name)
	one.Ports = slices.Clone(c.Ports)
	return one
}

// probeContainer serves under a name. Raw sockets show what arrives, and speak SCTP.
func probeContainer(container, image, name string) corev1.Container {
	return corev1.Container{
		Name: container, Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		Args: []string{"serve", "--stay", "--name", name},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser:                ptr.To[int64](0),
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities: &corev1.Capabilities{
				Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_RAW", "NET_BIND_SERVICE"},
			},
		},
	}
}

func isPending(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodPending }

// isReady reads the Ready condition.
func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// serving returns the container that serves requests: while init containers run the one that waits.
func serving(p *corev1.Pod) string {
	if isPending(p) {
		return starting
	}
	return p.Spec.Containers[0].Name
}

// hasArrived reports whether a real pod is where the scenario wants it.
func hasArrived(want, real *corev1.Pod) bool {
	switch want.Status.Phase {
	case corev1.PodPending:
		return len(want.Status.PodIPs) == 0 || len(real.Status.PodIPs) > 0 && isRunning(real.Status.InitContainerStatuses)
	case corev1.PodRunning:
		ready := isReady(real) == isReady(want) || want.DeletionTimestamp != nil
		return real.Status.Phase == corev1.PodRunning && len(real.Status.PodIPs) > 0 && ready
	}
	return real.Status.Phase == cmp.Or(want.Status.Phase, corev1.PodRunning)
}

func isRunning(all []corev1.ContainerStatus) bool {
	return slices.ContainsFunc(all, func(c corev1.ContainerStatus) bool {
		return c.Name == starting && c.State.Running != nil
	})
}

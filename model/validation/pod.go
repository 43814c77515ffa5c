package validation

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pod validates p, its status included.
func Pod(p *corev1.Pod, o Options) field.ErrorList {
	spec := field.NewPath("spec")
	errs := apivalidation.ValidateObjectMeta(&p.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, metadata())
	if p.Spec.NodeName != "" {
		errs = append(errs, invalid(spec.Child("nodeName"), p.Spec.NodeName,
			apivalidation.NameIsDNSSubdomain(p.Spec.NodeName, false))...)
	}
	errs = append(errs, containers(p.Spec.InitContainers, p.Spec.HostNetwork, spec.Child("initContainers"))...)
	errs = append(errs, containers(p.Spec.Containers, p.Spec.HostNetwork, spec.Child("containers"))...)
	return inOrder(append(errs, podStatus(&p.Status, o, field.NewPath("status"))...))
}

func podStatus(s *corev1.PodStatus, o Options, path *field.Path) field.ErrorList {
	phases := []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed,
		corev1.PodUnknown}
	var podIPs, hostIPs []string
	for _, ip := range s.PodIPs {
		podIPs = append(podIPs, ip.IP)
	}
	for _, ip := range s.HostIPs {
		hostIPs = append(hostIPs, ip.IP)
	}
	errs := optionalOneOf(s.Phase, phases, path.Child("phase"))
	errs = append(errs, statusIPs(s.PodIP, podIPs, o, path, "podIP")...)
	return append(errs, statusIPs(s.HostIP, hostIPs, o, path, "hostIP")...)
}

// statusIPs validates a field such as podIP together with its plural.
func statusIPs(single string, list []string, o Options, path *field.Path, name string) field.ErrorList {
	var errs field.ErrorList
	if single != "" {
		errs = address(single, o, path.Child(name))
	}
	plural := path.Child(name + "s")
	errs = append(errs, addresses(list, o, plural, func(i int) *field.Path { return plural.Index(i).Child("ip") })...)
	return append(errs, firstIs(single, list, path.Child(name), name+"s")...)
}

func containers(list []corev1.Container, hostNetwork bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, c := range list {
		errs = append(errs, containerPorts(c.Ports, hostNetwork, path.Index(i).Child("ports"))...)
		if c.RestartPolicy != nil {
			errs = append(errs, oneOf(*c.RestartPolicy, restartPolicies(), path.Index(i).Child("restartPolicy"))...)
		}
	}
	return errs
}

// containerPorts: names are unique within a container, but not within a pod.
func containerPorts(ports []corev1.ContainerPort, hostNetwork bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, p := range ports {
		at := path.Index(i)
		errs = append(errs, containerPort(p, hostNetwork, at)...)
		if p.Name == "" {
			continue
		}
		errs = append(errs, invalid(at.Child("name"), p.Name, validation.IsValidPortName(p.Name))...)
		if names.Has(p.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		names.Insert(p.Name)
	}
	return errs
}

func containerPort(p corev1.ContainerPort, hostNetwork bool, path *field.Path) field.ErrorList {
	errs := optionalOneOf(p.Protocol, protocols(), path.Child("protocol"))
	if p.ContainerPort == 0 {
		errs = append(errs, field.Required(path.Child("containerPort"), "must be between 1 and 65535, inclusive"))
	} else {
		errs = append(errs, portNumber(p.ContainerPort, path.Child("containerPort"))...)
	}
	if p.HostPort == 0 {
		return errs
	}
	errs = append(errs, portNumber(p.HostPort, path.Child("hostPort"))...)
	if hostNetwork && p.HostPort != p.ContainerPort {
		errs = append(errs, field.Invalid(path.Child("hostPort"), p.HostPort,
			"must match `containerPort` when `hostNetwork` is true"))
	}
	return errs
}

func restartPolicies() []corev1.ContainerRestartPolicy {
	return []corev1.ContainerRestartPolicy{corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever,
		corev1.ContainerRestartPolicyOnFailure}
}

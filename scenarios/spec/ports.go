package spec

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// portSet collects the ports worth observing.
type portSet map[flow.PortProto]bool

// ports returns what to observe in all stages: every port that a container, a policy, a Service, an expectation or the
// file itself names, so that a port that one step opens is seen closed before. Of a range it is the ends and, where a
// wrong comparison would show, their neighbours. Sorted by protocol, then number; TCP/80 where nothing names a port.
func (s *Scenario) ports(stages []Stage) ([]flow.PortProto, strict.Errors) {
	set := portSet{}
	for _, stage := range stages {
		set.addCluster(stage.Cluster)
		for _, e := range stage.Expect {
			if e.Service == "" {
				set[e.PortProto] = true
			}
		}
	}
	var errs strict.Errors
	for i := range s.Steps {
		errs = append(errs, set.addProbes(&s.Steps[i])...)
	}
	if len(set) == 0 {
		set[flow.PortProto{Protocol: flow.TCP, Port: 80}] = true
	}
	return sortedKeys(set, func(a, b flow.PortProto) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	}), errs
}

func (set portSet) addProbes(step *Step) strict.Errors {
	var errs strict.Errors
	for i, text := range step.Probes {
		p, err := flow.ParsePortProto(text)
		if err != nil {
			errs = append(errs, step.Node().At(fmt.Sprintf("probes[%d]", i)).Errorf("probes: %s", err))
			continue
		}
		set[p] = true
	}
	return errs
}

func (set portSet) addCluster(c *model.Cluster) {
	for _, pod := range c.Pods {
		for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			for _, p := range container.Ports {
				set.add(&p.Protocol, p.ContainerPort)
			}
		}
	}
	for _, svc := range c.Services {
		for _, p := range svc.Spec.Ports {
			if p.TargetPort.Type == intstr.Int {
				set.add(&p.Protocol, p.TargetPort.IntVal)
			}
		}
	}
	for _, policy := range c.Policies {
		set.addPolicy(policy)
	}
}

func (set portSet) addPolicy(policy *networkingv1.NetworkPolicy) {
	var ports []networkingv1.NetworkPolicyPort
	for _, rule := range policy.Spec.Ingress {
		ports = append(ports, rule.Ports...)
	}
	for _, rule := range policy.Spec.Egress {
		ports = append(ports, rule.Ports...)
	}
	for _, p := range ports {
		if p.Port == nil || p.Port.Type != intstr.Int {
			continue
		}
		set.add(p.Protocol, p.Port.IntVal)
		if p.EndPort != nil {
			set.add(p.Protocol, p.Port.IntVal-1)
			set.add(p.Protocol, *p.EndPort)
			set.add(p.Protocol, *p.EndPort+1)
		}
	}
}

// add leaves out what is no port: the neighbours of 1 and 65535.
func (set portSet) add(protocol *corev1.Protocol, port int32) {
	proto := flow.TCP
	if protocol != nil {
		var err error
		if proto, err = flow.ParseProtocol(string(*protocol)); err != nil {
			return
		}
	}
	if port >= 1 && port <= 65535 {
		set[flow.PortProto{Protocol: proto, Port: uint16(port)}] = true
	}
}

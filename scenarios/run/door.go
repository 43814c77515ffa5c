package run

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// door is a port of a node that leads on to pods: a node port of a Service, or a host port.
type door struct {
	port    uint16 // at the node
	leads   []room
	entry   *corev1.Node
	through bool // the node of entry puts its own address in place of the client's
}

// room is where a door may lead.
type room struct {
	pod  *corev1.Pod
	port uint16
}

// decide judges a connection through the door. Policies see it after the translation; whether they see the client's
// address or that of the node of entry, where it is replaced, is left open, and so is which of several rooms it takes.
func (d *door) decide(o Oracle, q model.Query) model.Decision {
	var all []model.Decision
	for _, r := range d.leads {
		q.To, q.Port = model.Endpoint{Pod: r.pod}, r.port
		one := o.Decide(q)
		all = append(all, one)
		if !d.through {
			continue
		}
		masked := q
		masked.From = model.Endpoint{Node: d.entry}
		all = append(all, o.Decide(masked))
		if r.pod.Spec.NodeName == d.entry.Name && one.Ingress.Reason != model.NotIsolated {
			all = append(all, model.Decision{Verdict: flow.Undefined}) // is it from the pod's own node, or not?
		}
	}
	if len(all) == 0 {
		return model.Decision{Verdict: flow.Undefined}
	}
	for _, one := range all[1:] {
		if one.Verdict != all[0].Verdict {
			return model.Decision{Verdict: flow.Undefined, From: all[0].From, To: all[0].To, Reason: model.BackendsDiffer}
		}
	}
	return all[0]
}

// through returns to as what e calls it through: the node port of a Service, a node's host port, or itself.
func (p *plan) through(to end, e spec.Expectation) (end, error) {
	if e.Node != "" {
		return p.nodePort(to, e)
	}
	if to.endpoint.Node == nil {
		return to, nil
	}
	for _, pod := range p.cluster.Pods {
		if pod.Spec.NodeName != to.endpoint.Node.Name || pod.Spec.HostNetwork || !matrix.HasNetwork(pod) {
			continue
		}
		if port := containerPort(pod, e.PortProto); port != 0 {
			to.name = fmt.Sprintf("%s at %s", matrix.Key(pod), to.name)
			to.listener = []string{matrix.Key(pod)}
			to.door = &door{port: e.Port, leads: []room{{pod, port}}}
		}
	}
	return to, nil
}

// containerPort returns the container port behind a host port, 0 if there is none.
func containerPort(pod *corev1.Pod, host flow.PortProto) uint16 {
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			protocol := string(cmp.Or(port.Protocol, corev1.ProtocolTCP))
			if port.HostPort == int32(host.Port) && protocol == host.Protocol.String() {
				return uint16(port.ContainerPort)
			}
		}
	}
	return 0
}

func (p *plan) nodePort(to end, e spec.Expectation) (end, error) {
	node, err := p.ends.find("node/" + e.Node)
	if err != nil {
		return end{}, err
	}
	for _, svc := range p.cluster.Services {
		if e.Service != svc.Namespace+"/"+svc.Name {
			continue
		}
		for _, port := range svc.Spec.Ports {
			if port.Port != int32(e.Port) || string(port.Protocol) != e.Protocol.String() {
				continue
			}
			to.name, to.addrs = fmt.Sprintf("%s at %s", to.name, node.name), node.addrs
			to.door = &door{port: uint16(port.NodePort), entry: node.endpoint.Node}
			to.door.through = svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal
			to.door.leads = p.rooms(svc, port.Name, e, !to.door.through)
			return to, nil
		}
	}
	return end{}, fmt.Errorf("service %s has no port %s", e.Service, e.PortProto)
}

// rooms returns the ready endpoints behind a port of a Service, only those on the node that e names if local is set.
func (p *plan) rooms(svc *corev1.Service, port string, e spec.Expectation, local bool) []room {
	var rooms []room
	for _, slice := range p.cluster.EndpointSlices {
		if slice.Namespace != svc.Namespace || slice.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		i := slices.IndexFunc(slice.Ports, func(sp discoveryv1.EndpointPort) bool {
			return sp.Name != nil && *sp.Name == port && sp.Port != nil && string(*sp.Protocol) == e.Protocol.String()
		})
		for _, endpoint := range slice.Endpoints {
			pod := p.podOf(endpoint)
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			if i < 0 || pod == nil || !ready || local && pod.Spec.NodeName != e.Node {
				continue
			}
			if r := (room{pod, uint16(*slice.Ports[i].Port)}); !slices.Contains(rooms, r) {
				rooms = append(rooms, r)
			}
		}
	}
	return rooms
}

func (p *plan) podOf(e discoveryv1.Endpoint) *corev1.Pod {
	for _, pod := range p.cluster.Pods {
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" && matrix.Key(pod) == e.TargetRef.Namespace+"/"+e.TargetRef.Name {
			return pod
		}
	}
	return nil
}

package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/sim/endpointslice"
)

// look reads the cluster back, and waits until Services lead to their pods.
func (s *session) look(ctx context.Context) error {
	return again(ctx, func() error {
		c, err := s.read(ctx)
		if err != nil {
			return err
		}
		if svc := astray(c); svc != "" {
			return fmt.Errorf("%w: Service %s does not lead to its pods", errNotYet, svc)
		}
		s.view = c
		return nil
	})
}

// read lists the session's objects under the scenario's names.
func (s *session) read(ctx context.Context) (*model.Cluster, error) {
	c := &model.Cluster{}
	for _, name := range sortedKeys(s.names.node) {
		c.Nodes = append(c.Nodes, s.node(s.realNode(name)))
	}
	for k := range s.have {
		if k.kind != kindNamespace {
			continue
		}
		if err := s.readNamespace(ctx, c, k.name); err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", k.name, err)
		}
	}
	// The maps above have no order, and results must have one.
	byName(c.Namespaces)
	byName(c.Pods)
	byName(c.Services)
	byName(c.EndpointSlices)
	byName(c.Policies)
	return c, nil
}

func byName[T metav1.Object](all []T) {
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}

func (s *session) readNamespace(ctx context.Context, c *model.Cluster, name string) error {
	core, all := s.backend.client.CoreV1(), metav1.ListOptions{}
	ns, err := core.Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	pods, err := core.Pods(name).List(ctx, all)
	if err != nil {
		return err
	}
	services, err := core.Services(name).List(ctx, all)
	if err != nil {
		return err
	}
	found, err := s.backend.client.DiscoveryV1().EndpointSlices(name).List(ctx, all)
	if err != nil {
		return err
	}
	policies, err := s.backend.client.NetworkingV1().NetworkPolicies(name).List(ctx, all)
	if err != nil {
		return err
	}
	c.Namespaces = append(c.Namespaces, s.namespace(ns))
	for i := range pods.Items {
		if s.spares[key{kindPod, name, pods.Items[i].Name}] == nil {
			c.Pods = append(c.Pods, s.pod(&pods.Items[i]))
		}
	}
	for i := range services.Items {
		services.Items[i].Namespace = s.names.namespaceOf(name)
		c.Services = append(c.Services, &services.Items[i])
	}
	for i := range found.Items {
		c.EndpointSlices = append(c.EndpointSlices, s.slice(&found.Items[i]))
	}
	for i := range policies.Items {
		c.Policies = append(c.Policies, policyIn(&policies.Items[i], s.names.namespaceOf))
	}
	return nil
}

func (s *session) node(n *corev1.Node) *corev1.Node {
	n = n.DeepCopy()
	n.Name = s.names.nodeOf(n.Name)
	return n
}

func (s *session) namespace(ns *corev1.Namespace) *corev1.Namespace {
	ns.Name = s.names.namespaceOf(ns.Name)
	if real, ok := ns.Labels[corev1.LabelMetadataName]; ok {
		ns.Labels[corev1.LabelMetadataName] = s.names.namespaceOf(real)
	}
	return ns
}

func (s *session) pod(p *corev1.Pod) *corev1.Pod {
	p.Name = s.names.podOf(p.Namespace, p.Name)
	p.Namespace = s.names.namespaceOf(p.Namespace)
	p.Spec.NodeName = s.names.nodeOf(p.Spec.NodeName)
	return p
}

func (s *session) slice(e *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	e.Namespace = s.names.namespaceOf(e.Namespace)
	for i := range e.Endpoints {
		endpoint := &e.Endpoints[i]
		if endpoint.NodeName != nil {
			endpoint.NodeName = ptr.To(s.names.nodeOf(*endpoint.NodeName))
		}
		if endpoint.TargetRef != nil {
			endpoint.TargetRef.Name = s.names.podOf(endpoint.TargetRef.Namespace, endpoint.TargetRef.Name)
			endpoint.TargetRef.Namespace = s.names.namespaceOf(endpoint.TargetRef.Namespace)
		}
	}
	return e
}

// astray returns a Service whose EndpointSlices are not yet what its pods come to, "" if there is none.
func astray(c *model.Cluster) string {
	want := endpoints(endpointslice.Build(c.Services, c.Pods, c.EndpointSlices))
	have := endpoints(c.EndpointSlices)
	for _, svc := range c.Services {
		name := svc.Namespace + "/" + svc.Name
		if len(svc.Spec.Selector) > 0 && !slices.Equal(want[name], have[name]) {
			return name
		}
	}
	return ""
}

// endpoints lists, by Service, what EndpointSlices lead to.
func endpoints(all []*discoveryv1.EndpointSlice) map[string][]string {
	found := map[string][]string{}
	for _, e := range all {
		name := e.Namespace + "/" + e.Labels[discoveryv1.LabelServiceName]
		for _, endpoint := range e.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			for _, port := range e.Ports {
				found[name] = append(found[name], fmt.Sprintf("%s %s/%d %v", endpoint.Addresses,
					ptr.Deref(port.Protocol, corev1.ProtocolTCP), ptr.Deref(port.Port, 0), ready))
			}
		}
	}
	for _, list := range found {
		slices.Sort(list)
	}
	return found
}

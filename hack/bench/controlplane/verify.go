package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// published is how much there is of one policy, over all its PolicyEndpoints.
type published struct{ pods, ingress, egress int }

// verify fails unless so many policies are published with as many pods and peers as the cluster has by its making.
func (r *scaleRun) verify(ctx context.Context, policies int) error {
	list, err := r.endpoints(ctx)
	if err != nil {
		return err
	}
	found := map[v1alpha1.PolicyReference]published{}
	for i := range list {
		spec := &list[i].Spec
		p := found[spec.PolicyRef]
		p.pods += len(spec.PodSelectorEndpoints)
		p.ingress += len(spec.Ingress)
		p.egress += len(spec.Egress)
		found[spec.PolicyRef] = p
	}
	if len(found) != policies {
		return fmt.Errorf("%d policies are published, want %d", len(found), policies)
	}
	want := published{r.size.replicas(), r.size.ingressPeers(), r.size.egressPeers()}
	for i := range policies {
		ref := v1alpha1.PolicyReference{Namespace: policyOf(i).Namespace, Name: policyOf(i).Name}
		if found[ref] != want {
			return fmt.Errorf("%v is published with %+v, want %+v", ref, found[ref], want)
		}
	}
	r.chunks = len(list)
	return nil
}

func (r *scaleRun) endpoints(ctx context.Context) ([]v1alpha1.PolicyEndpoint, error) {
	client, err := dynamic.NewForConfig(r.cluster.AdminConfig())
	if err != nil {
		return nil, err
	}
	all, err := client.Resource(v1alpha1.GroupVersionResource()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	list := make([]v1alpha1.PolicyEndpoint, len(all.Items))
	for i := range list {
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(all.Items[i].Object, &list[i])
		if err != nil {
			return nil, fmt.Errorf("read PolicyEndpoint %s: %w", all.Items[i].GetName(), err)
		}
	}
	return list, nil
}

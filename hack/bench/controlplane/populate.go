package main

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/hack/cluster"
)

// writers is the number of requests under way at once that fill the cluster.
const writers = 32

// each calls f for 0 to n-1, several at a time.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range n {
		group.Go(func() error { return f(ctx, i) })
	}
	return group.Wait()
}

// populate creates everything but PolicyEndpoints.
func (r *scaleRun) populate(ctx context.Context) error {
	for _, step := range []struct {
		n      int
		create func(ctx context.Context, i int) error
	}{
		{r.size.nodes, r.createNode}, {r.size.namespaces(), r.createNamespace},
		{r.size.pods, r.createPod}, {r.size.policies, r.createPolicy},
	} {
		if err := each(ctx, step.n, step.create); err != nil {
			return fmt.Errorf("fill the cluster: %w", err)
		}
	}
	return nil
}

func (r *scaleRun) createNode(ctx context.Context, i int) error {
	_, err := cluster.CreateNode(ctx, r.client, cluster.Node{Name: nodeName(i), Addresses: []netip.Addr{nodeAddr(i)}})
	return err
}

func (r *scaleRun) createNamespace(ctx context.Context, i int) error {
	_, err := r.client.CoreV1().Namespaces().Create(ctx, namespaceOf(i), metav1.CreateOptions{})
	return err
}

func (r *scaleRun) createPod(ctx context.Context, i int) error {
	_, err := cluster.CreatePod(ctx, r.client, r.replicas[i].pod(r.size))
	return err
}

func (r *scaleRun) createPolicy(ctx context.Context, i int) error {
	p := policyOf(i)
	_, err := r.client.NetworkingV1().NetworkPolicies(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
	return err
}

func (r *scaleRun) deletePolicy(ctx context.Context, i int) error {
	p := policyOf(i)
	return r.client.NetworkingV1().NetworkPolicies(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})
}

// eventsPerReplacement is what the controller sees of one: deletion, creation, and the status with the address.
const eventsPerReplacement = 3

// replace replaces n pods of the first team, one after another, as a rolling update does.
func (r *scaleRun) replace(ctx context.Context, n int) error {
	var team []int
	for i := range r.replicas {
		if r.replicas[i].app(r.size) < appsPerNamespace*teamSize {
			team = append(team, i)
		}
	}
	for k := range n {
		p := &r.replicas[team[k%len(team)]]
		if err := cluster.DeletePod(ctx, r.client, p.namespace(r.size), p.name(r.size)); err != nil {
			return err
		}
		p.generation++
		if _, err := cluster.CreatePod(ctx, r.client, p.pod(r.size)); err != nil {
			return err
		}
	}
	return nil
}

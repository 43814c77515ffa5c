package check

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Cluster is what is judged of a cluster.
type Cluster struct {
	Server      string // URL of the API server
	Version     string // of Kubernetes, "v1.36.3"
	Nodes       []corev1.Node
	Agents      []corev1.Pod
	DaemonSets  []appsv1.DaemonSet
	Deployments []appsv1.Deployment
	CRDs        []CRD
	Policies    []networkingv1.NetworkPolicy
	Endpoints   []v1alpha1.PolicyEndpoint
	Now         time.Time
	// Unseen has the error for each resource that the user may not list.
	Unseen map[schema.GroupResource]error
}

// CRD is what matters of a CustomResourceDefinition.
type CRD struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Group string `json:"group"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// agentSelector finds the pods of the agents, by the labels that the chart gives them.
const agentSelector = "app.kubernetes.io/name=palisade,app.kubernetes.io/component=agent"

// requestTimeout bounds each request.
const requestTimeout = 30 * time.Second

// The resources that are listed.
func nodes() schema.GroupVersionResource { return corev1.SchemeGroupVersion.WithResource("nodes") }
func pods() schema.GroupVersionResource  { return corev1.SchemeGroupVersion.WithResource("pods") }
func daemonSets() schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource("daemonsets")
}
func deployments() schema.GroupVersionResource {
	return appsv1.SchemeGroupVersion.WithResource("deployments")
}
func policies() schema.GroupVersionResource {
	return networkingv1.SchemeGroupVersion.WithResource("networkpolicies")
}
func crds() schema.GroupVersionResource {
	return schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions",
	}
}

// ReadCluster lists what is judged. Resources that the user may not list are noted; any other error ends it.
func ReadCluster(ctx context.Context, config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.Timeout, config.UserAgent = requestTimeout, "palisade"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	api, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c := &Cluster{Server: config.Host, Now: time.Now(), Unseen: map[schema.GroupResource]error{}}
	v, err := api.ServerVersion()
	if err != nil {
		return nil, c.explain(err)
	}
	c.Version = v.GitVersion
	if err := c.list(ctx, client); err != nil {
		return nil, c.explain(err)
	}
	return c, nil
}

func (c *Cluster) list(ctx context.Context, client dynamic.Interface) error {
	return errors.Join(
		list(ctx, client, c, nodes(), "", &c.Nodes),
		list(ctx, client, c, pods(), agentSelector, &c.Agents),
		list(ctx, client, c, daemonSets(), "", &c.DaemonSets),
		list(ctx, client, c, deployments(), "", &c.Deployments),
		list(ctx, client, c, crds(), "", &c.CRDs),
		list(ctx, client, c, policies(), "", &c.Policies),
		list(ctx, client, c, v1alpha1.GroupVersionResource(), "", &c.Endpoints),
	)
}

// list reads all objects of a resource in all namespaces. That there is no such resource means that there are none.
func list[T any](ctx context.Context, client dynamic.Interface, c *Cluster, r schema.GroupVersionResource,
	selector string, into *[]T,
) error {
	found, err := client.Resource(r).List(ctx, metav1.ListOptions{LabelSelector: selector})
	switch {
	case apierrors.IsForbidden(err):
		c.Unseen[r.GroupResource()] = err
		return nil
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("list %s: %w", r.GroupResource(), err)
	}
	for _, item := range found.Items {
		var object T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &object); err != nil {
			return fmt.Errorf("read %s %s/%s: %w", r.GroupResource(), item.GetNamespace(), item.GetName(), err)
		}
		*into = append(*into, object)
	}
	return nil
}

// explain makes one sentence of what went wrong.
func (c *Cluster) explain(err error) error {
	if unreachable, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the API server %s cannot be reached: %w", c.Server, unreachable.Err)
	}
	return fmt.Errorf("the API server %s: %w", c.Server, err)
}

// unseen returns a skipped check if one of the resources could not be listed.
func (c *Cluster) unseen(id string, resources ...schema.GroupVersionResource) (Check, bool) {
	for _, r := range resources {
		if _, ok := c.Unseen[r.GroupResource()]; ok {
			return check(id, Skipped, "the user of this context may not list %s", r.GroupResource()), true
		}
	}
	return Check{}, false
}

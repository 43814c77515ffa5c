// Package live reads from a running cluster what connectivity depends on: Namespaces, Nodes, Pods, Services,
// EndpointSlices and NetworkPolicies. It lists them and does nothing else, so the ClusterRole view suffices: what that
// does not show, Nodes, is learnt from their pods then.
//
// The lists are taken one after the other, so a cluster that changes meanwhile may be seen between two states.
package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/validation"
)

// Options say which cluster to read, as kubectl does: the zero Options take $KUBECONFIG or ~/.kube/config and its
// current context.
type Options struct {
	Kubeconfig string // path of a kubeconfig
	Context    string // name of a context in it
}

// requestTimeout bounds each request: a page of a list takes the server a second or two at most.
const requestTimeout = 30 * time.Second

// pageSize is how many objects a request asks for, which bounds the memory of both sides.
const pageSize = 500

// Reader reads one cluster.
type Reader struct {
	client kubernetes.Interface
	server string // URL of the API server, for messages
}

// Config reads the kubeconfig. Where there is none, inside a pod, it is the one of the pod's ServiceAccount.
func Config(o Options) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("there is no kubeconfig: give --kubeconfig PATH, or set $KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return config, nil
}

// Connect reads the kubeconfig; it does not talk to the cluster yet.
func Connect(o Options) (*Reader, error) {
	config, err := Config(o)
	if err != nil {
		return nil, err
	}
	return NewReader(config)
}

// NewReader reads the cluster that config leads to.
func NewReader(config *rest.Config) (*Reader, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	config.UserAgent = "palisade"
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &Reader{client: client, server: config.Host}, nil
}

// Cluster lists everything. Warnings name objects that the validation of package model does not understand, although
// this cluster's API server accepted them (what cannot be read of them allows nothing), and Nodes that may not be seen.
func (r *Reader) Cluster(ctx context.Context) (c *model.Cluster, warnings []string, err error) {
	c = &model.Cluster{}
	core := r.client.CoreV1()
	lists := []func() error{
		func() error { return list(ctx, "namespaces", core.Namespaces().List, &c.Namespaces) },
		func() error { return list(ctx, nodes, core.Nodes().List, &c.Nodes) },
		func() error { return list(ctx, "pods", core.Pods(allNamespaces).List, &c.Pods) },
		func() error { return list(ctx, "services", core.Services(allNamespaces).List, &c.Services) },
		func() error {
			return list(ctx, discoveryv1.Resource("endpointslices").String(),
				r.client.DiscoveryV1().EndpointSlices(allNamespaces).List, &c.EndpointSlices)
		},
		func() error {
			return list(ctx, networkingv1.Resource("networkpolicies").String(),
				r.client.NetworkingV1().NetworkPolicies(allNamespaces).List, &c.Policies)
		},
	}
	var forbidden []string
	for _, list := range lists {
		err := list()
		switch denied, ok := asForbidden(err); {
		case ok && denied.resource == nodes:
			warnings = append(warnings, "nodes may not be listed, so they are known only from their pods")
		case ok:
			forbidden = append(forbidden, denied.resource)
		case err != nil:
			return nil, nil, r.explain(err)
		}
	}
	if len(forbidden) > 0 {
		return nil, nil, r.forbidden(forbidden)
	}
	return c, append(warnings, validate(c)...), nil
}

const (
	allNamespaces = corev1.NamespaceAll
	nodes         = "nodes"
)

// list appends all objects of a resource to into, page by page.
func list[L runtime.Object, T any](ctx context.Context, resource string,
	page func(context.Context, metav1.ListOptions) (L, error), into *[]*T,
) error {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return page(ctx, o) })
	p.PageSize = pageSize
	err := p.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		*into = append(*into, any(o).(*T))
		return nil
	})
	if err != nil {
		return &listError{resource, err}
	}
	return nil
}

func validate(c *model.Cluster) []string {
	var warnings []string
	for _, err := range validation.Objects(c, validation.Options{LegacyIP: true}) {
		warnings = append(warnings, err.Error())
	}
	for _, err := range validation.Cluster(c) {
		warnings = append(warnings, err.Error())
	}
	return warnings
}

package kind

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// rollout bounds how long installed programs may take until they are ready.
const rollout = 4 * time.Minute

// installer applies manifests to a cluster.
type installer struct {
	client dynamic.Interface
	mapper meta.RESTMapper
	log    io.Writer
}

// install does what kubectl apply --server-side and kubectl rollout status do.
func install(ctx context.Context, config *rest.Config, manifests []byte, log io.Writer) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	i := installer{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(known)), log}
	objects, err := read(manifests)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "installing %d objects\n", len(objects))
	for _, o := range objects {
		if err := i.apply(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rollout)
	defer cancel()
	for _, o := range objects {
		if err := i.await(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// read reads a stream of YAML documents.
func read(manifests []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &o.Object); err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

func (i installer) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	mapping, err := i.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return i.client.Resource(mapping.Resource), nil
	}
	return i.client.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
}

func (i installer) apply(ctx context.Context, o *unstructured.Unstructured) error {
	client, err := i.resource(o)
	if err != nil {
		return err
	}
	_, err = client.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "palisade-scenarios", Force: true})
	return err
}

// await waits until the pods of a DaemonSet or Deployment are as the object says; others need no waiting.
func (i installer) await(ctx context.Context, o *unstructured.Unstructured) error {
	client, err := i.resource(o)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		missing, err := missing(now)
		if err != nil || missing == 0 {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%d pods are not ready: %w", missing, context.Cause(ctx))
		}
	}
}

// missing counts the pods of a DaemonSet or Deployment that are not updated and ready.
func missing(o *unstructured.Unstructured) (int32, error) {
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	switch o.GetKind() {
	case "DaemonSet":
		var d appsv1.DaemonSet
		err := convert(o.Object, &d)
		if d.Status.ObservedGeneration < d.Generation || d.Status.DesiredNumberScheduled == 0 {
			return 1, err
		}
		return d.Status.DesiredNumberScheduled - min(d.Status.NumberReady, d.Status.UpdatedNumberScheduled), err
	case "Deployment":
		var d appsv1.Deployment
		err := convert(o.Object, &d)
		if d.Status.ObservedGeneration < d.Generation || d.Spec.Replicas == nil {
			return 1, err
		}
		return *d.Spec.Replicas - min(d.Status.ReadyReplicas, d.Status.UpdatedReplicas), err
	}
	return 0, nil
}

// Package manifests writes manifests to a cluster as kubectl apply --server-side does.
package manifests

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

// pollInterval is how soon a kind that is not served yet is looked for again.
const pollInterval = 50 * time.Millisecond

// Read returns the objects of a stream of YAML documents in their order. A field that is given twice is an error.
func Read(stream []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, document)
		}
		if len(object.Object) > 0 { // else nothing but comments
			objects = append(objects, object)
		}
	}
}

// Writer writes objects of any kind to the API server of a cluster.
type Writer struct {
	client  dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	manager string
}

// New returns a writer. At the API server, manager owns the fields that it writes.
func New(config *rest.Config, manager string) (*Writer, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Writer{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(known)), manager}, nil
}

// Resource is the client for the kind and namespace of an object.
func (w *Writer) Resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := w.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	resource := w.client.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return resource, nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return resource.Namespace(namespace), nil
}

// Apply writes an object with server-side apply, unknown fields refused. It waits until the API server serves the kind
// that a CustomResourceDefinition defines. dryRun is that of metav1.PatchOptions.
func (w *Writer) Apply(ctx context.Context, object *unstructured.Unstructured, dryRun ...string) error {
	resource, err := w.Resource(object)
	if err != nil {
		return err
	}
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = resource.Patch(ctx, object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{
		FieldManager: w.manager, FieldValidation: metav1.FieldValidationStrict, Force: &force, DryRun: dryRun,
	})
	if err != nil || len(dryRun) > 0 || object.GetKind() != "CustomResourceDefinition" {
		return err
	}
	return awaitEstablished(ctx, resource, object.GetName())
}

// awaitEstablished waits until the API server serves the kind that a CustomResourceDefinition defines.
func awaitEstablished(ctx context.Context, crds dynamic.ResourceInterface, name string) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		crd, err := crds.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if isEstablished(crd) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("not established: %w", context.Cause(ctx))
		}
	}
}

func isEstablished(crd *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return err == nil && slices.ContainsFunc(conditions, func(condition any) bool {
		fields, ok := condition.(map[string]any)
		return ok && fields["type"] == "Established" && fields["status"] == "True"
	})
}

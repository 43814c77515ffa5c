package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/model"
)

// write makes dir hold the cluster as manifests, and what is wrong with it.
func write(dir string, c *model.Cluster, found error) error {
	text, err := manifests(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	about := fmt.Sprintf("%v\n\nLook at it with:\n  palisade matrix %s\n", found, filepath.Join(dir, "cluster.yaml"))
	if err := os.WriteFile(filepath.Join(dir, "difference.txt"), []byte(about), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cluster.yaml"), text, 0o644)
}

// manifests writes the objects of c as YAML documents.
func manifests(c *model.Cluster) ([]byte, error) {
	var documents [][]byte
	for _, o := range objects(c) {
		kinds, _, err := scheme.Scheme.ObjectKinds(o)
		if err != nil {
			return nil, err
		}
		text, err := document(o, kinds[0])
		if err != nil {
			return nil, err
		}
		documents = append(documents, text)
	}
	return bytes.Join(documents, []byte("---\n")), nil
}

func document(o runtime.Object, kind schema.GroupVersionKind) ([]byte, error) {
	typed := o.DeepCopyObject()
	typed.GetObjectKind().SetGroupVersionKind(kind)
	return yaml.Marshal(typed)
}

func objects(c *model.Cluster) []runtime.Object {
	var all []runtime.Object
	all = appendObjects(all, c.Namespaces)
	all = appendObjects(all, c.Nodes)
	all = appendObjects(all, c.Pods)
	all = appendObjects(all, c.Services)
	all = appendObjects(all, c.EndpointSlices)
	return appendObjects(all, c.Policies)
}

func appendObjects[T runtime.Object](all []runtime.Object, list []T) []runtime.Object {
	for _, o := range list {
		all = append(all, o)
	}
	return all
}

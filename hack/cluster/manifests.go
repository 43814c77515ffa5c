package cluster

import (
	"context"
	"fmt"
	"os"

	"github.com/palisade-netpol/palisade/hack/cluster/manifests"
)

// fieldManager owns, at the API server, the fields that Apply writes.
const fieldManager = "palisade-hack"

// Apply writes all objects of some YAML files with server-side apply, in order, and waits after each
// CustomResourceDefinition until the API server serves it.
func (c *Cluster) Apply(ctx context.Context, files ...string) error {
	if len(files) == 0 {
		return nil
	}
	w, err := manifests.New(c.AdminConfig(), fieldManager)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	for _, file := range files {
		if err := applyFile(ctx, w, file); err != nil {
			return fmt.Errorf("apply %s: %w", file, err)
		}
	}
	return nil
}

func applyFile(ctx context.Context, w *manifests.Writer, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	objects, err := manifests.Read(data)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := w.Apply(ctx, object); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

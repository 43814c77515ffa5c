package kind

import (
	"context"
	"fmt"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/hack/cluster/manifests"
)

// rollout bounds how long installed programs may take until they are ready.
const rollout = 10 * time.Minute

// install does what kubectl apply --server-side and kubectl rollout status do.
func install(ctx context.Context, config *rest.Config, text []byte, log io.Writer) error {
	w, err := manifests.New(config, "palisade-scenarios")
	if err != nil {
		return err
	}
	objects, err := manifests.Read(text)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "installing %d objects\n", len(objects))
	for _, o := range objects {
		if err := w.Apply(ctx, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, rollout)
	defer cancel()
	for _, o := range objects {
		if err := await(ctx, w, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// await waits until the pods of a DaemonSet or Deployment are as the object says; others need no waiting.
func await(ctx context.Context, w *manifests.Writer, o *unstructured.Unstructured) error {
	client, err := w.Resource(o)
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

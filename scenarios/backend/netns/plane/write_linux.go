package plane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/backend/retry"
)

const (
	// manager owns, at the API server, the fields that Write writes.
	manager = "palisade-scenarios"
	// parallel is how many objects of a kind are written at the same time.
	parallel = 8
	// settling bounds how long Write waits for what the API server does by itself, such as ending a namespace.
	settling = time.Minute
	// grace is for how long a pod that is being deleted stays, in seconds: until somebody deletes it at once.
	grace = 3600
)

// Write makes the API server hold exactly the objects of a cluster, as users, a scheduler and kubelets would write them.
// Namespaces that are not wanted any more are deleted too, unless keep is set: then they stay, empty.
func (p *Plane) Write(ctx context.Context, c *model.Cluster, keep bool) error {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	wanted, err := records(c)
	if err != nil {
		return err
	}
	if err := p.revive(); err != nil {
		return err
	}
	for _, k := range slices.Backward(kinds) {
		if keep && k.name == "Namespace" {
			continue
		}
		if err := p.each(k, p.written, func(r *record) error { return p.remove(ctx, k, r, wanted[r.key]) }); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if err := p.each(k, wanted, func(r *record) error { return p.put(ctx, k, r, p.written[r.key]) }); err != nil {
			return err
		}
	}
	if keep {
		for name, r := range p.written {
			if name.kind == "Namespace" && wanted[name] == nil {
				wanted[name] = r
			}
		}
	}
	p.written = wanted
	return nil
}

// each runs f for all records of a kind.
func (p *Plane) each(k kind, all map[key]*record, f func(*record) error) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	for name, r := range all {
		if name.kind != k.name {
			continue
		}
		group.Go(func() error {
			if err := f(r); err != nil {
				return fmt.Errorf("write %s: %w", r.key, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (p *Plane) client(k kind, name key) dynamic.ResourceInterface {
	if name.namespace == "" {
		return p.dynamic.Resource(k.resource)
	}
	return p.dynamic.Resource(k.resource).Namespace(name.namespace)
}

// builtInNamespaces cannot be deleted.
var builtInNamespaces = []string{"default", "kube-system", "kube-public", "kube-node-lease"}

// remove deletes an object that is not wanted, or not wanted as it is, and returns when it is gone.
func (p *Plane) remove(ctx context.Context, k kind, old, wanted *record) error {
	if wanted != nil && !wanted.replaces(old) {
		return nil
	}
	if k.name == "Namespace" && (wanted != nil || slices.Contains(builtInNamespaces, old.name)) {
		return nil
	}
	now := int64(0)
	client := p.client(k, old.key)
	err := client.Delete(ctx, old.name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return untilGone(ctx, client, old.name)
}

var errStillThere = errors.New("it is still there")

func untilGone(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	return again(ctx, func() error {
		_, err := client.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			return errStillThere
		}
		return err
	})
}

// put writes an object as far as it differs from what was written before.
func (p *Plane) put(ctx context.Context, k kind, r, old *record) error {
	if old != nil && k.name != "Namespace" && r.replaces(old) {
		old = nil
	}
	client := p.client(k, r.key)
	options := metav1.ApplyOptions{FieldManager: manager, Force: true}
	if old != nil {
		r.given = old.given
	}
	if old == nil || old.mainSum != r.mainSum {
		if err := again(ctx, func() error {
			made, err := client.Apply(ctx, r.name, &unstructured.Unstructured{Object: r.main}, options)
			if err == nil {
				r.given = made.GetUID()
			}
			return err
		}); err != nil {
			return err
		}
	}
	if r.status != nil && (old == nil || old.otherSum != r.otherSum) {
		if err := p.putStatus(ctx, client, r, old); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	if r.dying && (old == nil || !old.dying) {
		seconds := int64(grace)
		return client.Delete(ctx, r.name, metav1.DeleteOptions{GracePeriodSeconds: &seconds})
	}
	return nil
}

// putStatus replaces the status that was written before. Server-side apply cannot: to it a node has one address of a type.
func (p *Plane) putStatus(ctx context.Context, client dynamic.ResourceInterface, r, old *record) error {
	status := map[string]any{}
	if old != nil {
		for field := range old.status {
			status[field] = nil
		}
	}
	maps.Copy(status, r.status)
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, r.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager}, "status")
	return err
}

// retryInterval is how soon a write is tried again that the API server refused because of what it is still busy with.
const retryInterval = 20 * time.Millisecond

// again calls f until it succeeds, fails for good or ctx is done.
func again(ctx context.Context, f func() error) error {
	return retry.Until(ctx, retryInterval, passing, f)
}

// passing reports whether an error may go away by itself: a namespace or an object that is still ending, an address that
// is still being given back, an API server that is away.
func passing(err error) bool {
	if errors.Is(err, errStillThere) || apierrors.IsConflict(err) || apierrors.IsServerTimeout(err) {
		return true
	}
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	var status apierrors.APIStatus
	return !errors.As(err, &status) || status.Status().Reason == metav1.StatusReasonInvalid && allocated(status)
}

// allocated reports whether the API server says that an address is given to another Service.
func allocated(err apierrors.APIStatus) bool {
	details := err.Status().Details
	return details != nil && slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool {
		return strings.Contains(c.Message, "already allocated")
	})
}

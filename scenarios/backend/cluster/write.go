package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/scenarios/backend/retry"
)

// parallel is how many objects of a kind are written at the same time.
const parallel = 8

// remove deletes what is not wanted, or was another object of the same name, policies first, and returns when pods and
// namespaces are gone.
func (s *session) remove(ctx context.Context, wanted map[key]*record) error {
	gone := map[key]*record{}
	s.changed = time.Now()
	for k, old := range s.have {
		if now := wanted[k]; now == nil || now.replaces(old) {
			gone[k] = old
		}
	}
	for _, kind := range []string{kindPolicy, kindSlice, kindService, kindPod, kindNamespace} {
		if err := each(kind, gone, func(r *record) error { return s.delete(ctx, r) }); err != nil {
			return err
		}
	}
	for k, r := range gone {
		delete(s.have, k)
		s.forget(r)
		if k.kind == kindNamespace {
			s.dropSpares(k.name)
		}
	}
	return nil
}

// each runs f for all records of a kind.
func each(kind string, all map[key]*record, f func(*record) error) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	for k, r := range all {
		if k.kind == kind {
			group.Go(func() error {
				if err := f(r); err != nil {
					return fmt.Errorf("%s: %w", r.key, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

func (s *session) delete(ctx context.Context, r *record) error {
	client, options := s.backend.client, metav1.DeleteOptions{}
	switch r.kind {
	case kindNamespace:
		if err := ignoreGone(client.CoreV1().Namespaces().Delete(ctx, r.name, options)); err != nil {
			return err
		}
		return s.backend.untilNamespaceGone(ctx, r.name)
	case kindPod:
		return s.deletePod(ctx, r)
	case kindService:
		return ignoreGone(client.CoreV1().Services(r.namespace).Delete(ctx, r.name, options))
	case kindSlice:
		return ignoreGone(client.DiscoveryV1().EndpointSlices(r.namespace).Delete(ctx, r.name, options))
	}
	return ignoreGone(client.NetworkingV1().NetworkPolicies(r.namespace).Delete(ctx, r.name, options))
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// untilNamespaceGone waits for the end of a namespace that has been deleted.
func (b *Backend) untilNamespaceGone(ctx context.Context, name string) error {
	err := again(ctx, func() error {
		_, err := b.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		return stillThere(err)
	})
	if err != nil {
		return fmt.Errorf("end of namespace %s: %w", name, err)
	}
	return nil
}

// stillThere makes of the error of a Get whether an object is gone.
func stillThere(err error) error {
	if err == nil {
		return fmt.Errorf("%w: it is still there", errNotYet)
	}
	return ignoreGone(err)
}

// put creates or changes the objects of a kind that are not as they should be, as far as that is known already.
func (s *session) put(ctx context.Context, kind string, wanted map[key]*record) error {
	changed := maps.Clone(wanted)
	maps.DeleteFunc(changed, func(k key, r *record) bool {
		old := s.have[k]
		return r.later || k.kind != kind || old != nil && old.sum == r.sum
	})
	if len(changed) > 0 {
		s.changed = time.Now()
	}
	err := each(kind, changed, func(r *record) error {
		return again(ctx, func() error { return s.write(ctx, r, s.have[r.key]) })
	})
	if err != nil {
		return fmt.Errorf("write %w", err)
	}
	maps.Copy(s.have, changed)
	return nil
}

func (s *session) write(ctx context.Context, r, old *record) error {
	client := s.backend.client
	switch o := r.object.(type) {
	case *corev1.Namespace:
		return s.writeNamespace(ctx, o, old != nil)
	case *corev1.Pod:
		return s.writePod(ctx, o, old)
	case *corev1.Service:
		return s.writeService(ctx, o, old != nil)
	case *discoveryv1.EndpointSlice:
		return createOrUpdate(ctx, client.DiscoveryV1().EndpointSlices(r.namespace), o, old != nil)
	case *networkingv1.NetworkPolicy:
		return createOrUpdate(ctx, client.NetworkingV1().NetworkPolicies(r.namespace), o, old != nil)
	}
	return fmt.Errorf("cannot write a %s", r.kind)
}

// writer is a client of one kind of objects.
type writer[T any] interface {
	Create(context.Context, T, metav1.CreateOptions) (T, error)
	Update(context.Context, T, metav1.UpdateOptions) (T, error)
}

func createOrUpdate[T any](ctx context.Context, client writer[T], o T, exists bool) error {
	var err error
	if exists {
		_, err = client.Update(ctx, o, metav1.UpdateOptions{})
	} else {
		_, err = client.Create(ctx, o, metav1.CreateOptions{})
	}
	return err
}

// writeNamespace keeps what the API server put into the namespace.
func (s *session) writeNamespace(ctx context.Context, ns *corev1.Namespace, exists bool) error {
	client := s.backend.client.CoreV1().Namespaces()
	if !exists {
		return createOrUpdate(ctx, client, ns, false)
	}
	real, err := client.Get(ctx, ns.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	real.Labels = ns.Labels
	return createOrUpdate(ctx, client, real, true)
}

// writeService lets a Service that lives keep its addresses and node ports.
func (s *session) writeService(ctx context.Context, svc *corev1.Service, exists bool) error {
	client := s.backend.client.CoreV1().Services(svc.Namespace)
	if !exists {
		return createOrUpdate(ctx, client, svc, false)
	}
	real, err := client.Get(ctx, svc.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	next := real.DeepCopy()
	next.Labels, next.Spec = svc.Labels, *svc.Spec.DeepCopy()
	next.Spec.ClusterIP, next.Spec.ClusterIPs = real.Spec.ClusterIP, real.Spec.ClusterIPs
	for i := range next.Spec.Ports {
		for _, old := range real.Spec.Ports {
			if p := &next.Spec.Ports[i]; p.Name == old.Name && p.Protocol == old.Protocol {
				p.NodePort = old.NodePort
			}
		}
	}
	return createOrUpdate(ctx, client, next, true)
}

// retryInterval is how soon something is looked at again.
const retryInterval = 100 * time.Millisecond

// again calls f until it succeeds, fails for good or ctx is done.
func again(ctx context.Context, f func() error) error {
	return retry.Until(ctx, retryInterval, passing, f)
}

// errNotYet is what again waits for.
var errNotYet = errors.New("not yet")

// passing reports whether an error may go away by itself: a namespace that is still ending or has no service account
// yet, a conflict, an API server that is away.
func passing(err error) bool {
	var status apierrors.APIStatus
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.Is(err, errNotYet), !errors.As(err, &status):
		return true
	case apierrors.IsForbidden(err):
		return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) ||
			strings.Contains(err.Error(), "error looking up service account")
	}
	return apierrors.IsConflict(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

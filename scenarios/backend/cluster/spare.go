package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
)

// spare is a namespace whose scenario is over, with its pods. A node needs seconds to make a pod and to remove it, so a
// later scenario goes on with those that it would make just so: what is in a namespace besides, policies first, is
// removed, and names and labels are changed. Only pods that run as those do that were just made are kept.
type spare struct {
	namespace *record
	pods      map[string]*sparePod // by name
}

// sparePod is a pod as it was last written, and what is known of its probe.
type sparePod struct {
	*record
	made string // digest of what cannot be changed
	link *link  // nil where nobody has called it
	open []listening
}

// maxSpares is how many pods a namespace may have and still be kept.
const maxSpares = 16

// madeLike is a digest of what of a pod cannot be changed, whatever its namespace.
func madeLike(p *corev1.Pod) string {
	spec := p.Spec.DeepCopy()
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if at := slices.Index(list[i].Args, "--name"); at >= 0 {
				list[i].Args[at+1] = ""
			}
		}
	}
	return digest(spec)
}

// adopt takes over what is there already for the first namespaces of a scenario, as spare pods.
func (s *session) adopt(ctx context.Context, c *model.Cluster) error {
	for _, ns := range c.Namespaces {
		var made []string
		for _, p := range c.Pods {
			if p.Namespace == ns.Name {
				made = append(made, s.madeOf(p))
			}
		}
		kept, err := s.backend.takeSpare(ctx, made)
		if err != nil {
			return err
		}
		if kept == nil {
			continue
		}
		s.names.adopt(ns.Name, kept.namespace.name)
		kept.namespace.uid = ns.UID
		s.have[kept.namespace.key] = kept.namespace
		for _, one := range kept.pods {
			s.spares[one.key] = one
			s.names.reserve(one.namespace, one.name)
		}
	}
	return nil
}

// madeOf is the digest of what cannot be changed of the pod that stands for one of the scenario.
func (s *session) madeOf(p *corev1.Pod) string {
	return madeLike(&corev1.Pod{Spec: s.specOf(p, "")})
}

// meet lets new pods of the scenario be spare ones that are made like them, and takes from the other ones what they
// could be selected by.
func (s *session) meet(ctx context.Context, c *model.Cluster) error {
	for _, p := range c.Pods {
		if _, known := s.names.pods[ownerOf(p)]; known {
			continue
		}
		if one := s.spareFor(p); one != nil {
			s.take(one, p)
		}
	}
	for _, one := range s.spares {
		if err := s.unlabel(ctx, one); err != nil {
			return fmt.Errorf("pod %s of a former scenario: %w", one.key, err)
		}
	}
	return nil
}

// spareFor returns the spare pod that a pod of the scenario can be, that of its name if possible.
func (s *session) spareFor(p *corev1.Pod) (found *sparePod) {
	namespace, made := s.names.namespace(p.Namespace), s.madeOf(p)
	for k, one := range s.spares {
		if k.namespace != namespace || one.made != made {
			continue
		}
		if found == nil || one.name == p.Name || found.name != p.Name && one.name < found.name {
			found = one
		}
	}
	return found
}

// take makes a spare pod one of the scenario.
func (s *session) take(one *sparePod, p *corev1.Pod) {
	delete(s.spares, one.key)
	s.names.namePod(p.Namespace, p.Name, one.name)
	one.uid, one.pod = p.UID, p
	s.have[one.key] = one.record
	owner := ownerOf(p)
	if one.link != nil {
		s.links[owner] = one.link
	}
	for _, at := range one.open {
		s.open[listening{owner, at.protocol, at.at}] = true
	}
}

// unlabel keeps a pod that the scenario does not know from being selected by what it has.
func (s *session) unlabel(ctx context.Context, one *sparePod) error {
	if len(one.object.GetLabels())+len(one.object.GetAnnotations()) == 0 {
		return nil
	}
	bare := one.object.(*corev1.Pod).DeepCopy()
	bare.Labels, bare.Annotations = nil, nil
	if err := s.writePod(ctx, bare, one.record); err != nil {
		return err
	}
	one.record = newRecord(kindPod, one.uid, bare, one.pod)
	return nil
}

// dropSpares forgets the spare pods of a namespace that goes.
func (s *session) dropSpares(namespace string) {
	for k, one := range s.spares {
		if k.namespace == namespace {
			one.link.close()
			delete(s.spares, k)
		}
	}
}

// leaveSpares empties the namespaces that others may go on with, but for their ordinary pods, and takes them off the
// session's books.
func (s *session) leaveSpares(ctx context.Context) error {
	if s.backend.opts.Fresh || s.view == nil || s.hostPort {
		return nil
	}
	if err := s.hangUp(ctx); err != nil {
		return err
	}
	var errs []error
	for k := range s.have {
		if k.kind == kindNamespace {
			errs = append(errs, s.leaveSpare(ctx, k))
		}
	}
	return errors.Join(errs...)
}

// leaveSpare does so with one namespace. It stays the session's if nothing in it is worth being kept.
func (s *session) leaveSpare(ctx context.Context, namespace key) error {
	kept := &spare{namespace: s.have[namespace], pods: map[string]*sparePod{}}
	rest, ordinary, odd := map[key]*record{}, map[key]*record{}, map[key]*record{}
	for k, r := range s.have {
		switch {
		case k.namespace != namespace.name:
		case k.kind != kindPod:
			rest[k] = r
		case isOrdinary(r):
			ordinary[k] = r
		default:
			odd[k] = r
		}
	}
	for k, one := range s.spares {
		if k.namespace == namespace.name {
			kept.pods[one.name] = one
		}
	}
	if n := len(kept.pods) + len(ordinary); n == 0 || n > maxSpares {
		return nil
	}
	if err := s.empty(ctx, rest); err != nil {
		return err
	}
	for _, one := range kept.pods {
		delete(s.spares, one.key)
	}
	for _, r := range ordinary {
		kept.pods[r.name] = s.retire(r)
	}
	for k, r := range odd {
		s.forget(r)
		delete(s.have, k)
	}
	delete(s.have, namespace)
	if len(odd) == 0 {
		s.backend.keepSpare(kept)
		return nil
	}
	s.backend.cleaning.Go(func() error { return s.clean(kept, odd) })
	return nil
}

// clean offers a namespace to others once its odd pods are gone.
func (s *session) clean(kept *spare, odd map[key]*record) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := each(kindPod, odd, func(r *record) error { return s.deletePod(ctx, r) }); err != nil {
		return errors.Join(fmt.Errorf("clean namespace %s: %w", kept.namespace.name, err), s.backend.endSpare(ctx, kept))
	}
	s.backend.keepSpare(kept)
	return nil
}

// isOrdinary says whether a pod runs as one does that was just made.
func isOrdinary(r *record) bool {
	real := r.object.(*corev1.Pod)
	return r.pod.Status.Phase == corev1.PodRunning && isReady(r.pod) && r.pod.DeletionTimestamp == nil &&
		len(real.Spec.InitContainers) == 0 && len(real.Spec.ReadinessGates) == 0 && !real.Spec.HostNetwork
}

// empty deletes what is in a namespace besides pods.
func (s *session) empty(ctx context.Context, rest map[key]*record) error {
	for _, kind := range []string{kindPolicy, kindSlice, kindService} {
		if err := each(kind, rest, func(r *record) error { return s.delete(ctx, r) }); err != nil {
			return err
		}
	}
	for k := range rest {
		delete(s.have, k)
	}
	return nil
}

// retire takes a pod off the session's books, as a spare one.
func (s *session) retire(r *record) *sparePod {
	owner := ownerOf(r.pod)
	one := &sparePod{record: r, made: madeLike(r.object.(*corev1.Pod)), link: s.links[owner]}
	for at := range s.open {
		if at.owner == owner {
			one.open = append(one.open, at)
		}
	}
	delete(s.links, owner)
	delete(s.have, r.key)
	return one
}

// takeSpare returns the spare namespace that has most of the wanted pods, and fewest others; nil if there is none.
func (b *Backend) takeSpare(ctx context.Context, made []string) (*spare, error) {
	for {
		kept := b.bestSpare(made)
		if kept == nil {
			return nil, nil
		}
		whole, err := b.isWhole(ctx, kept)
		if err != nil {
			return nil, fmt.Errorf("look at namespace %s: %w", kept.namespace.name, err)
		}
		if whole {
			return kept, nil
		}
		if err := b.endSpare(ctx, kept); err != nil {
			return nil, err
		}
	}
}

// bestSpare takes a spare namespace away.
func (b *Backend) bestSpare(made []string) *spare {
	b.mu.Lock()
	defer b.mu.Unlock()
	best, most := -1, 0
	for i, kept := range b.spares {
		if worth := (maxSpares+1)*kept.suits(made) - len(kept.pods); best < 0 || worth > most {
			best, most = i, worth
		}
	}
	if best < 0 {
		return nil
	}
	kept := b.spares[best]
	b.spares = slices.Delete(b.spares, best, best+1)
	return kept
}

// suits counts the wanted pods that are there.
func (s *spare) suits(made []string) (n int) {
	there := map[string]int{}
	for _, one := range s.pods {
		there[one.made]++
	}
	for _, want := range made {
		if there[want] > 0 {
			there[want]--
			n++
		}
	}
	return n
}

// isWhole says whether all pods of a namespace are still there and run.
func (b *Backend) isWhole(ctx context.Context, kept *spare) (bool, error) {
	list, err := b.client.CoreV1().Pods(kept.namespace.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	running := 0
	for i := range list.Items {
		p := &list.Items[i]
		if one := kept.pods[p.Name]; one != nil && p.DeletionTimestamp == nil && hasArrived(one.pod, p) {
			running++
		}
	}
	return running == len(kept.pods) && running == len(list.Items), nil
}

func (b *Backend) keepSpare(kept *spare) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spares = append(b.spares, kept)
}

// endSpares deletes all that nobody will go on with.
func (b *Backend) endSpares(ctx context.Context) error {
	b.mu.Lock()
	spares := b.spares
	b.spares = nil
	b.mu.Unlock()
	var errs []error
	for _, kept := range spares {
		errs = append(errs, b.endSpare(ctx, kept))
	}
	return errors.Join(errs...)
}

func (b *Backend) endSpare(ctx context.Context, kept *spare) error {
	for _, one := range kept.pods {
		one.link.close()
	}
	return b.endNamespace(ctx, kept.namespace.name)
}

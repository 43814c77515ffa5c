package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
)

// spare is a namespace whose scenario is over, with its pods. A node needs seconds to make a pod and to remove it, so a
// later scenario goes on with those that it would make just so: what is in a namespace besides, policies first, is
// removed, and labels are changed. Only a pod whose whole life the scenario has seen as an ordinary one is kept.
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
	text, err := json.Marshal(spec)
	if err != nil {
		panic(err) // what came from an object of the API is JSON
	}
	return string(text)
}

// adopt takes over what is there already for the first namespaces of a scenario.
func (s *session) adopt(ctx context.Context, c *model.Cluster) error {
	for _, ns := range c.Namespaces {
		wanted := map[string]*corev1.Pod{}
		for _, p := range c.Pods {
			if p.Namespace == ns.Name {
				wanted[p.Name] = p
			}
		}
		made := map[string]string{}
		for name, p := range wanted {
			made[name] = madeLike(s.podOf(p))
		}
		if kept := s.backend.takeSpare(made); kept != nil {
			if err := s.moveIn(ctx, ns, wanted, kept); err != nil {
				return fmt.Errorf("go on in namespace %s: %w", kept.namespace.name, err)
			}
		}
	}
	return nil
}

// moveIn makes a namespace that is there the scenario's.
func (s *session) moveIn(ctx context.Context, ns *corev1.Namespace, wanted map[string]*corev1.Pod, kept *spare) error {
	s.names.adopt(ns.Name, kept.namespace.name)
	kept.namespace.uid = ns.UID
	s.have[kept.namespace.key] = kept.namespace
	var rest []*sparePod
	for name, one := range kept.pods {
		p := wanted[name]
		if p == nil {
			rest = append(rest, one)
			continue
		}
		s.take(one, p)
	}
	for _, one := range rest {
		if err := s.unlabel(ctx, one); err != nil {
			return err
		}
		s.spares[one.key] = one
	}
	return nil
}

// unlabel keeps a pod that the scenario does not know from being selected by what it has.
func (s *session) unlabel(ctx context.Context, one *sparePod) error {
	bare := one.object.(*corev1.Pod).DeepCopy()
	if len(bare.Labels)+len(bare.Annotations) == 0 {
		return nil
	}
	bare.Labels, bare.Annotations = nil, nil
	if err := s.writePod(ctx, bare, one.record); err != nil {
		return fmt.Errorf("pod %s: %w", one.name, err)
	}
	one.record = add(map[key]*record{}, kindPod, one.uid, bare, one.pod)
	return nil
}

// meet lets a new pod of the scenario be the spare one of its name, or removes that.
func (s *session) meet(ctx context.Context, wanted map[key]*record) error {
	for k, one := range s.spares {
		r := wanted[k]
		if r == nil {
			continue
		}
		delete(s.spares, k)
		if one.made == madeLike(r.object.(*corev1.Pod)) {
			s.take(one, r.pod)
			continue
		}
		if one.link != nil {
			one.link.close()
		}
		if err := s.deletePod(ctx, one.record); err != nil {
			return fmt.Errorf("remove %s of a former scenario: %w", k, err)
		}
	}
	return nil
}

// take makes a spare pod one of the scenario.
func (s *session) take(one *sparePod, p *corev1.Pod) {
	one.uid, one.pod = p.UID, p
	s.have[one.key] = one.record
	owner := p.Namespace + "/" + p.Name
	if one.link != nil {
		s.links[owner] = one.link
	}
	for _, at := range one.open {
		s.open[listening{owner, at.protocol, at.at}] = true
	}
}

// leaveSpares empties the namespaces that others may go on with, but for their pods, and takes them off the session's
// books.
func (s *session) leaveSpares(ctx context.Context) error {
	var errs []error
	for k, ns := range s.have {
		if k.kind != kindNamespace || !s.isSpare(k.name) {
			continue
		}
		kept := &spare{namespace: ns, pods: map[string]*sparePod{}}
		within := maps.Clone(s.have)
		maps.DeleteFunc(within, func(other key, _ *record) bool { return other.namespace != k.name })
		err := s.empty(ctx, within)
		errs = append(errs, err)
		if err != nil {
			continue
		}
		for _, r := range within {
			if r.kind == kindPod {
				kept.pods[r.name] = s.retire(r)
			}
			delete(s.have, r.key)
		}
		for other, one := range s.spares {
			if other.namespace == k.name {
				kept.pods[one.name] = one
				delete(s.spares, other)
			}
		}
		delete(s.have, k)
		s.backend.keepSpare(kept)
	}
	return errors.Join(errs...)
}

// isSpare says whether a namespace has nothing in it that others could not go on with.
func (s *session) isSpare(namespace string) bool {
	if s.backend.opts.Fresh || !s.intact || s.hostPort || len(s.lines) > 0 {
		return false
	}
	pods := 0
	for k, r := range s.have {
		if k.kind != kindPod || k.namespace != namespace {
			continue
		}
		if pods++; !isOrdinary(r) {
			return false
		}
	}
	for k := range s.spares {
		if k.namespace == namespace {
			pods++
		}
	}
	return pods <= maxSpares
}

// isOrdinary says whether a pod runs as one does that was just made.
func isOrdinary(r *record) bool {
	real := r.object.(*corev1.Pod)
	return r.pod.Status.Phase == corev1.PodRunning && isReady(r.pod) && r.pod.DeletionTimestamp == nil &&
		len(real.Spec.InitContainers) == 0 && len(real.Spec.ReadinessGates) == 0 && !real.Spec.HostNetwork
}

// empty deletes everything but pods.
func (s *session) empty(ctx context.Context, all map[key]*record) error {
	for _, kind := range []string{kindPolicy, kindSlice, kindService} {
		if err := each(kind, all, func(r *record) error { return s.delete(ctx, r) }); err != nil {
			return err
		}
	}
	return nil
}

// retire makes a pod of the scenario a spare one.
func (s *session) retire(r *record) *sparePod {
	owner := r.pod.Namespace + "/" + r.pod.Name
	one := &sparePod{record: r, made: madeLike(r.object.(*corev1.Pod)), link: s.links[owner]}
	delete(s.links, owner)
	for at := range s.open {
		if at.owner == owner {
			one.open = append(one.open, at)
		}
	}
	return one
}

// takeSpare returns the spare namespace in which most of the wanted pods are, by name, and no other one has such a name;
// nil if there is none.
func (b *Backend) takeSpare(made map[string]string) *spare {
	b.mu.Lock()
	defer b.mu.Unlock()
	best, most := -1, 0
	for i, kept := range b.spares {
		if n, ok := kept.suits(made); ok && (best < 0 || n > most) {
			best, most = i, n
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
func (s *spare) suits(made map[string]string) (n int, ok bool) {
	for name, want := range made {
		switch one := s.pods[name]; {
		case one == nil:
		case one.made != want:
			return 0, false
		default:
			n++
		}
	}
	return n, true
}

func (b *Backend) keepSpare(kept *spare) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spares = append(b.spares, kept)
}

// endSpares deletes all that nobody will go on with, and notes that it is on its way out.
func (b *Backend) endSpares(ctx context.Context) error {
	b.mu.Lock()
	spares := b.spares
	b.spares = nil
	b.mu.Unlock()
	var errs []error
	for _, kept := range spares {
		for _, one := range kept.pods {
			if one.link != nil {
				one.link.close()
			}
		}
		name := kept.namespace.name
		errs = append(errs, ignoreGone(b.client.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})))
		b.leave([]string{name})
	}
	return errors.Join(errs...)
}

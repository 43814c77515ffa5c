package publish

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/core"
	"github.com/palisade-netpol/palisade/controller/resolve"
)

// writeTimeout bounds one request.
const writeTimeout = 10 * time.Second

// write executes w and says what came of it.
func (r *runner) write(ctx context.Context, w core.Write) core.Wrote {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	object, err := r.request(ctx, w)
	r.metrics.writes.WithLabelValues(string(w.Verb), result(err)).Inc()
	switch {
	case err == nil:
		return core.Wrote{Write: w, Outcome: core.Done, Object: object}
	case apierrors.IsNotFound(err) && w.Verb != core.Create:
		return core.Wrote{Write: w, Outcome: core.Missing}
	case !quiet(err):
		r.log.Warn("write refused", "verb", w.Verb, "policy", w.Policy,
			"policyendpoint", w.Object.Name, "err", err)
	}
	return core.Wrote{Write: w, Outcome: core.Failed}
}

// request sends w to the API server.
func (r *runner) request(ctx context.Context, w core.Write) (*v1alpha1.PolicyEndpoint, error) {
	o, answer := w.Object, &v1alpha1.PolicyEndpoint{}
	var err error
	switch w.Verb {
	case core.Create:
		err = r.clients.chunks.Post().Namespace(o.Namespace).Resource(v1alpha1.Resource).Body(o).Do(ctx).Into(answer)
	case core.Update:
		err = r.clients.chunks.Put().Namespace(o.Namespace).Resource(v1alpha1.Resource).Name(o.Name).Body(o).
			Do(ctx).Into(answer)
	case core.Delete:
		only := &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}}
		return nil, r.clients.chunks.Delete().Namespace(o.Namespace).Resource(v1alpha1.Resource).Name(o.Name).Body(only).
			Do(ctx).Error()
	}
	answer.ManagedFields = nil
	return answer, err
}

// result is the label of a metric: the reason that the API server gives, "error" for other failures.
func result(err error) string {
	if err == nil {
		return "ok"
	}
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "error"
}

// reporter is who Events are said to come from.
const reporter = "palisade.dev/controller"

// tell records an Event, and reports whether there is one now. What the Event says decides its name, so that a restart
// or a second replica does not write it again.
func (r *runner) tell(ctx context.Context, t core.Tell) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	event := &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: t.Policy.Namespace, Name: eventName(t)},
		EventTime:           metav1.NowMicro(),
		ReportingController: reporter,
		ReportingInstance:   cut(r.options.Identity, 128),
		Action:              "Resolve",
		Reason:              t.Reason,
		Type:                corev1.EventTypeWarning,
		Note:                cut(t.Note, 1024),
		Regarding: corev1.ObjectReference{
			APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy",
			Namespace: t.Policy.Namespace, Name: t.Policy.Name, UID: t.UID,
		},
	}
	_, err := r.clients.kube.EventsV1().Events(t.Policy.Namespace).Create(ctx, event, metav1.CreateOptions{})
	r.metrics.events.WithLabelValues(t.Reason, result(err)).Inc()
	if err == nil || apierrors.IsAlreadyExists(err) {
		return true
	}
	if !quiet(err) {
		r.log.Warn("event refused", "policy", t.Policy, "reason", t.Reason, "err", err)
	}
	return false
}

// eventName is the policy's name, as far as there is room, and a hash of what is said.
func eventName(t core.Tell) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", t.UID, t.Reason, t.Note))
	return fmt.Sprintf("%s.%x", resolve.CutName(t.Policy.Name, 200), sum[:8])
}

// cut returns at most the first n bytes of s. What the API gives us is ASCII where it is cut.
func cut(s string, n int) string { return s[:min(n, len(s))] }

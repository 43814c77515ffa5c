package check

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// grace is how long a policy may be without PolicyEndpoints: the controller sees it a moment after we do.
const grace = 10 * time.Second

func endpoints() schema.GroupVersionResource { return v1alpha1.GroupVersionResource() }

// definition looks whether the API server serves PolicyEndpoints.
func (c *Cluster) definition() Check {
	const id = "crd"
	if skipped, ok := c.unseen(id, crds()); ok {
		return skipped
	}
	name := endpoints().GroupResource().String()
	for _, d := range c.CRDs {
		if d.Name != name {
			continue
		}
		for _, condition := range d.Status.Conditions {
			if condition.Type == "Established" && condition.Status == metav1.ConditionTrue {
				return check(id, OK, "the CustomResourceDefinition %s is established", name)
			}
		}
		return check(id, Failed, "the CustomResourceDefinition %s is not established", name).
			do("kubectl describe crd %s", name)
	}
	return check(id, Failed, "there is no CustomResourceDefinition %s", name).
		do("kubectl apply -f deploy/crds, or install the chart again")
}

// controller looks whether somebody publishes PolicyEndpoints, and somebody else would take over.
func (c *Cluster) controller() Check {
	const id = "controller"
	if skipped, ok := c.unseen(id, deployments()); ok {
		return skipped
	}
	i := slices.IndexFunc(c.Deployments, func(d appsv1.Deployment) bool { return d.Name == controllerName })
	if i < 0 {
		return check(id, Warning, "there is no Deployment %s: another controller must publish PolicyEndpoints",
			controllerName).do("if there is none, install with --set controller.enabled=true")
	}
	d := c.Deployments[i]
	ready, want := d.Status.ReadyReplicas, int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	look := "kubectl -n " + d.Namespace + " get pods -l app.kubernetes.io/component=controller"
	switch {
	case ready == 0:
		return check(id, Failed, "none of %d replicas of the controller is ready: policies stay as they were last", want).
			do("%s", look)
	case ready < want:
		return check(id, Warning, "%d of %d replicas of the controller are ready", ready, want).do("%s", look)
	}
	return check(id, OK, "%d of %d replicas of the controller are ready", ready, want)
}

// agents looks for nodes without an agent that is ready.
func (c *Cluster) agents() Check {
	const id = "agents"
	if skipped, ok := c.unseen(id, nodes(), pods(), daemonSets()); ok {
		return skipped
	}
	if !c.installed() {
		return check(id, Failed, "there is no DaemonSet %s", agentName).
			do("helm install palisade deploy/chart/palisade -n kube-system")
	}
	ready := map[string]bool{}
	for _, p := range c.Agents {
		ready[p.Spec.NodeName] = ready[p.Spec.NodeName] || isReady(p)
	}
	var without []string
	able := 0
	for _, n := range c.Nodes {
		if cannotRun(n) != "" {
			continue // the check of nodes tells
		}
		able++
		if !ready[n.Name] {
			without = append(without, n.Name)
		}
	}
	if len(without) > 0 {
		return check(id, Failed, "no agent is ready on %d of %d nodes: %s", len(without), able, some(without)).
			do("kubectl get pods -A -l %s -o wide, then look at their logs", agentSelector)
	}
	return check(id, OK, "an agent is ready on each of %d nodes", able)
}

func isReady(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// policyKey is the namespace and the name of a NetworkPolicy.
type policyKey struct{ namespace, name string }

func (k policyKey) String() string { return k.namespace + "/" + k.name }

// published looks whether each policy has all of its PolicyEndpoints, and each PolicyEndpoint its policy.
func (c *Cluster) published() Check {
	const id = "policy-endpoints"
	if skipped, ok := c.unseen(id, policies(), endpoints()); ok {
		return skipped
	}
	sets := map[policyKey][]*v1alpha1.PolicyEndpoint{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		k := policyKey{e.Namespace, v1alpha1.PolicyName(e)}
		sets[k] = append(sets[k], e)
	}
	var missing, partial, foreign []string
	for _, p := range c.Policies {
		k := policyKey{p.Namespace, p.Name}
		set := sets[k]
		delete(sets, k)
		switch {
		case len(set) == 0 && c.Now.Sub(p.CreationTimestamp.Time) > grace:
			missing = append(missing, k.String())
		case len(set) > 0 && v1alpha1.CompletenessOf(set) == v1alpha1.Partial:
			partial = append(partial, k.String())
		case len(set) > 0 && v1alpha1.CompletenessOf(set) == v1alpha1.Unmarked:
			foreign = append(foreign, k.String())
		}
	}
	return judgePublished(id, len(c.Policies), missing, partial, foreign, names(sets))
}

func judgePublished(id string, policies int, missing, partial, foreign, orphans []string) Check {
	const look = "look at the log of the controller's leader"
	switch {
	case len(missing) > 0:
		return check(id, Failed, "NetworkPolicies without PolicyEndpoints, which are not in force: %s",
			some(missing)).do(look)
	case len(partial) > 0:
		return check(id, Failed, "PolicyEndpoints are incomplete, so agents keep to older ones: %s",
			some(partial)).do(look)
	case len(orphans) > 0:
		return check(id, Warning, "PolicyEndpoints without their NetworkPolicy are still in force: %s",
			some(orphans)).do(look)
	case len(foreign) > 0:
		return check(id, Warning, "another controller wrote the PolicyEndpoints of %s; nobody can tell if they are complete",
			some(foreign)).do("expected beside the hosted controller of EKS; otherwise find out who writes them")
	}
	return check(id, OK, "all of %d NetworkPolicies are published completely", policies)
}

// names returns the keys of a map as text, sorted.
func names(sets map[policyKey][]*v1alpha1.PolicyEndpoint) []string {
	list := make([]string, 0, len(sets))
	for k := range sets {
		list = append(list, k.String())
	}
	slices.SortFunc(list, strings.Compare)
	return list
}

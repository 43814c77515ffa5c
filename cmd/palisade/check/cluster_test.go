package check

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// healthy is a cluster in which everything is in place: two nodes, and one policy that is an hour old.
func healthy(t *testing.T) *Cluster {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "deny", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}
	c := &Cluster{
		Server: "https://test", Version: "v1.36.3", Now: now,
		Nodes: []corev1.Node{newNode("n1"), newNode("n2")}, Agents: []corev1.Pod{newAgent("n1"), newAgent("n2")},
		DaemonSets:  []appsv1.DaemonSet{{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: agentName}}},
		Deployments: []appsv1.Deployment{{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: controllerName}}},
		CRDs:        []CRD{newCRD("policyendpoints", "networking.k8s.aws")},
		Policies:    []networkingv1.NetworkPolicy{{ObjectMeta: meta}},
		Endpoints:   published(t, "shop", "deny", 2),
		Unseen:      map[schema.GroupResource]error{},
	}
	two := int32(2)
	c.Deployments[0].Spec.Replicas, c.Deployments[0].Status.ReadyReplicas = &two, 2
	return c
}

func newNode(name string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	n.Status.NodeInfo = corev1.NodeSystemInfo{
		OperatingSystem: "linux", Architecture: "arm64", KernelVersion: "6.12.43-1.amzn",
	}
	return n
}

func newAgent(node string) corev1.Pod {
	p := corev1.Pod{Spec: corev1.PodSpec{NodeName: node}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func newCRD(plural, group string) CRD {
	var d CRD
	d.Name, d.Spec.Group = plural+"."+group, group
	d.Status.Conditions = []metav1.Condition{{Type: "Established", Status: metav1.ConditionTrue}}
	return d
}

// published are the PolicyEndpoints of one policy as the controller writes them, in chunks.
func published(t *testing.T, namespace, policy string, chunks int) []v1alpha1.PolicyEndpoint {
	t.Helper()
	list := make([]v1alpha1.PolicyEndpoint, chunks)
	set := make([]*v1alpha1.PolicyEndpoint, chunks)
	for i := range list {
		list[i].Namespace, list[i].Name = namespace, policy+string(rune('a'+i))
		list[i].Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: namespace, Name: policy}
		set[i] = &list[i]
	}
	if err := v1alpha1.MarkComplete(set); err != nil {
		t.Fatal(err)
	}
	return list
}

// expect finds the check by its ID, and everything that is not named must be OK.
func expect(t *testing.T, r Report, id string, want Status, detail string) {
	t.Helper()
	found := false
	for _, c := range r.Checks {
		if c.ID != id {
			if c.Status != OK {
				t.Errorf("%s is %s: %s", c.ID, c.Status, c.Detail)
			}
			continue
		}
		found = true
		if c.Status != want || c.Detail != detail {
			t.Errorf("%s is %s: %s\nwant %s: %s", id, c.Status, c.Detail, want, detail)
		}
		if (c.Do == "") != (want == OK || want == Skipped) {
			t.Errorf("%s %s says to do %q", id, want, c.Do)
		}
	}
	if !found {
		t.Errorf("no check %s in %+v", id, r)
	}
}

func TestAfterInstallation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Cluster)
		id     string
		want   Status
		detail string
	}{
		"all in place": {func(*Cluster) {}, "agents", OK, "an agent is ready on each of 2 nodes"},
		"agent not ready": {
			func(c *Cluster) { c.Agents[1].Status.Conditions[0].Status = corev1.ConditionFalse },
			"agents", Failed, "no agent is ready on 1 of 2 nodes: n2",
		},
		"node without agent": {
			func(c *Cluster) { c.Agents = c.Agents[1:] }, "agents", Failed, "no agent is ready on 1 of 2 nodes: n1",
		},
		"old agent ends beside the new one": {
			func(c *Cluster) {
				old := newAgent("n1")
				old.Status.Conditions = nil
				c.Agents = append(c.Agents, old)
			}, "agents", OK, "an agent is ready on each of 2 nodes",
		},
		"one replica down": {
			func(c *Cluster) { c.Deployments[0].Status.ReadyReplicas = 1 },
			"controller", Warning, "1 of 2 replicas of the controller are ready",
		},
		"all replicas down": {
			func(c *Cluster) { c.Deployments[0].Status.ReadyReplicas = 0 },
			"controller", Failed, "none of 2 replicas of the controller is ready: policies stay as they were last",
		},
		"hosted controller": {
			func(c *Cluster) { c.Deployments = nil },
			"controller", Warning, "there is no Deployment palisade-controller: another controller must publish PolicyEndpoints",
		},
		"no CRD": {
			func(c *Cluster) { c.CRDs = nil }, "crd", Failed,
			"there is no CustomResourceDefinition policyendpoints.networking.k8s.aws",
		},
		"CRD not served": {
			func(c *Cluster) { c.CRDs[0].Status.Conditions[0].Status = metav1.ConditionFalse }, "crd", Failed,
			"the CustomResourceDefinition policyendpoints.networking.k8s.aws is not established",
		},
		"policy not published": {
			func(c *Cluster) { c.Endpoints = nil }, "policy-endpoints", Failed,
			"NetworkPolicies without PolicyEndpoints, which are not in force: shop/deny",
		},
		"policy a moment old": {
			func(c *Cluster) {
				c.Endpoints = nil
				c.Policies[0].CreationTimestamp = metav1.NewTime(c.Now.Add(-time.Second))
			}, "policy-endpoints", OK, "all of 1 NetworkPolicies are published completely",
		},
		"chunk missing": {
			func(c *Cluster) { c.Endpoints = c.Endpoints[:1] }, "policy-endpoints", Failed,
			"PolicyEndpoints are incomplete, so agents keep to older ones: shop/deny",
		},
		"policy gone": {
			func(c *Cluster) { c.Policies = nil }, "policy-endpoints", Warning,
			"PolicyEndpoints without their NetworkPolicy are still in force: shop/deny",
		},
		"written by another controller": {
			func(c *Cluster) { c.Endpoints = c.Endpoints[:1]; c.Endpoints[0].Annotations = nil },
			"policy-endpoints", Warning,
			"another controller wrote the PolicyEndpoints of shop/deny; nobody can tell if they are complete",
		},
		"variant of a policy with named ports": {
			func(c *Cluster) {
				for i := range c.Endpoints {
					e := &c.Endpoints[i]
					e.Spec.PolicyRef.Name, e.Annotations[v1alpha1.PolicyAnnotation] = "deny.0123456789", "deny"
				}
			}, "policy-endpoints", OK, "all of 1 NetworkPolicies are published completely",
		},
		"policies unseen": {
			func(c *Cluster) { c.Unseen[policies().GroupResource()] = apierrors.NewUnauthorized("") },
			"policy-endpoints", Skipped, "the user of this context may not list networkpolicies.networking.k8s.io",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := healthy(t)
			c.change(cluster)
			r, err := cluster.Report(Auto)
			if err != nil || r.Phase != After {
				t.Fatalf("phase %s, %v", r.Phase, err)
			}
			expect(t, r, c.id, c.want, c.detail)
		})
	}
}

func TestNoAgentsInstalled(t *testing.T) {
	c := healthy(t)
	c.DaemonSets = nil
	r, err := c.Report(After)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, "agents", Failed, "there is no DaemonSet palisade-agent")
}

func TestBeforeInstallation(t *testing.T) {
	calico := known{Engine: "Calico"}
	calico.Daemonset.Namespace, calico.Daemonset.Name = "calico-system", "calico-node"
	calico.Daemonset.Containers = []corev1.Container{{Name: "calico-node"}}
	for name, c := range map[string]struct {
		change func(c *Cluster)
		id     string
		want   Status
		detail string
	}{
		"empty cluster": {func(*Cluster) {}, "other-engines", OK, "no other policy engine is found"},
		"another engine": {
			func(c *Cluster) { c.DaemonSets = append(c.DaemonSets, calico.object()) }, "other-engines", Failed,
			"other engines enforce policies here: Calico (DaemonSet calico-system/calico-node)",
		},
		"an engine's leavings": {
			func(c *Cluster) { c.CRDs = append(c.CRDs, newCRD("ciliumnodes", "cilium.io")) }, "other-engines", Warning,
			"no other engine runs, but some have been here: Cilium (CRDs of cilium.io)",
		},
		"old Kubernetes": {
			func(c *Cluster) { c.Version = "v1.28.9-eks-0123456" }, "kubernetes", Failed,
			"Kubernetes v1.28.9-eks-0123456 does not tell agents all addresses of their node",
		},
		"oldest Kubernetes": {
			func(c *Cluster) { c.Version = "v1.29.0+k3s1" }, "kubernetes", OK, "Kubernetes v1.29.0+k3s1",
		},
		"strange version": {
			func(c *Cluster) { c.Version = "main" }, "kubernetes", Warning,
			`the version "main" of the API server cannot be read`,
		},
		"Windows and Fargate": {
			func(c *Cluster) {
				c.Nodes[0].Status.NodeInfo.OperatingSystem = "windows"
				c.Nodes[1].Labels["eks.amazonaws.com/compute-type"] = "fargate"
			}, "nodes", Failed, "policies cannot be enforced on n1 (windows), n2 (Fargate runs no DaemonSets)",
		},
		"old kernels": {
			func(c *Cluster) {
				c.Nodes[0].Status.NodeInfo.KernelVersion = "5.4.0-150-generic"
				c.Nodes[1].Status.NodeInfo.KernelVersion = "5.10.0-1"
			}, "nodes", Failed, "policies cannot be enforced on n1 (kernel 5.4.0-150-generic)",
		},
		"kernels that want more": {
			func(c *Cluster) { c.Nodes[1].Status.NodeInfo.KernelVersion = "6.1.134-152.amzn2023" }, "nodes", Warning,
			"the kernel may ask for more than CAP_BPF and CAP_NET_ADMIN on n2 (kernel 6.1.134-152.amzn2023)",
		},
		"many nodes": {
			func(c *Cluster) {
				c.Nodes = nil
				for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
					n := newNode(name)
					n.Status.NodeInfo.Architecture = "s390x"
					c.Nodes = append(c.Nodes, n)
				}
			}, "nodes", Failed, "policies cannot be enforced on a (architecture s390x), b (architecture s390x), " +
				"c (architecture s390x), d (architecture s390x), e (architecture s390x) and 2 more",
		},
		"another controller": {
			func(c *Cluster) { c.Endpoints = []v1alpha1.PolicyEndpoint{{}, {}} }, "other-controller", Failed,
			"there are 2 PolicyEndpoints already: another controller writes them, or has",
		},
		"our controller, before": {
			func(c *Cluster) { c.Endpoints = published(t, "x", "y", 2) }, "other-controller", OK,
			"no other controller publishes PolicyEndpoints",
		},
		"policies that wait": {
			func(c *Cluster) { c.Policies = make([]networkingv1.NetworkPolicy, 3) }, "policies", Warning,
			"3 NetworkPolicies will be in force as soon as agents run",
		},
		"nodes unseen": {
			func(c *Cluster) { c.Unseen[nodes().GroupResource()] = apierrors.NewUnauthorized("") }, "nodes", Skipped,
			"the user of this context may not list nodes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := healthy(t)
			cluster.DaemonSets, cluster.Deployments, cluster.Agents = nil, nil, nil
			cluster.CRDs, cluster.Policies, cluster.Endpoints = nil, nil, nil
			c.change(cluster)
			r, err := cluster.Report(Auto)
			if err != nil || r.Phase != Before {
				t.Fatalf("phase %s, %v", r.Phase, err)
			}
			expect(t, r, c.id, c.want, c.detail)
		})
	}
}

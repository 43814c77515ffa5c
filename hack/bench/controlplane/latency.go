package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/hack/cluster"
)

// The pods of the latency run.
const (
	shop       = "shop"
	clientName = "client"
	serverName = "server"
)

const (
	// warmups are changes that are not counted. The API server delays the first writes of a new kind by seconds.
	warmups = 20
	// settled is the number of packets that must pass after an opening, and be dropped after a closing, before the
	// next change: 50 ms of them.
	settled = 200
)

// latencyRun is a stream between two pods and the policy that stands in its way or not.
type latencyRun struct {
	*bed
	agent   *program
	stream  *stream
	changes []change
}

func runLatency(ctx context.Context, out io.Writer, bin binaries, n int) (err error) {
	b, err := newBed(ctx, bin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	nd, err := newNode(netip.MustParseAddr("10.250.0.1"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nd.close()) }()
	r := &latencyRun{bed: b}
	if err := r.start(ctx, nd); err != nil {
		return err
	}
	if err := r.changeOften(ctx, n); err != nil {
		return errors.Join(err, r.stream.end())
	}
	if err := r.stream.end(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nLatency: %d changes of a policy, a packet every %s, load average %s\n", n, spacing, load())
	return printSamples(out, measure(r.changes, r.stream.sent, r.stream.arrived), r.stream.sent)
}

// start runs pods, policy, controller and agent, and the stream, which nothing lets pass yet.
func (r *latencyRun) start(ctx context.Context, nd *node) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}}
	if _, err := r.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	policies := r.client.NetworkingV1().NetworkPolicies(shop)
	if _, err := policies.Create(ctx, streamPolicy(false), metav1.CreateOptions{}); err != nil {
		return err
	}
	controller, err := r.startController()
	if err != nil {
		return err
	}
	if err := controller.ready(ctx); err != nil {
		return err
	}
	if r.agent, err = r.startAgent(nd); err != nil {
		return err
	}
	if err := r.agent.ready(ctx); err != nil {
		return err
	}
	r.stream, err = r.connect(ctx, nd)
	return err
}

// connect makes the pods and the stream between them.
func (r *latencyRun) connect(ctx context.Context, nd *node) (*stream, error) {
	clientIP, serverIP := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.1.0.2")
	for name, addr := range map[string]netip.Addr{clientName: clientIP, serverName: serverIP} {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: name, Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{NodeName: "bench", Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			Status:     cluster.Running(nd.addr, addr),
		}
		if _, err := cluster.CreatePod(ctx, r.client, p); err != nil {
			return nil, err
		}
	}
	from, err := nd.addPod(shop, clientName, clientIP)
	if err != nil {
		return nil, err
	}
	to, err := nd.addPod(shop, serverName, serverIP)
	if err != nil {
		return nil, err
	}
	return newStream(from, to, netip.AddrPortFrom(clientIP, 4000), netip.AddrPortFrom(serverIP, 5000))
}

// streamPolicy isolates the server and lets the client in, or somebody who is not there.
func streamPolicy(open bool) *networkingv1.NetworkPolicy {
	peer := "nobody"
	if open {
		peer = clientName
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "server"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": serverName}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{
				PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": peer}},
			}}}},
		},
	}
}

// changeOften opens and closes in turn, n times after the warm-up.
func (r *latencyRun) changeOften(ctx context.Context, n int) error {
	for i := range warmups + n {
		if i == warmups {
			r.changes = nil
		}
		if err := r.change(ctx, i%2 == 0); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	return nil
}

// change writes the policy and waits until it has been in force for a while.
func (r *latencyRun) change(ctx context.Context, open bool) error {
	sent, _, err := r.stream.counts()
	if err != nil {
		return err
	}
	c := change{opens: open, from: sent, asked: time.Now().Round(0)}
	policies := r.client.NetworkingV1().NetworkPolicies(shop)
	if _, err := policies.Update(ctx, streamPolicy(open), metav1.UpdateOptions{}); err != nil {
		return err
	}
	c.answered = time.Now().Round(0)
	r.changes = append(r.changes, c)
	return r.settle(ctx, open)
}

// settle waits until as many packets as there should be have passed since a change, or been dropped one after another.
func (r *latencyRun) settle(ctx context.Context, open bool) error {
	sentBefore, arrivedBefore, _ := r.stream.counts()
	return await(ctx, r.agent, time.Millisecond, func() (bool, error) {
		sent, arrived, err := r.stream.counts()
		if open {
			return arrived-arrivedBefore >= settled, err
		}
		if arrived != arrivedBefore {
			sentBefore, arrivedBefore = sent, arrived
		}
		return sent-sentBefore >= settled, err
	})
}

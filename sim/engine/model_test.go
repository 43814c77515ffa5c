package engine_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
)

func TestModelEngineJudgesTheClusterLoadedLast(t *testing.T) {
	pods := []*corev1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "a"}, Status: corev1.PodStatus{PodIP: "10.0.0.1"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "b"}, Status: corev1.PodStatus{PodIP: "10.0.0.2"}},
	}
	denyAll := []*networkingv1.NetworkPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "deny"}}}
	query := model.Query{
		From: model.Endpoint{Pod: pods[0]}, To: model.Endpoint{Pod: pods[1]},
		PortProto: flow.PortProto{Protocol: flow.TCP, Port: 80},
	}
	e := engine.NewModel()
	if _, err := e.Verdict(query); err == nil {
		t.Error("an engine without a cluster gave a verdict")
	}
	for _, step := range []struct {
		policies []*networkingv1.NetworkPolicy
		want     flow.Verdict
	}{{nil, flow.Allow}, {denyAll, flow.Deny}, {nil, flow.Allow}} {
		if err := e.Load(t.Context(), &model.Cluster{Pods: pods, Policies: step.policies}); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Verdict(query); got != step.want || err != nil {
			t.Errorf("with %d policies: %v, %v, want %v", len(step.policies), got, err, step.want)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestAskersAreManyOnlyWhereTheEngineAllowsIt(t *testing.T) {
	if n := engine.Askers(engine.NewTables()); n != 1 {
		t.Errorf("%d goroutines may ask an engine that interprets one set of tables", n)
	}
	if n := engine.Askers(engine.NewModel()); n < 1 {
		t.Errorf("%d goroutines may ask the model", n)
	}
}

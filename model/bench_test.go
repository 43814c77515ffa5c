package model_test

import (
	"fmt"
	"testing"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// metropolis has 1,000 pods in 20 namespaces under 500 policies: 25 per namespace, each for one of eight tiers, with
// one rule of three peers and two ports in either direction.
func metropolis() *model.Cluster {
	c := &model.Cluster{}
	for i := range 1000 {
		text := fmt.Sprintf("ns%d/pod%d app=app%d tier=t%d", i%20, i, i%100, i/20%8)
		c.Pods = append(c.Pods, pod(text, at(fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)), on(fmt.Sprint("node", i%50))))
	}
	for i := range 500 {
		peers := []string{
			fmt.Sprintf("ns team in (a%d,b) pods app=app%d", i%7, i%100), fmt.Sprintf("pods tier in (t%d,t%d)", i%8, i%5),
			"cidr 10.0.0.0/16 except 10.0.2.0/24", "TCP/80", "TCP/8000-9000",
		}
		c.Policies = append(c.Policies, policy(fmt.Sprintf("ns%d/p%d tier=t%d", i%20, i, i/20%8),
			types(in, out), ingress(peers...), egress(peers...)))
	}
	for i := range 20 {
		c.Namespaces = append(c.Namespaces, namespace(fmt.Sprintf("ns%d team=a%d", i, i%7)))
	}
	return c
}

// BenchmarkNew reads a cluster of 1,000 pods and 500 policies.
func BenchmarkNew(b *testing.B) {
	c := metropolis()
	for b.Loop() {
		model.New(c)
	}
}

// BenchmarkMillionQueries asks such a cluster about every pair of pods on one port.
func BenchmarkMillionQueries(b *testing.B) {
	c := metropolis()
	ask := map[string]func(*model.Model, model.Query){
		"Decide":  func(m *model.Model, q model.Query) { m.Decide(q) },
		"Verdict": func(m *model.Model, q model.Query) { m.Verdict(q) },
	}
	for name, ask := range ask {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				askAllPairs(model.New(c), c, ask)
			}
		})
	}
}

func askAllPairs(m *model.Model, c *model.Cluster, ask func(*model.Model, model.Query)) {
	for _, from := range c.Pods {
		for _, to := range c.Pods {
			ask(m, model.Query{
				From: model.Endpoint{Pod: from}, To: model.Endpoint{Pod: to},
				PortProto: flow.PortProto{Protocol: flow.TCP, Port: 80},
			})
		}
	}
}

package main

import (
	"net/netip"
	"testing"
)

func TestReplicasAreSpreadAndHaveAddressesOfTheirOwn(t *testing.T) {
	s := size{policies: 1000, pods: 10000, nodes: 100}
	if err := s.validate(); err != nil {
		t.Fatal(err)
	}
	perNode, perApp, owner := map[int]int{}, map[int]int{}, map[netip.Addr]replica{}
	for i := range s.pods {
		for generation := range 2 {
			r := replica{i, generation}
			if other, taken := owner[r.addr()]; taken {
				t.Fatalf("%v and %v are both %s", other, r, r.addr())
			}
			owner[r.addr()] = r
		}
		r := replica{number: i}
		perNode[r.node(s)]++
		perApp[r.app(s)]++
	}
	for node := range s.nodes {
		if perNode[node] != 100 {
			t.Errorf("%d pods on node %d, want 100", perNode[node], node)
		}
		if _, taken := owner[nodeAddr(node)]; taken {
			t.Errorf("the address of node %d is also a pod's", node)
		}
	}
	for app := range s.policies {
		if perApp[app] != s.replicas() {
			t.Errorf("%d pods of application %d, want %d", perApp[app], app, s.replicas())
		}
	}
}

func TestSizesThatDoNotWorkOut(t *testing.T) {
	for name, s := range map[string]size{
		"half a team":         {policies: 50, pods: 100, nodes: 1},
		"uneven applications": {policies: 100, pods: 150, nodes: 1},
		"no nodes":            {policies: 100, pods: 100},
		"too many addresses":  {policies: 100, pods: 60000, nodes: 1},
	} {
		if s.validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

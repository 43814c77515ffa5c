package model_test

import (
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/palisade-netpol/palisade/model"
)

func TestSentences(t *testing.T) {
	c := bazaar([]discoveryv1.Endpoint{ready("10.2.0.1"), ready("10.2.0.2")},
		policy("x/deny-all", types(in, out)),
		policy("x/cli app=a", ingress("pods app=none"), ingress("pods app=c", "TCP/80")),
		policy("x/web app=a", ingress("pods")), policy("x/out app=c", types(out), egress("pods")), policy("y/p app=b"))
	c = with(c, pod("z/a app=a", at("10.3.0.1"), on("n1"), hostNetwork))
	c.Policies = append(c.Policies, policy("z/h app=a", types(out)))
	cases := []struct{ name, ask, want string }{
		{"each rule that allows is named, counted from 1", "x/c x/a TCP/80",
			"Egress of x/c is allowed: egress rule 1 of x/out allows TCP/80 to x/a (10.1.0.1). " +
				"Ingress of x/a is allowed: ingress rule 2 of x/cli and ingress rule 1 of x/web allow TCP/80 from x/c (10.1.0.3)."},
		{"each policy that isolates is named", "y/a x/b UDP/53",
			"Egress of y/a is allowed: no policy selects it for egress. " +
				"Ingress of x/b is denied: x/deny-all selects it, and no ingress rule there allows UDP/53 from y/a (10.2.0.1)."},
		{"several", "8.8.8.8 x/a TCP/80",
			"Egress of 8.8.8.8 is allowed: it is not a pod, so no policy applies to it. " +
				"Ingress of x/a is denied: x/cli, x/deny-all and x/web select it, and no ingress rule there allows " +
				"TCP/80 from 8.8.8.8."},
		{"the own node", "node/n1 x/a TCP/80",
			"Egress of node/n1 is allowed: it is not a pod, so no policy applies to it. " +
				"Ingress of x/a is allowed: node/n1 is its own node, which may always reach its pods."},
		{"undefined says which freedom the API gives", "x/a node/n1 TCP/80",
			"Egress of x/a is undefined: x/deny-all selects it, but traffic to the pod's own node may be exempt, " +
				"so the API leaves the answer open. " +
				"Ingress of node/n1 is allowed: it is not a pod, so no policy applies to it."},
		{"hostNetwork", "z/a y/a TCP/80",
			"Egress of z/a is undefined: z/h selects it, but policies need not apply to hostNetwork pods, nor selectors " +
				"select them, so the API leaves the answer open. Ingress of y/a is allowed: no policy selects it for ingress."},
		{"self", "x/a x/a TCP/80", "x/a reaches itself: a pod cannot block access to itself."},
		{"no common family", "x/a z/a TCP/80 ipv6",
			"There is no connection from x/a to z/a to judge: they have no address family in common."},
		{"backends that differ", "y/c 10.96.0.10 TCP/80",
			"The policies allow some backends of service/y/web on TCP/80 and not others; which one is taken is chance."},
		{"no such port", "y/c 10.96.0.10 TCP/9", "service/y/web has no port TCP/9."},
	}
	m := model.New(c)
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(m.Decide(query(t, c, strings.Fields(tc.ask))).Sentences(), " ")
			diff(t, tc.ask, tc.want, got)
		})
	}
}

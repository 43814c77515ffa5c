package main

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

func newWhy(w *world) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "why -f PATH... FROM TO PROTOCOL/PORT",
		Short: "Explain the verdict on one connection",
		Long: `Say whether FROM may open a connection to TO, and which policies and rules decide it.

FROM and TO are namespace/pod, node/NAME or an IP address; the ClusterIP of a Service stands for its backends. The exit
code is 0 whatever the verdict is.`,
		Example: `  palisade why -f app.yaml default/client-one default/demo-app TCP/80
  palisade why -f app.yaml node/worker-1 default/demo-app TCP/80 -o json
  palisade why -f app.yaml 203.0.113.7 default/demo-app TCP/80`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 3 {
				return fmt.Errorf("why takes three arguments, FROM TO PROTOCOL/PORT, not %d", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return printWhy(w, in, args[0], args[1], args[2]) },
	}
	in.register(c, "text", "json")
	return c
}

func printWhy(w *world, in input, from, to, port string) error {
	probe, err := flow.ParsePortProto(port)
	if err != nil {
		return err
	}
	cluster, family, err := in.load(w)
	if err != nil {
		return err
	}
	query := model.Query{PortProto: probe, Family: family}
	if query.From, err = endpoint(cluster, from); err != nil {
		return err
	}
	if query.To, err = endpoint(cluster, to); err != nil {
		return err
	}
	decision := model.New(cluster).Decide(query)
	if in.output == "json" {
		return writeJSON(w.out, newExplanation(decision, probe))
	}
	return writeWhy(w.out, decision, from, to, probe)
}

// endpoint finds what one argument names.
func endpoint(c *model.Cluster, name string) (model.Endpoint, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return model.Endpoint{Addr: addr}, nil
	}
	namespace, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok || namespace == "" || rest == "":
		return model.Endpoint{}, fmt.Errorf("%q is neither namespace/pod nor node/NAME nor an IP address", name)
	case namespace == "node":
		return findNode(c.Nodes, rest)
	}
	return findPod(c.Pods, namespace, rest)
}

func findNode(nodes []*corev1.Node, name string) (model.Endpoint, error) {
	for _, n := range nodes {
		if n.Name == name {
			return model.Endpoint{Node: n}, nil
		}
	}
	return model.Endpoint{}, fmt.Errorf("there is no node %q in the input", name)
}

func findPod(pods []*corev1.Pod, namespace, name string) (model.Endpoint, error) {
	for _, p := range pods {
		if p.Namespace == namespace && p.Name == name {
			return model.Endpoint{Pod: p}, nil
		}
	}
	return model.Endpoint{}, fmt.Errorf("there is no pod %q in namespace %q in the input", name, namespace)
}

func writeWhy(t terminal, d model.Decision, from, to string, probe flow.PortProto) error {
	p := paint(t.color)
	verdict := p.bold(p.cell(d.Verdict.Cell(), false, d.Verdict.String()))
	lines := append([]string{fmt.Sprintf("%s: %s → %s %s", verdict, from, to, probe)}, d.Sentences()...)
	_, err := fmt.Fprintln(t, strings.Join(lines, "\n  "))
	return err
}

// explanation is the JSON form of a decision. Rules are there even if there are none.
type explanation struct {
	Verdict     flow.Verdict `json:"verdict"`
	Reason      model.Reason `json:"reason,omitempty"`
	From        string       `json:"from"`
	To          string       `json:"to"`
	Protocol    string       `json:"protocol"`
	Port        uint16       `json:"port"`
	Egress      half         `json:"egress"`
	Ingress     half         `json:"ingress"`
	Explanation []string     `json:"explanation"`
}

type half struct {
	Verdict   flow.Verdict      `json:"verdict"`
	Reason    model.Reason      `json:"reason"`
	Isolating []model.PolicyRef `json:"isolating"`
	Rules     []model.RuleRef   `json:"rules"`
}

func newExplanation(d model.Decision, probe flow.PortProto) explanation {
	return explanation{
		Verdict: d.Verdict, Reason: d.Reason, From: d.From, To: d.To,
		Protocol: probe.Protocol.String(), Port: probe.Port,
		Egress: newHalf(d.Egress), Ingress: newHalf(d.Ingress), Explanation: d.Sentences(),
	}
}

func newHalf(h model.Half) half {
	return half{
		Verdict: h.Verdict, Reason: h.Reason,
		Isolating: append([]model.PolicyRef{}, h.Isolating...), Rules: append([]model.RuleRef{}, h.Rules...),
	}
}

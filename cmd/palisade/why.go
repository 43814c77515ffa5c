package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/spf13/cobra"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

func newWhy(w *world) *cobra.Command {
	var in input
	c := &cobra.Command{
		Use:   "why (-f PATH... | --context NAME) FROM TO {PROTOCOL/PORT | ICMP}",
		Short: "Explain the verdict on one connection",
		Long: `Say whether FROM may open a connection to TO, and why: for egress of FROM and for ingress of TO, which
policies select the pod and which rule allows the connection, or which rule nearly does and what it misses. Where the
Kubernetes API leaves the answer open, say which freedom it gives and what Palisade's enforcement does.

FROM and TO are namespace/pod, node/NAME or an IP address. TO may also be a Service, svc/NAMESPACE/NAME or its
ClusterIP, and PORT the Service's port: each backend gets its own verdict. ICMP stands for an echo request in either
address family. The exit code is 0 whatever the verdict is.`,
		Example: `  palisade why -f app.yaml default/client-one default/demo-app TCP/80
  palisade why -f app.yaml node/worker-1 default/demo-app TCP/80 -o json
  palisade why -f app.yaml default/client-one svc/default/demo TCP/80
  palisade why --context prod shop/web kube-system/coredns-0 UDP/53
  palisade why -f app.yaml 203.0.113.7 default/demo-app TCP/80
  palisade why -f app.yaml default/client-one default/demo-app ICMP`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 3 {
				return fmt.Errorf("why takes three arguments, FROM TO and PROTOCOL/PORT or ICMP, not %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return printWhy(c.Context(), w, in, args[0], args[1], args[2])
		},
	}
	in.register(c, "text", "json")
	return c
}

func printWhy(ctx context.Context, w *world, in input, from, to, port string) error {
	probe, err := parseProbe(port)
	if err != nil {
		return err
	}
	cluster, family, err := in.load(ctx, w)
	if err != nil {
		return err
	}
	query := model.Query{PortProto: probe, Family: family}
	if query.From, err = endpoint(cluster, from); err != nil {
		return err
	}
	if query.From.Service != nil {
		return fmt.Errorf("FROM is a Service, %q, but connections come from pods, nodes or addresses", from)
	}
	if query.To, err = endpoint(cluster, to); err != nil {
		return err
	}
	return writeWhy(w.out, in.output, model.New(cluster).Explain(query), from, to, probe)
}

// parseProbe reads what is asked about: a port, or an echo request.
func parseProbe(text string) (flow.PortProto, error) {
	if echo := (flow.PortProto{Protocol: flow.ICMP}); strings.EqualFold(text, echo.String()) {
		return echo, nil
	}
	return flow.ParsePortProto(text)
}

// endpoint finds what one argument names.
func endpoint(c *model.Cluster, name string) (model.Endpoint, error) {
	if addr, err := netip.ParseAddr(name); err == nil {
		return model.Endpoint{Addr: addr}, nil
	}
	words := strings.Split(name, "/")
	switch {
	case slices.Contains(words, ""):
	case len(words) == 3 && (words[0] == "svc" || words[0] == "service"):
		return findService(c.Services, words[1], words[2])
	case len(words) == 2 && words[0] == "node":
		return findNode(c.Nodes, words[1])
	case len(words) == 2:
		return findPod(c.Pods, words[0], words[1])
	}
	return model.Endpoint{}, fmt.Errorf(
		"%q is neither namespace/pod nor node/NAME nor svc/NAMESPACE/NAME nor an IP address", name)
}

func findService(services []*corev1.Service, namespace, name string) (model.Endpoint, error) {
	for _, s := range services {
		if s.Namespace == namespace && s.Name == name {
			return model.Endpoint{Service: s}, nil
		}
	}
	return model.Endpoint{}, fmt.Errorf("there is no Service %q in namespace %q in the input", name, namespace)
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

package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/enforce"
)

const someKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
current-context: c
`

func kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte(someKubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsBecomeOptions(t *testing.T) {
	env := func(name string) string { return map[string]string{"NODE_IPS": "10.0.0.1,fd00::1"}[name] }
	f, err := parseFlags([]string{"-kubeconfig", kubeconfig(t), "-mode", "strict", "-hook", "clsact",
		"-interface-prefixes", "veth, lxc", "-node-ports", "40000-40100", "-may-route", "kube-system/keepalived-*,vpn/*"}, env, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o, err := f.options(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if o.Mode != bpf.Strict || o.Hook != hook.Clsact || !slices.Equal(o.LinkPrefixes, []string{"veth", "lxc"}) ||
		!slices.Equal(o.NodeAddrs, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}) {
		t.Errorf("options %+v", o)
	}
	if want := (enforce.PortRange{First: 40000, Last: 40100}); o.NodePorts != want {
		t.Errorf("node ports %+v, want %+v", o.NodePorts, want)
	}
	if want := []core.NamePattern{{Namespace: "kube-system", Name: "keepalived-*"}, {Namespace: "vpn", Name: "*"}}; !slices.Equal(o.MayRoute, want) {
		t.Errorf("pods that may route %v, want %v", o.MayRoute, want)
	}
	if o.Pprof || o.API.Host != "https://127.0.0.1:6443" {
		t.Errorf("pprof %v, API server %s", o.Pprof, o.API.Host)
	}
}

// TestNodePorts: the range is the API server's, unless it is said to be another or none.
func TestNodePorts(t *testing.T) {
	for text, want := range map[string]enforce.PortRange{
		"": enforce.DefaultNodePorts, "none": enforce.NoNodePorts, "1-65535": {First: 1, Last: 65535}, "80-80": {First: 80, Last: 80},
	} {
		args := []string{"-node-ports", text}
		if text == "" {
			args = nil
		}
		f, err := parseFlags(args, os.Getenv, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseRange(f.nodePorts); err != nil || got != want {
			t.Errorf("%q: %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"0-5", "5-4", "1-65536", "80", "a-b", "1-2-3", "-"} {
		if got, err := parseRange(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

// TestPatternsThatCannotBeReadAreRefused, each by name and with what one looks like.
func TestPatternsThatCannotBeReadAreRefused(t *testing.T) {
	if got, err := parsePatterns(""); err != nil || len(got) > 0 {
		t.Errorf("nothing was read as %v (%v)", got, err)
	}
	for _, bad := range []string{"vpn", "vpn/", "/gateway", "/", "vpn/a/b", "vpn/[a", "[-]/gateway", `vpn/\`} {
		_, err := parsePatterns("shop/web," + bad)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("-may-route: %q", bad)) || !strings.Contains(err.Error(), "NAMESPACE/NAME") {
			t.Errorf("%q: %v, want an error that tells it and the form", bad, err)
		}
	}
}

func TestAllThatIsWrongWithFlagsIsReported(t *testing.T) {
	f, err := parseFlags([]string{"-kubeconfig", "/nonexistent", "-mode", "lax", "-hook", "xdp", "-finder", "guess",
		"-node-ips", "10.0.0", "-node-ports", "30000", "-may-route", "vpn", "-pins", "", "-flow-entries", "0", "-peer-entries", "-1", "-flow-log", "all", "-flow-log-file", "/nonexistent/log"}, os.Getenv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.options(slog.Default())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"-mode", "-hook", "-finder", "-node-ips", "-node-ports", "-may-route", "-pins", "-flow-entries", "-peer-entries", "-flow-log", "/nonexistent"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not mention %s", err, name)
		}
	}
}

func TestArgumentsAreRefused(t *testing.T) {
	if _, err := parseFlags([]string{"run"}, os.Getenv, io.Discard); err == nil {
		t.Error("an argument that means nothing was accepted")
	}
}

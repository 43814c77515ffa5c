package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/agent/socket"
)

// pluginEnv makes the test binary the plugin.
const pluginEnv = "PALISADE_TEST_CNI"

func TestMain(m *testing.M) {
	if os.Getenv(pluginEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const prevResult = `{
	"cniVersion": "1.0.0",
	"interfaces": [
		{"name": "eni0123456789a", "mac": "02:00:00:00:00:01"},
		{"name": "eth0", "sandbox": "/run/netns/x"}],
	"ips": [{"address": "10.1.0.1/32", "interface": 1}, {"address": "fd00::1/128", "interface": 1}],
	"routes": [{"dst": "0.0.0.0/0"}]}`

// plugin runs the plugin with a configuration and returns what it printed and how long it took.
func plugin(t *testing.T, command, config string) (stdout string, took time.Duration, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), pluginEnv+"=1", "CNI_COMMAND="+command, "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/x",
		"CNI_IFNAME=eth0", "CNI_PATH=/opt/cni/bin",
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u1;K8S_POD_INFRA_CONTAINER_ID=c1")
	cmd.Stdin = strings.NewReader(config)
	var out bytes.Buffer
	cmd.Stdout = &out
	start := time.Now()
	err = cmd.Run()
	return out.String(), time.Since(start), err
}

// config is a network configuration for an agent that listens at a path, with more fields.
func configFor(path, more string) string {
	return `{"cniVersion": "1.0.0", "name": "pods", "type": "palisade-cni", "socket": "` + path + `"` + more +
		`, "prevResult": ` + prevResult + `}`
}

// agentAnswers starts an agent that gives one answer, and returns its socket and what it is asked.
func agentAnswers(t *testing.T, answer error) (path string, asked <-chan socket.Request) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "agent.sock")
	return path, serveAt(t, path, answer)
}

func serveAt(t *testing.T, path string, answer error) (asked <-chan socket.Request) {
	t.Helper()
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan socket.Request, 1)
	server := &socket.Server{Timeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, r socket.Request) (bool, error) {
			requests <- r
			return true, answer
		}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return requests
}

// sameJSON compares two JSON texts by meaning.
func sameJSON(t *testing.T, want, got string) {
	t.Helper()
	var w, g any
	if err := errors.Join(json.Unmarshal([]byte(want), &w), json.Unmarshal([]byte(got), &g)); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if diff := cmp.Diff(w, g, cmpopts.IgnoreMapEntries(func(k string, v any) bool { return k == "dns" })); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the agent answers nobody else")
	}
}

func TestAddNamesThePodAndPassesTheResultOn(t *testing.T) {
	needRoot(t)
	path, asked := agentAnswers(t, nil)
	out, _, err := plugin(t, "ADD", configFor(path, ""))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	sameJSON(t, prevResult, out)
	want := socket.Request{
		Command: socket.Add, Namespace: "shop", Name: "web-0", UID: "u1", HostInterfaces: []string{"eni0123456789a"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00::1")},
	}
	got := <-asked
	if want.Patience = got.Patience; got.Patience <= 0 || got.Patience > 10*time.Second {
		t.Errorf("says that it waits for %s, want the timeout", got.Patience)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// TestAddressesOfThePodComeFirst: a pod may have more, on interfaces that Kubernetes does not know of.
func TestAddressesOfThePodComeFirst(t *testing.T) {
	needRoot(t)
	path, asked := agentAnswers(t, nil)
	config := strings.Replace(configFor(path, ""), prevResult, `{"cniVersion": "1.0.0",
		"interfaces": [{"name": "eni1"}, {"name": "eth1", "sandbox": "/x"}, {"name": "eth0", "sandbox": "/x"}],
		"ips": [{"address": "10.9.0.1/32", "interface": 1}, {"address": "10.1.0.1/32", "interface": 2},
			{"address": "192.0.2.1/24", "interface": 0}, {"address": "10.1.0.2/32", "interface": 2}]}`, 1)
	if out, _, err := plugin(t, "ADD", config); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := fmt.Sprint((<-asked).Addresses); got != "[10.1.0.1 10.1.0.2 10.9.0.1]" {
		t.Errorf("addresses %s, want those of eth0 before that of eth1", got)
	}
}

func TestCheckAsksTheAgent(t *testing.T) {
	needRoot(t)
	path, asked := agentAnswers(t, errors.New("not filtered"))
	if out, _, err := plugin(t, "CHECK", configFor(path, "")); err == nil || !strings.Contains(out, "not filtered") {
		t.Errorf("%v: %s; want the agent's reason", err, out)
	}
	if r := <-asked; r.Command != socket.Check || r.Name != "web-0" {
		t.Errorf("asked %+v", r)
	}
}

func TestRefusedPodNeverStarts(t *testing.T) {
	needRoot(t)
	for _, choice := range []string{fail, open} {
		path, _ := agentAnswers(t, errors.New("tables are full"))
		out, _, err := plugin(t, "ADD", configFor(path, `, "onAgentDown": "`+choice+`"`))
		if err == nil || !strings.Contains(out, "tables are full") || !strings.Contains(out, `"code": 11`) {
			t.Errorf("onAgentDown %s: %v: %s; want \"try again\" with the agent's reason", choice, err, out)
		}
	}
}

// TestWaitsForAnAgentThatIsReplaced: the one before hangs up on the first who asks, and the next one comes later.
// Where pods may start without an agent, they still wait for it.
func TestWaitsForAnAgentThatIsReplaced(t *testing.T) {
	needRoot(t)
	for _, choice := range []string{fail, open} {
		path := filepath.Join(t.TempDir(), "agent.sock")
		ended := hangUpOnce(t, path)
		started := make(chan string, 1)
		go func() {
			out, _, err := plugin(t, "ADD", configFor(path, `, "onAgentDown": "`+choice+`"`))
			started <- fmt.Sprint(err, out)
		}()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		asked := serveAt(t, path, nil)
		if got := <-started; !strings.HasPrefix(got, "<nil>") || len(asked) != 1 {
			t.Errorf("onAgentDown %s: asked the next agent %d times: %s", choice, len(asked), got)
		}
	}
}

// hangUpOnce is an agent that ends while it is asked.
func hangUpOnce(t *testing.T, path string) (ended <-chan error) {
	t.Helper()
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.Close()
		}
		done <- errors.Join(err, l.Close())
	}()
	return done
}

func TestWithoutAnAgent(t *testing.T) {
	hung := filepath.Join(t.TempDir(), "hung.sock")
	l, err := net.Listen("unix", hung) // accepts nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for name, path := range map[string]string{"no socket": filepath.Join(t.TempDir(), "none"), "a hanging agent": hung} {
		t.Run(name, func(t *testing.T) {
			out, took, err := plugin(t, "ADD", configFor(path, `, "timeout": "300ms"`))
			if err == nil || !strings.Contains(out, `"code": 11`) || took > 10*time.Second {
				t.Errorf("by default: %v after %s: %s; want \"try again\" in time", err, took, out)
			}
			out, _, err = plugin(t, "ADD", configFor(path, `, "timeout": "300ms", "onAgentDown": "open"`))
			if err != nil {
				t.Fatalf("open: %v: %s", err, out)
			}
			sameJSON(t, prevResult, out)
			for _, command := range []string{"DEL", "VERSION"} {
				if out, _, err := plugin(t, command, configFor(path, "")); err != nil {
					t.Errorf("%s: %v: %s", command, err, out)
				}
			}
			config := strings.Replace(configFor(path, `, "timeout": "300ms"`), "1.0.0", "1.1.0", 1)
			if out, _, err := plugin(t, "GC", config); err != nil {
				t.Errorf("GC: %v: %s", err, out)
			}
			if out, _, err := plugin(t, "STATUS", config); err == nil || !strings.Contains(out, `"code": 50`) {
				t.Errorf("STATUS: %v: %s; want \"not available\"", err, out)
			}
		})
	}
}

func TestWrongConfigurationIsRefused(t *testing.T) {
	for name, config := range map[string]string{
		"unknown choice":     configFor("/x", `, "onAgentDown": "ignore"`),
		"no duration":        configFor("/x", `, "timeout": "soon"`),
		"negative duration":  configFor("/x", `, "timeout": "-1s"`),
		"first in the chain": `{"cniVersion": "1.0.0", "name": "pods", "type": "palisade-cni"}`,
		"no JSON":            `{`,
	} {
		t.Run(name, func(t *testing.T) {
			if out, _, err := plugin(t, "ADD", config); err == nil {
				t.Errorf("accepted: %s", out)
			}
		})
	}
}

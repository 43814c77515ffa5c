package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// node is what the command finds on a node.
type node struct {
	*testing.T
	plugin, bin, conf string
}

// newNode makes the folders of a node, with files of network configurations.
func newNode(t *testing.T, configs map[string]string) node {
	t.Helper()
	n := node{t, filepath.Join(t.TempDir(), "plugin"), t.TempDir(), t.TempDir()}
	n.write(n.plugin, "program 1")
	for name, content := range configs {
		n.write(filepath.Join(n.conf, name), content)
	}
	return n
}

func (n node) write(path, content string) {
	n.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		n.Fatal(err)
	}
}

func (n node) read(path string) string {
	n.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		n.Fatal(err)
	}
	return string(data)
}

func (n node) remove(path string) {
	n.Helper()
	if err := os.Remove(path); err != nil {
		n.Fatal(err)
	}
}

// install runs the command, which does not wait for a configuration.
func (n node) install(more ...string) error {
	args := []string{"cni", "-plugin", n.plugin, "-bin-dir", n.bin, "-conf-dir", n.conf, "-wait", "0s"}
	return run(n.Context(), append(args, more...), n.Output())
}

// expectConfig compares what was written by meaning.
func (n node) expectConfig(want string) {
	n.Helper()
	var w, g any
	got := n.read(filepath.Join(n.conf, configName))
	if err := errors.Join(json.Unmarshal([]byte(want), &w), json.Unmarshal([]byte(got), &g)); err != nil {
		n.Fatalf("%v in %s", err, got)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		n.Errorf("configuration (-want +got):\n%s", diff)
	}
}

const (
	awsList = `{"cniVersion": "0.4.0", "name": "aws-cni", "disableCheck": true, "plugins": [
		{"name": "aws-cni", "type": "aws-cni", "vethPrefix": "eni", "mtu": "9001"},
		{"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}`
	otherMTU = `{"cniVersion": "1.0.0", "name": "aws-cni", "plugins": [{"type": "aws-cni", "mtu": "1500"}]}`
	ours     = `{"type": "palisade-cni", "socket": "/run/palisade/agent.sock", "onAgentDown": "fail", "timeout": "10s"}`
)

func TestPluginIsAppendedToTheFirstConfiguration(t *testing.T) {
	n := newNode(t, map[string]string{
		"10-aws.conflist":  awsList,
		"99-loopback.conf": `{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}`,
	})
	if err := n.install(); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSuffix(awsList, "]}") + "," + ours + "]}"
	n.expectConfig(want)
	if got := n.read(filepath.Join(n.conf, "10-aws.conflist")); got != awsList {
		t.Errorf("changed the other plugin's file: %s", got)
	}
	program := filepath.Join(n.bin, pluginName)
	info, err := os.Stat(program)
	if err != nil || info.Mode().Perm() != 0o755 || n.read(program) != "program 1" {
		t.Errorf("plugin: %v %v", info, err)
	}
	// Once more, with a new version of the plugin and another choice, as after an update.
	n.write(n.plugin, "program 2")
	if err := n.install("-on-agent-down", "open"); err != nil {
		t.Fatal(err)
	}
	n.expectConfig(strings.Replace(want, `"fail"`, `"open"`, 1))
	if got := n.read(program); got != "program 2" {
		t.Errorf("plugin is %q", got)
	}
	for _, dir := range []string{n.bin, n.conf} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".palisade-*")); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}

func TestSinglePluginBecomesAList(t *testing.T) {
	n := newNode(t, map[string]string{
		"05-broken.conflist": `{`, "06-no-plugins.conflist": `{"cniVersion": "1.0.0", "name": "x", "plugins": []}`,
		"07-no-type.conf": `{"cniVersion": "1.0.0", "name": "x"}`,
		"10-ptp.conf":     `{"cniVersion": "0.3.1", "name": "net", "type": "ptp", "ipMasq": true}`,
		"11-notes.txt":    "not a configuration",
	})
	if err := n.install("-socket", "/s", "-timeout", "1s"); err != nil {
		t.Fatal(err)
	}
	n.expectConfig(`{"cniVersion": "0.3.1", "name": "net", "plugins": [
		{"cniVersion": "0.3.1", "name": "net", "type": "ptp", "ipMasq": true},
		{"type": "palisade-cni", "socket": "/s", "onAgentDown": "fail", "timeout": "1s"}]}`)
}

// TestWithoutAConfiguration: a configuration of ours alone would be worse than none.
func TestWithoutAConfiguration(t *testing.T) {
	for name, configs := range map[string]map[string]string{
		"none": nil, "only ours": {configName: awsList}, "only a broken one": {"10-x.conflist": `{"plugins": 1}`},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, configs)
			if err := n.install(); !errors.Is(err, errNoConfig) {
				t.Errorf("%v, want %v", err, errNoConfig)
			}
			if got, err := os.ReadFile(filepath.Join(n.conf, configName)); err == nil && string(got) != configs[configName] {
				t.Errorf("wrote %s", got)
			}
		})
	}
}

// TestConfigurationThatRuntimesWouldNotRead: pods would start unfiltered, and nobody would know.
func TestConfigurationThatRuntimesWouldNotRead(t *testing.T) {
	n := newNode(t, map[string]string{"00-multus.conflist": awsList, "10-aws.conflist": awsList})
	if err := n.install(); !errors.Is(err, errNotFirst) || !strings.Contains(err.Error(), "00-multus.conflist") {
		t.Errorf("%v, want %v and which", err, errNotFirst)
	}
	if _, err := os.Stat(filepath.Join(n.conf, configName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrote a configuration all the same: %v", err)
	}
}

// TestCopyFollows what the other plugin's owner does to its configuration, but not what is there for a moment only.
func TestCopyFollows(t *testing.T) {
	ours := "," + ours + "]}"
	for name, c := range map[string]struct {
		change func(n node)
		want   string
	}{
		"changed": {func(n node) { n.write(filepath.Join(n.conf, "10-aws.conflist"), otherMTU) }, otherMTU},
		"another comes first": {
			func(n node) { n.write(filepath.Join(n.conf, "05-new.conflist"), otherMTU) }, otherMTU,
		},
		"gone": {func(n node) { n.remove(filepath.Join(n.conf, "10-aws.conflist")) }, awsList},
		"being written": {func(n node) {
			n.write(filepath.Join(n.conf, "05-new.conflist"), otherMTU)
			time.Sleep(poll) // seen once
			n.remove(filepath.Join(n.conf, "05-new.conflist"))
		}, awsList},
		"taken off": {func(n node) {
			n.remove(filepath.Join(n.conf, configName))
			n.write(filepath.Join(n.conf, "10-aws.conflist"), otherMTU)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, map[string]string{"10-aws.conflist": awsList})
			if err := n.install(); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(*testing.T) { n.follow(c.change) })
			if c.want != "" {
				n.expectConfig(strings.TrimSuffix(c.want, "]}") + ours)
			} else if _, err := os.Stat(filepath.Join(n.conf, configName)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("put back what was taken off: %v", err)
			}
		})
	}
}

// follow runs the command while something changes, and for some time afterwards.
func (n node) follow(change func(node)) {
	n.Helper()
	ctx, cancel := context.WithCancel(n.Context())
	done := make(chan error)
	go func() { done <- run(ctx, []string{"cni", "-conf-dir", n.conf, "-follow"}, n.Output()) }()
	time.Sleep(poll + poll/2)
	change(n)
	time.Sleep(3 * poll)
	cancel()
	if err := <-done; err != nil {
		n.Error(err)
	}
}

func TestWrongUseIsRefused(t *testing.T) {
	for _, args := range [][]string{
		nil, {"instal"}, {"cni", "-on-agent-down", "maybe"}, {"cni", "x"}, {"remove", "-pin", "x"}, {"wait", "1s"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); !errors.Is(err, errUsage) || out.Len() == 0 {
			t.Errorf("%q: %v, said %q", args, err, out.String())
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/containernetworking/cni/libcni"
)

const (
	// configName is before the names that CNI plugins give their configurations: runtimes take the first file.
	configName = "00-palisade.conflist"
	pluginName = "palisade-cni"
)

// poll is how often a folder of network configurations is looked at again.
const poll = time.Second

// errNoConfig means that no CNI plugin has written its configuration yet.
var errNoConfig = errors.New("there is no network configuration to append to")

// errNotFirst means that runtimes would go on to read another configuration.
var errNotFirst = errors.New("its name comes before " + configName + ", which no runtime would read")

// install is what the command cni is told.
type install struct {
	plugin, binDir, confDir      string
	socket, onAgentDown, timeout string
	wait                         time.Duration
	follow                       bool
}

func runCNI(ctx context.Context, args []string, out io.Writer) error {
	var i install
	f := flag.NewFlagSet("cni", flag.ContinueOnError)
	f.StringVar(&i.plugin, "plugin", "/"+pluginName, "`file` of the plugin to copy")
	f.StringVar(&i.binDir, "bin-dir", "/opt/cni/bin", "`directory` of CNI plugins")
	f.StringVar(&i.confDir, "conf-dir", "/etc/cni/net.d", "`directory` of network configurations")
	f.StringVar(&i.socket, "socket", "/run/palisade/agent.sock", "`path` of the agent's socket on the node")
	f.StringVar(&i.onAgentDown, "on-agent-down", "fail", "what happens to a pod that starts without an agent: fail or open")
	f.StringVar(&i.timeout, "timeout", "10s", "how long a pod waits for the agent")
	f.DurationVar(&i.wait, "wait", 2*time.Minute, "how long to wait for another plugin's configuration")
	f.BoolVar(&i.follow, "follow", false, "instead of copying anything, keep the copy of the configuration up to date")
	if err := parse(f, args, out); err != nil {
		return err
	}
	if i.onAgentDown != "fail" && i.onAgentDown != "open" {
		fmt.Fprintf(out, "-on-agent-down: %q is neither fail nor open\n", i.onAgentDown)
		return errUsage
	}
	if i.follow {
		return i.keepUp(ctx, out)
	}
	return i.run(ctx, out)
}

// run copies the plugin first: a configuration that names a missing plugin stops every pod.
func (i install) run(ctx context.Context, out io.Writer) error {
	program, err := os.ReadFile(i.plugin)
	if err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	if err := replace(filepath.Join(i.binDir, pluginName), program, 0o755); err != nil {
		return fmt.Errorf("copy the plugin: %w", err)
	}
	from, err := i.awaitConfig(ctx)
	if err != nil {
		return err
	}
	config, err := i.chain(from)
	if err != nil {
		return err
	}
	return i.write(config, from.path, out)
}

// copied is the file that is written.
func (i install) copied() string { return filepath.Join(i.confDir, configName) }

func (i install) write(config []byte, from string, out io.Writer) error {
	if err := replace(i.copied(), config, 0o600); err != nil {
		return fmt.Errorf("write the network configuration: %w", err)
	}
	fmt.Fprintf(out, "%s is %s with %s\n", i.copied(), from, pluginName)
	return nil
}

// keepUp makes the copy again whenever what it is made from has changed, until ctx is done. It tells each problem once.
func (i install) keepUp(ctx context.Context, out io.Writer) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var seen []byte
	told := ""
	for {
		var err error
		if seen, err = i.update(seen, out); err != nil && err.Error() != told {
			fmt.Fprintln(out, err)
			told = err.Error()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// update writes the copy if it is wanted just as it was the last time: what is there for a moment, while the other
// plugin writes, must not be kept. A copy that is gone was taken off the node, and stays away.
func (i install) update(seen []byte, out io.Writer) (wanted []byte, err error) {
	from, err := findConfig(i.confDir)
	if err != nil {
		return nil, err
	}
	if wanted, err = i.chain(from); err != nil || !bytes.Equal(wanted, seen) {
		return wanted, err
	}
	old, err := os.ReadFile(i.copied())
	if errors.Is(err, fs.ErrNotExist) || err == nil && bytes.Equal(old, wanted) {
		return wanted, nil
	}
	return wanted, i.write(wanted, from.path, out)
}

// config is a network configuration that a runtime would use if ours were not there.
type config struct {
	path string
	list *libcni.NetworkConfigList
}

func (i install) awaitConfig(ctx context.Context) (config, error) {
	ctx, cancel := context.WithTimeout(ctx, i.wait)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		c, err := findConfig(i.confDir)
		if err == nil {
			return c, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return config{}, err
		}
	}
}

// findConfig returns the first configuration of a folder that is not ours, as runtimes choose it: by name, and passing
// over those that cannot be read.
func findConfig(dir string) (config, error) {
	files, err := libcni.ConfFiles(dir, []string{".conf", ".conflist", ".json"})
	if err != nil {
		return config{}, fmt.Errorf("%w: %w", errNoConfig, err)
	}
	sort.Strings(files)
	problems := []error{errNoConfig}
	for _, path := range files {
		if filepath.Base(path) == configName {
			continue
		}
		list, err := readConfig(path)
		if err == nil {
			return config{path, list}, nil
		}
		problems = append(problems, err)
	}
	return config{}, fmt.Errorf("%s: %w", dir, errors.Join(problems...))
}

func readConfig(path string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(path) == ".conflist" {
		return libcni.ConfListFromFile(path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	single, err := libcni.NetworkPluginConfFromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if single.Network.Type == "" {
		return nil, fmt.Errorf("%s: no plugin is named", path)
	}
	list, err := json.Marshal(map[string]any{
		"cniVersion": single.Network.CNIVersion, "name": single.Network.Name, "plugins": []json.RawMessage{data},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return libcni.NetworkConfFromBytes(list)
}

// chain appends the plugin. Whatever else the configuration says, now or in versions to come, is kept as it is.
func (i install) chain(c config) ([]byte, error) {
	if filepath.Base(c.path) < configName {
		return nil, fmt.Errorf("%s: %w", c.path, errNotFirst)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(c.list.Bytes, &whole); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	var plugins []json.RawMessage
	if err := json.Unmarshal(whole["plugins"], &plugins); err != nil {
		return nil, fmt.Errorf("%s: plugins: %w", c.path, err)
	}
	ours, err := json.Marshal(map[string]string{
		"type": pluginName, "socket": i.socket, "onAgentDown": i.onAgentDown, "timeout": i.timeout,
	})
	if err != nil {
		return nil, err
	}
	if whole["plugins"], err = json.Marshal(append(plugins, ours)); err != nil {
		return nil, err
	}
	return json.MarshalIndent(whole, "", "  ")
}

// replace writes a file that is either the old one or complete, whenever a runtime reads it, and leaves one alone that
// is right already.
func replace(path string, content []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".palisade-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

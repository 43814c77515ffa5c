package kind

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
)

// kubeletSysctls are the parameters of the kernel that a kubelet sets when it starts and that are not those of a
// namespace (pkg/kubelet/cm/container_manager_linux.go of Kubernetes, setupKernelTunables).
func kubeletSysctls() []string {
	return []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}
}

func sysctlFile(name string) string { return filepath.Join("/proc/sys", name) }

// sysctlRecord is the file that remembers the parameters while there are clusters.
func sysctlRecord() (string, error) {
	dir, err := cache.Dir("")
	return filepath.Join(dir, "sysctls.json"), err
}

// saveSysctls remembers the parameters as they are before the first cluster.
func saveSysctls() error {
	record, err := sysctlRecord()
	if err != nil {
		return err
	}
	if _, err := os.Stat(record); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	values := map[string]string{}
	for _, name := range kubeletSysctls() {
		value, err := os.ReadFile(sysctlFile(name))
		if err != nil {
			return fmt.Errorf("remember kernel parameters: %w", err)
		}
		values[name] = strings.TrimSpace(string(value))
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return os.WriteFile(record, data, 0o600)
}

// restoreSysctls writes the parameters back, if there is a record of them.
func restoreSysctls() error {
	record, err := sysctlRecord()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err == nil {
		err = json.Unmarshal(data, &values)
	}
	for _, name := range kubeletSysctls() {
		if value, ok := values[name]; ok {
			err = errors.Join(err, os.WriteFile(sysctlFile(name), []byte(value), 0))
		}
	}
	if err != nil {
		return fmt.Errorf("restore kernel parameters: %w", err)
	}
	return os.Remove(record)
}

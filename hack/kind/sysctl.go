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

// procSys is the folder of the kernel's parameters.
const procSys = "/proc/sys"

// sysctls keeps what kubelets change.
type sysctls struct {
	dir    string // of the parameters
	record string // file that remembers them while there are clusters
}

func openSysctls() (sysctls, error) {
	dir, err := cache.Dir("")
	return sysctls{dir: procSys, record: filepath.Join(dir, "sysctls.json")}, err
}

// save remembers the parameters, unless they are remembered: then a kubelet may have changed them.
func (s sysctls) save() error {
	if _, err := os.Stat(s.record); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	values := map[string]string{}
	for _, name := range kubeletSysctls() {
		value, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return fmt.Errorf("remember kernel parameters: %w", err)
		}
		values[name] = strings.TrimSpace(string(value))
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return os.WriteFile(s.record, data, 0o600)
}

// restore writes the parameters back, if they are remembered, and forgets them.
func (s sysctls) restore() error {
	data, err := os.ReadFile(s.record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err == nil {
		err = json.Unmarshal(data, &values)
	}
	for _, name := range kubeletSysctls() {
		if value, ok := values[name]; ok {
			err = errors.Join(err, os.WriteFile(filepath.Join(s.dir, name), []byte(value), 0))
		}
	}
	if err != nil {
		return fmt.Errorf("restore kernel parameters: %w", err)
	}
	return os.Remove(s.record)
}

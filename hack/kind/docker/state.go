package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
)

// state is the directory of the daemon of its own.
type state struct{ dir string }

func openState() (state, error) {
	dir, err := cache.Dir("docker")
	return state{dir}, err
}

func (s state) path(name string) string { return filepath.Join(s.dir, name) }

func (s state) docker() *Docker {
	return &Docker{host: "unix://" + s.path("docker.sock"), owned: true}
}

// process identifies a process for good: numbers are used again, but not with the same start time.
type process struct {
	PID int `json:"pid"`
	// Started is when, in clock ticks after boot, proc_pid_stat(5).
	Started string `json:"started"`
}

// identify returns the process of that number.
func identify(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The second field is a name in parentheses, in which anything may stand.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat: %d fields after the name", pid, len(fields))
	}
	if fields[0] == "Z" {
		return process{}, fmt.Errorf("process %d has ended", pid)
	}
	return process{PID: pid, Started: fields[19]}, nil
}

// running says whether the process has not ended.
func (p process) running() bool {
	now, err := identify(p.PID)
	return err == nil && now == p
}

// save remembers the first process of the daemon's namespaces.
func (s state) save(p process) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("process.json"), data, 0o600)
}

// load returns the process of the daemon that was started last, and false if it has ended or there was none.
func (s state) load() (process, bool, error) {
	data, err := os.ReadFile(s.path("process.json"))
	if errors.Is(err, os.ErrNotExist) {
		return process{}, false, nil
	}
	var p process
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return process{}, false, fmt.Errorf("read the daemon's process: %w", err)
	}
	return p, p.running(), nil
}

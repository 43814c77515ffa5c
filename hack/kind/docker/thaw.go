package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// thawed is what a control group's file says whose processes are not stopped, and what lets them go on, by the file's name.
var thawed = map[string]string{
	"freezer.state": "THAWED", // version 1
	"cgroup.freeze": "0",
}

// Thaw lets processes of containers go on that runc has stopped, as it does for a moment to change what devices they may use, and has
// not let go on, since it was killed. The kernel does not kill what is stopped in this way, so the container could not be removed.
// It does nothing where the daemon is not the one that this package started.
func (d *Docker) Thaw() error {
	if !d.owned {
		return nil
	}
	return thaw()
}

func thaw() error {
	if err := eachCgroupTree(thawTree); err != nil {
		return fmt.Errorf("let stopped processes go on: %w", err)
	}
	return nil
}

// thawTree does that for a control group and those below it, some of which may go meanwhile.
func thawTree(root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		word, known := thawed[e.Name()]
		if !known || e.IsDir() {
			return nil
		}
		state, err := os.ReadFile(path)
		if err == nil && strings.TrimSpace(string(state)) != word {
			err = os.WriteFile(path, []byte(word), 0)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		return err
	})
}

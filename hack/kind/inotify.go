package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// inotifyLimit is the kernel parameter that says how many instances of inotify one user may have. All nodes of all
	// clusters run as root; where no instance is left, kubelets crash and are started again for ever.
	inotifyLimit = "fs/inotify/max_user_instances"
	// inotifyPerNode is how many the processes of one node need: 12 on a worker and 25 on a control plane were counted
	// with Kubernetes 1.36, and pods may have some.
	inotifyPerNode = 20
	// inotifyPatience is how long processes of a cluster that was just removed may take to end.
	inotifyPatience = 5 * time.Second
)

// awaitInotify fails if the kernel's limit does not suffice for so many more nodes, not even a little later.
func awaitInotify(ctx context.Context, nodes int) error {
	return poll(ctx, inotifyPatience, func(context.Context) error { return checkInotify(nodes) })
}

// checkInotify fails if the kernel's limit does not suffice for so many more nodes now.
func checkInotify(nodes int) error {
	data, err := os.ReadFile(filepath.Join(procSys, inotifyLimit))
	if err != nil {
		return fmt.Errorf("read the limit on inotify: %w", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return fmt.Errorf("read the limit on inotify: %w", err)
	}
	used, err := inotifyInstances("/proc")
	if err != nil {
		return fmt.Errorf("count instances of inotify: %w", err)
	}
	if need := used + inotifyPerNode*nodes; need > limit {
		return fmt.Errorf("%d nodes need %d instances of inotify, %d are in use, and %d are allowed; "+
			"sysctl -w fs.inotify.max_user_instances=%d", nodes, need-used, used, limit, max(1024, need))
	}
	return nil
}

// inotifyInstances counts those of the processes that may be looked at. Descriptors that were passed on are counted
// twice, which errs on the safe side.
func inotifyInstances(proc string) (int, error) {
	descriptors, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return 0, err
	}
	count := 0
	for _, d := range descriptors {
		if target, err := os.Readlink(d); err == nil && target == "anon_inode:inotify" {
			count++
		}
	}
	return count, nil
}

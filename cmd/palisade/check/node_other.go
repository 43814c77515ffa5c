//go:build !linux

package check

import (
	"context"
	"errors"
)

const bpffs = "/sys/fs/bpf"

// ReadNode fails: nodes run Linux.
func ReadNode(context.Context) (*Node, error) {
	return nil, errors.New("--node looks at the machine it runs on, and nodes run Linux")
}

package clustertest

import (
	"context"
	"fmt"
	"os/exec"
)

// BuildPrograms builds palisade-controller and palisade-agent, as they are in this tree, into a directory.
func BuildPrograms(ctx context.Context, dir string) error {
	const commands = "github.com/palisade-netpol/palisade/cmd/"
	build := exec.CommandContext(ctx, "go", "build", "-o", dir, commands+"palisade-controller", commands+"palisade-agent")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs of this tree: %w\n%s", err, out)
	}
	return nil
}

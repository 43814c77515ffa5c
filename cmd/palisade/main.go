// Command palisade says what Kubernetes NetworkPolicies mean and proves that they are enforced: it prints the
// connectivity matrix of a set of manifests, explains single verdicts, and replays scenarios with real traffic.
//
// Installed under the name kubectl-palisade it is a kubectl plugin: kubectl palisade matrix -f .
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal cancels ctx, so that sessions are closed; the second ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, osWorld(), os.Args))
}

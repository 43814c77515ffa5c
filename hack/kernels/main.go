// Command kernels runs the parts of the tests that depend on the kernel on other kernels than the one of this machine:
// Debian's own, in virtual machines under qemu. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/palisade-netpol/palisade/hack/command"
	"github.com/palisade-netpol/palisade/hack/kernels/debian"
	"github.com/palisade-netpol/palisade/hack/kernels/vm"
)

func main() {
	command.Main("kernels", func(ctx context.Context, s command.Streams, args []string) error { return run(ctx, s.Out, args) })
}

// options are the flags.
type options struct {
	kernels, suites string // names with commas between; empty: all
	checks          int
	mirror, cache   string
	out, accel      string
	timeout         time.Duration
}

func parse(stdout io.Writer, args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("kernels", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.StringVar(&o.kernels, "kernels", "", "only these `names`, with commas between: 5.10,6.12")
	flags.StringVar(&o.suites, "suites", "", "only these `names`: verifier,live")
	flags.IntVar(&o.checks, "checks", 20, "random cases per property")
	flags.StringVar(&o.mirror, "mirror", "", "Debian archive; default: the one that apt uses")
	flags.StringVar(&o.cache, "cache", "", "where kernels are kept; default: palisade/kernels in the user's caches")
	flags.StringVar(&o.out, "out", "out/kernels", "where logs and binaries go")
	flags.StringVar(&o.accel, "accel", "tcg", "accelerator of qemu")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Minute, "for one kernel")
	return o, command.Parse(flags, args)
}

func run(ctx context.Context, stdout io.Writer, args []string) error {
	o, err := parse(stdout, args)
	if err != nil {
		return err
	}
	m, columns, err := newMatrix(o)
	if err != nil {
		return err
	}
	var done []*column
	failed := 0
	for _, k := range columns {
		fmt.Fprintf(stdout, "%s …\n", k.name)
		c := m.run(ctx, k)
		if !c.ok(m.suites) {
			failed++
		}
		done = append(done, c)
	}
	writeTable(stdout, m.suites, done)
	if failed > 0 {
		return fmt.Errorf("%d of %d kernels fail", failed, len(done))
	}
	return nil
}

// matrix is what is the same for all kernels.
type matrix struct {
	archive    *debian.Archive
	suites     []suite
	out, accel string
	timeout    time.Duration
	built      map[string]binaries // by architecture
}

func newMatrix(o options) (*matrix, []kernel, error) {
	columns, err := pick(kernels(), func(k kernel) string { return k.name }, o.kernels)
	if err != nil {
		return nil, nil, err
	}
	rows, err := pick(suites(o.checks), func(s suite) string { return s.name }, o.suites)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range columns {
		if err := vm.Check(k.arch); err != nil {
			return nil, nil, err
		}
	}
	archive, err := openArchive(o)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, nil, err
	}
	return &matrix{archive: archive, suites: rows, out: o.out, accel: o.accel, timeout: o.timeout,
		built: map[string]binaries{}}, columns, nil
}

func openArchive(o options) (*debian.Archive, error) {
	if o.mirror == "" {
		var err error
		if o.mirror, err = debian.Mirror(os.DirFS("/etc/apt")); err != nil {
			return nil, err
		}
	}
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		o.cache = filepath.Join(dir, "palisade", "kernels")
	}
	return &debian.Archive{Mirror: o.mirror, Cache: o.cache, Client: &http.Client{Timeout: 10 * time.Minute}}, nil
}

// build compiles for an architecture, once.
func (m *matrix) build(ctx context.Context, arch string) (binaries, error) {
	if bins, ok := m.built[arch]; ok {
		return bins, nil
	}
	dir := filepath.Join(m.out, "bin", arch)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	bins, err := build(ctx, dir, arch, m.suites)
	if err == nil {
		m.built[arch] = bins
	}
	return bins, err
}

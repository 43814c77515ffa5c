package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/hack/kernels/debian"
	"github.com/palisade-netpol/palisade/hack/kernels/guest"
	"github.com/palisade-netpol/palisade/hack/kernels/modules"
	"github.com/palisade-netpol/palisade/hack/kernels/vm"
)

// column is what became of a kernel.
type column struct {
	kernel  kernel
	version string                  // of the package
	results map[string]guest.Result // by suite
	wrong   []string                // what is wrong beside the suites' own failures
	log     string                  // file
	took    time.Duration
	cpu     time.Duration // processor time of the machine; tells whether the host was busy with something else
}

// run fetches a kernel, boots it with the suites and reads what they said. Whatever goes wrong is in the column.
func (m *matrix) run(ctx context.Context, k kernel) *column {
	c := &column{kernel: k, results: map[string]guest.Result{}, log: filepath.Join(m.out, k.name+".log")}
	begin := time.Now()
	if err := m.boot(ctx, c); err != nil {
		c.wrong = append(c.wrong, err.Error())
	}
	c.took = time.Since(begin)
	return c
}

func (m *matrix) boot(ctx context.Context, c *column) error {
	unpacked, err := m.archive.Kernel(ctx, c.kernel.source)
	if err != nil {
		return err
	}
	c.version = unpacked.Package.Version.String()
	initrd, err := m.initrd(ctx, c.kernel, unpacked)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(initrd) }()
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("not finished after %s", m.timeout))
	defer cancel()
	log, err := os.Create(c.log)
	if err != nil {
		return err
	}
	var console bytes.Buffer
	machine := vm.Machine{Arch: c.kernel.arch, Kernel: unpacked.Image, Initrd: initrd, Accel: m.accel}
	c.cpu, err = machine.Run(ctx, io.MultiWriter(log, &console))
	return errors.Join(err, log.Close(), c.read(&console, m.suites))
}

// initrd makes the initial file system of a kernel.
func (m *matrix) initrd(ctx context.Context, k kernel, unpacked *debian.Kernel) (string, error) {
	mods, err := modules.Load(os.DirFS(unpacked.Modules), loaded())
	if err != nil {
		return "", err
	}
	bins, err := m.build(ctx, k.arch)
	if err != nil {
		return "", err
	}
	file := filepath.Join(m.out, k.name+".cpio")
	return file, writeInitramfs(file, bins, mods, m.suites)
}

// read takes the results off the console, and notes what should be there and is not.
func (c *column) read(console io.Reader, list []suite) error {
	results, last, err := guest.Read(console)
	if err != nil {
		return err
	}
	noted := map[string]string{}
	for _, r := range results {
		c.results[r.Suite] = r
		maps.Copy(noted, r.Facts)
	}
	if !last.Finished {
		c.wrong = append(c.wrong, "the guest did not come to its end")
	}
	c.wrong = append(c.wrong, last.Warnings...)
	for _, s := range list {
		if r, ok := c.results[s.name]; !ok {
			c.wrong = append(c.wrong, "suite "+s.name+" said nothing")
		} else if r.Error != "" {
			c.wrong = append(c.wrong, s.name+": "+r.Error)
		}
	}
	for _, fact := range slices.Sorted(maps.Keys(c.kernel.facts)) {
		if got, noted := noted[fact]; noted && got != c.kernel.facts[fact] {
			c.wrong = append(c.wrong, fmt.Sprintf("%s: %q, but documented is %q", fact, got, c.kernel.facts[fact]))
		}
	}
	return nil
}

// ok says that every suite ran and passed, and nothing else is wrong.
func (c *column) ok(list []suite) bool {
	for _, s := range list {
		r := c.results[s.name]
		if !r.OK() {
			return false
		}
	}
	return len(c.wrong) == 0
}

// Command scale makes policies as large as clusters get, compiles them, loads them into the kernel, and sends
// packets through the programs there: a million peers, a hundred thousand blocks, ten thousand ranges of ports, five
// hundred pods. It prints what that costs, and what does not fit. Where a packet is judged otherwise than the input
// says, or than the programs' twin in Go does, it fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"

	"github.com/palisade-netpol/palisade/hack/command"
)

func main() {
	command.Main("scale", func(ctx context.Context, s command.Streams, args []string) error { return run(ctx, s.Out, args) })
}

func run(ctx context.Context, stdout io.Writer, args []string) error {
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	part := flags.Int("part", 1, "make everything so many times smaller, the tables too")
	pattern := flags.String("run", "", "only cases that match this regular expression")
	if err := command.Parse(flags, args); err != nil {
		return err
	}
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("%w: -run: %w", command.ErrUsage, err)
	}
	var results []*result
	var errs []error
	for _, c := range cases(*part) {
		if ctx.Err() != nil || !only.MatchString(c.name) {
			continue
		}
		if _, err := fmt.Fprintf(stdout, "%s …\n", c.name); err != nil {
			return err
		}
		r, err := measure(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		results = append(results, r)
	}
	return errors.Join(append(errs, ctx.Err(), print(stdout, results))...)
}

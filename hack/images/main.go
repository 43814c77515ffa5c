// Command images builds the container images of Palisade as OCI archives, without Docker and without a registry:
//
//	go run ./hack/images -o out/images
//	kind load image-archive out/images/palisade-agent.tar
//
// See package images for what is in them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/palisade-netpol/palisade/hack/command"
	"github.com/palisade-netpol/palisade/hack/images/images"
)

func main() {
	command.Main("images", func(ctx context.Context, s command.Streams, args []string) error {
		o, err := parse(args, s.Err)
		if err != nil {
			return err
		}
		return run(ctx, o, s.Out)
	})
}

// parse reads the command line. It has written to out what is wrong with it.
func parse(args []string, out io.Writer) (images.Options, error) {
	o := images.Options{Progress: func(message string) { fmt.Fprintln(out, message) }}
	f := flag.NewFlagSet("images", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.Out, "o", "out/images", "`folder` for the archives")
	f.StringVar(&o.Version, "version", "dev", "tag and version label of the images")
	f.StringVar(&o.Repository, "repository", images.DefaultRepository, "registry and organisation in their names")
	f.Func("platform", "`list` of linux/amd64, linux/arm64 (default: this machine's)", list(&o.Platforms))
	f.Func("image", "`list` of "+strings.Join(images.Names(), ", ")+" (default: all)", list(&o.Images))
	if err := command.Parse(f, args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		fmt.Fprintf(out, "unexpected argument %q\n", f.Arg(0))
		return o, command.ErrUsage
	}
	return o, nil
}

// list splits the value of a flag at commas.
func list(into *[]string) func(string) error {
	return func(value string) error {
		*into = append(*into, strings.Split(value, ",")...)
		return nil
	}
}

// run builds the images and prints a line for each.
func run(ctx context.Context, o images.Options, out io.Writer) error {
	archives, err := images.Build(ctx, o)
	for _, a := range archives {
		fmt.Fprintf(out, "%s  %s  %s  %.1f MB\n", a.Path, a.Reference, a.Digest, float64(a.Size)/1e6)
	}
	return err
}

// Command chart renders the Helm chart of Palisade as plain manifests, for people without Helm and for tools:
//
//	go run -C hack/chart . -o palisade.yaml -set agent.bpffs.mount=true -set logLevel=debug
//
// Without -set and -values the result is deploy/manifests/palisade.yaml, which `make generate` writes.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
)

// defaultChart is where the chart is, from the folder of this module.
const defaultChart = "../../deploy/chart/palisade"

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // Helm tells of every symbolic link
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// run renders what the command line says, to a file or to out.
func run(args []string, out, messages io.Writer) error {
	var file string
	r := release{chart: defaultChart, values: map[string]any{}}
	f := flag.NewFlagSet("chart", flag.ContinueOnError)
	f.SetOutput(messages)
	f.StringVar(&r.chart, "chart", r.chart, "`folder` of the chart")
	f.StringVar(&r.name, "name", "palisade", "`name` of the release")
	f.StringVar(&r.namespace, "n", "kube-system", "`namespace` of the release")
	f.StringVar(&file, "o", "-", "`file` to write; - is standard output")
	f.BoolVar(&r.hooks, "hooks", false, "render the objects of helm test, too")
	f.Func("set", "`key=value`, as helm takes it; may be repeated", func(s string) error {
		return strvals.ParseInto(s, r.values)
	})
	f.Func("values", "`file` of values in YAML, \"-\" for standard input; may be repeated", r.readValues)
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	manifests, err := r.render()
	if err != nil {
		return err
	}
	if file == "-" {
		_, err := io.WriteString(out, manifests)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(manifests), 0o644)
}

// readValues lays the values of a file over those that are there.
func (r *release) readValues(file string) error {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return err
	}
	values, err := loader.LoadValues(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	r.values = loader.MergeMaps(r.values, values)
	return nil
}

// header is what plain manifests begin with.
func header(command string) string {
	return strings.Join([]string{
		"# Palisade, rendered from the chart in deploy/chart by " + command + "; do not edit.",
		"#",
		"#   palisade check                               look first whether this cluster has another policy engine",
		"#   kubectl apply --server-side -f palisade.yaml",
		"",
	}, "\n")
}

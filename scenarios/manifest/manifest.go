// Package manifest reads Kubernetes manifests — files, directories, standard input — into a model.Cluster, as the API
// server would have it: strictly decoded, defaulted, validated, every Namespace present.
//
// Everything wrong is reported at once, each mistake in one sentence "file:line:column: …". Kinds that say nothing
// about connectivity (Deployment, ConfigMap, …) are skipped with a warning, so that the manifest of a whole
// application can be given as it is; their Pods have no addresses and must be given as Pods.
package manifest

import (
	"io"
	"io/fs"
	"strings"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Error is one thing that is wrong, or was skipped, in a file.
type Error = strict.Error

// Errors is everything that is wrong, in the order of the files; the error that Load returns is one.
type Errors = strict.Errors

// Options say where Load reads. The zero Options read the files of the machine, and nothing from standard input.
type Options struct {
	FS    fs.FS     // where paths lead; nil: the operating system's files
	Stdin io.Reader // what the path "-" stands for; nil: empty
}

// Result is what was read.
type Result struct {
	Cluster  *model.Cluster
	Warnings Errors // one per object that was skipped, with its place
}

// Load reads the objects in paths: files, directories (recursively *.yaml, *.yml, *.json) and "-" for standard input.
// The error is an Errors that names every mistake.
func Load(paths []string, opts Options) (*Result, error) {
	objects, warnings, errs := Read(paths, opts)
	if len(errs) == 0 && len(objects) == 0 {
		return nil, Errors{{File: strings.Join(paths, ", "), Msg: "there are no objects to judge; read are " + readKinds}}
	}
	cluster, more := Assemble(objects)
	if err := append(errs, more...).Err(); err != nil {
		return nil, err
	}
	return &Result{Cluster: cluster, Warnings: warnings}, nil
}

// Read reads the objects in paths one by one, without looking at what they mean together. What could not be read is
// missing from objects and named in errs.
func Read(paths []string, opts Options) (objects []Object, warnings, errs Errors) {
	files, errs := readFiles(paths, opts)
	for _, f := range files {
		docs, bad := strict.Parse(f.name, f.data)
		errs = append(errs, bad...)
		for _, doc := range docs {
			some, skipped, bad := Decode(doc)
			objects = append(objects, some...)
			warnings = append(warnings, skipped...)
			errs = append(errs, bad...)
		}
	}
	return objects, warnings, errs
}

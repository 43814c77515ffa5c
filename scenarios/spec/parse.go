package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Parse reads the file of a scenario, which stands at path in fsys, and checks all of it. It returns the cases that the
// file varies, or the one scenario that it is. The error is a strict.Errors that names every mistake with its place;
// where there are several cases, those of the first case that has any. fsys may be nil where the scenario names no
// other files.
func Parse(path string, data []byte, fsys fs.FS) ([]*Scenario, error) {
	doc, errs := readDocument(path, data)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	variants, errs := readVariants(doc)
	if err := errs.Err(); err != nil {
		return nil, err
	}
	var cases []*Scenario
	for _, v := range variants {
		s := &Scenario{path: path, fsys: fsys}
		if err := s.read(doc, v).Err(); err != nil {
			return nil, err
		}
		if _, err := s.Stages(); err != nil {
			return nil, err
		}
		cases = append(cases, s)
	}
	return cases, nil
}

// LoadAll reads all scenarios of fsys — *.yaml at its root and in the folders of topics — in the order of their paths,
// each in all its cases. Deeper folders hold what scenarios refer to.
func LoadAll(fsys fs.FS) ([]*Scenario, error) {
	var names []string
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		found, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, fmt.Errorf("find scenarios: %w", err)
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	var all []*Scenario
	var errs strict.Errors
	for _, name := range names {
		cases, err := load(name, fsys)
		if err != nil {
			errs = append(errs, asErrors(name, err)...)
			continue
		}
		all = append(all, cases...)
	}
	if err := append(errs, repeatedNames(all)...).Err(); err != nil {
		return nil, err
	}
	return all, nil
}

func load(name string, fsys fs.FS) ([]*Scenario, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(name, data, fsys)
}

func asErrors(name string, err error) strict.Errors {
	if l, ok := errors.AsType[strict.Errors](err); ok {
		return l
	}
	return strict.Errors{{File: name, Msg: err.Error()}}
}

func repeatedNames(all []*Scenario) strict.Errors {
	first := map[string]*Scenario{}
	var errs strict.Errors
	for _, s := range all {
		name, _, _ := strings.Cut(s.Metadata.Name, "/")
		switch other := first[name]; {
		case other == nil:
			first[name] = s
		case other.path != s.path:
			n := s.Node().At("metadata.name")
			errs = append(errs, n.Errorf("the name %s is taken by %s", name, other.path))
		}
	}
	return errs
}

func folderOf(file string) string { return path.Base(path.Dir(file)) }

// readDocument returns the one document of a file.
func readDocument(path string, data []byte) (*strict.Node, strict.Errors) {
	docs, errs := strict.Parse(path, data)
	if len(errs) > 0 {
		return nil, errs
	}
	if len(docs) != 1 {
		return nil, strict.Errors{{File: path, Msg: fmt.Sprintf("a scenario is one document, not %d", len(docs))}}
	}
	return docs[0], checkType(docs[0])
}

// read decodes one case and reads every object that it holds or names.
func (s *Scenario) read(doc *strict.Node, v variant) strict.Errors {
	if errs := s.readFamilies(doc, v); len(errs) > 0 {
		return errs
	}
	b := binder{families: s.families, protocol: v.protocol}
	if errs := append(strict.Decode(b.node(doc), s), b.errs...); len(errs) > 0 {
		return errs
	}
	errs := append(s.checkRequired(), s.readExternal()...)
	v.apply(s)
	s.objects = s.readObjects(s.Objects, s.Files, s.Node().At("files"), &errs)
	for i := range s.Steps {
		step := &s.Steps[i]
		step.applied = s.readObjects(step.Apply, step.ApplyFiles, step.Node().At("applyFiles"), &errs)
	}
	return errs
}

// checkType keeps a file of another type or version from being judged by the fields of this one.
func checkType(doc *strict.Node) strict.Errors {
	for _, f := range []struct{ field, want string }{{"apiVersion", APIVersion}, {"kind", Kind}} {
		if n := doc.Get(f.field); n == nil || n.Text != f.want {
			return strict.Errors{doc.At(f.field).Errorf("a scenario has %s: %s", f.field, f.want)}
		}
	}
	return nil
}

func scenarioName(s string) bool {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(s)
}

func (s *Scenario) checkRequired() strict.Errors {
	var errs strict.Errors
	if !scenarioName(s.Metadata.Name) {
		n := s.Node().At("metadata.name")
		errs = append(errs, n.Errorf("metadata.name %q is not lower-case letters, digits and dashes", s.Metadata.Name))
	}
	if s.Description == "" {
		errs = append(errs, s.Node().At("description").Errorf("description is missing: what does the scenario show?"))
	}
	if len(s.Steps) == 0 {
		errs = append(errs, s.Node().At("steps").Errorf("steps is missing: a scenario has at least one step"))
	}
	for i := range s.Steps {
		if s.Steps[i].Name == "" {
			errs = append(errs, s.Steps[i].Node().At("name").Errorf("steps[%d].name is missing", i))
		}
	}
	return errs
}

// readFamilies comes before everything else: it decides what the rest of the file means.
func (s *Scenario) readFamilies(doc *strict.Node, v variant) strict.Errors {
	stated := &strict.Node{}
	if n := doc.Get("families"); n != nil {
		stated = n
	}
	for _, item := range stated.Items {
		f, err := flow.ParseFamily(item.Text)
		if err != nil || f == 0 || slices.Contains(s.families, f) {
			return strict.Errors{item.Errorf("families must be ipv4, ipv6 or both, each once; %q is not", item.Text)}
		}
		s.families = append(s.families, f)
	}
	if len(s.families) == 0 {
		s.families = familiesOfWord(cmp.Or(v.family, flow.IPv4.String()))
	}
	return nil
}

// readObjects reads inline objects and manifests; at is where the manifests are named.
func (s *Scenario) readObjects(
	inline []Object, files []string, at *strict.Node, errs *strict.Errors,
) []manifest.Object {
	var all []manifest.Object
	for _, o := range inline {
		objects, skipped, bad := manifest.Decode(o.node)
		all = append(all, objects...)
		*errs = append(append(*errs, skipped...), bad...)
	}
	for i, file := range files {
		all = append(all, s.readFile(file, at.At(fmt.Sprintf("[%d]", i)), errs)...)
	}
	return all
}

func (s *Scenario) readFile(file string, at *strict.Node, errs *strict.Errors) []manifest.Object {
	name := path.Join(path.Dir(s.path), file)
	if s.fsys == nil || !fs.ValidPath(name) {
		*errs = append(*errs, at.Errorf("the file %s is outside the folder of the scenarios", file))
		return nil
	}
	if _, err := fs.Stat(s.fsys, name); err != nil {
		*errs = append(*errs, at.Errorf("the file %s does not exist", name))
		return nil
	}
	objects, skipped, bad := manifest.Read([]string{name}, manifest.Options{FS: s.fsys})
	*errs = append(append(*errs, skipped...), bad...)
	return objects
}

package main

import (
	"fmt"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// release is what is rendered.
type release struct {
	chart           string // its folder
	name, namespace string
	values          map[string]any
	hooks           bool                  // render what helm test runs, too
	cluster         engine.ClientProvider // answers the templates' look-ups; nil: there is no cluster
}

// render returns the CRDs and the other objects in the order in which Helm would create them. Values that
// the chart's schema does not allow are an error which names them.
func (r release) render() (string, error) {
	c, files, err := r.files()
	if err != nil {
		return "", err
	}
	hooks, manifests, err := releaseutil.SortManifests(files, common.DefaultVersionSet, releaseutil.InstallOrder)
	if err != nil {
		return "", fmt.Errorf("render: %w", err)
	}
	var b strings.Builder
	b.WriteString(header("go run -C hack/chart ."))
	for _, crd := range c.CRDObjects() {
		b.WriteString(document(string(crd.File.Data)))
	}
	for _, m := range manifests {
		b.WriteString(document(m.Content))
	}
	if r.hooks {
		for _, h := range hooks {
			b.WriteString(document(h.Manifest))
		}
	}
	return b.String(), nil
}

// document is one object as a document of a YAML stream.
func document(text string) string {
	return "---\n" + strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "---")) + "\n"
}

// files renders every template, by its path in the chart; NOTES.txt is not among them.
func (r release) files() (*chartv2.Chart, map[string]string, error) {
	c, files, err := r.all()
	if err == nil {
		delete(files, r.notes(c))
	}
	return c, files, err
}

// notes is the path of what Helm prints after an installation.
func (release) notes(c *chartv2.Chart) string { return c.Name() + "/templates/NOTES.txt" }

func (r release) all() (*chartv2.Chart, map[string]string, error) {
	c, err := loader.LoadDir(r.chart)
	if err != nil {
		return nil, nil, fmt.Errorf("chart %s: %w", r.chart, err)
	}
	options := common.ReleaseOptions{Name: r.name, Namespace: r.namespace, Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(c, r.values, options, common.DefaultCapabilities)
	if err != nil {
		return nil, nil, err
	}
	files, err := r.execute(c, values)
	if err != nil {
		return nil, nil, fmt.Errorf("render: %w", err)
	}
	return c, files, nil
}

// execute runs the templates.
func (r release) execute(c *chartv2.Chart, values common.Values) (map[string]string, error) {
	if r.cluster == nil {
		return engine.Render(c, values)
	}
	return engine.RenderWithClientProvider(c, values, r.cluster)
}

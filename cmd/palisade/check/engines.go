package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/deploy"
)

// engine is another policy engine; see the list in deploy/chart/palisade/files/engines.yaml for what the fields mean.
type engine struct {
	Name       string      `json:"name"`
	Daemonsets []signature `json:"daemonsets"`
	Groups     []string    `json:"groups"`
	Programs   []string    `json:"programs"`
	Rules      []string    `json:"rules"`
	Remedy     string      `json:"remedy"`
}

// signature is how a DaemonSet of an engine is recognised. Empty fields say nothing.
type signature struct {
	Name      string `json:"name"`
	Container string `json:"container"`
	Argument  string `json:"argument"`
	Without   string `json:"without"`
}

// engines reads the list.
func engines() ([]engine, error) {
	var file struct {
		Engines []engine `json:"engines"`
	}
	if err := yaml.UnmarshalStrict(deploy.Engines, &file); err != nil {
		return nil, fmt.Errorf("list of engines: %w", err)
	}
	return file.Engines, nil
}

// runs says whether d makes the engine enforce policies.
func (e engine) runs(d appsv1.DaemonSet) bool {
	return slices.ContainsFunc(e.Daemonsets, func(s signature) bool {
		return s.Name == d.Name && slices.ContainsFunc(d.Spec.Template.Spec.Containers, s.matches)
	})
}

func (s signature) matches(c corev1.Container) bool {
	words := slices.Concat(c.Command, c.Args)
	return (s.Container == "" || s.Container == c.Name) &&
		(s.Argument == "" || slices.Contains(words, s.Argument)) &&
		(s.Without == "" || !slices.Contains(words, s.Without))
}

// begins says whether name begins with one of the prefixes.
func begins(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

package matrix

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Pattern selects pods for an axis of a matrix.
type Pattern struct {
	namespace, name string          // globs, where labels is nil
	labels          labels.Selector // nil: by name
}

// ParsePattern reads "NAMESPACE/POD" or "NAMESPACE", where * and ? stand for any characters and for one, or a label
// selector as kubectl takes it, which is what holds one of =, ! and space: "app=web,tier!=db", "app in (web, db)".
func ParsePattern(text string) (Pattern, error) {
	if strings.ContainsAny(text, "=! ") {
		selector, err := labels.Parse(text)
		if err != nil {
			return Pattern{}, fmt.Errorf("%q is no label selector: %w", text, err)
		}
		return Pattern{labels: selector}, nil
	}
	namespace, name, named := strings.Cut(text, "/")
	if !named {
		name = "*"
	}
	for _, glob := range []string{namespace, name} {
		if _, err := path.Match(glob, ""); err != nil || glob == "" || strings.Contains(glob, "/") {
			return Pattern{}, fmt.Errorf(
				"%q is neither NAMESPACE/POD, with * and ? for any characters, nor a label selector", text)
		}
	}
	return Pattern{namespace: namespace, name: name}, nil
}

// Matches reports whether p is one of the pods.
func (t Pattern) Matches(p *corev1.Pod) bool {
	if t.labels != nil {
		return t.labels.Matches(labels.Set(p.Labels))
	}
	namespace, _ := path.Match(t.namespace, p.Namespace)
	name, _ := path.Match(t.name, p.Name)
	return namespace && name
}

// Select returns those of pods that any of the patterns matches, all if there is no pattern.
func Select(pods []*corev1.Pod, patterns []Pattern) []*corev1.Pod {
	if len(patterns) == 0 {
		return pods
	}
	var selected []*corev1.Pod
	for _, p := range pods {
		for _, t := range patterns {
			if t.Matches(p) {
				selected = append(selected, p)
				break
			}
		}
	}
	return selected
}

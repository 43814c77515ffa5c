package core

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// NamePattern matches pods by namespace and name, in each of which "*", "?" and "[…]" mean what they mean to path.Match.
type NamePattern struct{ Namespace, Name string }

// ParseNamePattern reads "NAMESPACE/NAME".
func ParseNamePattern(text string) (NamePattern, error) {
	namespace, name, _ := strings.Cut(text, "/")
	_, err := path.Match(namespace, "")
	_, errName := path.Match(name, "")
	if namespace == "" || name == "" || strings.Contains(name, "/") || err != nil || errName != nil {
		return NamePattern{}, fmt.Errorf("%q is no pattern of the form NAMESPACE/NAME, such as kube-system/keepalived-* or vpn/*", text)
	}
	return NamePattern{namespace, name}, nil
}

// String returns "namespace/name".
func (p NamePattern) String() string { return p.Namespace + "/" + p.Name }

// Matches says whether p matches a pod. Nothing matches one without a name.
func (p NamePattern) Matches(pod Name) bool {
	namespace, err := path.Match(p.Namespace, pod.Namespace)
	name, errName := path.Match(p.Name, pod.Name)
	return namespace && name && err == nil && errName == nil && pod.Namespace != "" && pod.Name != ""
}

// mayRoute says whether the configuration lets a pod send from any address.
func (c *Config) mayRoute(pod Name) bool {
	return slices.ContainsFunc(c.MayRoute, func(p NamePattern) bool { return p.Matches(pod) })
}

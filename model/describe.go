package model

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// describe names p as in "it allows …".
func (p port) describe(to *end) string {
	switch {
	case p.name != "":
		return fmt.Sprintf("%s port %s (%s)", p.protocol, p.name, p.meaning(to))
	case p.first > p.last:
		return "no port"
	case p.first == 0 && p.last == 65535:
		return fmt.Sprintf("all %s ports", p.protocol)
	case p.first == p.last:
		return fmt.Sprintf("%s/%d", p.protocol, p.first)
	}
	return fmt.Sprintf("%s/%d-%d", p.protocol, p.first, p.last)
}

// meaning says which numbers the name of p stands for at the destination.
func (p port) meaning(to *end) string {
	if to.pod == nil {
		return to.name + " is no pod that could name its ports"
	}
	var numbers []string
	for _, named := range to.pod.ports {
		if named.name == p.name && !slices.Contains(numbers, named.String()) {
			numbers = append(numbers, named.String())
		}
	}
	if len(numbers) == 0 {
		return "which " + to.name + " does not declare"
	}
	return list(numbers) + " on " + to.name
}

// describe names p as in "it allows …".
func (p *peer) describe() string {
	switch {
	case p.block != nil:
		return p.block.describe()
	case p.namespaces == nil:
		return describePods(p.pods) + " in namespace " + p.namespace
	}
	return describePods(p.pods) + " in " + describeNamespaces(p.namespaces)
}

func (b *block) describe() string {
	if !b.cidr.IsValid() {
		return "nothing"
	}
	if len(b.except) == 0 {
		return b.cidr.String()
	}
	var except []string
	for _, e := range b.except {
		except = append(except, e.String())
	}
	return b.cidr.String() + " except " + list(except)
}

func describePods(s labels.Selector) string {
	requirements, selectable := s.Requirements()
	switch {
	case !selectable:
		return "no pods"
	case len(requirements) == 0:
		return "all pods"
	}
	return "pods labelled " + describeLabels(requirements)
}

func describeNamespaces(s labels.Selector) string {
	requirements, selectable := s.Requirements()
	switch {
	case !selectable:
		return "no namespace"
	case len(requirements) == 0:
		return "all namespaces"
	case len(requirements) == 1 && namesOne(requirements[0]):
		return "namespace " + requirements[0].ValuesUnsorted()[0]
	}
	return "namespaces labelled " + describeLabels(requirements)
}

// namesOne reports whether r selects a namespace by its name.
func namesOne(r labels.Requirement) bool {
	op := r.Operator()
	return r.Key() == corev1.LabelMetadataName && len(r.ValuesUnsorted()) == 1 &&
		(op == selection.In || op == selection.Equals || op == selection.DoubleEquals)
}

// describeLabels writes requirements as kubectl takes them: "app=web,tier in (a,b)".
func describeLabels(requirements labels.Requirements) string {
	var words []string
	for _, r := range requirements {
		words = append(words, r.String())
	}
	return strings.Join(words, ",")
}

// labelFacts says what who has under keys, in one text, or none where there are no keys.
func labelFacts(who string, set labels.Set, keys []string) []string {
	var has, lacks []string
	for _, key := range slices.Compact(keys) {
		if value, ok := set[key]; ok {
			has = append(has, key+"="+value)
		} else {
			lacks = append(lacks, key)
		}
	}
	var facts []string
	if len(has) > 0 {
		facts = append(facts, "is labelled "+strings.Join(has, ","))
	}
	if len(lacks) > 0 {
		facts = append(facts, "has no label "+list(lacks))
	}
	if len(facts) == 0 {
		return nil
	}
	return []string{who + " " + strings.Join(facts, " and ")}
}

// at names e and its address.
func (e *end) at() string {
	switch {
	case !e.addr.IsValid():
		return e.name + ", whose address is unknown,"
	case e.addr.String() == e.name:
		return e.name
	}
	return e.name + " (" + e.addr.String() + ")"
}

package strict

import "go.yaml.in/yaml/v3"

// mapping reads the fields of y itself first, since they win over those of its merge keys ("<<").
func (b *builder) mapping(y *yaml.Node) *Node {
	n := b.at(y, Map)
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		b.addField(n, key, value)
	}
	for _, m := range merges {
		b.merge(n, m)
	}
	return n
}

func (b *builder) addField(n *Node, key, value *yaml.Node) {
	k, v := b.node(key), b.node(value)
	if k == nil || v == nil {
		return
	}
	if k.Kind == List || k.Kind == Map {
		b.errorf(key, "a field name must be a string, not %s", k.Kind)
		return
	}
	if first := n.field(k.Text); first != nil {
		b.errorf(key, "field %q is given twice, first in line %d", k.Text, first.Key.Line)
		return
	}
	n.Fields = append(n.Fields, &Field{Key: k, Value: v})
}

// merge adds to n the fields of m — a mapping or a list of mappings — that n does not have yet.
func (b *builder) merge(n *Node, m *yaml.Node) {
	from := b.node(m)
	if from == nil {
		return
	}
	sources := []*Node{from}
	if from.Kind == List {
		sources = from.Items
	}
	for _, s := range sources {
		if s.Kind != Map {
			b.errorf(m, "a merge key (<<) needs a mapping or a list of mappings")
			return
		}
		for _, f := range s.Fields {
			if n.field(f.Key.Text) == nil {
				n.Fields = append(n.Fields, f)
			}
		}
	}
}

package strict

import (
	"strconv"
	"strings"
)

// At returns the node that a field path such as "spec.ingress[0].ports[0].port" or "metadata.labels[app]" leads to.
// A path that goes on where the document does not ends at the deepest node there is: that is where the missing field
// belongs.
func (n *Node) At(path string) *Node {
	for path != "" {
		var name string
		name, path = firstSegment(path)
		next := n.child(name)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// firstSegment splits "spec.x" into "spec" and "x", and "[a.b/c].x" into "a.b/c" and "x".
func firstSegment(path string) (name, rest string) {
	path = strings.TrimPrefix(path, ".")
	if inner, ok := strings.CutPrefix(path, "["); ok {
		name, rest, _ = strings.Cut(inner, "]")
		return name, rest
	}
	i := strings.IndexAny(path, ".[")
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i:]
}

func (n *Node) child(name string) *Node {
	if n.Kind != List {
		return n.Get(name)
	}
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= len(n.Items) {
		return nil
	}
	return n.Items[i]
}

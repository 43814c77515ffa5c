package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kind is what a Node is.
type Kind string

// The kinds, spelled as error messages name them.
const (
	Null   Kind = "null"
	Bool   Kind = "a boolean"
	Int    Kind = "an integer"
	Float  Kind = "a number"
	String Kind = "a string"
	List   Kind = "a list"
	Map    Kind = "a mapping"
	// Ambiguous is a word that YAML 1.1 reads as a boolean and YAML 1.2 as a string.
	Ambiguous Kind = "an unquoted yes, no, on, off, y or n, which readers of YAML understand differently"
)

// Node is one value of a document and the place where it stood. Aliases and merge keys are already resolved.
type Node struct {
	File      string
	Line, Col int
	Kind      Kind
	Text      string   // of a scalar, as written
	Items     []*Node  // of a List
	Fields    []*Field // of a Map, in the order of the file
}

// Field is one entry of a Map.
type Field struct {
	Key   *Node
	Value *Node
}

// Errorf returns an Error at the place of n.
func (n *Node) Errorf(format string, args ...any) *Error {
	return &Error{File: n.File, Line: n.Line, Col: n.Col, Msg: fmt.Sprintf(format, args...)}
}

// Get returns the value of the field key of a Map, or nil.
func (n *Node) Get(key string) *Node {
	if f := n.field(key); f != nil {
		return f.Value
	}
	return nil
}

func (n *Node) field(key string) *Field {
	i := slices.IndexFunc(n.Fields, func(f *Field) bool { return f.Key.Text == key })
	if i < 0 {
		return nil
	}
	return n.Fields[i]
}

// Parse returns the documents of a YAML stream (JSON is YAML); empty documents are left out.
func Parse(file string, data []byte) ([]*Node, Errors) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*Node
	var errs Errors
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, errs
		}
		if err != nil {
			return docs, append(errs, syntaxError(file, err))
		}
		b := builder{file: file, open: map[*yaml.Node]bool{}}
		n := b.node(&doc)
		errs = append(errs, b.errs...)
		if n != nil && n.Kind != Null {
			docs = append(docs, n)
		}
	}
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError takes the line out of the YAML parser's message; the parser does not tell the column.
func syntaxError(file string, err error) *Error {
	m := yamlError.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		return &Error{File: file, Msg: err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // absent: 0, the file as a whole
	return &Error{File: file, Line: line, Msg: "not valid YAML: " + m[2]}
}

// Limits of one document; they stop alias bombs and stack overflows, and no manifest of people or of kubectl.
const (
	maxAliased = 200_000 // nodes that stand in the document only through an alias
	maxDepth   = 200
)

// builder turns the YAML parser's nodes into Nodes.
type builder struct {
	file  string
	open  map[*yaml.Node]bool // the anchors being resolved, to notice one that contains itself
	count int                 // nodes made inside aliases
	depth int
	full  bool // a limit was exceeded and reported; nothing more is read
	errs  Errors
}

func (b *builder) errorf(y *yaml.Node, format string, args ...any) {
	b.errs = append(b.errs, &Error{File: b.file, Line: y.Line, Col: y.Column, Msg: fmt.Sprintf(format, args...)})
}

// node returns nil, having reported why, where y cannot be a Node.
func (b *builder) node(y *yaml.Node) *Node {
	if len(b.open) > 0 {
		b.count++
	}
	b.depth++
	defer func() { b.depth-- }()
	if b.limited(y) {
		return nil
	}
	if y.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!map", "!!seq"}, y.ShortTag()) {
		b.errorf(y, "the YAML tag %s has no meaning here", y.Tag)
		return nil
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return b.node(y.Content[0])
	case yaml.AliasNode:
		return b.alias(y)
	case yaml.SequenceNode:
		return b.list(y)
	case yaml.MappingNode:
		return b.mapping(y)
	}
	return b.scalar(y)
}

func (b *builder) limited(y *yaml.Node) bool {
	if !b.full && (b.count > maxAliased || b.depth > maxDepth) {
		b.full = true
		b.errorf(y, "the document is nested too deeply, or too large once its aliases are resolved")
	}
	return b.full
}

func (b *builder) alias(y *yaml.Node) *Node {
	if y.Alias == nil || b.open[y.Alias] {
		b.errorf(y, "the anchor %q contains itself", y.Value)
		return nil
	}
	b.open[y.Alias] = true
	defer delete(b.open, y.Alias)
	return b.node(y.Alias)
}

func (b *builder) at(y *yaml.Node, k Kind) *Node {
	return &Node{File: b.file, Line: y.Line, Col: y.Column, Kind: k}
}

func (b *builder) list(y *yaml.Node) *Node {
	n := b.at(y, List)
	for _, c := range y.Content {
		if item := b.node(c); item != nil {
			n.Items = append(n.Items, item)
		}
	}
	return n
}

var scalarKinds = map[string]Kind{
	"!!null": Null, "!!bool": Bool, "!!int": Int, "!!float": Float, "!!str": String, "!!timestamp": String,
}

func (b *builder) scalar(y *yaml.Node) *Node {
	k, ok := scalarKinds[y.ShortTag()]
	if !ok {
		b.errorf(y, "the YAML tag %s has no meaning here", y.ShortTag())
		return nil
	}
	if k == String && y.Style == 0 && ambiguous(y.Value) {
		k = Ambiguous
	}
	n := b.at(y, k)
	n.Text = y.Value
	return n
}

// ambiguous reports whether YAML 1.1 takes an unquoted s for a boolean and YAML 1.2 does not. YAML 1.1 knows each
// word in lower case, in upper case and with a capital.
func ambiguous(s string) bool {
	lower := strings.ToLower(s)
	if !slices.Contains([]string{"y", "yes", "on", "n", "no", "off"}, lower) {
		return false
	}
	return s == lower || s == strings.ToUpper(s) || s[1:] == lower[1:]
}

package strict

import (
	"encoding/json"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Unmarshaler is a type that reads itself from a Node.
type Unmarshaler interface {
	// UnmarshalNode stores what n says, which may be null.
	UnmarshalNode(n *Node) Errors
}

// Origin, embedded in a struct with the tag `json:"-"`, makes Decode remember the node the struct was read from.
type Origin struct{ node *Node }

// Node returns where the struct was read from.
func (o Origin) Node() *Node { return o.node }

func (o *Origin) setNode(n *Node) { o.node = n }

// Decode reads n into the value that into points to, by its `json` tags, and returns everything that does not fit.
// What fits is stored even where errors are returned.
func Decode(n *Node, into any) Errors {
	d := decoder{}
	d.value(n, reflect.ValueOf(into).Elem(), "")
	return d.errs
}

type decoder struct{ errs Errors }

func (d *decoder) errorf(n *Node, format string, args ...any) {
	d.errs = append(d.errs, n.Errorf(format, args...))
}

// value reads n into v; path is the way from the document's root to n, for messages.
func (d *decoder) value(n *Node, v reflect.Value, path string) {
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		d.errs = append(d.errs, u.UnmarshalNode(n)...)
		return
	}
	if n.Kind == Null {
		return
	}
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), path)
		v.Set(p)
		return
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		d.custom(n, u, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Interface:
		v.Set(reflect.ValueOf(n.plain()))
	default:
		d.scalar(n, v, path)
	}
}

// expect reports a node of another kind than the type wants.
func (d *decoder) expect(n *Node, want Kind, path string) bool {
	if n.Kind == want {
		return true
	}
	d.errorf(n, "%s must be %s, not %s", name(path), want, n.Kind)
	return false
}

func (d *decoder) structure(n *Node, v reflect.Value, path string) {
	if !d.expect(n, Map, path) {
		return
	}
	if o, ok := v.Addr().Interface().(interface{ setNode(*Node) }); ok {
		o.setNode(n)
	}
	for _, f := range n.Fields {
		field := fieldByTag(v, f.Key.Text)
		if !field.IsValid() {
			d.errorf(f.Key, "unknown field %q", join(path, f.Key.Text))
			continue
		}
		d.value(f.Value, field, join(path, f.Key.Text))
	}
}

// fieldByTag finds the field of the struct v that `json` calls key, also in inlined structs.
func fieldByTag(v reflect.Value, key string) reflect.Value {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if v.Type().Field(i).Anonymous && tag == "" {
			if f := fieldByTag(v.Field(i), key); f.IsValid() {
				return f
			}
		}
		if tag != "-" && tag != "" && tag == key {
			return v.Field(i)
		}
	}
	return reflect.Value{}
}

func (d *decoder) mapping(n *Node, v reflect.Value, path string) {
	if !d.expect(n, Map, path) {
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, f := range n.Fields {
		if f.Key.Kind == Ambiguous {
			d.errorf(f.Key, "the keys of %s must be strings, not %s", name(path), Ambiguous)
		}
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(f.Value, e, path+"["+f.Key.Text+"]")
		m.SetMapIndex(reflect.ValueOf(f.Key.Text).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

// list refuses null as an item: to the API server it is an item without fields, and an ingress rule without fields
// allows everything.
func (d *decoder) list(n *Node, v reflect.Value, path string) {
	if !d.expect(n, List, path) {
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.Kind == Null {
			d.errorf(item, "%s must not be null", at)
			continue
		}
		d.value(item, s.Index(i), at)
	}
	v.Set(s)
}

func (d *decoder) scalar(n *Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if d.expect(n, String, path) {
			v.SetString(n.Text)
		}
	case reflect.Bool:
		if d.expect(n, Bool, path) {
			v.SetBool(strings.EqualFold(n.Text, "true"))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !d.expect(n, Int, path) {
			return
		}
		i, ok := n.integer()
		if !ok || !i.IsInt64() || v.OverflowInt(i.Int64()) {
			d.errorf(n, "%s: %s does not fit into %d bits", name(path), n.Text, v.Type().Bits())
			return
		}
		v.SetInt(i.Int64())
	default:
		d.errorf(n, "%s: values of type %s are not supported", name(path), v.Type())
	}
}

// custom lets a type read itself from JSON, as Quantity, Time and IntOrString do.
func (d *decoder) custom(n *Node, u json.Unmarshaler, path string) {
	if n.Kind == Ambiguous {
		d.errorf(n, "%s must not be %s", name(path), Ambiguous)
		return
	}
	text, err := json.Marshal(n.plain())
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		msg := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "json: "), "\n", " ")
		d.errorf(n, "%s: %s", name(path), msg)
	}
}

// integer returns the value of an Int, which YAML may write as 0x1F, 0o17, 017, 0b1 or 1_000.
func (n *Node) integer() (i *big.Int, ok bool) {
	return new(big.Int).SetString(strings.ReplaceAll(n.Text, "_", ""), 0)
}

// plain returns n as encoding/json would have it in an interface.
func (n *Node) plain() any {
	switch n.Kind {
	case Bool:
		return strings.EqualFold(n.Text, "true")
	case Int:
		if i, ok := n.integer(); ok {
			return json.Number(i.String())
		}
		return n.Text
	case Float:
		return json.Number(n.Text)
	case String, Ambiguous:
		return n.Text
	case List:
		all := make([]any, len(n.Items))
		for i, item := range n.Items {
			all[i] = item.plain()
		}
		return all
	case Map:
		all := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			all[f.Key.Text] = f.Value.plain()
		}
		return all
	}
	return nil
}

// name makes a path fit to begin a sentence.
func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

func join(path, field string) string {
	return strings.Join(slices.DeleteFunc([]string{path, field}, func(s string) bool { return s == "" }), ".")
}

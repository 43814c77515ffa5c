package spec

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write the JSON Schema instead of comparing it")

const schemaFile = "../scenario.schema.json"

func TestSchemaIsUpToDate(t *testing.T) {
	want := schema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the schema is not that of the Go types, run go generate ./scenarios/spec (-types +file):\n%s", diff)
	}
}

// schema describes the Go types, with their comments as descriptions.
func schema(t *testing.T) []byte {
	r := &jsonschema.Reflector{Mapper: ownSchema}
	if err := r.AddGoComments("github.com/palisade-netpol/palisade/scenarios/spec", "."); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&Scenario{})
	s.ID = "https://palisade.dev/schemas/scenario.v1alpha1.json"
	s.Title = "Palisade scenario"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// ownSchema describes the types that read themselves.
func ownSchema(t reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	switch t {
	case reflect.TypeFor[OneOrMany]():
		list := &jsonschema.Schema{Type: "array", Items: text}
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, list}}
	case reflect.TypeFor[Object]():
		fields := jsonschema.NewProperties()
		fields.Set("apiVersion", text)
		fields.Set("kind", text)
		return &jsonschema.Schema{Type: "object", Properties: fields, Required: []string{"apiVersion", "kind"}}
	case reflect.TypeFor[map[string]*string]():
		textOrNull := &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "null"}}}
		return &jsonschema.Schema{Type: "object", AdditionalProperties: textOrNull}
	}
	return nil
}

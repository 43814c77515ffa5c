// Package scenarios holds the scenarios that Palisade is proven with, by topic, and the JSON Schema of their format.
package scenarios

import _ "embed"

//go:embed scenario.schema.json
var schema string

// Schema returns the JSON Schema of scenario files.
func Schema() string { return schema }

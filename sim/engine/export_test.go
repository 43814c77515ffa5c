package engine

import (
	"maps"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/sim/packets"
)

// Images returns what the datapaths of an engine's nodes hold, in the order of the nodes' names.
func Images(e Engine) []*bpf.Image {
	var list []*bpf.Image
	images := e.(*compiled).images
	for _, node := range slices.Sorted(maps.Keys(images)) {
		list = append(list, images[node])
	}
	return list
}

// NewCramped returns the engine that interprets tables which have hardly any pages, so that most of what policies say lies in the
// other tables.
func NewCramped() Engine {
	e := NewTables().(*compiled)
	e.name, e.capacity = "tables without pages", packets.Capacities[1]
	return e
}

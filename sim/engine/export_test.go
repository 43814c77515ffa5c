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

// Cramped makes an engine compile for tables that have no pages, and gives all pods but three interfaces of high numbers, so that most of what
// policies say, and most pods, lie in the tables that are looked at last.
func Cramped(e Engine) Engine {
	c := e.(*compiled)
	c.name += " without pages"
	c.capacity, c.links.last = packets.Capacities[1], 1<<23-4
	return c
}

package engine

import (
	"maps"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
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

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/cilium/ebpf"
)

const (
	// namesPin is where the names of pods are noted for the next agent, to which nobody tells them again, in a form that every version
	// reads. Programs do not know of it. Another form gets another name.
	namesPin = "pod-names-1"
	namesMap = "pod_names"
)

// PodName says which pod is behind an interface, as long as that is the interface of the same instance.
type PodName struct {
	Instance        uint32
	Namespace, Name string
}

// named is how a name is noted, by the index of the interface.
type named struct {
	Instance uint32
	Text     [320]byte // NAMESPACE/NAME, of at most 63 and 253 bytes (RFC 1123 label and subdomain); the rest is 0
}

func namedOf(p PodName) (n named, err error) {
	n.Instance = p.Instance
	if text := p.Namespace + "/" + p.Name; copy(n.Text[:], text) < len(text) {
		return n, fmt.Errorf("name %q is longer than %d bytes", text, len(n.Text))
	}
	return n, nil
}

func (n named) podName() PodName {
	text, _, _ := bytes.Cut(n.Text[:], []byte{0})
	namespace, name, _ := strings.Cut(string(text), "/")
	return PodName{n.Instance, namespace, name}
}

// openNames opens the map of names, and reads it.
func (n *Node) openNames() (err error) {
	if n.notedNames, err = n.openNotes(namesMap, namesPin, binary.Size(named{})); err != nil {
		return err
	}
	n.names = map[uint32]PodName{}
	return readMap(n.notedNames, func(ifindex uint32, v named) { n.names[ifindex] = v.podName() })
}

// Names are the names that are noted, by interface.
func (n *Node) Names() map[uint32]PodName { return maps.Clone(n.names) }

// NoteNames notes these names, and no others. After an error some are noted; it can be called again.
func (n *Node) NoteNames(names map[uint32]PodName) error {
	var errs []error
	for ifindex := range n.names {
		if _, ok := names[ifindex]; ok {
			continue
		}
		if err := n.notedNames.Delete(ifindex); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("forget the name of the pod on interface %d: %w", ifindex, err))
			continue
		}
		delete(n.names, ifindex)
	}
	for ifindex, name := range names {
		if n.names[ifindex] == name {
			continue
		}
		v, err := namedOf(name)
		if err == nil {
			err = n.notedNames.Put(ifindex, v)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("note the name of the pod on interface %d: %w", ifindex, err))
			continue
		}
		n.names[ifindex] = name
	}
	return errors.Join(errs...)
}

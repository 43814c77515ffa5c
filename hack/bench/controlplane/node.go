package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// node is a network namespace with pods in namespaces of their own, and a file system for the agent's pins.
type node struct {
	addr   netip.Addr
	wire   *fabric.Node
	pins   *os.File
	closes []func() error // in the order in which they were opened
}

func newNode(addr netip.Addr) (_ *node, err error) {
	n := &node{addr: addr}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	f, err := fabric.New()
	if err != nil {
		return nil, err
	}
	n.closes = append(n.closes, f.Close)
	if n.wire, err = f.AddNode("bench", []netip.Addr{addr}); err != nil {
		return nil, err
	}
	n.closes = append(n.closes, n.wire.Release)
	pins, err := pinfs.New()
	if err != nil {
		return nil, err
	}
	n.closes = append(n.closes, pins.Close)
	if n.pins, err = os.Open(pins.Path()); err != nil {
		return nil, err
	}
	n.closes = append(n.closes, n.pins.Close)
	return n, nil
}

// addPod makes a pod whose link is up.
func (n *node) addPod(namespace, name string, addr netip.Addr) (*fabric.Pod, error) {
	p, err := n.wire.AddPod(fabric.LinkName(namespace, name), []netip.Addr{addr})
	if err != nil {
		return nil, err
	}
	n.closes = append(n.closes, p.Release)
	return p, p.Up()
}

// dial connects from inside the node's namespace.
func (n *node) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.wire.NS().Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// close lets go of everything, the newest first. The kernel removes what is left.
func (n *node) close() error {
	var errs []error
	for len(n.closes) > 0 {
		last := len(n.closes) - 1
		errs = append(errs, n.closes[last]())
		n.closes = n.closes[:last]
	}
	return errors.Join(errs...)
}

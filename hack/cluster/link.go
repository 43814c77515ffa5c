package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// Link makes the API server reachable inside another network namespace, at the same address: 127.0.0.1 and its port. A
// kubeconfig thus works everywhere, and nodes need no route to the control plane. Loopback must be up in the namespace.
// The link is a listener inside and connections of this process outside; it keeps the namespace alive until closed.
type Link struct {
	listener net.Listener
	target   string
	release  func()

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // both ends of every connection
	closed bool
}

// Link returns the link into a network namespace, given as a path: /run/netns/NAME, /proc/PID/ns/net, or
// /proc/self/fd/N for one that is known by a file descriptor. It is made if there is none.
func (c *Cluster) Link(netns string) (*Link, error) {
	id, err := identify(netns)
	if err != nil {
		return nil, fmt.Errorf("link to the API server: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.Err() != nil {
		return nil, context.Cause(c.life)
	}
	if l, ok := c.links[id]; ok {
		return l, nil
	}
	l, err := newLink(netns, fmt.Sprintf("127.0.0.1:%d", c.port.number))
	if err != nil {
		return nil, err
	}
	l.release = func() { c.forget(id, l) }
	c.links[id] = l
	go l.serve()
	return l, nil
}

// forget removes a link from the cluster's list.
func (c *Cluster) forget(id nsID, l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.links[id] == l {
		delete(c.links, id)
	}
}

func newLink(netns, address string) (*Link, error) {
	l := &Link{target: address, conns: make(map[net.Conn]struct{})}
	err := inNetNS(netns, func() (err error) {
		l.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("link to the API server: %w", err)
	}
	return l, nil
}

// Cut closes the connections that exist; new ones can be made.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close()
	}
}

// Close closes all connections and lets go of the namespace.
func (l *Link) Close() {
	l.release()
	l.close()
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.Cut()
}

// serve accepts connections until the listener is closed.
func (l *Link) serve() {
	for {
		inner, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.forward(inner)
	}
}

// forward carries one connection until either side ends it. While the API server is down there is no other side,
// and the connection just ends.
func (l *Link) forward(inner net.Conn) {
	defer func() { _ = inner.Close() }()
	outer, err := net.Dial("tcp4", l.target)
	if err != nil {
		return
	}
	defer func() { _ = outer.Close() }()
	if !l.add(inner, outer) {
		return
	}
	defer l.drop(inner, outer)
	go func() {
		_, _ = io.Copy(outer, inner)
		_ = outer.Close()
		_ = inner.Close()
	}()
	_, _ = io.Copy(inner, outer)
}

// add counts the ends of a connection among those that Cut closes. It reports false if the link is closed.
func (l *Link) add(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	for _, conn := range conns {
		l.conns[conn] = struct{}{}
	}
	return true
}

func (l *Link) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		delete(l.conns, conn)
	}
}

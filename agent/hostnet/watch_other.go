//go:build !linux

package hostnet

import (
	"context"
	"errors"
	"net/netip"

	"github.com/palisade-netpol/palisade/agent/core"
)

var errLinux = errors.New("only Linux can be watched")

// Watch fails.
func Watch(context.Context, func(core.Input)) error { return errLinux }

// Exists fails.
func Exists(uint32) (bool, error) { return false, errLinux }

// ByName fails.
func ByName(string) (core.Link, error) { return core.Link{}, errLinux }

// ByRoute fails.
func ByRoute(netip.Addr) (core.Link, error) { return core.Link{}, errLinux }

// Close fails: only Linux is supported.
func Close(int) error { return errLinux }

// Open fails: only Linux is supported.
func Open(int) error { return errLinux }

// Closed fails: only Linux is supported.
func Closed() ([]core.Closed, error) { return nil, errLinux }

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

// ByName fails.
func ByName(string) (core.Link, error) { return core.Link{}, errLinux }

// ByRoute fails.
func ByRoute(netip.Addr) (core.Link, error) { return core.Link{}, errLinux }

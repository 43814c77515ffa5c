//go:build !linux

package socket

import (
	"errors"
	"net"
)

// peerUID fails: nobody is let in where it is not known who asks.
func peerUID(*net.UnixConn) (uint32, error) { return 0, errors.New("only Linux tells who asks") }

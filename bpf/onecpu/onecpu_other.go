//go:build !linux

package onecpu

import "errors"

// Bind does not work on this system.
func Bind() (free func(), err error) { return nil, errors.ErrUnsupported }

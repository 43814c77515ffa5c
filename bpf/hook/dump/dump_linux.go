package dump

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// attempts is how often a list is read that changes each time.
const attempts = 100

// Whole reads a list. One during which something came or went may lack what was there all the time, and is read again;
// the error is netlink.ErrDumpInterrupted where that does not end.
func Whole[T any](read func() ([]T, error)) ([]T, error) {
	list, err := read()
	for n := 1; n < attempts && errors.Is(err, netlink.ErrDumpInterrupted); n++ {
		list, err = read()
	}
	return list, err
}

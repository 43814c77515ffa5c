//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

func runMount(context.Context, []string, io.Writer) error { return errors.ErrUnsupported }

func runRemove(context.Context, []string, io.Writer) error { return errors.ErrUnsupported }

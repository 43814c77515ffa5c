package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/scenarios/backend/sim"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// world is everything outside the program that a command touches.
type world struct {
	in       io.Reader
	out, err terminal
	now      func() time.Time
	// engines makes the engines of --engine; backends are those of --backend, strongest first.
	engines  map[string]func() engine.Engine
	backends []backend.Backend
}

// terminal is an output stream and what it can show.
type terminal struct {
	io.Writer
	color bool // colours are wanted and shown
	live  bool // a line may be overwritten
	wrap  bool // a person reads it: long sentences are wrapped; programs get a line for each
	width int  // columns
}

// printf prints what people should know. That nobody can read it cannot be told anywhere.
func (t terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t, format, args...) }

// defaultWidth is the width of a stream that is no terminal, in columns.
const defaultWidth = 100

// openTerminal finds out what f can show. NO_COLOR (https://no-color.org) and TERM=dumb switch colours off.
func openTerminal(f *os.File, getenv func(string) string) terminal {
	t := terminal{Writer: f, width: defaultWidth}
	if !term.IsTerminal(int(f.Fd())) {
		return t
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		t.width = width
	}
	t.wrap = true
	t.live = getenv("TERM") != "dumb"
	t.color = t.live && getenv("NO_COLOR") == ""
	return t
}

// osWorld is the world of the running process.
func osWorld() *world {
	return &world{
		in: os.Stdin, out: openTerminal(os.Stdout, os.Getenv), err: openTerminal(os.Stderr, os.Getenv), now: time.Now,
		engines: map[string]func() engine.Engine{
			"model": engine.NewModel, "tables": engine.NewTables, "kernel": engine.NewKernel,
		},
		backends: []backend.Backend{netns.New(netns.Options{Idle: 12}), sim.New(sim.Options{Engine: engine.NewTables})},
	}
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// progress prints a line per scenario that has ended and, on a live terminal, one below them for those under way.
type progress struct {
	terminal
	total   int
	done    int
	running map[int]run.Progress // by index
}

func newProgress(t terminal, total int) *progress {
	return &progress{terminal: t, total: total, running: map[int]run.Progress{}}
}

// update is a run.Options.Progress.
func (p *progress) update(at run.Progress) {
	p.clear()
	if at.Done == nil {
		p.running[at.Index] = at
	} else {
		delete(p.running, at.Index)
		p.done++
		p.printf("%s\n", p.finished(*at.Done))
	}
	if p.live && len(p.running) > 0 {
		p.printf("%s", paint(p.color).dim(cut(p.status(), p.width-1)))
	}
}

// clear removes the line of those under way.
func (p *progress) clear() {
	if p.live {
		p.printf("\r\x1b[K")
	}
}

func (p *progress) finished(s run.ScenarioResult) string {
	return fmt.Sprintf("%s %s", mark(s.Passed(), paint(p.color)), s.Name)
}

func (p *progress) status() string {
	var parts []string
	for _, i := range slices.Sorted(maps.Keys(p.running)) {
		at := p.running[i]
		parts = append(parts, fmt.Sprintf("%s %d/%d %s", at.Scenario, at.Step, at.Steps, at.StepName))
	}
	return fmt.Sprintf("[%d/%d] %s", p.done, p.total, strings.Join(parts, " · "))
}

// mark is the glyph of a scenario that passed or failed.
func mark(passed bool, p paint) string {
	if passed {
		return p.green("✓")
	}
	return p.red("✗")
}

package render_test

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix/render"
)

func probe(port uint16) flow.PortProto { return flow.PortProto{Protocol: flow.TCP, Port: port} }

var pods = []string{"a/x", "a/y", "b/<z>"}

// page has every kind of cell, and a name that would break a page if it were not escaped.
func page() render.Page {
	return render.Page{Heading: "Who & whom", Engine: "model", Notes: []string{"1 < 2."}, Grids: []render.Grid{
		{Probes: []flow.PortProto{probe(80), probe(81)}, From: pods, To: pods, Is: []string{".X?", "..X", "XX."}},
	}}
}

func comparison() render.Page {
	p := page()
	p.Grids[0].Was = []string{".XX", "...", "XX."}
	return p
}

// allCells are those of page, in reading order.
const allCells = "✓✕?✓✓✕✕✕✓"

func draw(t *testing.T, draw render.Writer, p render.Page) string {
	t.Helper()
	var b strings.Builder
	if err := draw(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGridsJoinProbesWithTheSameAnswers(t *testing.T) {
	of := func(port uint16, rows ...string) matrix.Matrix {
		return matrix.Matrix{Probe: probe(port), From: pods, To: pods, Rows: rows}
	}
	grids := render.Grids([]matrix.Matrix{of(80, "..."), of(81, "X.."), of(82, "...")})
	var titles []string
	for _, g := range grids {
		titles = append(titles, g.Title())
	}
	if diff := cmp.Diff([]string{"TCP/80, TCP/82", "TCP/81"}, titles); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSummaryCountsCells(t *testing.T) {
	all, changed := page(), comparison()
	if got, want := all.Grids[0].Summary(), "4 allowed, 4 denied, 1 undefined"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := changed.Grids[0].Summary(), "1 allowed → denied, 1 denied → undefined"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestDrawingsStandByThemselves: they fetch nothing, run nothing, and are readable in the dark.
func TestDrawingsStandByThemselves(t *testing.T) {
	for name, writer := range map[string]render.Writer{"html": render.HTML, "svg": render.SVG} {
		text := draw(t, writer, page())
		elsewhere := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|src=|href=|url\(|@import`)
		if refers := elsewhere.FindString(text); refers != "" {
			t.Errorf("%s has %q", name, refers)
		}
		for _, must := range []string{"prefers-color-scheme: dark", "Who &amp; whom", "1 &lt; 2.", "&lt;z&gt;"} {
			if !strings.Contains(text, must) {
				t.Errorf("%s has no %q", name, must)
			}
		}
	}
}

// cells returns the signs of the cells in reading order.
func cells(text, pattern string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		b.WriteString(m[1])
	}
	return b.String()
}

func TestHTMLShowsEveryCell(t *testing.T) {
	text := draw(t, render.HTML, page())
	const cell = `<td class="(?:first )?(?:allow|deny|undefined)" title="[^"]*">([^<]*)</td>`
	if got := cells(text, cell); got != allCells {
		t.Errorf("cells %q, want %q", got, allCells)
	}
	for _, must := range []string{
		`<th scope="col"><span>y</span></th>`, `<th scope="row">y</th>`, `<th scope="rowgroup">b</th>`,
		`title="b/&lt;z&gt; to a/x: denied"`, `lang="en"`,
	} {
		if !strings.Contains(text, must) {
			t.Errorf("no %s in\n%s", must, text)
		}
	}
	got := cells(draw(t, render.HTML, comparison()), `>([^<> ]*→[^<> ]*)</td>`)
	if want := "✕→?✓→✕"; got != want {
		t.Errorf("changed cells %q, want %q", got, want)
	}
}

func TestSVGShowsEveryCell(t *testing.T) {
	text := draw(t, render.SVG, page())
	if got := cells(text, `<text class="c [^>]*>([^<]*)</text>`); got != allCells {
		t.Errorf("cells %q, want %q", got, allCells)
	}
	if !strings.Contains(text, `<desc id="d">TCP/80, TCP/81: 4 allowed, 4 denied, 1 undefined. 1 &lt; 2.</desc>`) {
		t.Errorf("no description in\n%s", text)
	}
	for _, p := range []render.Page{page(), comparison()} {
		d := xml.NewDecoder(strings.NewReader(draw(t, render.SVG, p)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not well-formed: %v", err)
			}
		}
	}
}

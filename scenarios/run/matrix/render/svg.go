package render

import (
	"fmt"
	"html"
	"io"
	"strings"
	"unicode/utf8"
)

// Sizes of a picture, in pixels.
const (
	side      = 18  // of a cell; a comparison's are twice as wide
	letter    = 8   // width of a letter, at most
	margin    = 16  // around everything
	line      = 20  // height of a line of text
	longest   = 40  // letters of a name that are shown
	minWidth  = 560 // for the heading
	rowOffset = 14  // baseline of a row's text below its top
)

// SVG writes one picture with all grids, one below the other, light or dark as the reader prefers.
func SVG(w io.Writer, p Page) error {
	style, err := assets.ReadFile("picture.css")
	if err != nil {
		return err
	}
	var body strings.Builder
	top, width := margin+line, minWidth
	fmt.Fprintf(&body, "<text class=\"h\" x=\"%d\" y=\"%d\">%s</text>\n", margin, top, html.EscapeString(p.Heading))
	legend := "Rows are sources, columns destinations: ✓ allowed, ✕ denied, ? undefined. Engine: " + p.Engine + "."
	for _, note := range append([]string{legend}, p.Notes...) {
		top += line
		fmt.Fprintf(&body, "<text class=\"s\" x=\"%d\" y=\"%d\">%s</text>\n", margin, top, html.EscapeString(note))
		width = max(width, 2*margin+letter*utf8.RuneCountInString(note))
	}
	for i := range p.Grids {
		d := drawing{g: &p.Grids[i], top: top + line}
		d.layOut()
		d.draw(&body)
		top, width = d.bottom(), max(width, d.right()+margin)
	}
	_, err = fmt.Fprintf(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"t d\" "+
		"viewBox=\"0 0 %[1]d %[2]d\" width=\"%[1]d\" height=\"%[2]d\">\n"+
		"<title id=\"t\">%[3]s</title>\n<desc id=\"d\">%[4]s</desc>\n<style>%[5]s</style>\n<rect class=\"page\" width=\"100%%\" height=\"100%%\"/>\n%[6]s</svg>\n",
		width, top+margin, html.EscapeString(p.Heading), html.EscapeString(p.describe()), style, body.String())
	return err
}

// describe tells in words what the picture shows, for those who do not see it.
func (p *Page) describe() string {
	var words []string
	for i := range p.Grids {
		words = append(words, p.Grids[i].Title()+": "+p.Grids[i].Summary()+".")
	}
	return strings.Join(append(words, p.Notes...), " ")
}

// drawing is one grid in a picture.
type drawing struct {
	g      *Grid
	top    int
	cell   int // width of a cell
	x0, y0 int // upper left corner of the cells
}

func (d *drawing) layOut() {
	d.cell = side
	if d.g.Was != nil {
		d.cell = 2 * side
	}
	d.x0 = margin + letter*(2+longestOf(d.g.From))
	d.y0 = d.top + line + letter*longestOf(d.g.To) + line/2
}

func (d *drawing) right() int  { return d.x0 + d.cell*len(d.g.To) }
func (d *drawing) bottom() int { return d.y0 + side*len(d.g.From) }

// longestOf counts the letters of the longest name as it is shown.
func longestOf(keys []string) int {
	most := 0
	for _, key := range keys {
		most = max(most, utf8.RuneCountInString(key))
	}
	return min(most, longest)
}

func short(key string) string {
	letters := []rune(key)
	if len(letters) > longest {
		key = string(letters[:longest-1]) + "…"
	}
	return html.EscapeString(key)
}

func (d *drawing) draw(b *strings.Builder) {
	fmt.Fprintf(b, "<text class=\"h\" x=\"%d\" y=\"%d\">%s <tspan class=\"s\">%s</tspan></text>\n",
		margin, d.top+rowOffset, html.EscapeString(d.g.Title()), d.g.Summary())
	for j, key := range d.g.To {
		x := d.x0 + j*d.cell + d.cell/2 + letter/2
		fmt.Fprintf(b, "<text transform=\"translate(%d %d) rotate(-90)\">%s</text>\n", x, d.y0-line/2, short(key))
	}
	for i, key := range d.g.From {
		y := d.y0 + i*side + rowOffset
		fmt.Fprintf(b, "<text class=\"e\" x=\"%d\" y=\"%d\">%s</text>\n", d.x0-letter, y, short(key))
		d.drawRow(b, i)
	}
	d.drawLines(b)
}

// drawRow draws neighbours with the same verdict at one go: a row of a thousand cells is a few shapes and one text.
func (d *drawing) drawRow(b *strings.Builder, i int) {
	y := d.y0 + i*side
	for first := 0; first < len(d.g.To); {
		end := first + 1
		for end < len(d.g.To) && d.g.class(i, end) == d.g.class(i, first) && d.g.cell(i, end) == d.g.cell(i, first) {
			end++
		}
		if class := d.g.class(i, first); class != "" {
			fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
				class, d.x0+first*d.cell, y, (end-first)*d.cell, side)
			d.drawSigns(b, i, first, end)
		}
		first = end
	}
}

func (d *drawing) drawSigns(b *strings.Builder, i, first, end int) {
	xs := make([]string, 0, end-first)
	for j := first; j < end; j++ {
		xs = append(xs, fmt.Sprint(d.x0+j*d.cell+d.cell/2))
	}
	if d.g.Was == nil { // one letter per cell, so one text can place them all
		fmt.Fprintf(b, "<text class=\"c %s\" x=\"%s\" y=\"%d\">%s</text>\n", d.g.class(i, first),
			strings.Join(xs, " "), d.y0+i*side+rowOffset, strings.Repeat(d.g.cell(i, first), end-first))
		return
	}
	for _, x := range xs {
		fmt.Fprintf(b, "<text class=\"c %s\" x=\"%s\" y=\"%d\">%s</text>\n",
			d.g.class(i, first), x, d.y0+i*side+rowOffset, d.g.cell(i, first))
	}
}

// drawLines separates the namespaces.
func (d *drawing) drawLines(b *strings.Builder) {
	for _, group := range append(groups(d.g.To), group{first: len(d.g.To)}) {
		x := d.x0 + group.first*d.cell
		fmt.Fprintf(b, "<path d=\"M%d %dV%d\"/>\n", x, d.y0, d.bottom())
	}
	for _, group := range append(groups(d.g.From), group{first: len(d.g.From)}) {
		fmt.Fprintf(b, "<path d=\"M%d %dH%d\"/>\n", d.x0, d.y0+group.first*side, d.right())
	}
}

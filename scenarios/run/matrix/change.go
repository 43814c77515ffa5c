package matrix

import "slices"

// Comparison is two matrices of one probe, as far as they are about the same pods, and the pods that only one is about.
type Comparison struct {
	Was, Is Matrix // the same Probe, From and To
	Added   []string
	Removed []string
}

// Compare puts two matrices of one probe side by side.
func Compare(was, is Matrix) Comparison {
	from, to := both(was.From, is.From), both(was.To, is.To)
	old, now := slices.Concat(was.From, was.To), slices.Concat(is.From, is.To)
	return Comparison{
		Was: was.crop(from, to), Is: is.crop(from, to),
		Added: missing(now, old), Removed: missing(old, now),
	}
}

// Changed crops c to the rows and columns in which a cell differs.
func (c Comparison) Changed() Comparison {
	from, to := make(map[string]bool), make(map[string]bool)
	for i, row := range c.Is.Rows {
		for j := range row {
			if row[j] != c.Was.Rows[i][j] {
				from[c.Is.From[i]], to[c.Is.To[j]] = true, true
			}
		}
	}
	rows := slices.DeleteFunc(slices.Clone(c.Is.From), func(key string) bool { return !from[key] })
	columns := slices.DeleteFunc(slices.Clone(c.Is.To), func(key string) bool { return !to[key] })
	c.Was, c.Is = c.Was.crop(rows, columns), c.Is.crop(rows, columns)
	return c
}

// Differences counts the cells that differ.
func (c Comparison) Differences() int {
	n := 0
	for i, row := range c.Is.Rows {
		for j := range row {
			if row[j] != c.Was.Rows[i][j] {
				n++
			}
		}
	}
	return n
}

// crop returns the cells of m from and to the given pods, which m must be about.
func (m Matrix) crop(from, to []string) Matrix {
	rows, columns := positions(m.From), positions(m.To)
	cropped := Matrix{Probe: m.Probe, From: from, To: to, Rows: make([]string, 0, len(from))}
	for _, f := range from {
		row := make([]byte, 0, len(to))
		for _, t := range to {
			row = append(row, m.Rows[rows[f]][columns[t]])
		}
		cropped.Rows = append(cropped.Rows, string(row))
	}
	return cropped
}

func positions(keys []string) map[string]int {
	at := make(map[string]int, len(keys))
	for i, key := range keys {
		at[key] = i
	}
	return at
}

// both returns the keys of is that was has too, in the order of is.
func both(was, is []string) []string {
	had := positions(was)
	return slices.DeleteFunc(slices.Clone(is), func(key string) bool { _, ok := had[key]; return !ok })
}

// missing returns the keys of a that b lacks, sorted, each once.
func missing(a, b []string) []string {
	has := positions(b)
	left := slices.DeleteFunc(slices.Clone(a), func(key string) bool { _, ok := has[key]; return ok })
	slices.Sort(left)
	return slices.Compact(left)
}

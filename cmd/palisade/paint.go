package main

import (
	"strings"
	"unicode/utf8"
)

// paint colours text for a terminal (ECMA-48 SGR sequences), or leaves it alone when false.
type paint bool

func (p paint) sgr(codes, text string) string {
	if !p || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + codes + "m" + text + "\x1b[0m"
}

func (p paint) bold(text string) string   { return p.sgr("1", text) }
func (p paint) dim(text string) string    { return p.sgr("2", text) }
func (p paint) green(text string) string  { return p.sgr("32", text) }
func (p paint) red(text string) string    { return p.sgr("31", text) }
func (p paint) yellow(text string) string { return p.sgr("33", text) }

// cell colours the text of a matrix cell by what the cell says.
func (p paint) cell(cell byte, marked bool, text string) string {
	if marked {
		return p.sgr("1;7;31", text)
	}
	switch cell {
	case '.':
		return p.green(text)
	case 'X':
		return p.red(text)
	case '-', ' ':
		return p.dim(text)
	}
	return p.yellow(text)
}

// printedWidth counts the columns text takes, without its SGR sequences.
func printedWidth(text string) int {
	width := 0
	for text != "" {
		if strings.HasPrefix(text, "\x1b[") {
			_, text, _ = strings.Cut(text, "m")
			continue
		}
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
		width++
	}
	return width
}

// pad fills text up with spaces to width columns.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-printedWidth(text)))
}

// cut cuts the end off text that is longer than width columns.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:max(0, width-1)]) + "…"
}

// shorten cuts the middle out of text that is longer than width columns, since the ends of a generated name tell more.
func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	if width < 3 {
		return string(runes[:max(0, width)])
	}
	tail := (width - 1) / 2
	return string(runes[:width-1-tail]) + "…" + string(runes[len(runes)-tail:])
}

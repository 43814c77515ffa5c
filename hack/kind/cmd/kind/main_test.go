package main

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/hack/command"
	"github.com/palisade-netpol/palisade/hack/kind"
)

func TestCommandLines(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want call
	}{
		{"all defaults", []string{"up"}, call{command: "up", options: kind.Options{Workers: 2, IPFamily: kind.IPv4}}},
		{"everything", []string{"up", "--name", "x", "--workers", "1", "--ip-family", "dual", "--keep-failed"},
			call{command: "up", options: kind.Options{Name: "x", Workers: 1, IPFamily: kind.Dual, KeepFailed: true}}},
		{"two archives", []string{"load", "--name", "x", "a.tar", "b.tar"},
			call{command: "load", options: kind.Options{Name: "x"}, files: []string{"a.tar", "b.tar"}}},
		{"down", []string{"down"}, call{command: "down"}},
		{"a host outside", []string{"outside", "--name", "x", "2"}, call{command: "outside", options: kind.Options{Name: "x"}, number: 2}},
		{"its probe", []string{"probe", "0", "probe", "--stream"}, call{command: "probe", files: []string{"probe", "--stream"}}},
		{"check", []string{"check", "--workers", "1"}, call{command: "check", options: kind.Options{Workers: 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(test.args, &bytes.Buffer{})
			if err != nil {
				t.Fatal(err)
			}
			got.options.Log = nil
			if got.command != test.want.command || got.options != test.want.options ||
				got.number != test.want.number ||
				!slices.Equal(got.files, test.want.files) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestCommandLinesThatAreWrong(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":          {},
		"unknown command":     {"status"},
		"unknown flag":        {"up", "--nodes", "3"},
		"workers for down":    {"down", "--workers", "1"},
		"nothing to load":     {"load"},
		"no host":             {"outside"},
		"a host in words":     {"outside", "one"},
		"nothing to ask":      {"probe", "1"},
		"an argument for up":  {"up", "x"},
		"workers in words":    {"up", "--workers", "two"},
		"a name is forgotten": {"down", "--name"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := parse(args, &out); !errors.Is(err, command.ErrUsage) {
				t.Errorf("error: %v", err)
			}
			if out.Len() == 0 {
				t.Error("nothing says what is wrong")
			}
		})
	}
}

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion(w *world) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go toolchain",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(w.out, versionLine(info))
			return err
		},
	}
}

// versionLine describes a build, for example "palisade v0.1.0 (3f1c9a2b7d40, go1.26.0, linux/amd64)". info may be nil.
func versionLine(info *debug.BuildInfo) string {
	version, commit := "(devel)", "unknown commit"
	if info != nil && info.Main.Version != "" {
		version = info.Main.Version
	}
	if info != nil {
		commit = commitOf(info.Settings, commit)
	}
	return fmt.Sprintf("palisade %s (%s, %s, %s/%s)", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func commitOf(settings []debug.BuildSetting, unknown string) string {
	commit, dirty := unknown, ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return commit + dirty
}

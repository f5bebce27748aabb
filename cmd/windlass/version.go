package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Of a released build, set by the linker (.ci/compile). Nothing else sets them.
var releasedVersion, releasedRevision string

// A build names this program.
type build struct {
	version  string // that of the release, else of the module; "devel" when it was not built from a tagged version
	revision string // of its source; empty: not known. "+changed" when the working tree had changes
}

func thisBuild() build {
	if releasedVersion != "" {
		return build{version: releasedVersion, revision: releasedRevision}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{version: "unknown"}
	}
	setting := map[string]string{}
	for _, s := range info.Settings {
		setting[s.Key] = s.Value
	}
	b := build{version: info.Main.Version, revision: setting["vcs.revision"]}
	if b.version == "" || b.version == "(devel)" {
		b.version = "devel"
	}
	if setting["vcs.modified"] == "true" {
		b.revision += "+changed"
	}
	return b
}

// String is the line that `windlass version` prints.
func (b build) String() string {
	return fmt.Sprintf("windlass %s, revision %s, %s %s/%s\n", b.version, cmp.Or(b.revision, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Example: "  windlass version",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), thisBuild())
			return err
		},
	}
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"windlass/desired"
	"windlass/internal/manual"
)

// newManual is what packages are made with.
func newManual() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   exactly("a directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return err
			}
			return writeManual(args[0], manual.Edition{Version: thisBuild().version, Date: date})
		},
	}
}

// sourceDate is the time that a build is told to be of (reproducible-builds.org), else now.
func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is no number of seconds", epoch)
	}
	return time.Unix(seconds, 0), nil
}

func writeManual(dir string, edition manual.Edition) error {
	pages, err := manual.Pages(newRoot(), desired.Schema(), edition)
	if err != nil {
		return err
	}
	for _, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, page.File), []byte(page.Text), 0o644); err != nil {
			return fmt.Errorf("cannot write a manual page: %w; name a directory that is there", err)
		}
	}
	return nil
}

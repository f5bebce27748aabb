package main

import (
	"github.com/spf13/cobra"

	"windlass/desired"
)

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a fleet file, for editors",
		Long: `Print the JSON Schema of a fleet file. Commit it to the deploy repo and name it in the first line of a fleet file, and an
editor completes keys and marks mistakes:

  # yaml-language-server: $schema=../fleet.schema.json`,
		Example: "  windlass schema > fleet.schema.json",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(desired.Schema())
			return err
		},
	}
}

package main

import (
	"github.com/spf13/cobra"

	"windlass/internal/sandbox"
)

// newDemoNode is what the demo starts for each of its nodes.
func newDemoNode() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-node",
		Short:  "Be one node of the demo",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sandbox.RunNode(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

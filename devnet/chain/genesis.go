package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// newGenesisCmd returns the commands that a genesis writer needs. There are none
// to add accounts or collect validators: the file is written whole by others.
func newGenesisCmd(enc encoding) *cobra.Command {
	genesis := &cobra.Command{
		Use:   "genesis",
		Short: "Print and check genesis states",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	genesis.AddCommand(
		&cobra.Command{
			Use:   "default",
			Short: "Print the default app_state of every module as one JSON object",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				state, err := json.MarshalIndent(enc.modules.DefaultGenesis(enc.codec), "", "  ")
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), string(state))
				return err
			},
		},
		&cobra.Command{
			Use:   "validate FILE",
			Short: "Check a genesis file and try it on an application in memory",
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				summary, err := checkGenesis(enc, args[0])
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], summary)
				return err
			},
		},
	)
	return genesis
}

package main

import (
	"io"
	"os"

	dbm "github.com/cosmos/cosmos-db"
	"github.com/spf13/cobra"

	"cosmossdk.io/log"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/server"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
)

// newRootCmd returns the command line: the SDK's server commands and genesis.
func newRootCmd() *cobra.Command {
	// A failure here is a mistake in modules.go, not something a user can cause.
	enc, err := newEncoding()
	if err != nil {
		panic(err)
	}
	clientCtx := client.Context{}.
		WithCodec(enc.codec).
		WithInterfaceRegistry(enc.interfaces).
		WithTxConfig(enc.txConfig).
		WithLegacyAmino(enc.amino).
		WithAccountRetriever(authtypes.AccountRetriever{}).
		WithInput(os.Stdin).
		WithHomeDir(defaultHome()).
		WithViper(envPrefix)

	root := &cobra.Command{
		Use:           binaryName,
		Short:         "A VirtEngine-shaped chain for reliability tests",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.OutOrStdout())
			cmd.SetErr(cmd.ErrOrStderr())
			if err := client.SetCmdClientContextHandler(clientCtx.WithCmdContext(cmd.Context()), cmd); err != nil {
				return err
			}
			serverCtx, err := loadServerContext(cmd)
			if err != nil {
				return err
			}
			return server.SetCmdServerContext(cmd, serverCtx)
		},
	}
	server.AddCommands(root, defaultHome(), createApp, exportApp, extendStart)
	root.AddCommand(newGenesisCmd(enc))
	return root
}

// createApp returns the application as configured. The SDK's signature leaves no
// way to return an error.
func createApp(logger log.Logger, db dbm.DB, trace io.Writer, options servertypes.AppOptions) servertypes.Application {
	limits, err := readRateLimits(options)
	if err != nil {
		panic(err)
	}
	a, err := newApp(logger, db, trace, limits, server.DefaultBaseappOptions(options)...)
	if err != nil {
		panic(err)
	}
	return a
}

// exportApp returns the state at a height as a genesis document. Preparing it for
// a restart at height zero is not supported.
func exportApp(logger log.Logger, db dbm.DB, trace io.Writer, height int64, _ bool, _ []string, options servertypes.AppOptions, modules []string) (servertypes.ExportedApp, error) {
	a, err := buildApp(logger, db, trace, defaultRateLimits(), server.DefaultBaseappOptions(options)...)
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	if height == -1 { // the flag's default: the latest height
		err = a.LoadLatestVersion()
	} else {
		err = a.LoadHeight(height)
	}
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	return a.exportState(modules)
}

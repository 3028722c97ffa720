package main

import (
	"encoding/json"
	"fmt"
	"io"

	dbm "github.com/cosmos/cosmos-db"

	"cosmossdk.io/depinject"
	"cosmossdk.io/log"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/codec"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/runtime"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
	"github.com/cosmos/cosmos-sdk/types/mempool"
	"github.com/cosmos/cosmos-sdk/types/module"
	authkeeper "github.com/cosmos/cosmos-sdk/x/auth/keeper"
	bankkeeper "github.com/cosmos/cosmos-sdk/x/bank/keeper"
	"github.com/cosmos/cosmos-sdk/x/staking"
	stakingkeeper "github.com/cosmos/cosmos-sdk/x/staking/keeper"
)

// encoding holds what both the node and the command line need to read and write
// transactions and genesis files. The two sides share it so that a type that the
// node knows can also be rendered by the REST and gRPC query services.
type encoding struct {
	codec      codec.Codec
	amino      *codec.LegacyAmino
	interfaces codectypes.InterfaceRegistry
	txConfig   client.TxConfig
	modules    module.BasicManager
}

// app is the chain application. Everything servertypes.Application asks for
// comes from the embedded runtime.App.
type app struct {
	*runtime.App
	encoding

	accounts authkeeper.AccountKeeper
	bank     bankkeeper.Keeper
	staking  *stakingkeeper.Keeper
}

var _ servertypes.Application = (*app)(nil)

// newEncoding returns the codecs of all modules without building an application.
func newEncoding() (encoding, error) {
	var enc encoding
	err := depinject.Inject(
		depinject.Configs(appModules(), depinject.Supply(log.NewNopLogger())),
		&enc.codec, &enc.amino, &enc.interfaces, &enc.txConfig, &enc.modules,
	)
	return enc, err
}

// newApp returns the application with the latest state in db loaded.
func newApp(logger log.Logger, db dbm.DB, trace io.Writer, limits rateLimits, options ...func(*baseapp.BaseApp)) (*app, error) {
	a, err := buildApp(logger, db, trace, limits, options...)
	if err != nil {
		return nil, err
	}
	if err := a.LoadLatestVersion(); err != nil {
		return nil, fmt.Errorf("loading the latest state: %w", err)
	}
	return a, nil
}

// buildApp returns the application wired but with no state loaded, so that the
// caller chooses the height.
func buildApp(logger log.Logger, db dbm.DB, trace io.Writer, limits rateLimits, options ...func(*baseapp.BaseApp)) (*app, error) {
	a := &app{}
	var builder *runtime.AppBuilder
	err := depinject.Inject(
		depinject.Configs(appModules(), depinject.Supply(logger)),
		&builder,
		&a.codec, &a.amino, &a.interfaces, &a.txConfig, &a.modules,
		&a.accounts, &a.bank, &a.staking,
	)
	if err != nil {
		return nil, fmt.Errorf("wiring the modules: %w", err)
	}

	// CometBFT's first-in first-out mempool orders transactions, and proposals
	// are taken as they come, as on VirtEngine. Set last, so that no
	// mempool.max-txs in a configuration file can bring in another mempool.
	options = append(options,
		baseapp.SetMempool(mempool.NoOpMempool{}),
		func(b *baseapp.BaseApp) {
			b.SetPrepareProposal(baseapp.NoOpPrepareProposal())
			b.SetProcessProposal(baseapp.NoOpProcessProposal())
		},
	)

	a.App = builder.Build(db, trace, options...)
	a.SetAnteHandler(newAnteHandler(a, limits, logger))
	if err := a.Load(false); err != nil {
		return nil, fmt.Errorf("setting up the block handlers: %w", err)
	}
	if err := plantFork(a, logger); err != nil {
		return nil, err
	}
	return a, nil
}

// exportState returns the loaded application state in the form of a genesis file.
func (a *app) exportState(modules []string) (servertypes.ExportedApp, error) {
	ctx := a.NewContext(true).WithBlockHeight(a.LastBlockHeight())
	state, err := a.ModuleManager.ExportGenesisForModules(ctx, a.codec, modules)
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	appState, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return servertypes.ExportedApp{}, err
	}
	validators, err := staking.WriteValidators(ctx, a.staking)
	return servertypes.ExportedApp{
		AppState:        appState,
		Validators:      validators,
		Height:          a.LastBlockHeight() + 1,
		ConsensusParams: a.GetConsensusParams(ctx),
	}, err
}

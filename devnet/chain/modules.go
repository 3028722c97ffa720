package main

import (
	runtimev1alpha1 "cosmossdk.io/api/cosmos/app/runtime/v1alpha1"
	appv1alpha1 "cosmossdk.io/api/cosmos/app/v1alpha1"
	authmodulev1 "cosmossdk.io/api/cosmos/auth/module/v1"
	bankmodulev1 "cosmossdk.io/api/cosmos/bank/module/v1"
	consensusmodulev1 "cosmossdk.io/api/cosmos/consensus/module/v1"
	distrmodulev1 "cosmossdk.io/api/cosmos/distribution/module/v1"
	genutilmodulev1 "cosmossdk.io/api/cosmos/genutil/module/v1"
	mintmodulev1 "cosmossdk.io/api/cosmos/mint/module/v1"
	slashingmodulev1 "cosmossdk.io/api/cosmos/slashing/module/v1"
	stakingmodulev1 "cosmossdk.io/api/cosmos/staking/module/v1"
	txconfigv1 "cosmossdk.io/api/cosmos/tx/config/v1"
	"cosmossdk.io/core/appconfig"
	"cosmossdk.io/depinject"
	"github.com/cosmos/gogoproto/proto"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	consensustypes "github.com/cosmos/cosmos-sdk/x/consensus/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	minttypes "github.com/cosmos/cosmos-sdk/x/mint/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	// Each module registers its dependency-injection providers when imported.
	_ "github.com/cosmos/cosmos-sdk/x/auth"
	_ "github.com/cosmos/cosmos-sdk/x/auth/tx/config"
	_ "github.com/cosmos/cosmos-sdk/x/bank"
	_ "github.com/cosmos/cosmos-sdk/x/consensus"
	_ "github.com/cosmos/cosmos-sdk/x/distribution"
	_ "github.com/cosmos/cosmos-sdk/x/genutil"
	_ "github.com/cosmos/cosmos-sdk/x/mint"
	_ "github.com/cosmos/cosmos-sdk/x/slashing"
	_ "github.com/cosmos/cosmos-sdk/x/staking"
)

// genesisOrder starts with auth so that genesis accounts take their explicit
// numbers before any module account is created. Distribution and slashing hook
// into staking, so distribution comes before it (its records are created by the
// hooks) and slashing after it.
var genesisOrder = []string{
	authtypes.ModuleName,
	banktypes.ModuleName,
	distrtypes.ModuleName,
	stakingtypes.ModuleName,
	slashingtypes.ModuleName,
	minttypes.ModuleName,
	genutiltypes.ModuleName,
	consensustypes.ModuleName,
}

// appModules returns the wiring of every module of the chain.
func appModules() depinject.Config {
	return appconfig.Compose(&appv1alpha1.Config{Modules: []*appv1alpha1.ModuleConfig{
		wire("runtime", &runtimev1alpha1.Module{
			AppName: appName,
			// Auth removes the expired nonces of unordered transactions here.
			PreBlockers:   []string{authtypes.ModuleName},
			BeginBlockers: []string{minttypes.ModuleName, distrtypes.ModuleName, slashingtypes.ModuleName, stakingtypes.ModuleName},
			EndBlockers:   []string{stakingtypes.ModuleName},
			InitGenesis:   genesisOrder,
			OverrideStoreKeys: []*runtimev1alpha1.StoreKeyConfig{
				{ModuleName: authtypes.ModuleName, KvStoreKey: authtypes.StoreKey},
			},
		}),
		wire(authtypes.ModuleName, &authmodulev1.Module{
			Bech32Prefix: bech32Prefix,
			ModuleAccountPermissions: []*authmodulev1.ModuleAccountPermission{
				{Account: authtypes.FeeCollectorName},
				{Account: distrtypes.ModuleName},
				{Account: minttypes.ModuleName, Permissions: []string{authtypes.Minter}},
				{Account: stakingtypes.BondedPoolName, Permissions: []string{authtypes.Burner, authtypes.Staking}},
				{Account: stakingtypes.NotBondedPoolName, Permissions: []string{authtypes.Burner, authtypes.Staking}},
			},
			EnableUnorderedTransactions: true,
		}),
		wire(banktypes.ModuleName, &bankmodulev1.Module{}),
		wire(stakingtypes.ModuleName, &stakingmodulev1.Module{}),
		wire(slashingtypes.ModuleName, &slashingmodulev1.Module{}),
		wire(distrtypes.ModuleName, &distrmodulev1.Module{}),
		wire(minttypes.ModuleName, &mintmodulev1.Module{}),
		wire(genutiltypes.ModuleName, &genutilmodulev1.Module{}),
		wire(consensustypes.ModuleName, &consensusmodulev1.Module{}),
		// The ante handler is our own: see ante.go.
		wire("tx", &txconfigv1.Config{SkipAnteHandler: true}),
	}})
}

func wire(name string, config proto.Message) *appv1alpha1.ModuleConfig {
	return &appv1alpha1.ModuleConfig{Name: name, Config: appconfig.WrapAny(config)}
}

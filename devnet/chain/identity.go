package main

import (
	"os"
	"path/filepath"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/version"
)

// The identity a client sees on a VirtEngine network. A harness written against
// VirtEngine must not need another configuration to talk to this chain.
const (
	appName      = "virtengine"
	binaryName   = "ved"
	baseDenom    = "uve"
	bech32Prefix = "ve"
	coinType     = 118
	keyPurpose   = 44

	// envPrefix makes every configuration key settable as VE_<KEY>, with dots and
	// dashes written as underscores, e.g. VE_RATE_LIMIT_ENABLED.
	envPrefix = "VE"
)

// The SDK keeps its prefixes and its default denomination in package variables,
// and module code reads them while it builds default genesis states and renders
// addresses. They are set before main runs so that no code path, test included,
// can see the SDK's own "cosmos" and "stake".
func init() {
	sdk.DefaultBondDenom = baseDenom

	cfg := sdk.GetConfig()
	cfg.SetBech32PrefixForAccount(bech32Prefix, bech32Prefix+"pub")
	cfg.SetBech32PrefixForValidator(bech32Prefix+"valoper", bech32Prefix+"valoperpub")
	cfg.SetBech32PrefixForConsensusNode(bech32Prefix+"valcons", bech32Prefix+"valconspub")
	cfg.SetCoinType(coinType)
	cfg.SetPurpose(keyPurpose)
	cfg.Seal()

	// Values given with -ldflags "-X github.com/cosmos/cosmos-sdk/version.…" win.
	if version.Name == "" {
		version.Name = appName
	}
	if version.AppName == "<appd>" {
		version.AppName = binaryName
	}
	if version.Version == "" {
		version.Version = "devnet"
	}
}

// defaultHome returns $HOME/.virtengine, the directory VirtEngine uses.
func defaultHome() string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return filepath.Join(home, "."+appName)
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	"github.com/spf13/cast"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"cosmossdk.io/log"

	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/server"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	servertypes "github.com/cosmos/cosmos-sdk/server/types"
)

// Keys of the rate limit in app.toml; the same names serve as flags of start.
const (
	keyRateLimitEnabled    = "rate-limit.enabled"
	keyRateLimitPerAccount = "rate-limit.max-tx-per-account"
	keyRateLimitPerBlock   = "rate-limit.max-tx-per-block"
)

// loadServerContext reads config.toml and app.toml of the node's home and returns
// the context that the SDK's server commands work from. From strongest to weakest:
// flag, VE_ environment variable, file, default.
//
// The SDK's own loader is not used, because it takes the environment prefix from
// the name of the executable, writes files that are missing, and leaves keys that
// are missing from app.toml at zero, among them the size of the state cache.
func loadServerContext(cmd *cobra.Command) (*server.Context, error) {
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_", "-", "_"))
	v.AutomaticEnv()
	if err := v.BindPFlags(cmd.Flags()); err != nil {
		return nil, err
	}

	comet := defaultCometConfig()
	setDefaults(v, "", reflect.ValueOf(comet))
	setDefaults(v, "", reflect.ValueOf(defaultAppConfig()))
	limits := defaultRateLimits()
	v.SetDefault(keyRateLimitEnabled, limits.enabled)
	v.SetDefault(keyRateLimitPerAccount, limits.perAccount)
	v.SetDefault(keyRateLimitPerBlock, limits.perBlock)

	home := v.GetString(flags.FlagHome)
	for _, name := range []string{"config.toml", "app.toml"} {
		path := filepath.Join(home, "config", name)
		if _, err := os.Stat(path); os.IsNotExist(err) {
			continue
		}
		v.SetConfigFile(path)
		if err := v.MergeInConfig(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}

	if err := v.Unmarshal(comet); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(home, "config"), err)
	}
	comet.SetRoot(home)
	if err := comet.ValidateBasic(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(home, "config", "config.toml"), err)
	}
	if _, err := readRateLimits(v); err != nil {
		return nil, err
	}
	if err := fillFlags(cmd, v); err != nil {
		return nil, err
	}

	ctx := server.NewContext(v, comet, nil)
	logger, err := server.CreateSDKLogger(ctx, cmd.OutOrStdout())
	if err != nil {
		return nil, err
	}
	ctx.Logger = logger.With(log.ModuleKey, "server")
	return ctx, nil
}

// defaultCometConfig returns CometBFT's defaults with the SDK's block time. The
// profiler is off, because several nodes share this host and its port.
func defaultCometConfig() *cmtcfg.Config {
	c := cmtcfg.DefaultConfig()
	c.Consensus.TimeoutCommit = 5 * time.Second
	c.RPC.PprofListenAddress = ""
	return c
}

// defaultAppConfig returns the SDK's defaults with those that VirtEngine changes:
// its gas price, and the REST server on.
func defaultAppConfig() *serverconfig.Config {
	c := serverconfig.DefaultConfig()
	c.MinGasPrices = "0.0025" + baseDenom
	c.API.Enable = true
	return c
}

// setDefaults makes every field of a configuration struct the default of its key,
// so that a partial file, or an environment variable alone, works for all of them.
func setDefaults(v *viper.Viper, prefix string, config reflect.Value) {
	config = reflect.Indirect(config)
	for i := range config.NumField() {
		field := reflect.Indirect(config.Field(i))
		name, options, _ := strings.Cut(config.Type().Field(i).Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			setDefaults(v, prefix, field)
		case name == "" || name == flags.FlagHome:
			// The home directory comes from the command line, not from its files.
		case field.Kind() == reflect.Struct:
			setDefaults(v, prefix+name+".", field)
		default:
			v.SetDefault(prefix+name, field.Interface())
		}
	}
}

// fillFlags gives every flag that was not typed its value from the environment or
// the files: the SDK reads some settings from the flag alone.
func fillFlags(cmd *cobra.Command, v *viper.Viper) (err error) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || err != nil || !v.IsSet(f.Name) {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			err = list.Replace(v.GetStringSlice(f.Name))
		} else {
			err = f.Value.Set(v.GetString(f.Name))
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Name, err)
		}
	})
	return err
}

// extendStart adds to the SDK's start command the flags that it does not have, and
// a check for the one file that it cannot make up and would panic over.
func extendStart(start *cobra.Command) {
	start.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := os.Stat(server.GetServerContextFromCmd(cmd).Config.GenesisFile()); err != nil {
			return fmt.Errorf("no genesis file: %w", err)
		}
		return nil
	}
	limits := defaultRateLimits()
	start.Flags().Bool(keyRateLimitEnabled, limits.enabled, "Limit transactions per account and per block")
	start.Flags().Uint64(keyRateLimitPerAccount, limits.perAccount, "Transactions per account and block height")
	start.Flags().Uint64(keyRateLimitPerBlock, limits.perBlock, "Transactions per block height")
}

// readRateLimits returns the configured limits; a limit that is not a positive
// whole number is an error.
func readRateLimits(options servertypes.AppOptions) (rateLimits, error) {
	enabled, err := cast.ToBoolE(options.Get(keyRateLimitEnabled))
	if err != nil {
		return rateLimits{}, fmt.Errorf("%s is %v; expected true or false", keyRateLimitEnabled, options.Get(keyRateLimitEnabled))
	}
	limits := rateLimits{enabled: enabled}
	for key, limit := range map[string]*uint64{
		keyRateLimitPerAccount: &limits.perAccount,
		keyRateLimitPerBlock:   &limits.perBlock,
	} {
		*limit, err = cast.ToUint64E(options.Get(key))
		if err != nil || *limit == 0 {
			return rateLimits{}, fmt.Errorf("%s is %v; expected a whole number above 0", key, options.Get(key))
		}
	}
	return limits, nil
}

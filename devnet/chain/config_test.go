package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/server"
	svrcmd "github.com/cosmos/cosmos-sdk/server/cmd"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
)

// load returns the context that start gets with the given files and arguments.
func load(t *testing.T, configTOML, appTOML string, args ...string) (*server.Context, error) {
	t.Helper()
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config.toml": configTOML, "app.toml": appTOML} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(home, "config", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	root := newRootCmd()
	start, _, err := root.Find([]string{"start"})
	if err != nil {
		t.Fatal(err)
	}
	var ctx *server.Context
	start.PreRunE = nil
	start.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx = server.GetServerContextFromCmd(cmd)
		return nil
	}
	root.SetArgs(append([]string{"start", "--" + flags.FlagHome, home}, args...))
	err = root.ExecuteContext(svrcmd.CreateExecuteContext(context.Background()))

	entries, _ := os.ReadDir(filepath.Join(home, "config"))
	for _, entry := range entries {
		if entry.Name() == "config.toml" && configTOML == "" || entry.Name() == "app.toml" && appTOML == "" {
			t.Errorf("%s was written", entry.Name())
		}
	}
	return ctx, err
}

func limitsOf(t *testing.T, ctx *server.Context) rateLimits {
	t.Helper()
	limits, err := readRateLimits(ctx.Viper)
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

func TestDefaultsWithoutFiles(t *testing.T) {
	ctx, err := load(t, "", "")
	if err != nil {
		t.Fatal(err)
	}
	app, err := serverconfig.GetConfig(ctx.Viper)
	if err != nil {
		t.Fatal(err)
	}
	if !app.API.Enable || app.MinGasPrices != "0.0025uve" || app.IAVLCacheSize != 781250 || app.Mempool.MaxTxs != -1 {
		t.Errorf("app configuration is %+v", app)
	}
	if got := ctx.Viper.GetInt("iavl-cache-size"); got != 781250 {
		t.Errorf("iavl-cache-size is %d: the application would run without its cache", got)
	}
	if ctx.Config.Consensus.TimeoutCommit != 5*time.Second || ctx.Config.RPC.PprofListenAddress != "" {
		t.Errorf("node configuration is %+v %+v", ctx.Config.Consensus, ctx.Config.RPC)
	}
	if got := limitsOf(t, ctx); got != defaultRateLimits() {
		t.Errorf("limits are %+v", got)
	}
}

func TestPartialFilesKeepTheOtherDefaults(t *testing.T) {
	ctx, err := load(t,
		"[consensus]\ntimeout_commit = \"1s\"\n[mempool]\nsize = 150\n",
		"[api]\naddress = \"tcp://127.9.1.1:1317\"\n[rate-limit]\nenabled = false\nmax-tx-per-account = 20\n")
	if err != nil {
		t.Fatal(err)
	}
	if c := ctx.Config; c.Consensus.TimeoutCommit != time.Second || c.Consensus.TimeoutPropose != 3*time.Second || c.Mempool.Size != 150 {
		t.Errorf("node configuration is %+v %+v", c.Consensus, c.Mempool)
	}
	app, err := serverconfig.GetConfig(ctx.Viper)
	if err != nil {
		t.Fatal(err)
	}
	if app.API.Address != "tcp://127.9.1.1:1317" || !app.API.Enable || app.GRPC.Address != "localhost:9090" {
		t.Errorf("app configuration is %+v", app)
	}
	if got := limitsOf(t, ctx); got != (rateLimits{enabled: false, perAccount: 20, perBlock: 5000}) {
		t.Errorf("limits are %+v", got)
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	t.Setenv("VE_RATE_LIMIT_MAX_TX_PER_ACCOUNT", "30")
	t.Setenv("VE_RATE_LIMIT_MAX_TX_PER_BLOCK", "300")
	t.Setenv("VE_CONSENSUS_TIMEOUT_COMMIT", "2s")
	ctx, err := load(t, "", "[rate-limit]\nmax-tx-per-account = 20\nmax-tx-per-block = 200\n",
		"--rate-limit.enabled=false", "--rate-limit.max-tx-per-block=400")
	if err != nil {
		t.Fatal(err)
	}
	if got := limitsOf(t, ctx); got != (rateLimits{enabled: false, perAccount: 30, perBlock: 400}) {
		t.Errorf("limits are %+v", got)
	}
	if got := ctx.Config.Consensus.TimeoutCommit; got != 2*time.Second {
		t.Errorf("timeout_commit is %s", got)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for _, c := range []struct{ configTOML, appTOML, want string }{
		{"", "[rate-limit]\nmax-tx-per-block = 0\n", "rate-limit.max-tx-per-block is 0; expected a whole number above 0"},
		{"", "[rate-limit]\nmax-tx-per-account = -1\n", "rate-limit.max-tx-per-account is -1"},
		{"", "[rate-limit]\nenabled = \"perhaps\"\n", "rate-limit.enabled is perhaps; expected true or false"},
		{"[consensus]\ntimeout_commit = \"-1s\"\n", "", "timeout_commit can't be negative"},
		{"[consensus\n", "", "config.toml"},
	} {
		if _, err := load(t, c.configTOML, c.appTOML); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
}

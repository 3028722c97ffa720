package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
)

func TestDefaultGenesisKnowsOnlyOurDenomination(t *testing.T) {
	enc := testEncoding(t)
	state, err := json.Marshal(enc.modules.DefaultGenesis(enc.codec))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"bond_denom":"uve"`, `"mint_denom":"uve"`} {
		if !bytes.Contains(state, []byte(want)) {
			t.Errorf("no %s in %s", want, state)
		}
	}
	if bytes.Contains(state, []byte(`"stake"`)) {
		t.Errorf("the SDK's denomination is in %s", state)
	}
}

func TestAddressPrefixes(t *testing.T) {
	for _, pair := range [][2]string{
		{testAddress(0).String(), "ve1"},
		{testConsensusAddress(0).String(), "vevalcons1"},
	} {
		if !strings.HasPrefix(pair[0], pair[1]) {
			t.Errorf("%s does not start with %s", pair[0], pair[1])
		}
	}
}

// A client that signs with its index as account number depends on this.
func TestAccountIKeepsNumberI(t *testing.T) {
	const accounts = 1000
	c := startTestChain(t, defaultRateLimits(), 4, accounts)
	ctx := c.NewContext(true)
	for i := range accounts {
		if number := c.accounts.GetAccount(ctx, testAddress(i)).GetAccountNumber(); number != uint64(i) {
			t.Fatalf("account %d has number %d", i, number)
		}
	}
	for name := range c.accounts.GetModulePermissions() {
		number := c.accounts.GetModuleAccount(ctx, name).GetAccountNumber()
		if number < accounts {
			t.Errorf("module account %s has number %d, below %d", name, number, accounts)
		}
	}
	wantCode(t, c.check(c.encode(payment{from: accounts - 1, to: 0, amount: 1, fee: testEnoughFees})), "", 0)
}

func TestValidateGenesis(t *testing.T) {
	enc := testEncoding(t)
	remove := func(field, module string) func(map[string]json.RawMessage) {
		return func(state map[string]json.RawMessage) {
			var m map[string]json.RawMessage
			if err := json.Unmarshal(state[module], &m); err != nil {
				t.Fatal(err)
			}
			delete(m, field)
			state[module], _ = json.Marshal(m)
		}
	}
	cases := []struct {
		name   string
		change func(map[string]json.RawMessage)
		want   string // a part of the error; empty if the file is valid
	}{
		{"as written", func(map[string]json.RawMessage) {}, ""},
		{"misspelt module", func(s map[string]json.RawMessage) { s["banc"] = s["bank"] }, "app_state.banc: no such module"},
		{"missing module", func(s map[string]json.RawMessage) { delete(s, "mint") }, "mint"},
		{"no signing infos", remove("signing_infos", "slashing"), "block 2: no validator signing info found"},
		{"no balances", remove("balances", "bank"), "bonded pool balance is different"},
		{"no validators", remove("validators", "staking"), "app_state"},
		{"same number twice", func(s map[string]json.RawMessage) {
			auth := authtypes.GetGenesisStateFromAppState(enc.codec, s)
			accounts, err := authtypes.UnpackAccounts(auth.Accounts)
			if err != nil {
				t.Fatal(err)
			}
			_ = accounts[3].SetAccountNumber(2)
			s["auth"] = enc.codec.MustMarshalJSON(authtypes.NewGenesisState(auth.Params, accounts))
		}, "account_number 2, which another account has too"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			state := testState(t, enc, 2, 10)
			c.change(state)
			path := filepath.Join(t.TempDir(), "genesis.json")
			if err := testGenesis(t, state).SaveAs(path); err != nil {
				t.Fatal(err)
			}
			summary, err := checkGenesis(enc, path)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "" && !strings.Contains(summary, "2 validators, 15 accounts"):
				t.Fatalf("summary is %q", summary)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("error is %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestExportedStateIsAValidGenesis(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 2, 10)
	c.block(c.encode(payment{from: 1, to: 2, amount: 5, fee: testEnoughFees}))
	exported, err := c.exportState(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(exported.Validators) != 2 || exported.Height != 3 {
		t.Fatalf("%d validators at height %d, want 2 at 3", len(exported.Validators), exported.Height)
	}
	var state map[string]json.RawMessage
	if err := json.Unmarshal(exported.AppState, &state); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "genesis.json")
	if err := testGenesis(t, state).SaveAs(path); err != nil {
		t.Fatal(err)
	}
	if _, err := checkGenesis(c.encoding, path); err != nil {
		t.Fatal(err)
	}
}

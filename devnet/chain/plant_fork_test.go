//go:build plant_fork

package main

import (
	"bytes"
	"testing"

	storetypes "cosmossdk.io/store/types"
)

const plantTestHeight = "3"

// plantedStores runs a chain past the height of the defect and returns the hash of
// each of its stores.
func plantedStores(t *testing.T, order string) map[string][]byte {
	t.Helper()
	t.Setenv(plantHeightVar, plantTestHeight)
	t.Setenv(plantOrderVar, order)
	c := startTestChain(t, defaultRateLimits(), 4, 10)
	c.block()
	c.block()
	hashes := map[string][]byte{}
	for _, key := range c.GetStoreKeys() {
		if store := c.CommitMultiStore().GetCommitKVStore(key); store.GetStoreType() == storetypes.StoreTypeIAVL {
			hashes[key.Name()] = store.LastCommitID().Hash
		}
	}
	return hashes
}

func TestReversedOrderForksTheAccountStoreAlone(t *testing.T) {
	sorted, again, reversed := plantedStores(t, "sorted"), plantedStores(t, ""), plantedStores(t, "reversed")
	for name, hash := range sorted {
		if !bytes.Equal(hash, again[name]) {
			t.Errorf("store %s differs between two sorted nodes", name)
		}
		if differs := !bytes.Equal(hash, reversed[name]); differs != (name == "acc") {
			t.Errorf("store %s differs from the reversed node: %v", name, differs)
		}
	}
}

func TestPlantedAccountsAreTheConsensusAddresses(t *testing.T) {
	t.Setenv(plantHeightVar, plantTestHeight)
	c := startTestChain(t, defaultRateLimits(), 4, 10)
	for height := 2; height <= 3; height++ {
		if c.accounts.HasAccount(c.NewContext(true), testConsensusAddress(0).Bytes()) {
			t.Fatalf("the account exists before block %d", height)
		}
		c.block()
	}
	for i := range 4 {
		if !c.accounts.HasAccount(c.NewContext(true), testConsensusAddress(i).Bytes()) {
			t.Errorf("no account for validator %d", i)
		}
	}
}

func TestPlantIsOffByDefault(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 4, 10)
	c.block()
	c.block()
	if c.accounts.HasAccount(c.NewContext(true), testConsensusAddress(0).Bytes()) {
		t.Error("the defect is on without its variable")
	}
}

func TestBadPlantSettingsAreNamed(t *testing.T) {
	for _, c := range [][2]string{{"soon", ""}, {"-1", ""}, {"3", "upside-down"}} {
		t.Setenv(plantHeightVar, c[0])
		t.Setenv(plantOrderVar, c[1])
		if _, _, err := plantSettings(); err == nil {
			t.Errorf("%s=%q %s=%q was accepted", plantHeightVar, c[0], plantOrderVar, c[1])
		}
	}
}

package main

import (
	"strings"
	"testing"
	"time"
)

func TestFeeBelowTheFloorIsAPlainError(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	for _, fee := range []int64{0, testEnoughFees - 1} {
		result := c.check(c.encode(payment{from: 1, to: 2, amount: 1, fee: fee}))
		wantCode(t, result, "undefined", 1)
		if !strings.HasPrefix(result.Log, "insufficient fee: min gas prices 0.025") {
			t.Fatalf("log is %q", result.Log)
		}
	}
	wantCode(t, c.check(c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees})), "", 0)
}

// The floor protects the mempool; a block takes what its proposer put in.
func TestTheFloorDoesNotApplyInABlock(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	wantCode(t, c.block(c.encode(payment{from: 1, to: 2, amount: 1}))[0], "", 0)
}

func TestOverspendingPassesCheckTxAndFailsInTheBlock(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	tx := c.encode(payment{from: 1, to: 2, amount: 2 * testFunds, fee: testEnoughFees})
	wantCode(t, c.check(tx), "", 0)
	wantCode(t, c.block(tx)[0], "sdk", 5)
}

func TestWrongSequence(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	wantCode(t, c.check(c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees, sequence: 7})), "sdk", 32)
}

func TestUnorderedTransactions(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	send := func(timeout time.Duration) []byte {
		return c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees, unordered: c.time.Add(timeout)})
	}
	soon := send(time.Minute)
	results := c.block(send(2*time.Minute), soon)
	wantCode(t, results[0], "", 0)
	wantCode(t, results[1], "", 0)
	wantCode(t, c.block(soon)[0], "sdk", 18) // its nonce is used
	wantCode(t, c.check(send(11*time.Minute)), "sdk", 18)
}

func TestRateLimitInABlockAndAfterIt(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	pay := func(sequence uint64) []byte {
		return c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees, sequence: sequence})
	}
	var txs [][]byte
	for i := range 12 {
		txs = append(txs, pay(uint64(i)))
	}
	results := c.block(txs...)
	for _, result := range results[:10] {
		wantCode(t, result, "", 0)
	}
	for _, result := range results[10:] {
		wantCode(t, result, rateLimitCodespace, 1)
	}

	// CheckTx still runs at the height of that block, until the next one.
	wantCode(t, c.check(pay(10)), rateLimitCodespace, 1)
	c.block()
	wantCode(t, c.check(pay(10)), "", 0)
}

// The limit comes before the signatures, so a forger can use up a victim's budget.
func TestForgedTransactionsUseUpTheVictimsBudget(t *testing.T) {
	c := startTestChain(t, defaultRateLimits(), 1, 3)
	for range 10 {
		wantCode(t, c.check(c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees, forged: true})), "sdk", 4)
	}
	valid := c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees})
	wantCode(t, c.check(valid), rateLimitCodespace, 1)
	c.block()
	wantCode(t, c.check(valid), "", 0)
}

func TestRateLimitSwitchedOff(t *testing.T) {
	limits := defaultRateLimits()
	limits.enabled = false
	c := startTestChain(t, limits, 1, 3)
	for i := range 30 {
		wantCode(t, c.check(c.encode(payment{from: 1, to: 2, amount: 1, fee: testEnoughFees, sequence: uint64(i)})), "", 0)
	}
}

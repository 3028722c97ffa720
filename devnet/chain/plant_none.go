//go:build !plant_fork

package main

import "cosmossdk.io/log"

// plantFork does nothing: the defect is compiled in only with -tags plant_fork.
func plantFork(*app, log.Logger) error { return nil }

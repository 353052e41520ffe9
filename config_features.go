package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// FeaturesConfig is how features are served.
type FeaturesConfig struct {
	FeaturesAddr             string        `group:"features" help:"Address of the feature store: features of players over HTTP, as JSON or Arrow; empty turns it off. It knows no users: put what checks them in front before it leaves the machine." default:"127.0.0.1:8126"`
	FeaturesPartitions       []int32       `group:"features" help:"Partitions whose players it serves; the rest is for other replicas. Empty serves all." placeholder:"N"`
	FeaturesTTL              time.Duration `name:"features-ttl" group:"features" help:"Age of the newest event behind a player's features above which they are called stale. The default is the widest window." default:"672h"`
	FeaturesMaxPlayers       int           `group:"features" help:"Players that one request may ask for." default:"1000"`
	FeaturesSnapshotDir      string        `group:"features" help:"Directory of the store's snapshot, which makes its start fast. auto is one below --data-dir, none is no snapshot." default:"auto" placeholder:"DIR"`
	FeaturesSnapshotInterval time.Duration `group:"features" help:"How often the store is snapshotted; it is once more when it stops." default:"5m"`
}

// validate reports every problem at once.
func (c *FeaturesConfig) validate(partitions int32) error {
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	if c.FeaturesAddr != "" {
		if _, _, err := net.SplitHostPort(c.FeaturesAddr); err != nil {
			bad("features-addr", "%q is not HOST:PORT", c.FeaturesAddr)
		}
	}
	for i, p := range c.FeaturesPartitions {
		if p < 0 || p >= partitions {
			bad("features-partitions", "%d is not below --kafka-partitions (%d)", p, partitions)
		}
		if slices.Contains(c.FeaturesPartitions[:i], p) {
			bad("features-partitions", "%d is named twice", p)
		}
	}
	if c.FeaturesTTL <= 0 {
		bad("features-ttl", "%s is not positive", c.FeaturesTTL)
	}
	if c.FeaturesMaxPlayers < 1 || c.FeaturesMaxPlayers > 100_000 {
		bad("features-max-players", "%d is not between 1 and 100000", c.FeaturesMaxPlayers)
	}
	if c.FeaturesSnapshotInterval <= 0 {
		bad("features-snapshot-interval", "%s is not positive", c.FeaturesSnapshotInterval)
	}
	return errors.Join(problems...)
}

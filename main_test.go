package main

import (
	"os"
	"testing"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

// asDroplift makes the test binary behave as bin/droplift, so that tests can run, kill and restart real processes.
const asDroplift = "DROPLIFT_TEST_AS_DROPLIFT"

func TestMain(m *testing.M) {
	embedded.MaybeRunChild()
	if os.Getenv(asDroplift) != "" {
		os.Exit(run(os.Args[1:], adjustForTests))
	}
	embeddedtest.Main(m)
}

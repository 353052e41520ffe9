package main

import (
	"testing"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

package clickhouse

import "testing"

func TestEveryReplacingTableHasItsNewestRows(t *testing.T) {
	for _, kind := range storedKinds {
		if _, ok := replacingKinds[kind]; ok != newTable(kind).replaces {
			t.Errorf("%s: rows replace each other: %v, and an audit knows their keys: %v", kind, !ok, ok)
		}
	}
}

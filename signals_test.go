package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A series that is read no more is gone: an alert must neither live nor sleep on an old number.
func TestSignalsVanish(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newSignals(nil, registry, nil)
	oversold := func(sku string, pieces float64) sample {
		return sample{"droplift_signal_oversold_pieces", prometheus.Labels{"drop": "d 🎉", "sku": sku}, pieces}
	}
	gauges := func() map[string]float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			if family.GetName() == "droplift_signal_oversold_pieces" {
				for _, m := range family.GetMetric() {
					got[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
				}
			}
		}
		return got
	}
	s.show([]sample{oversold("vip", 1), oversold("jacket", 2)})
	if got := gauges(); len(got) != 2 || got["vip"] != 1 || got["jacket"] != 2 {
		t.Errorf("gauges %v", got)
	}
	s.show([]sample{oversold("jacket", 3)})
	if got := gauges(); len(got) != 1 || got["jacket"] != 3 {
		t.Errorf("gauges %v after vip went", got)
	}
	s.show(nil)
	if got := gauges(); len(got) != 0 {
		t.Errorf("gauges %v after all went", got)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/processors"
)

// The price list comes from flags and from the YAML file, and everything wrong with it is said at once.
func TestEdgePrices(t *testing.T) {
	file := filepath.Join(t.TempDir(), "droplift.yaml")
	if err := os.WriteFile(file, []byte("edge:\n  price:\n    currency: EUR\n    requests: 0.25\n    pop:\n      - fra:egress-gb=0.02\n      - sin:requests=0.35\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := readConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkConfig(settings); err != nil {
		t.Fatal(err)
	}
	var cli CLI
	parser, err := newArgumentParser(&cli, kong.Resolvers(settings))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"config", "check"}); err != nil {
		t.Fatal(err)
	}
	c := &cli.Config
	list, err := c.edgePrices()
	if err != nil {
		t.Fatal(err)
	}
	if list.Currency != "EUR" || list.Prices.Requests != 250_000_000 || list.Prices.CPU != 20_000_000 || list.At("fra").Egress != 20_000_000 || list.At("sin").Requests != 350_000_000 {
		t.Errorf("%+v", list)
	}
	c.EdgePriceCurrency = ""
	if list, err := c.edgePrices(); list != nil || err != nil {
		t.Errorf("without a currency %v, %v", list, err)
	}
	c.EdgePriceCurrency, c.EdgePriceRequests, c.EdgePriceReplicaHour, c.EdgeCap, c.EdgeShedWarn = "XXX", "0.1234567891", "-1", 2, 9
	err = c.Validate()
	for _, problem := range []string{`"XXX" is not an active`, `"0.1234567891" is no whole number of nano-units`, "replica's hour", "cap at 2 of the budget", "9 kinds of work"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v does not say %s", err, problem)
		}
	}
}

// scriptedTask publishes what a test tells it to, and has decided something before a restart.
type scriptedTask struct {
	countedTask
	next     []event.Decision
	standing []event.Decision
}

func (s *scriptedTask) Flush(int64, []bool) (messages []event.Message) {
	for i := range s.next {
		messages = append(messages, event.Message{Kind: event.KindDecision, Value: s.next[i].AppendJSON(nil)})
	}
	return append(messages, event.Message{Kind: event.KindEstimate, Value: []byte("{")})
}
func (s *scriptedTask) Commit()                 { s.next = nil }
func (s *scriptedTask) Rollback()               { s.next = nil }
func (s *scriptedTask) Stats() processors.Stats { return processors.Stats{} }
func (s *scriptedTask) Standing(each func(*event.Decision)) error {
	for i := range s.standing {
		each(&s.standing[i])
	}
	return nil
}

// Gauges follow committed decisions, begin with those in force, and go when their partition does.
func TestDecisionGauges(t *testing.T) {
	m := newDecisionMetrics(prometheus.NewRegistry())
	decide := func(drop, topic string, value float64, inputs ...event.Input) event.Decision {
		return event.Decision{DropID: drop, Topic: topic, At: 60_000, Chosen: "x", Value: value, Reason: "r", Inputs: inputs}
	}
	value := func(drop, topic string) float64 { return gaugeValue(t, m.value.WithLabelValues(drop, topic, "")) }
	first := &scriptedTask{standing: []event.Decision{decide("d", "replicas", 7), decide("d", "pace", .5)}}
	task := deciding(m, 3, first, []any{first})
	task.Flush(0, nil)
	task.Commit()
	if value("d", "replicas") != 7 || value("d", "pace") != .5 {
		t.Error("decisions in force are not shown after a restart")
	}
	first.next = []event.Decision{decide("d", "replicas", 9), decide("d", "budget", 2, event.Input{Name: "level", Value: 2})}
	task.Flush(0, nil)
	task.Rollback()
	task.Flush(0, nil)
	task.Commit()
	if value("d", "replicas") != 7 {
		t.Error("a rolled-back decision is shown")
	}
	first.next = []event.Decision{decide("d", "replicas", 9), decide("d", "budget", 2, event.Input{Name: "level", Value: 2})}
	task.Flush(0, nil)
	if value("d", "replicas") != 7 {
		t.Error("a decision is shown before its commit")
	}
	task.Commit()
	if value("d", "replicas") != 9 || gaugeValue(t, m.level.WithLabelValues("d", "budget", "")) != 2 || gaugeValue(t, m.at.WithLabelValues("d", "budget", "")) != 60 {
		t.Error("a committed decision is not shown")
	}
	second := &scriptedTask{next: []event.Decision{decide("e", "pace", .3), decide("d", "pace", .4)}}
	other := deciding(m, 4, second, []any{second})
	other.Flush(0, nil)
	other.Commit()
	task.(*decidingTask).Dropped()
	shown := make(chan prometheus.Metric, 10)
	m.value.Collect(shown)
	if n := len(shown); n != 2 || value("e", "pace") != .3 || value("d", "pace") != .4 {
		t.Errorf("%d gauges after one of two partitions has gone", n)
	}
}

func gaugeValue(t *testing.T, gauge prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := gauge.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

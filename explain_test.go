package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	shares := func(pairs ...any) map[string]float64 {
		m := map[string]float64{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1].(float64)
		}
		return m
	}
	even := []float64{25_000, 25_000, 25_000, 25_000}
	for _, test := range []struct {
		name string
		in   symptoms
		want condition
		says string
	}{
		{"no answer", symptoms{Away: "connection refused"}, down, "connection refused"},
		{"nothing to do", symptoms{Lags: []float64{0, 0}, Shares: shares("idle", 1.0)}, keepingUp, "idle 100 %"},
		{"a batch behind", symptoms{Rate: 10_000, Lags: []float64{5000, 2000}, Shares: shares("idle", 0.6, "insert", 0.4)}, keepingUp, "idle 60 %, insert 40 %"},
		{"just under what is kept up", symptoms{Rate: 1000, Lags: []float64{5000}, Shares: shares("process", 1.0)}, keepingUp, "process"},
		{"just over", symptoms{Rate: 1000, Lags: []float64{5001}, Shares: shares("process", 1.0)}, cpuBound, "100 %"},
		{"first records, no interval done", symptoms{Lags: []float64{10}, Shares: shares("idle", 0.9, "fetch", 0.1)}, keepingUp, "idle"},
		{"slow inserts", symptoms{Rate: 10_000, Lags: even, Shares: shares("insert", 0.62, "slot", 0.2, "decode", 0.18)},
			waitsForWarehouse, "inserts take 82 % of the time"},
		{"slow fetches", symptoms{Rate: 100, Lags: even, Shares: shares("fetch", 0.9, "process", 0.1)}, waitsForKafka, "fetching takes 90 %"},
		{"slow transactions", symptoms{Rate: 100, Lags: even, Shares: shares("fetch", 0.3, "produce", 0.25, "commit", 0.25, "process", 0.2)},
			waitsForKafka, "transactions take 50 %"},
		{"slow offset commits", symptoms{Rate: 100, Lags: even, Shares: shares("plan", 0.8, "insert", 0.2)}, waitsForKafka, "offset commits take 80 %"},
		{"busy", symptoms{Rate: 100, Lags: even, Shares: shares("process", 0.7, "commit", 0.3), Cores: 1.93, Processors: 2},
			cpuBound, "the work takes 70 % of the time; the process uses 1.9 of 2 processors"},
		{"one hot partition", symptoms{Rate: 100, Lags: []float64{71, 9, 10, 10}, Shares: shares("process", 1.0)}, keepingUp, ""},
		{"one hot partition, behind", symptoms{Rate: 1, Lags: []float64{71, 9, 10, 10}, Shares: shares("process", 1.0)}, skewed, "one partition holds 71 % of the lag; process 100 %"},
		{"half of two is no skew", symptoms{Rate: 1, Lags: []float64{60, 40}, Shares: shares("process", 1.0)}, cpuBound, ""},
		{"one partition has no skew", symptoms{Rate: 1, Lags: []float64{100}, Shares: shares("process", 1.0)}, cpuBound, ""},
		{"almost all of two is", symptoms{Rate: 1, Lags: []float64{91, 9}, Shares: shares("process", 1.0)}, skewed, "91 %"},
		{"restoring", symptoms{Lags: even, Shares: shares("restore", 0.9, "rebalance", 0.1)}, restoring, "90 %"},
		{"rebalancing", symptoms{Lags: even, Shares: shares("restore", 0.1, "rebalance", 0.9)}, rebalancing, "90 %"},
		{"it has joined within the interval", symptoms{Rate: 10, Lags: []float64{0}, Shares: shares("rebalance", 0.2, "idle", 0.8)}, keepingUp, ""},
		{"errors", symptoms{Rate: 10, Lags: even, Shares: shares("insert", 0.7, "backoff", 0.3)}, failing, "30 %"},
		{"memory", symptoms{Rate: 10, Lags: even, Shares: shares("process", 1.0), Memory: 0.97}, shortOfMemory, "97 % of GOMEMLIMIT"},
		{"at the memory limit", symptoms{Lags: even, Shares: shares("memory", 0.9, "process", 0.1)}, shortOfMemory, "90 % of the time; raise --memory-limit"},
		{"waiting for memory", symptoms{Rate: 10, Lags: even, Shares: shares("memory", 0.6, "process", 0.4)}, shortOfMemory, "memory takes 60 %"},
		{"memory without lag", symptoms{Lags: []float64{0}, Shares: shares("idle", 1.0), Memory: 0.97}, keepingUp, ""},
		{"hanging insert", symptoms{Lags: even, Shares: shares("insert", 1.0)}, waitsForWarehouse, "nothing got done; inserts take 100 % of the time"},
		{"nothing known", symptoms{}, keepingUp, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := explain(test.in)
			if got.Condition != test.want || !strings.Contains(got.Why, test.says) {
				t.Errorf("%+v\nis %s (%s), want %s (…%s…)", test.in, got.Condition, got.Why, test.want, test.says)
			}
		})
	}
}

// Whatever the numbers, there is a verdict; and which partition is behind makes no difference.
func TestExplainAnything(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	names := []string{"idle", "fetch", "process", "produce", "commit", "restore", "rebalance", "backoff", "memory", "decode", "plan", "insert", "slot", "memory"}
	for range 5000 {
		s := symptoms{Rate: float64(r.IntN(3)) * r.ExpFloat64() * 1000, Shares: map[string]float64{}, Memory: r.Float64()}
		left := 1.0
		for _, i := range r.Perm(len(names)) {
			part := left * r.Float64()
			s.Shares[names[i]], left = part, left-part
		}
		for range r.IntN(5) {
			s.Lags = append(s.Lags, float64(r.IntN(4))*1e4*r.Float64())
		}
		got := explain(s)
		if got.Condition == "" || got.Condition == down {
			t.Fatalf("%+v is %+v", s, got)
		}
		r.Shuffle(len(s.Lags), func(i, j int) { s.Lags[i], s.Lags[j] = s.Lags[j], s.Lags[i] })
		if again := explain(s); again.Condition != got.Condition {
			t.Fatalf("%+v is %+v, with its partitions in another order %+v", s, got, again)
		}
	}
}

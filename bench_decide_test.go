package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/ingest/event"
)

// benchDecide asks for decisions over loopback HTTP as benchFeatures asks for features: of a process of its own on one
// processor, which looks 50,000 players up, scores them with a champion and a shadow over all features, weighs four offers,
// ranks eight assets and produces every answer's record to Kafka. The baseline is the machine itself, as for features.
func benchDecide(b *testing.B, bars *bars, _ *recording) {
	offers := filepath.Join(b.TempDir(), "offers.yaml")
	var file strings.Builder
	file.WriteString("offers:\n")
	var skus []string
	for i := range 4 {
		fmt.Fprintf(&file, "- {name: rule%d, sku: 'aurora-print-%d', discount_bps: %d, budget: {EUR: 1000000000000}}\n", i, i, 500*(i+1))
		skus = append(skus, fmt.Sprintf("aurora-print-%d", i))
	}
	if err := os.WriteFile(offers, []byte(file.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	champion, shadow, rollout := linearModel(b, "v1", -1), linearModel(b, "v2", -.5), rolloutOf("v1", "v2")
	addr, names := startBenchFeatures(b, []string{"--offers", offers, "--decide-deadline", "10s"},
		event.Message{Kind: event.KindModel, Key: []byte("churn|v1"), Value: champion.AppendJSON(nil)},
		event.Message{Kind: event.KindModel, Key: []byte("churn|v2"), Value: shadow.AppendJSON(nil)},
		event.Message{Kind: event.KindRollout, Key: []byte("churn"), Value: rollout.AppendJSON(nil)},
		event.Message{Kind: event.KindDrop, Key: []byte("d"), Value: event.Append(nil, saleOf(time.Now().UnixMilli(), skus...))})

	assets := ""
	for i := range 8 {
		assets += fmt.Sprintf(`,{"id":"asset-%d.webp","bytes":%d}`, i, 100_000*(i+1))
	}
	body := func(player string) string {
		return fmt.Sprintf(`{"player":"%s","drop":"d","pop":"fra2","consent":7,"assets":{"current":"landing","candidates":[%s]}}`, player, assets[1:])
	}
	requests := make([][]byte, 997)
	for i := range requests {
		text := body(names[i*50%len(names)])
		requests[i] = fmt.Appendf(nil, "POST /v1/decide HTTP/1.1\r\nHost: features\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	whole := func() {
		b.Helper()
		resp, err := http.Post("http://"+addr+"/v1/decide", "application/json", strings.NewReader(body(names[0])))
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(answer), `"version":"v1"`) || !strings.Contains(string(answer), `"degraded":null`) || !strings.Contains(string(answer), `"asset-7.webp"`) {
			b.Fatalf("%v: %s", err, answer)
		}
	}
	ask := func(addr, what string, requests [][]byte) openLoop {
		l := openLoop{addr: addr, rate: benchRate, warmup: time.Second, length: 6 * time.Second, requests: requests}
		l.run(b)
		b.Logf("%s: p50 %v, p90 %v, p99 %v, worst %v of %d; sent late: p99 %v", what, quantile(l.took, 0.5), quantile(l.took, 0.9), quantile(l.took, 0.99),
			quantile(l.took, 1), len(l.took), quantile(l.late, 0.99))
		return l
	}
	whole()
	bare := ask(startEcho(b), "a bare echo", [][]byte{[]byte("GET / HTTP/1.1\r\nHost: features\r\n\r\n")})
	ask(addr, "a fixed answer", [][]byte{[]byte("GET /v1/features HTTP/1.1\r\nHost: features\r\n\r\n")})
	l := ask(addr, "decisions", requests)
	whole()
	bars.add(barRow{
		Name:  fmt.Sprintf("decisions over HTTP, p99 at %s requests/s", figure(benchRate)),
		Value: quantile(l.took, 0.99).Seconds() * 1000, Unit: "ms", Bar: 2, Limit: atMost, Cores: l.cores,
		Baseline: quantile(bare.took, 0.99).Seconds() * 1000,
	})
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/dashboards"
	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
)

// startPrometheus starts a Prometheus with deploy/prometheus, of which only the target's address is replaced, as whoever
// installs it does, and returns its URL.
func startPrometheus(t *testing.T, target string) string {
	t.Helper()
	dir, at := t.TempDir(), freeAddr(t)
	if err := os.CopyFS(dir, os.DirFS("deploy/prometheus")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const placeholder = "droplift:9464"
	if strings.Count(string(text), placeholder) != 1 {
		t.Fatalf("%s does not name its target %s once", file, placeholder)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), placeholder, target, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at)
	var log safeBuffer
	server.Stdout, server.Stderr = &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", log.String())
		}
	})
	return "http://" + at
}

// serveBeside serves the dashboards of an installation from a process of its own, with the Prometheus at url.
func (p *pipeline) serveBeside(url string) (at string) {
	p.t.Helper()
	cfg := parseConfig(p.t, append(p.flags(), "--metrics-addr=", "--pprof-addr=", "--viewer-addr=127.0.0.1:0", "--prometheus-url", url)...)
	listener, err := cfg.listenViewer()
	if err != nil {
		p.t.Fatal(err)
	}
	n, err := connectNode(cfg, "viewer")
	if err != nil {
		p.t.Fatal(err)
	}
	n.log, n.viewer = embeddedtest.Logger(p.t), listener
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- n.run(ctx, n.serveViewer) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			p.t.Error(err)
		}
	})
	return n.viewerAt()
}

// A Prometheus that is set up as we say sees what the viewer sees by itself: every rule without an error, the same
// series in every panel, the same values where they stand still, the same alerts.
func TestPrometheusSeesWhatTheViewerSees(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		embeddedtest.Missing(t, "promtool", err.Error()) // Debian has both in one package
	}
	p := startPipeline(t, t.TempDir(), "--metrics-addr=127.0.0.1:0", "--viewer-addr=127.0.0.1:0", "--idle-after=2s")
	prometheus := startPrometheus(t, strings.TrimPrefix(p.node.ops.MetricsAt, "http://"))
	own, beside := p.node.viewerAt(), p.serveBeside(prometheus)
	d := playTiny(p, pipelineSeed(t))

	// Somebody enters a stock of one piece while more are sold.
	d.lowerStock()
	eventually(t, 2*time.Minute, func() error {
		for _, at := range []string{own, beside} {
			var alerts []viewedAlert
			if err := getJSON(at+"/api/alerts", &alerts); err != nil {
				return err
			}
			if !slices.ContainsFunc(alerts, func(a viewedAlert) bool {
				return a.Name == "Oversold" && a.State == "firing" && a.Labels["drop"] == d.drop && a.Labels["severity"] == "page" && a.Labels["sku"] != ""
			}) {
				return fmt.Errorf("%s: nothing is oversold: %v", at, alerts)
			}
		}
		return nil
	})
	eventually(t, time.Minute, func() error { return healthyRules(prometheus) })
	eventually(t, time.Minute, func() error { return sameSeries(t, own, beside) })
}

type viewedAlert struct {
	Name, State string
	Labels      map[string]string
}

// lowerStock announces the drop anew with a stock of one piece of everything.
func (d *simulatedDrop) lowerStock() {
	d.t.Helper()
	var entry event.Event
	var decoder event.Decoder
	err := kafka.Read(context.Background(), d.node.kafka, kafka.ReadConfig{Topic: d.node.kafka.Topic(event.KindDrop)}, func(_ int32, r event.Record) {
		var read event.Event
		if decoder.Decode(event.KindDrop, bytes.Clone(r.Value), &read) == nil && read.DropID == d.drop {
			entry = read
		}
	})
	if err != nil || entry.DropID != d.drop {
		d.t.Fatalf("no catalogue entry of %s: %v", d.drop, err)
	}
	entry.ID, entry.Drop.Version = uuid.New(), entry.Drop.Version+1
	for i := range entry.Drop.Items {
		entry.Drop.Items[i].Inventory = 1
	}
	producer, err := kafka.NewProducer(d.node.kafka, kafka.ProducerConfig{Name: "test"})
	if err != nil {
		d.t.Fatal(err)
	}
	defer producer.Close()
	message := event.Message{Kind: event.KindDrop, Key: []byte(d.drop), Value: event.Append(nil, &entry)}
	if err := errors.Join(producer.Produce(context.Background(), message), producer.Flush(context.Background())); err != nil {
		d.t.Fatal(err)
	}
}

// healthyRules wants every alert to be a rule that Prometheus has evaluated without an error.
func healthyRules(prometheus string) error {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := getJSON(prometheus+"/api/v1/rules", &answer); err != nil {
		return err
	}
	loaded := map[string]bool{}
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			loaded[rule.Name] = true
			if rule.Health != "ok" {
				return fmt.Errorf("rule %s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	for _, alert := range dashboards.Alerts() {
		if !loaded[alert.Name] {
			return fmt.Errorf("Prometheus has no rule %s", alert.Name)
		}
	}
	return nil
}

// sameSeries compares the answers of two viewers to every PromQL panel: every series, and its value where it stood still
// for longer than the two can have scraped apart.
func sameSeries(t *testing.T, own, beside string) error {
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	// Both have scraped what there was at this time.
	to := time.Now().Add(-2 * scrapeEvery).Truncate(scrapeEvery)
	series, still, moving := 0, 0, map[string]bool{}
	for _, board := range all {
		asked := map[uint32]bool{}
		for _, target := range board.Panels() {
			if target.Datasource != dashboards.Prometheus || asked[target.Panel] {
				continue
			}
			asked[target.Panel] = true
			path := fmt.Sprintf("/api/dashboards/%s/panels/%d?from=%d&to=%d&points=12", board.UID(), target.Panel, to.Add(-time.Minute).UnixMilli(), to.UnixMilli())
			a, err := newestSeries(own + path)
			if err != nil {
				return err
			}
			b, err := newestSeries(beside + path)
			if err != nil {
				return err
			}
			if here, there := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)); !slices.Equal(here, there) {
				return fmt.Errorf("%s, %s: the viewer has the series\n%s\nPrometheus\n%s", board.UID(), target.Title, strings.Join(here, "\n"), strings.Join(there, "\n"))
			}
			for key, here := range a {
				series++
				there := b[key]
				switch {
				case !stands(here) || !stands(there):
					moving[target.Title] = true
				case here[0] != there[0]:
					return fmt.Errorf("%s, %s: %s stands at %v, in Prometheus at %v", board.UID(), target.Title, key, here[0], there[0])
				default:
					still++
				}
			}
		}
	}
	t.Logf("%d series, of which %d stood still; panels with others: %v", series, still, slices.Sorted(maps.Keys(moving)))
	if still < 50 {
		return fmt.Errorf("only %d of %d series stood still", still, series)
	}
	return nil
}

// newestSeries asks a viewer for a panel and returns the last three values of every series that reaches the range's end.
func newestSeries(at string) (map[string][]any, error) {
	var answer struct {
		Range  struct{ To int64 }
		Frames []struct {
			Ref, Name string
			Columns   []struct {
				Labels map[string]string
				Values []any
			}
		}
	}
	if err := getJSON(at, &answer); err != nil {
		return nil, err
	}
	newest := map[string][]any{}
	for _, f := range answer.Frames {
		times, values := f.Columns[0].Values, f.Columns[1].Values
		if n := len(times); n >= 3 && times[n-1] == float64(answer.Range.To) {
			// The one scrapes itself as local, the other by an address.
			delete(f.Columns[1].Labels, "instance")
			name := regexp.MustCompile(`^(local|127\.0\.0\.1:\d+)`).ReplaceAllString(f.Name, "")
			newest[fmt.Sprint(f.Ref, " ", name, " ", f.Columns[1].Labels)] = values[n-3:]
		}
	}
	return newest, nil
}

// stands says whether a series has kept its value.
func stands(values []any) bool { return values[0] == values[1] && values[1] == values[2] }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape is what one process said of itself at one moment.
type scrape struct {
	at       time.Time
	families map[string]*dto.MetricFamily
	// waits is what /readyz says that the process waits for, empty when it is ready.
	waits string
}

// scraper asks processes for their metrics, as Prometheus does.
type scraper struct{ http *http.Client }

// scrapeTimeout is how long one process may take to answer.
const scrapeTimeout = 3 * time.Second

func newScraper() *scraper { return &scraper{&http.Client{Timeout: scrapeTimeout}} }

// scrape asks the process at an address such as http://127.0.0.1:9464.
func (s *scraper) scrape(ctx context.Context, address string) (*scrape, error) {
	body, status, err := s.get(ctx, address+"/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s/metrics answers HTTP %d", address, status)
	}
	out := &scrape{at: time.Now()}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if out.families, err = parser.TextToMetricFamilies(body); err != nil {
		return nil, fmt.Errorf("%s/metrics: %w", address, err)
	}
	health, status, err := s.get(ctx, address+"/readyz")
	if err != nil {
		return nil, err
	}
	defer health.Close()
	if status == http.StatusServiceUnavailable {
		text, err := io.ReadAll(io.LimitReader(health, 4<<10))
		if err != nil {
			return nil, err
		}
		out.waits = strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), "; ")
	}
	return out, nil
}

func (s *scraper) get(ctx context.Context, address string) (io.ReadCloser, int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	// Without this the server would choose OpenMetrics for some clients, which the parser does not read.
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	response, err := s.http.Do(request)
	if err != nil {
		return nil, 0, shortened(err)
	}
	return response.Body, response.StatusCode, nil
}

// shortened leaves out what the caller says itself: method and address.
func shortened(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return fmt.Errorf("no answer within %s", scrapeTimeout)
		}
		err = wrapped.Err
	}
	var network *net.OpError
	if errors.As(err, &network) {
		err = network.Err
		var system interface{ Unwrap() error }
		if errors.As(err, &system) {
			err = system.Unwrap()
		}
	}
	return err
}

// labelled is one series of a family.
type labelled struct {
	labels map[string]string
	value  float64
}

// series are a family's, or those of it that have these labels, given as name and value by turns.
func (s *scrape) series(family string, labels ...string) []labelled {
	var out []labelled
	for _, m := range s.families[family].GetMetric() {
		l := labelled{labels: map[string]string{}}
		for _, pair := range m.GetLabel() {
			l.labels[pair.GetName()] = pair.GetValue()
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && l.labels[labels[i]] == labels[i+1]
		}
		if !fits {
			continue
		}
		switch {
		case m.Counter != nil:
			l.value = m.GetCounter().GetValue()
		case m.Gauge != nil:
			l.value = m.GetGauge().GetValue()
		case m.Untyped != nil:
			l.value = m.GetUntyped().GetValue()
		}
		out = append(out, l)
	}
	return out
}

// sum is of a family's series with these labels, 0 without any.
func (s *scrape) sum(family string, labels ...string) (sum float64) {
	for _, l := range s.series(family, labels...) {
		sum += l.value
	}
	return sum
}

// by is that sum by another label.
func (s *scrape) by(label, family string, labels ...string) map[string]float64 {
	out := map[string]float64{}
	for _, l := range s.series(family, labels...) {
		out[l.labels[label]] += l.value
	}
	return out
}

// values are the label's values that a family has.
func (s *scrape) values(label, family string) []string {
	return sortedKeys(s.by(label, family))
}

// change is a counter's a second between two scrapes of one process. A restart between them starts the counter anew.
func change(before, now *scrape, read func(*scrape) float64) float64 {
	if before == nil {
		return 0
	}
	seconds := now.at.Sub(before.at).Seconds()
	if seconds <= 0 {
		return 0
	}
	a, b := read(before), read(now)
	if b < a {
		a = 0
	}
	return (b - a) / seconds
}

// memoryShare is how much of GOMEMLIMIT the Go runtime has in use, as it counts that itself; 0 without a limit.
func (s *scrape) memoryShare() float64 {
	limit := s.sum("go_gc_gomemlimit_bytes")
	if limit <= 0 || limit >= math.MaxInt64 {
		return 0
	}
	return (s.sum("go_memstats_sys_bytes") - s.sum("go_memstats_heap_released_bytes")) / limit
}

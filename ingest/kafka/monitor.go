package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// monitor asks for the inputs' end offsets now and then. That tells three
// things: lag, whether a consumer has caught up, and whether brokers answer at all.
type monitor struct {
	adm    *kadm.Client
	topics []string
	every  time.Duration
	log    *slog.Logger
	asked  func() // if not nil, called after every asking

	mu   sync.Mutex
	ends map[string]map[int32]int64
	at   time.Time // when the asking for ends began
	err  error     // why brokers do not answer, nil when they do
}

// run asks until ctx is done.
func (m *monitor) run(ctx context.Context) {
	for {
		m.ask(ctx)
		if wait(ctx, m.every) != nil {
			return
		}
	}
}

func (m *monitor) ask(ctx context.Context) {
	began := time.Now()
	asking, cancel := context.WithTimeout(ctx, max(m.every, time.Second))
	ends, err := offsetsOf(m.adm.ListEndOffsets(asking, m.topics...))
	cancel()
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	was := m.err
	m.err = err
	if err == nil {
		m.ends, m.at = ends, began
	}
	m.mu.Unlock()
	// One line a change of state, not one an attempt.
	switch {
	case was == nil && err != nil:
		m.log.Error("kafka does not answer; waiting for it, nothing is lost", "error", err)
	case was != nil && err == nil:
		m.log.Info("kafka answers again")
	}
	if m.asked != nil {
		m.asked()
	}
}

// end is the newest known high watermark and when it was asked for.
func (m *monitor) end(topic string, partition int32) (offset int64, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	end, ok := m.ends[topic][partition]
	if !ok {
		return 0, time.Time{}
	}
	return end, m.at
}

// reachable is nil when brokers answered last time.
func (m *monitor) reachable() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return fmt.Errorf("kafka does not answer: %w", m.err)
	}
	return nil
}

package processors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/droplift/droplift/ingest/event"
)

// never is before every event.
const never = math.MinInt64

// progress is how far a partition's event time has come. It is a plain value:
// a transaction works on a copy.
//
// Lateness is judged against the record's own input: the order within one
// topic-partition is the log's, so the same record is late in every run, however
// the consumer interleaves topics. An input that was idle may come back behind
// the operator's watermark, so its records must pass that too.
//
// No accepted event can fall into a pane that is final. A pane [s, e) is final
// when the operator's W ≥ e − 1 + L, that is e − 1 ≤ W − L. An accepted event has
// t > W − L, because it was compared with the W of the last flush, the only one
// that a rule has seen. And t > W_p − L: as W ≤ W_p for every input that is not
// idle, the first comparison refuses nothing of such an input that the second does not.
type progress struct {
	inputs []inputProgress
	// watermark is the operator's: the minimum over inputs that are not idle, never moving back.
	watermark int64
	// horizon is watermark − L at its highest: events at or before it are late.
	horizon int64
	// idle says that at the last flush all inputs were. It does not outlive a restart.
	idle bool
	// told is the watermark that the rollup stage was told last, toldIdle whether as an idle one. They do not outlive a
	// restart either: telling it again harms nobody.
	told     int64
	toldIdle bool
}

type inputProgress struct {
	// newest is the highest event_time with a plausible clock.
	newest int64
	// horizon is W_p − L at its highest. It is kept, not computed, so that a
	// restart with another B or L does not take back what was said to be final or forgotten.
	horizon int64
	// active says that such a record came since the last flush; seenMS is the runtime's clock at
	// the last flush with one, or at the first flush; 0 before. Neither outlives a restart.
	active bool
	seenMS int64
	// quiet is the configuration's: idle as soon as the consumer has caught up.
	quiet bool
}

func newProgress(inputs, quiet []event.Kind) progress {
	p := progress{inputs: make([]inputProgress, len(inputs)), watermark: NoWatermark, horizon: never, told: NoWatermark}
	for i, kind := range inputs {
		p.inputs[i] = inputProgress{newest: never, horizon: never, quiet: slices.Contains(quiet, kind)}
	}
	return p
}

func (p *progress) set(from *progress) {
	copy(p.inputs, from.inputs)
	p.watermark, p.horizon, p.idle = from.watermark, from.horizon, from.idle
	p.told, p.toldIdle = from.told, from.toldIdle
}

// advance takes the event_time of one record of an input.
func (in *inputProgress) advance(eventTime int64, cfg *Config) {
	in.active = true
	if eventTime > in.newest {
		in.newest = eventTime
		in.horizon = max(in.horizon, eventTime-cfg.OutOfOrderness-1-cfg.AllowedLateness)
	}
}

// watermarkOf is W_p of an input, or NoWatermark.
func (in *inputProgress) watermark(cfg *Config) int64 {
	if in.newest == never {
		return NoWatermark
	}
	return max(NoWatermark, in.newest-cfg.OutOfOrderness-1)
}

// lateBy is how far t is beyond the allowed lateness for an input, 0 when it is not late.
func (p *progress) lateBy(input int, t int64) int64 {
	if horizon := max(p.inputs[input].horizon, p.horizon); t <= horizon {
		return horizon - t + 1
	}
	return 0
}

// flush moves the operator's watermark. An input is idle when it has had no
// record for IdleAfter and the consumer has caught up with it: silence of a
// lagging input says nothing. A quiet one is idle without the wait: a record now and then would hold the watermark
// for IdleAfter each time, though its being behind the others means nothing. When all are idle the watermark stays.
func (p *progress) flush(nowMS int64, caughtUp []bool, cfg *Config) {
	lowest := int64(math.MaxInt64)
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.active || in.seenMS == 0 {
			in.active, in.seenMS = false, nowMS
		}
		if i < len(caughtUp) && caughtUp[i] && (in.quiet || nowMS-in.seenMS >= cfg.IdleAfter) {
			continue
		}
		lowest = min(lowest, in.watermark(cfg))
	}
	p.idle = lowest == math.MaxInt64
	if !p.idle && lowest > p.watermark {
		p.watermark = lowest
		p.horizon = max(p.horizon, lowest-cfg.AllowedLateness)
	}
}

// tell says whether the rollup stage should hear of the watermark: once in every interval of event time, and when
// idleness begins or ends.
func (p *progress) tell(every int64) bool {
	if every == 0 || p.watermark == NoWatermark || p.watermark/every == p.told/every && p.told != NoWatermark && p.idle == p.toldIdle {
		return false
	}
	p.told, p.toldIdle = p.watermark, p.idle
	return true
}

// progressVersion starts the change-log entry.
const progressVersion = 1

func (p *progress) append(dst []byte, inputs []event.Kind) []byte {
	dst = append(dst, progressVersion)
	dst = binary.AppendVarint(dst, p.watermark)
	dst = binary.AppendVarint(dst, p.horizon)
	for i, in := range p.inputs {
		topic := inputs[i].Topic()
		dst = binary.AppendUvarint(dst, uint64(len(topic)))
		dst = append(dst, topic...)
		dst = binary.AppendVarint(dst, in.newest)
		dst = binary.AppendVarint(dst, in.horizon)
	}
	return dst
}

func (p *progress) restore(value []byte, inputs []event.Kind) error {
	_, rest, err := Version(value, progressVersion)
	if err != nil {
		return fmt.Errorf("watermarks: %w", err)
	}
	short := false
	number := func() int64 {
		v, n := binary.Varint(rest)
		if n <= 0 {
			short, rest = true, nil
			return 0
		}
		rest = rest[n:]
		return v
	}
	next := newProgress(inputs, nil)
	next.watermark, next.horizon = number(), number()
	for len(rest) > 0 {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			short = true
			break
		}
		topic := string(rest[n : n+int(length)])
		rest = rest[n+int(length):]
		newest, horizon := number(), number()
		i := inputOf(inputs, topic)
		if i < 0 {
			return fmt.Errorf("watermark of input %q, which this stage does not read", topic)
		}
		next.inputs[i].newest, next.inputs[i].horizon = newest, horizon
	}
	for i := range next.inputs {
		next.inputs[i].quiet = p.inputs[i].quiet
	}
	if short {
		return errors.New("watermarks are cut short")
	}
	p.set(&next)
	return nil
}

func inputOf(inputs []event.Kind, topic string) int {
	for i, kind := range inputs {
		if kind.Topic() == topic {
			return i
		}
	}
	return -1
}

package edge

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/offer"
)

// Scores takes the records of answers, as kafka.Producer does: Produce may wait for room, an error stays until Flush,
// which waits for what is under way.
type Scores interface {
	Produce(ctx context.Context, messages ...event.Message) error
	Flush(ctx context.Context) error
}

// job is an answer whose shadow is to be asked and whose record is to be made: a copy of everything, because the
// request's memory is used again by then.
type job struct {
	event   event.Event
	vector  []float64
	scratch []float64
	serving *Serving
	scored  bool // the champion scored vector, so the shadow may
}

// record hands an answer over. The client has it already: neither the shadow nor the broker can delay it. A full queue is
// counted, not waited for.
func (d *Decider) record(k *work, now time.Time) {
	q, a := &k.q, &k.answer
	if d.cfg.Scores == nil {
		return
	}
	if a.withheld {
		d.m.scores.WithLabelValues(scoreWithheld).Inc()
		return
	}
	if len(d.after) == cap(d.after) { // the copy would be in vain
		d.m.scores.WithLabelValues(scoreDropped).Inc()
		return
	}
	j := d.jobs.Get().(*job)
	j.vector, j.serving, j.scored = append(j.vector[:0], k.vector...), a.serving, a.answered
	if !a.answered {
		j.vector = j.vector[:0]
	}
	e := &j.event
	e.Reset(event.KindScore)
	e.Type, e.EventTime, e.IngestTime = event.ScoreAnswered, a.at, now.UnixMilli()
	if q.at != 0 {
		e.IngestTime = a.at // a replay's or a simulation's time
	}
	e.PlayerID, e.DropID, e.POP = strings.Clone(q.player), strings.Clone(q.drop), strings.Clone(q.pop)
	e.Consent, e.SampleRate, e.Synthetic, e.SchemaVersion = q.consent, 1, q.synthetic, 1
	s := &e.Score
	s.Model, s.P, s.Degraded, s.Holdout, s.Eligible, s.Propensity = d.cfg.Model, a.score, a.degraded.String(), a.holdout, a.choice.eligible, a.choice.propensity
	s.Prefetch = uint32(len(a.prefetch))
	s.ChampionUS = microseconds(a.took)
	if a.answered {
		s.ModelVersion, s.FeatureHash = a.serving.Champion.Version, d.cfg.Set.Hash()
		if !q.inline {
			s.FeatureRevision, s.FeatureAsOf = a.fresh.Revision, a.fresh.AsOf
		}
	}
	if a.choice.reason == offer.Allowed {
		s.Offer, s.Discount = a.choice.made.SKU, uint32(a.choice.made.DiscountBPS)
	}
	select {
	case d.after <- j:
	default:
		d.m.scores.WithLabelValues(scoreDropped).Inc()
		d.jobs.Put(j)
	}
}

func microseconds(t time.Duration) float64 { return float64(t) / float64(time.Microsecond) }

// drainFor is how long Run goes on when it is told to end.
const drainFor = 5 * time.Second

// Run asks the shadow and makes the records of answers until ctx is done, then of those that wait, and publishes what was
// learned of offers. It returns what the last flush said.
func (d *Decider) Run(ctx context.Context) error {
	learned := time.NewTicker(publishEveryMS * time.Millisecond)
	defer learned.Stop()
	// What was handed over before the end is still to be acknowledged, so its context outlives ctx.
	handing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainFor, cancel) })()
	for {
		select {
		case <-learned.C:
			d.Offers.publish(d.cfg.Now().UnixMilli())
			continue
		case j := <-d.after:
			d.produce(handing, j)
			d.m.waiting.Set(float64(len(d.after)))
			continue
		case <-ctx.Done():
		}
		break
	}
	for {
		select {
		case j := <-d.after:
			d.produce(handing, j)
			continue
		default:
		}
		break
	}
	if d.cfg.Scores == nil {
		return nil
	}
	return d.cfg.Scores.Flush(handing)
}

// produce makes one record. One that cannot be handed over is counted: the next one is tried again, after a flush.
func (d *Decider) produce(ctx context.Context, j *job) {
	d.shadow(j)
	j.event.ID = uuid.Must(uuid.NewV7())
	if j.scored {
		feature.ToStream(j.vector)
	}
	j.event.Score.Vector = j.vector
	err := d.cfg.Scores.Produce(ctx, event.Message{
		Kind: event.KindScore, Key: []byte(j.event.PlayerID), Value: event.Append(make([]byte, 0, 1024), &j.event),
	})
	outcome := scoreProduced
	if err != nil {
		outcome = scoreFailed
		if !errors.Is(err, context.Canceled) {
			d.log.Error("a record of an answer is lost", "error", err)
		}
		d.cfg.Scores.Flush(ctx) // forgets the error; what it waits for is under way
	}
	d.m.scores.WithLabelValues(outcome).Inc()
	j.serving = nil
	d.jobs.Put(j)
}

// shadow scores the same vector unseen.
func (d *Decider) shadow(j *job) {
	if !j.scored || j.serving.Shadow == nil {
		return
	}
	shadow := j.serving.Shadow
	if len(j.scratch) < shadow.Inputs() {
		j.scratch = make([]float64, shadow.Inputs())
	}
	began := d.cfg.Now()
	p, err := shadow.Score(j.vector, j.scratch)
	took := d.cfg.Now().Sub(began)
	seconds(d.m.shadow, took)
	if err != nil {
		d.m.shadowBad.Inc()
		return
	}
	s := &j.event.Score
	s.ShadowVersion, s.ShadowP, s.ShadowUS = shadow.Version, p, microseconds(took)
	d.m.difference.Observe(math.Abs(p - s.P))
}

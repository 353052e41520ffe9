package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/droplift/droplift/ingest/event"
)

// Knowable says what made a revision of features known to whoever scored at t0.
type Knowable string

const (
	// KnowableDelivered (default): Kafka's time of the revision, and the ingest time of the session that makes a player one
	// of the population, are at or before t0. When a row reached ClickHouse does not matter: it is stored again when a table is
	// loaded again, and an edge reads Kafka. A revision is stamped before its transaction commits, so that one made
	// within --process-commit-interval of t0 may count although no edge had it yet.
	KnowableDelivered Knowable = "delivered"
	// KnowableEvent takes event time for it. Replayed and simulated history is delivered long after it happened: by its
	// delivery nothing of it was known. Late events then count as if they had been on time; a leak check names them.
	KnowableEvent Knowable = "event"
)

// since is when a revision was known.
func (k Knowable) since(r *Revision) int64 {
	if k == KnowableEvent {
		return r.Features.AsOf
	}
	return r.KafkaTime
}

// ErrTrainingRequest is wrapped by what Validate says.
var ErrTrainingRequest = errors.New("not a training set")

// TrainingRequest says which training set is wanted (DOMAIN 1.2). Times and durations are in ms; a duration of 0 means the default.
type TrainingRequest struct {
	// At are the scoring times t0.
	At []int64 `json:"at"`
	// ActiveMS A (default 28 d): the population had a session in [t0−A, t0).
	ActiveMS int64 `json:"active_ms,omitempty"`
	// EmbargoMS δ (default: the lateness) keeps the label's window [t0+δ, t0+δ+N) off what t0 could not have seen.
	EmbargoMS int64 `json:"embargo_ms,omitempty"`
	// HorizonMS N (default 14 d) without a session is churn.
	HorizonMS int64 `json:"horizon_ms,omitempty"`
	// LatenessMS L (default 10 min) and OutOfOrderMS B (default 10 s): a label is known when the watermark, the newest
	// event less B, has come to t0+δ+N+L.
	LatenessMS   int64 `json:"lateness_ms,omitempty"`
	OutOfOrderMS int64 `json:"out_of_order_ms,omitempty"`
	// TTLMS (default 28 d) is how old features may be at t0.
	TTLMS int64 `json:"ttl_ms,omitempty"`
	// Creator, if given, makes the population those who had a session with that creator, and the label whether they are
	// absent at the creator's next drop that starts at t0+δ or later; HorizonMS does not count then.
	Creator string `json:"creator,omitempty"`
	// Knowable defaults to KnowableDelivered.
	Knowable Knowable `json:"knowable,omitempty"`
}

// Validate fills in the defaults and reports every problem at once, wrapping ErrTrainingRequest.
func (r *TrainingRequest) Validate() error {
	const day = 24 * 3_600_000
	var problems []error
	if len(r.At) == 0 {
		problems = append(problems, fmt.Errorf("%w: no scoring time", ErrTrainingRequest))
	}
	seen := map[int64]bool{}
	for _, at := range r.At {
		if at <= 0 || at > lastMoment {
			problems = append(problems, fmt.Errorf("%w: scoring time %d is not in Unix ms", ErrTrainingRequest, at))
		}
		if seen[at] {
			problems = append(problems, fmt.Errorf("%w: scoring time %d is named twice", ErrTrainingRequest, at))
		}
		seen[at] = true
	}
	for _, d := range []struct {
		name      string
		value     *int64
		otherwise func() int64
	}{
		{"active", &r.ActiveMS, func() int64 { return 28 * day }}, {"horizon", &r.HorizonMS, func() int64 { return 14 * day }},
		{"lateness", &r.LatenessMS, func() int64 { return 600_000 }}, {"out-of-orderness", &r.OutOfOrderMS, func() int64 { return 10_000 }},
		{"TTL", &r.TTLMS, func() int64 { return 28 * day }}, {"embargo", &r.EmbargoMS, func() int64 { return r.LatenessMS }},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise()
		}
		if *d.value < 0 || *d.value > 100*365*day {
			problems = append(problems, fmt.Errorf("%w: %s of %d ms is not between 0 and 100 years", ErrTrainingRequest, d.name, *d.value))
		}
	}
	switch r.Knowable {
	case "":
		r.Knowable = KnowableDelivered
	case KnowableDelivered, KnowableEvent:
	default:
		problems = append(problems, fmt.Errorf("%w: knowable by %q is neither %s nor %s", ErrTrainingRequest, r.Knowable, KnowableDelivered, KnowableEvent))
	}
	return errors.Join(problems...)
}

// TrainingRow is one player at one scoring time.
type TrainingRow struct {
	Player string
	// At is the scoring time t0, CreatedAt when the features were known: Kafka's time of the revision, or its as_of where
	// the request takes event time for it. Partition is the player's.
	At, CreatedAt int64
	Partition     int32
	// Features are as of their own AsOf; Features.Vector(At, …) is what a model is trained on.
	Features event.Features
	// Churned is the label, nil while it is not known.
	Churned *bool
}

// label is what the rows of one scoring time are labelled by.
type label struct {
	from, to int64
	drop     string
	// never says that there is nothing yet to be absent from.
	never bool
}

// TrainingSet calls each with every row, by scoring time as given, partition and player; the row is valid during the call
// only. It asks partition by partition, so that neither side ever holds more than one partition's players, and labels by
// the watermarks of its beginning.
func (c *Client) TrainingSet(ctx context.Context, r TrainingRequest, each func(*TrainingRow) error) error {
	if err := r.Validate(); err != nil {
		return err
	}
	type watermark struct {
		partition uint32
		ms        int64
	}
	var watermarks []watermark
	err := c.each(ctx, "training_watermarks", Params{"out_of_order_ms": r.OutOfOrderMS}, func(rows driver.Rows) error {
		var w watermark
		err := rows.Scan(&w.partition, &w.ms)
		watermarks = append(watermarks, w)
		return err
	})
	if err != nil {
		return err
	}
	for _, at := range r.At {
		l, err := c.label(ctx, &r, at)
		if err != nil {
			return err
		}
		for _, w := range watermarks {
			params := Params{
				"at_ms": at, "partition": w.partition, "active_ms": r.ActiveMS, "ttl_ms": r.TTLMS,
				"label_from_ms": l.from, "label_to_ms": l.to, "labelled": !l.never && w.ms >= l.to+r.LatenessMS,
				"event": r.Knowable == KnowableEvent, "creator": r.Creator, "drop": l.drop,
			}
			if err := c.trainingRows(ctx, at, r.Knowable, params, each); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Client) label(ctx context.Context, r *TrainingRequest, at int64) (label, error) {
	l := label{from: at + r.EmbargoMS, to: at + r.EmbargoMS + r.HorizonMS}
	if r.Creator == "" {
		return l, nil
	}
	l.never = true
	err := c.each(ctx, "training_next_drop", Params{"creator": r.Creator, "after_ms": l.from}, func(rows driver.Rows) error {
		l.never = false
		return rows.Scan(&l.drop, &l.from, &l.to)
	})
	return l, err
}

func (c *Client) trainingRows(ctx context.Context, at int64, knowable Knowable, params Params, each func(*TrainingRow) error) error {
	out := TrainingRow{At: at}
	return c.revisions(ctx, "training_set", params, map[string]any{"churned": &out.Churned}, func(r *Revision) error {
		out.Features, out.Player, out.Partition = r.Features, r.Features.PlayerID, r.Partition
		out.CreatedAt = knowable.since(r)
		return each(&out)
	})
}

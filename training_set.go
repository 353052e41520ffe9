package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/droplift/droplift/models/churn"
	"github.com/droplift/droplift/sinks/clickhouse"
)

// trainingFlags say which training set is meant.
type trainingFlags struct {
	At      []time.Time   `help:"Scoring times t0; players who were active before them are one row each." placeholder:"TIME"`
	From    time.Time     `help:"First scoring time, with --to instead of --at." placeholder:"TIME"`
	To      time.Time     `help:"No scoring time from here on." placeholder:"TIME"`
	Every   time.Duration `help:"Time between two scoring times." default:"24h"`
	Active  time.Duration `help:"Players with a session so long before t0 are scored." default:"672h"`
	Embargo time.Duration `help:"Time between t0 and the label's window; by default --allowed-lateness." placeholder:"DURATION"`
	Horizon time.Duration `help:"Length of the label's window: a player without a session in it has churned." default:"336h"`
	TTL     time.Duration `name:"ttl" help:"Features older than this at t0 are none." default:"672h"`
	Creator string        `help:"Players of one creator alone: churned is who is absent at the creator's next drop." placeholder:"ID"`
	knowableFlag
}

// maxScoringTimes bounds how many times ClickHouse is asked for.
const maxScoringTimes = 10_000

// times are the scoring times, in order.
func (f *trainingFlags) times() ([]int64, error) {
	named := len(f.At) > 0
	switch span := !f.From.IsZero() || !f.To.IsZero(); {
	case named && span:
		return nil, errors.New("--at: give it, or --from and --to, not both")
	case named:
		var times []int64
		for _, at := range f.At {
			times = append(times, at.UnixMilli())
		}
		slices.Sort(times)
		return slices.Compact(times), nil
	case f.From.IsZero() || f.To.IsZero():
		return nil, errors.New("give scoring times: --at TIME,... or --from TIME --to TIME")
	case f.Every < time.Millisecond:
		return nil, fmt.Errorf("--every: %s is under a millisecond", f.Every)
	case !f.From.Before(f.To):
		return nil, fmt.Errorf("--to: %s is not after --from", f.To.UTC().Format(time.RFC3339))
	case f.To.Sub(f.From)/f.Every >= maxScoringTimes:
		return nil, fmt.Errorf("--every: %s makes more than %d scoring times", f.Every, maxScoringTimes)
	}
	var times []int64
	for at := f.From; at.Before(f.To); at = at.Add(f.Every) {
		times = append(times, at.UnixMilli())
	}
	return times, nil
}

// request asks ClickHouse for the set.
func (f *trainingFlags) request(cfg *Config) (clickhouse.TrainingRequest, error) {
	times, err := f.times()
	if err != nil {
		return clickhouse.TrainingRequest{}, err
	}
	label := f.label(cfg)
	r := clickhouse.TrainingRequest{
		At: times, ActiveMS: label.ActiveMS, EmbargoMS: label.EmbargoMS, HorizonMS: label.HorizonMS, LatenessMS: label.LatenessMS,
		OutOfOrderMS: cfg.OutOfOrderness.Milliseconds(), TTLMS: f.TTL.Milliseconds(), Creator: f.Creator, Knowable: clickhouse.Knowable(f.Knowable),
	}
	return r, r.Validate()
}

// label is how the set's label is defined.
func (f *trainingFlags) label(cfg *Config) churn.Label {
	return churn.Label{
		ActiveMS: f.Active.Milliseconds(), EmbargoMS: cmp.Or(f.Embargo, cfg.AllowedLateness).Milliseconds(),
		HorizonMS: f.Horizon.Milliseconds(), LatenessMS: cfg.AllowedLateness.Milliseconds(),
	}
}

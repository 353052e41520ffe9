package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/droplift/droplift/ingest/event"
)

// FeatureSet is the contract of vectors as queries need it: which name stands where.
type FeatureSet struct {
	Hash    string
	Name    string
	Version int
	// Names in the vector's order; Nullable says where −1 stands for a missing value.
	Names    []string
	Nullable []bool
}

// DescribeFeatures stores the contract, so that queries find the names behind a vector's positions. Again and again is the same.
func (c *Client) DescribeFeatures(ctx context.Context, s FeatureSet) error {
	if len(s.Names) != len(s.Nullable) || len(s.Names) == 0 || s.Hash == "" {
		return fmt.Errorf("clickhouse: feature set %s has %d names and says of %d whether they can be missing", s.Name, len(s.Names), len(s.Nullable))
	}
	return c.retry(ctx, "describe features", nil, func() error {
		batch, err := c.conn.PrepareBatch(ctx, "INSERT INTO feature_sets (hash, name, version, names, nullable)")
		if err != nil {
			return err
		}
		if err := batch.Append(s.Hash, s.Name, uint32(s.Version), s.Names, s.Nullable); err != nil {
			return err
		}
		return batch.Send()
	})
}

// Scored says which scores of a model are wanted. Times are Unix ms: [From, To).
type Scored struct {
	Model string
	// FeatureHash of the vectors; empty for any.
	FeatureHash string
	From, To    int64
}

func (s Scored) params(more Params) Params {
	more["model"], more["feature_hash"] = s.Model, s.FeatureHash
	more["from"], more["to"] = time.UnixMilli(s.From), time.UnixMilli(min(s.To, lastMoment))
	return more
}

// ScoredVector is one vector as it was scored, −1 for missing, and the stored features to compare it with.
type ScoredVector struct {
	At       int64 // scoring time, Unix ms
	Vector   []float64
	Features event.Features
}

// ScoredVectors calls each with a sample of at most limit scores whose features came from the feature store, and the features
// of the revision that was logged, or with knowable those that were known by it at the scoring time. The vector is
// valid during the call only.
func (c *Client) ScoredVectors(ctx context.Context, s Scored, knowable *Knowable, limit int, each func(*ScoredVector) error) error {
	params := s.params(Params{"limit": limit, "logged": knowable == nil, "event": knowable != nil && *knowable == KnowableEvent})
	var out ScoredVector
	var row *featureRow
	var scoredAt, kafkaTime time.Time
	var partition uint32
	var offset uint64
	return c.each(ctx, "model_vectors", params, func(rows driver.Rows) error {
		if row == nil {
			var err error
			row, err = newFeatureRow(rows.Columns(), map[string]any{
				"scored_at": &scoredAt, "vector": &out.Vector, "kafka_time": &kafkaTime, "kafka_partition": &partition, "kafka_offset": &offset,
			})
			if err != nil {
				return err
			}
		}
		if err := row.scan(rows); err != nil {
			return err
		}
		out.At, out.Features = scoredAt.UnixMilli(), row.features
		return each(&out)
	})
}

// ScoredExample is a score whose label is known.
type ScoredExample struct {
	Player string
	At     int64 // scoring time, Unix ms
	// LabelFrom and LabelTo bound the label's window: no session began in it where Churned.
	LabelFrom, LabelTo int64
	Churned            bool
	// Vector as it was scored, −1 for missing.
	Vector []float64
	// Version answered P; ShadowVersion, where there was one, said ShadowP.
	Version, ShadowVersion string
	P, ShadowP             float64
}

// Examples calls each with every score whose label is known, by scoring time and player. The row is valid during the call only.
func (c *Client) Examples(ctx context.Context, s Scored, each func(*ScoredExample) error) error {
	var out ScoredExample
	return c.each(ctx, "model_examples", s.params(Params{}), func(rows driver.Rows) error {
		var at, from, to time.Time
		err := rows.Scan(&out.Player, &at, &out.Churned, &out.Vector, &out.Version, &out.P, &out.ShadowVersion, &out.ShadowP, &from, &to)
		if err != nil {
			return err
		}
		out.At, out.LabelFrom, out.LabelTo = at.UnixMilli(), from.UnixMilli(), to.UnixMilli()
		return each(&out)
	})
}

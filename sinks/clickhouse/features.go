package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/droplift/droplift/ingest/event"
)

// featureRow reads rows of table features back into records, by the names of their columns: the inverse of newFeatures.
// What an answer has beside them is in extra.
type featureRow struct {
	features event.Features
	targets  []any
	// after moves what was scanned into features, where the types differ.
	after []func() error
}

// newFeatureRow prepares to scan rows with columns; extra says where columns go that are no part of the record. A column
// that neither knows is an error, and so is a field of the record without a column.
func newFeatureRow(columns []string, extra map[string]any) (*featureRow, error) {
	r := &featureRow{}
	fields := r.fields()
	for _, name := range columns {
		target, ok := extra[name]
		if !ok {
			if target, ok = fields[name]; !ok {
				return nil, fmt.Errorf("features: a column %s that no record has", name)
			}
			delete(fields, name)
		}
		r.targets = append(r.targets, target)
	}
	for name := range fields {
		return nil, fmt.Errorf("features: the answer lacks column %s", name)
	}
	return r, nil
}

// fields says for every column of the record where it is scanned to.
func (r *featureRow) fields() map[string]any {
	targets := map[string]any{}
	record := reflect.ValueOf(&r.features).Elem()
	for i := range record.NumField() {
		field := record.Type().Field(i)
		name := field.Tag.Get("json")
		_, null := strings.CutSuffix(field.Tag.Get("feature"), ";null")
		if field.Type.Kind() == reflect.Array {
			for w, window := range windowNames {
				targets[name+"_"+window] = r.target(name, null, record.Field(i).Index(w).Addr().Interface())
			}
			continue
		}
		targets[name] = r.target(name, null, record.Field(i).Addr().Interface())
	}
	return targets
}

// target is where a column is scanned to so that it ends up in value.
func (r *featureRow) target(name string, null bool, value any) any {
	switch v := value.(type) {
	case *float64:
		if null {
			stored := new(*float64)
			r.then(func() error {
				*v = -1
				if *stored != nil {
					*v = **stored
				}
				return nil
			})
			return stored
		}
	case *event.Maturity:
		stored := new(string)
		r.then(func() error {
			var ok bool
			if *v, ok = event.MaturityOf(*stored); !ok {
				return fmt.Errorf("features: maturity %q", *stored)
			}
			return nil
		})
		return stored
	case *int64:
		switch {
		case name == "watermark":
			stored := new(*time.Time)
			r.then(func() error {
				*v = -1
				if *stored != nil {
					*v = (*stored).UnixMilli()
				}
				return nil
			})
			return stored
		case name == "as_of" || strings.HasSuffix(name, "_activity"):
			stored := new(time.Time)
			r.then(func() error { *v = stored.UnixMilli(); return nil })
			return stored
		}
	}
	return value
}

func (r *featureRow) then(f func() error) { r.after = append(r.after, f) }

func (r *featureRow) scan(rows driver.Rows) error {
	if err := rows.Scan(r.targets...); err != nil {
		return err
	}
	for _, f := range r.after {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// Revision is one row of table features.
type Revision struct {
	Features event.Features
	// KafkaTime (Unix ms) is when it could be known; Partition and Offset say where it stood.
	KafkaTime int64
	Partition int32
	Offset    int64
}

// revisions calls each with the rows of a query on features; extra says where its other columns go.
func (c *Client) revisions(ctx context.Context, query string, params Params, extra map[string]any, each func(*Revision) error) error {
	var row *featureRow
	var r Revision
	var kafkaTime time.Time
	var partition uint32
	var offset uint64
	targets := map[string]any{"kafka_time": &kafkaTime, "kafka_partition": &partition, "kafka_offset": &offset}
	maps.Copy(targets, extra)
	return c.each(ctx, query, params, func(rows driver.Rows) error {
		if row == nil {
			var err error
			if row, err = newFeatureRow(rows.Columns(), targets); err != nil {
				return err
			}
		}
		if err := row.scan(rows); err != nil {
			return err
		}
		r = Revision{Features: row.features, KafkaTime: kafkaTime.UnixMilli(), Partition: int32(partition), Offset: int64(offset)}
		return each(&r)
	})
}

// FeatureHistory calls each with every revision whose as_of (Unix ms) lies in [from, to), by player and revision; it is
// valid during the call only.
func (c *Client) FeatureHistory(ctx context.Context, from, to int64, each func(*Revision) error) error {
	return c.revisions(ctx, "features_history", Params{"from_ms": from, "to_ms": to}, nil, each)
}

// FeatureSnapshot calls each with the newest revision of players, or of all, by player; it is valid during the call only.
func (c *Client) FeatureSnapshot(ctx context.Context, players []string, each func(*Revision) error) error {
	return c.revisions(ctx, "features_snapshot", Params{"players": players}, nil, each)
}

// FeatureHour is what one hour of the feature history holds. Digest changes with any row that comes or goes.
type FeatureHour struct {
	Hour         int64
	Rows, Digest uint64
}

// FeatureHours lists the hours that have revisions with an as_of (Unix ms) in [from, to).
func (c *Client) FeatureHours(ctx context.Context, from, to int64) (hours []FeatureHour, err error) {
	err = c.each(ctx, "features_hours", Params{"from_ms": from, "to_ms": to}, func(rows driver.Rows) error {
		var h FeatureHour
		err := rows.Scan(&h.Hour, &h.Rows, &h.Digest)
		hours = append(hours, h)
		return err
	})
	return hours, err
}

var quoted = strings.NewReplacer(`\`, `\\`, "'", `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// arrayText writes an Array(String) parameter.
func arrayText(elements []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\'')
		b.WriteString(quoted.Replace(s))
		b.WriteByte('\'')
	}
	b.WriteByte(']')
	return b.String()
}

// LateKnown calls each with every player of whom something that happened in the time within before at was ingested after
// at (Unix ms), and how many records of it there are.
func (c *Client) LateKnown(ctx context.Context, at, within int64, each func(player string, events uint64) error) error {
	return c.each(ctx, "features_late", Params{"at_ms": at, "within_ms": within}, func(rows driver.Rows) error {
		var player string
		var events uint64
		if err := rows.Scan(&player, &events); err != nil {
			return err
		}
		return each(player, events)
	})
}

// FeatureEvents calls each with the stored events of players (none is all) that happened before a time (Unix ms), by player
// and order of arrival, each once, without those that the processors refused. An event's EventTime is its effective
// time, and it has no fields but those that features depend on; it is valid during the call only.
func (c *Client) FeatureEvents(ctx context.Context, players []string, before int64, each func(*event.Event) error) error {
	return c.each(ctx, "features_events", Params{"players": players, "before_ms": before}, func(rows driver.Rows) error {
		var ev event.Event
		var topic, kind, request string
		var kafkaTime time.Time
		var partition uint32
		var offset uint64
		err := rows.Scan(&topic, &kind, &ev.ID, &ev.PlayerID, &ev.EventTime, &ev.IngestTime, &ev.CreatorID, &ev.DropID,
			&ev.Player.HeartbeatMS, &request, &ev.Latency.MS, &ev.Checkout.Amount, &ev.Checkout.Currency, &kafkaTime, &partition, &offset)
		if err != nil {
			return err
		}
		ev.Kind = event.KindOf(topic)
		ev.Type = ev.Kind.TypeOf(kind)
		ev.Latency.Request, _ = event.RequestOf(request) // none for other kinds
		return each(&ev)
	})
}

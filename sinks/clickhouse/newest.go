package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/droplift/droplift/ingest/event"
)

// Newest is the row that a table with replacing rows shows for a key.
type Newest struct {
	Key       string
	Version   uint64
	Partition int32
	Offset    int64
}

// replacing says of a kind whose rows replace each other which query names the newest ones, and which key and version a
// record has there.
type replacing struct {
	query string
	key   func(d *event.Decoder, r *event.Record) (key string, version uint64, refused *event.Error)
}

// keySeparator stands between the parts of a key here and in the queries; no part holds it.
const keySeparator = "\x1f"

func joinKey(parts ...any) string {
	return strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%v"+keySeparator, len(parts)), parts...), keySeparator)
}

var replacingKinds = map[event.Kind]replacing{
	event.KindDrop: {"audit_newest_drops", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var ev event.Event
		err := d.Decode(r.Kind, r.Value, &ev)
		return strings.Clone(ev.DropID), uint64(ev.Drop.Version), err
	}},
	event.KindVelocity: {"audit_newest_velocity", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Velocity
		err := d.Velocity(r.Value, &v)
		return joinKey(v.DropID, v.POP, v.PaneStart, v.Partition), v.Revision, err
	}},
	event.KindLocalization: {"audit_newest_localization", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Localization
		err := d.Localization(r.Value, &v)
		return joinKey(v.DropID, v.Language, v.PaneStart, v.Partition), v.Revision, err
	}},
	event.KindInventory: {"audit_newest_inventory", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Inventory
		err := d.Inventory(r.Value, &v)
		return joinKey(v.DropID, v.SKU, v.Channel, v.Partner, v.PaneStart, v.Partition), v.Revision, err
	}},
	event.KindExperimentArm: {"audit_newest_experiments", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var a event.ExperimentArm
		err := d.ExperimentArm(r.Value, &a)
		return joinKey(a.DropID, a.ExperimentID, a.Language, a.Variant, a.Partition), a.Revision, err
	}},
	event.KindAttribution: {"audit_newest_attribution", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var a event.Attribution
		err := d.Attribution(r.Value, &a)
		return joinKey(a.DropID, a.POP, a.Device, a.Language, a.AgeFrom, a.Partition), a.Revision, err
	}},
	event.KindLatencySketch: {"audit_newest_latency_sketches", func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var s event.LatencySketch
		err := d.LatencySketch(r.Value, &s)
		return joinKey(s.DropID, s.Request, s.PaneStart, s.POP, s.Partition), s.Revision, err
	}},
}

// NewestRows calls each with the newest row of every key of kind, in no order. NewestKey says which key a record has.
func (c *Client) NewestRows(ctx context.Context, kind event.Kind, each func(Newest) error) error {
	return c.each(ctx, replacingKinds[kind].query, nil, func(rows driver.Rows) error {
		var n Newest
		var partition uint32
		var offset uint64
		if err := rows.Scan(&n.Key, &n.Version, &partition, &offset); err != nil {
			return err
		}
		n.Partition, n.Offset = int32(partition), int64(offset)
		return each(n)
	})
}

// NewestKey decodes a record of a kind whose rows replace each other into the key and version that its row has.
func NewestKey(decoder *event.Decoder, r *event.Record) (key string, version uint64, refused *event.Error) {
	return replacingKinds[r.Kind].key(decoder, r)
}

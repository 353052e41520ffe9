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

// keySeparator stands between the parts of a key here and in the queries; no part holds it.
const keySeparator = "\x1f"

func joinKey(parts ...any) string {
	return strings.TrimSuffix(fmt.Sprintf(strings.Repeat("%v"+keySeparator, len(parts)), parts...), keySeparator)
}

// newestKeys say of the kinds whose rows replace each other which key and version a record has, as query
// audit_newest_<table> has them.
var newestKeys = map[event.Kind]func(d *event.Decoder, r *event.Record) (key string, version uint64, refused *event.Error){
	event.KindDrop: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var ev event.Event
		err := d.Decode(r.Kind, r.Value, &ev)
		return strings.Clone(ev.DropID), uint64(ev.Drop.Version), err
	},
	event.KindVelocity: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Velocity
		err := d.Velocity(r.Value, &v)
		return joinKey(v.DropID, v.POP, v.PaneStart, v.Partition), v.Revision, err
	},
	event.KindLocalization: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Localization
		err := d.Localization(r.Value, &v)
		return joinKey(v.DropID, v.Language, v.PaneStart, v.Partition), v.Revision, err
	},
	event.KindInventory: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var v event.Inventory
		err := d.Inventory(r.Value, &v)
		return joinKey(v.DropID, v.SKU, v.Channel, v.Partner, v.PaneStart, v.Partition), v.Revision, err
	},
	event.KindExperimentArm: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var a event.ExperimentArm
		err := d.ExperimentArm(r.Value, &a)
		return joinKey(a.DropID, a.ExperimentID, a.Language, a.Variant, a.Partition), a.Revision, err
	},
	event.KindAttribution: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var a event.Attribution
		err := d.Attribution(r.Value, &a)
		return joinKey(a.DropID, a.POP, a.Device, a.Language, a.AgeFrom, a.Partition), a.Revision, err
	},
	event.KindLatencySketch: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var s event.LatencySketch
		err := d.LatencySketch(r.Value, &s)
		return joinKey(s.DropID, s.Request, s.PaneStart, s.POP, s.Partition), s.Revision, err
	},
	event.KindEdgeCost: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var e event.EdgeCost
		err := d.EdgeCost(r.Value, &e)
		return joinKey(e.DropID, e.POP, e.CreatorID, e.PaneStart, e.Synthetic, e.Prices, e.Partition), e.Revision, err
	},
	event.KindLifetime: func(d *event.Decoder, r *event.Record) (string, uint64, *event.Error) {
		var l event.Lifetime
		err := d.Lifetime(r.Value, &l)
		return joinKey(l.Model, l.PlayerID, l.Currency, l.CreatorID), l.Revision, err
	},
}

// NewestRows calls each with the newest row of every key of kind, in no order. NewestKey says which key a record has.
func (c *Client) NewestRows(ctx context.Context, kind event.Kind, each func(Newest) error) error {
	return c.each(ctx, "audit_newest_"+newTable(kind).name, nil, func(rows driver.Rows) error {
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
	return newestKeys[r.Kind](decoder, r)
}

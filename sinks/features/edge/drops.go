package edge

import (
	"log/slog"
	"sync"

	"github.com/droplift/droplift/ingest/event"
)

// Drops is the catalogue in memory: the newest version of every drop. An entry that cannot be read is counted and logged,
// and the last good one stays. Records come from one goroutine.
type Drops struct {
	log     *slog.Logger
	m       *Metrics
	entries sync.Map // id → *event.Drop, which never changes
}

func newDrops(m *Metrics, log *slog.Logger) *Drops { return &Drops{log: log, m: m} }

// Drop is the newest entry, nil for none. It never waits.
func (d *Drops) Drop(id string, _ int64) *event.Drop {
	if found, ok := d.entries.Load(id); ok {
		return found.(*event.Drop)
	}
	return nil
}

// Record takes one record of topic drop; no value deletes the drop. value must not change later.
func (d *Drops) Record(key, value []byte) {
	if value == nil {
		d.entries.Delete(string(key))
		return
	}
	var decoder event.Decoder
	var ev event.Event // its slices are kept, so it is never used again
	if err := decoder.Decode(event.KindDrop, value, &ev); err != nil {
		d.m.invalid.WithLabelValues(event.KindDrop.Topic(), err.Reason.String()).Inc()
		d.log.Error("a catalogue entry cannot be used; the last good one stays", "drop", string(key), "error", err.Error())
		return
	}
	if old := d.Drop(ev.DropID, 0); old == nil || ev.Drop.Version >= old.Version {
		entry := ev.Drop
		d.entries.Store(ev.DropID, &entry)
	}
}

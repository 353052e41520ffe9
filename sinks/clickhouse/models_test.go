package clickhouse

import (
	"testing"

	"github.com/droplift/droplift/ingest/event"
)

// storePrediction adds one predicted lifetime value.
func storePrediction(t testing.TB, c *Client) {
	t.Helper()
	l := event.Lifetime{Model: "bgbb", Fit: "f1", PlayerID: "p00", CreatorID: "creator-1", Currency: "USD", Revision: uint64(monday), AsOf: monday, FirstPurchase: monday - week,
		Repeats: 2, LastRepeat: 4, Age: 6, Horizon: 8, PAlive: 0.5, Purchases: 1.25, MeanSpend: 2466.5, Value: 3000.75}
	writeAll(t, newTestLoader(t, newSink(t, c), event.KindLifetime, 0), []event.Record{{Kind: event.KindLifetime, Timestamp: monday, Value: l.AppendJSON(nil)}})
}

// An artefact that does not unpack, or unpacks to more than any model is, is no row.
func TestModelsRefuseWhatDoesNotUnpack(t *testing.T) {
	table := newTable(event.KindModel)
	for name, c := range map[string]struct {
		artefact []byte
		taken    bool
	}{
		"whole":     {event.PackArtefact([]byte(`{"format":1}`)), true},
		"truncated": {event.PackArtefact([]byte(`{"format":1}`))[:20], false},
		"plain":     {[]byte(`{"format":1}`), false},
		"a bomb":    {event.PackArtefact(make([]byte, event.MaxArtefactBytes+1)), false},
	} {
		m := event.Model{Name: "churn", Version: "v1", Kind: "logistic", PublishedAt: monday, FeatureHash: "9f86", Checksum: "6030", Artefact: c.artefact}
		_, refused := table.add(&event.Record{Kind: event.KindModel, Value: m.AppendJSON(nil)})
		if (refused == nil) != c.taken || refused != nil && (refused.Reason != event.ReasonMalformed || refused.Field != "artefact") {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
)

// sentNow is a record of what a player does in drop d, as the simulator sends it.
func sentNow(player string, at, sent int64, what event.Type) *simulate.Record {
	ev := &event.Event{Kind: event.KindPlayer, Envelope: event.Envelope{
		ID: uuid.New(), Type: what, EventTime: at, PlayerID: player, SessionID: "s", DropID: "d", POP: "fra", Consent: 3, SampleRate: 1, SchemaVersion: 1,
	}}
	return &simulate.Record{Kind: event.KindPlayer, Phase: simulate.Live, Key: []byte(player), Value: event.Append(nil, ev), At: sent}
}

// TestAudience: whoever lands now is asked for once, nobody else, and an edge that fails ends in an error and no earlier.
func TestAudience(t *testing.T) {
	const at = 1_760_000_000_000
	var asked []decideRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q decideRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/v1/decide" {
			t.Errorf("%s: %v", r.URL, err)
		}
		asked = append(asked, q)
		if q.Player == "unlucky" {
			http.Error(w, "no room", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	a := newAudience(server.URL)
	history := sentNow("history", at, at, event.LandingView)
	history.Phase = simulate.Backfill
	broken := sentNow("broken", at, at, event.LandingView)
	broken.Value = broken.Value[:len(broken.Value)-9]
	for _, r := range []*simulate.Record{
		history, broken, sentNow("late", at, at+61_000, event.LandingView), sentNow("there", at, at, event.Heartbeat),
		sentNow("unlucky", at, at+5, event.LandingView), sentNow("emoji 🎁", at, at+7, event.LandingView),
	} {
		a.see(r)
	}
	a.leave()
	err := a.ask(context.Background())
	if err == nil || !strings.Contains(err.Error(), "1 decisions were not answered") || !strings.Contains(err.Error(), "503") {
		t.Errorf("an edge that fails: %v", err)
	}
	want := []decideRequest{{"unlucky", "d", "fra", 3, at + 5}, {"emoji 🎁", "d", "fra", 3, at + 7}}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}

	crowded := newAudience(server.URL)
	for range askedAhead + 10 {
		crowded.see(sentNow("p", at, at, event.LandingView)) // would wait for ever, if it waited
	}
	if len(crowded.landed) != askedAhead {
		t.Errorf("%d of %d are waited for", len(crowded.landed), askedAhead)
	}
}

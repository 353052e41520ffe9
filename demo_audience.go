package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/simulate"
)

// audience asks for a decision about whoever lands in a drop, over HTTP, as edge workers do.
type audience struct {
	url     string
	client  http.Client
	landed  chan decideRequest
	decoder event.Decoder
	event   event.Event
}

// decideRequest is the part of a body of POST /v1/decide that the audience sends.
type decideRequest struct {
	Player  string `json:"player"`
	Drop    string `json:"drop"`
	POP     string `json:"pop"`
	Consent uint8  `json:"consent"`
	At      int64  `json:"at"`
}

// askedAhead is how many landings may wait for their question: with more at once, some are not asked for, as of edges
// that sample.
const askedAhead = 64

// askers ask at the same time, as many as an HTTP client keeps connections to one host.
const askers = 2

func newAudience(featuresAt string) *audience {
	return &audience{url: featuresAt + "/v1/decide", client: http.Client{Timeout: 5 * time.Second}, landed: make(chan decideRequest, askedAhead)}
}

// landingView is how records name it, so that few others are decoded.
var landingView = []byte(`"landing_view"`)

// see notes who lands. What a faulty client sends and what comes late is no landing now. It never waits.
func (a *audience) see(r *simulate.Record) {
	if r.Kind != event.KindPlayer || r.Phase != simulate.Live || !bytes.Contains(r.Value, landingView) {
		return
	}
	ev := &a.event
	if a.decoder.Decode(r.Kind, r.Value, ev) != nil || ev.Type != event.LandingView || r.At-ev.EventTime > time.Minute.Milliseconds() {
		return
	}
	select {
	case a.landed <- decideRequest{Player: ev.PlayerID, Drop: ev.DropID, POP: ev.POP, Consent: ev.Consent, At: r.At}:
	default:
	}
}

// ask asks until leave was called, beside other askers, and returns the first error with how many questions ended in one:
// without an answer an edge goes on.
func (a *audience) ask(ctx context.Context) error {
	var first error
	failed := 0
	for q := range a.landed {
		if err := a.decide(ctx, q); err != nil && ctx.Err() == nil {
			if failed++; first == nil {
				first = err
			}
		}
	}
	if first != nil {
		return fmt.Errorf("%d decisions were not answered, first: %w", failed, first)
	}
	return nil
}

// leave lets ask return once nobody waits any more; nothing may be seen afterwards.
func (a *audience) leave() { close(a.landed) }

func (a *audience) decide(ctx context.Context, q decideRequest) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	return err
}

package flight

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/features/offline"
)

// noon is 2025-09-01 12:00 UTC.
const noon int64 = 1_756_728_000_000

// players is a Source of made-up players; every third churned, every third has no label yet.
type players struct {
	n   int
	err error
	// entered, if not nil, gets a value when a stream has begun, which then waits for its end.
	entered chan struct{}
}

func (p *players) row(i int, at int64) *offline.Row {
	f := &event.Features{PlayerID: fmt.Sprintf("p%05d", i), Revision: uint64(i + 1), AsOf: noon - int64(i), SpendCurrency: "EUR",
		FirstActivity: noon - 86_400_000, LastActivity: noon - 60_000, GapMeanS: -1, GapVarS2: -1}
	f.Sessions[3], f.NetSpend[3] = uint32(i), -(1<<53 + int64(i))
	for w := range event.NumWindows {
		f.LatencyMeanMS[w], f.LatencyMaxMS[w] = -1, float64(i)
	}
	r := &offline.Row{At: at, Created: noon + int64(i), Features: f}
	if i%3 > 0 {
		churned := i%3 == 1
		r.Churned = &churned
	}
	return r
}

func (p *players) all(ctx context.Context, at int64, each func(*offline.Row) error) error {
	if p.entered != nil {
		p.entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	for i := range p.n {
		if err := each(p.row(i, at)); err != nil {
			return err
		}
	}
	return p.err
}

func (p *players) Snapshot(ctx context.Context, r Snapshot, each func(*offline.Row) error) error {
	for _, name := range r.Players {
		var i int
		if _, err := fmt.Sscanf(name, "p%d", &i); err != nil || i >= p.n {
			continue
		}
		if err := each(p.row(i, 0)); err != nil {
			return err
		}
	}
	if len(r.Players) > 0 {
		return p.err
	}
	return p.all(ctx, 0, each)
}

func (p *players) History(ctx context.Context, r History, each func(*offline.Row) error) error {
	for i := range p.n {
		if row := p.row(i, 0); row.Features.AsOf >= int64(r.From) && row.Features.AsOf < int64(r.To) {
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return p.err
}

func (p *players) TrainingSet(ctx context.Context, r TrainingSet, each func(*offline.Row) error) error {
	if r.HorizonMS < 0 {
		return fmt.Errorf("%w: a horizon of %d ms", ErrRequest, r.HorizonMS)
	}
	for _, at := range r.At {
		if err := p.all(ctx, int64(at), each); err != nil {
			return err
		}
	}
	return nil
}

func serve(t *testing.T, cfg Config, source Source) *Server {
	t.Helper()
	cfg.Set = feature.Player
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	s, err := New(cfg, source)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) flight.Client {
	t.Helper()
	c, err := flight.NewClientWithMiddleware(s.Address(), nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// get counts a ticket's rows.
func get(ctx context.Context, c flight.Client, ticket string) (rows int64, err error) {
	stream, err := c.DoGet(ctx, &flight.Ticket{Ticket: []byte(ticket)})
	if err != nil {
		return 0, err
	}
	r, err := flight.NewRecordReader(stream)
	if err != nil {
		return 0, err
	}
	defer r.Release()
	for r.Next() {
		rows += r.Record().NumRows()
	}
	return rows, r.Err()
}

func counted(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestStreams(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := serve(t, Config{Registerer: registry}, &players{n: 10_000})
	c := dial(t, s)
	for ticket, want := range map[string]int64{
		`{"flight":"snapshot"}`: 10_000, `{"flight":"snapshot","players":["p00007","p09999","nobody"]}`: 2,
		fmt.Sprintf(`{"flight":"history","from":%d,"to":"2025-09-01T12:00:00Z"}`, noon-100):             100,
		fmt.Sprintf(`{"flight":"history","from":%d,"to":%d}`, noon+1, noon+2):                           0,
		`{"flight":"training-set","at":["2025-09-02T00:00:00Z",1756857600000],"horizon_ms":1209600000}`: 20_000,
	} {
		if rows, err := get(t.Context(), c, ticket); err != nil || rows != want {
			t.Errorf("%s: %d rows, %v, want %d", ticket, rows, err, want)
		}
	}
	if got := counted(t, s.rows.WithLabelValues(TrainingFlight)); got != 20_000 {
		t.Errorf("%v rows counted", got)
	}
	if got := counted(t, s.streams.WithLabelValues(SnapshotFlight, "OK")); got != 2 {
		t.Errorf("%v streams counted", got)
	}
}

func TestRefusals(t *testing.T) {
	source := &players{n: 5000}
	s := serve(t, Config{}, source)
	c := dial(t, s)
	check := func(ticket string, code codes.Code, text string) {
		t.Helper()
		rows, err := get(t.Context(), c, ticket)
		if status.Code(errors.Unwrap(err)) != code && status.Code(err) != code || err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %d rows, %v; want %s, %q", ticket, rows, err, code, text)
		}
	}
	check(``, codes.InvalidArgument, "a ticket is a JSON object")
	check(`[]`, codes.InvalidArgument, "a ticket is a JSON object")
	check(`{}`, codes.NotFound, "unknown flight")
	check(`{"flight":"churn"}`, codes.NotFound, `unknown flight "churn": there are ["snapshot" "history" "training-set"]`)
	check(`{"flight":"snapshot","player":["p1"]}`, codes.InvalidArgument, `unknown field "player"`)
	check(`{"flight":"snapshot","players":"p1"}`, codes.InvalidArgument, "players")
	check(`{"flight":"snapshot"}{}`, codes.InvalidArgument, "after top-level value")
	check(`{"flight":"history"}`, codes.InvalidArgument, "from and to are needed")
	check(`{"flight":"history","from":2,"to":2}`, codes.InvalidArgument, "is not before")
	check(`{"flight":"history","from":"yesterday","to":2}`, codes.InvalidArgument, `"yesterday" is not a time`)
	check(`{"flight":"history","from":1,"to":true}`, codes.InvalidArgument, "neither an RFC 3339 time")
	check(`{"flight":"history","from":1,"to":2,"knowable":"never"}`, codes.InvalidArgument, "neither delivered nor event")
	check(`{"flight":"training-set"}`, codes.InvalidArgument, "no scoring time")
	check(`{"flight":"training-set","at":[1],"ttl_ms":"a week"}`, codes.InvalidArgument, "ttl_ms")
	check(`{"flight":"training-set","at":[1],"horizon_ms":-1}`, codes.InvalidArgument, "a horizon of -1")
	check(fmt.Sprintf(`{"flight":"snapshot","players":[%s"x"]}`, strings.Repeat(`"x",`, maxPlayers)), codes.InvalidArgument, "more than 10000")
	if _, err := c.GetFlightInfo(t.Context(), &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{"a", "b"}}); status.Code(err) != codes.NotFound {
		t.Errorf("got %v", err)
	}
	if _, err := c.GetSchema(t.Context(), &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte(`{"flight":"history"}`)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}

	// The store goes away in the middle: the client must not take what it has for all of it.
	source.err = fmt.Errorf("%w: connection refused", ErrAway)
	check(`{"flight":"snapshot"}`, codes.Unavailable, "connection refused")
	source.err = errors.New("a fault of ours")
	check(`{"flight":"snapshot"}`, codes.Internal, "a fault of ours")
}

func TestLimits(t *testing.T) {
	source := &players{entered: make(chan struct{})}
	s := serve(t, Config{Streams: 1}, source)
	c := dial(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := get(ctx, c, `{"flight":"snapshot"}`)
		first <- err
	}()
	<-source.entered
	if _, err := get(t.Context(), c, `{"flight":"snapshot"}`); err == nil || !strings.Contains(err.Error(), "1 streams are open already") {
		t.Errorf("got %v, want a refusal", err)
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("a cancelled stream ended well")
	}
}

// Which of the two comes first, serving or stopping, is up to the scheduler: both end well.
func TestStoppedAtOnce(t *testing.T) {
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		s, err := New(Config{Address: "127.0.0.1:0", Set: feature.Player}, &players{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(stopped); err != nil {
			t.Fatal(err)
		}
	}
}

func TestToken(t *testing.T) {
	s := serve(t, Config{Token: "secret"}, &players{n: 3})
	c := dial(t, s)
	for value, code := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer wrong": codes.Unauthenticated, "secret": codes.Unauthenticated, "Bearer secret": codes.OK} {
		ctx := t.Context()
		if value != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
		}
		if _, err := c.GetSchema(ctx, &flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{SnapshotFlight}}); status.Code(err) != code {
			t.Errorf("%q: %v, want %s", value, err, code)
		}
		if rows, err := get(ctx, c, `{"flight":"snapshot"}`); (err == nil) != (code == codes.OK) || err == nil && rows != 3 {
			t.Errorf("%q: %d rows, %v", value, rows, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for want, cfg := range map[string]Config{
		"is not HOST:PORT": {Address: "8815"}, "it needs a token": {Address: "0.0.0.0:0"}, "has spaces": {Address: "127.0.0.1:0", Token: "a\n"},
		"no feature set": {Address: "127.0.0.1:0"}, "must not be negative": {Address: "127.0.0.1:0", Streams: -1},
	} {
		if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	strange := feature.New(feature.Set{Name: "strange", Version: 1, Key: "player_id", Features: []feature.Feature{{Name: "shoe_size"}}})
	if _, err := New(Config{Address: "127.0.0.1:0", Set: strange}, nil); err == nil || !strings.Contains(err.Error(), "shoe_size") {
		t.Errorf("got %v", err)
	}
}

// TestPyArrow reads every flight with pyarrow, an independent client. DROPLIFT_PYTHON names a Python that has pyarrow.
func TestPyArrow(t *testing.T) {
	python := os.Getenv("DROPLIFT_PYTHON")
	if python == "" {
		embeddedtest.Missing(t, "clients", "DROPLIFT_PYTHON names no Python with pyarrow")
	}
	s := serve(t, Config{Token: "secret", Drain: time.Second}, &players{n: 10_000})
	command := exec.CommandContext(t.Context(), python, "testdata/flight_check.py", s.Address(), "secret", feature.Player.Hash())
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/clickhouse"
	"github.com/droplift/droplift/sinks/features/flight"
	"github.com/droplift/droplift/sinks/features/offline"
)

// FlightConfig says where Arrow Flight is served.
type FlightConfig struct {
	FlightAddress   string `group:"features" help:"Address of Arrow Flight in droplift up; empty turns it off there, which is the default: training sets are heavy queries, and nobody should be able to ask for them unawares. An address that is not loopback needs a token." placeholder:"HOST:PORT"`
	FlightTokenFile string `group:"features" help:"File that holds the token that Flight clients send as authorization: Bearer TOKEN (or set DROPLIFT_FLIGHT_TOKEN). Put TLS in front beyond one machine." placeholder:"FILE"`
}

func (c *FlightConfig) validate() error {
	if c.FlightAddress == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.FlightAddress); err != nil {
		return fmt.Errorf("--flight-address: %q is not HOST:PORT", c.FlightAddress)
	}
	return nil
}

// defaultFlightAddress is that of the role by itself.
const defaultFlightAddress = "127.0.0.1:8815"

// FeaturesFlightCmd serves Arrow Flight.
type FeaturesFlightCmd struct{}

// Help is shown by --help.
func (c *FeaturesFlightCmd) Help() string {
	return "Serves three flights out of ClickHouse, on --flight-address or " + defaultFlightAddress + ": snapshot (the newest features of every player, or of some), " +
		"history (every revision in a span of time) and training-set (features as they were known, with labels).\n\n" +
		"With pyarrow:\n\n" +
		"  client = pyarrow.flight.connect(\"grpc://" + defaultFlightAddress + "\")\n" +
		"  ticket = pyarrow.flight.Ticket(b'{\"flight\":\"training-set\",\"at\":[\"2026-04-01T00:00:00Z\"]}')\n" +
		"  table = client.do_get(ticket).read_all()\n\n" +
		"Example:\n\n  droplift features flight --flight-address 127.0.0.1:8815"
}

// Run serves until it is told to stop.
func (c *FeaturesFlightCmd) Run(ctx context.Context, cfg *Config) error {
	if cfg.FlightAddress == "" {
		cfg.FlightAddress = defaultFlightAddress
	}
	n, err := connectNode(cfg, "flight")
	if err != nil {
		return err
	}
	return n.run(ctx, n.flight)
}

// flight is the role that serves Arrow Flight.
func (n *node) flight(ctx context.Context) error {
	waiting := errors.New("waits for ClickHouse")
	n.ops.check("flight", func() error { return waiting })
	token, err := secret("DROPLIFT_FLIGHT_TOKEN", n.cfg.FlightTokenFile)
	if err != nil {
		return err
	}
	config := flight.Config{Address: n.cfg.FlightAddress, Token: token, Set: feature.Player, Registerer: n.ops.registry, Logger: n.log}
	if err := config.Validate(); err != nil {
		return err
	}
	client, err := n.cfg.openReader(ctx, n.servers.ClickhouseURL, n.log)
	if err != nil {
		return err
	}
	defer client.Close()
	server, err := flight.New(config, flightSource{client})
	if err != nil {
		return err
	}
	n.log.Info("serving Arrow Flight", "address", server.Address())
	n.ops.check("flight", func() error { return nil })
	return server.Run(ctx)
}

// flightSource reads flights out of ClickHouse.
type flightSource struct{ client *clickhouse.Client }

// fault says of an error what a Flight client has to know.
func (s flightSource) fault(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, clickhouse.ErrTrainingRequest):
		return fmt.Errorf("%w: %w", flight.ErrRequest, err)
	case clickhouse.Classify(ctx, err) == clickhouse.Retryable:
		return fmt.Errorf("%w: %w", flight.ErrAway, err)
	}
	return err
}

// Snapshot implements flight.Source.
func (s flightSource) Snapshot(ctx context.Context, r flight.Snapshot, each func(*offline.Row) error) error {
	return s.fault(ctx, s.client.FeatureSnapshot(ctx, r.Players, history{}.rows(each)))
}

// History implements flight.Source.
func (s flightSource) History(ctx context.Context, r flight.History, each func(*offline.Row) error) error {
	return s.fault(ctx, history{s.client, knowableFlag{r.Knowable}}.History(ctx, int64(r.From), int64(r.To), each))
}

// TrainingSet implements flight.Source.
func (s flightSource) TrainingSet(ctx context.Context, r flight.TrainingSet, each func(*offline.Row) error) error {
	request := clickhouse.TrainingRequest{
		ActiveMS: r.ActiveMS, EmbargoMS: r.EmbargoMS, HorizonMS: r.HorizonMS, LatenessMS: r.LatenessMS, OutOfOrderMS: r.OutOfOrderMS, TTLMS: r.TTLMS,
		Creator: r.Creator, Knowable: clickhouse.Knowable(r.Knowable),
	}
	for _, at := range r.At {
		request.At = append(request.At, int64(at))
	}
	return s.fault(ctx, s.client.TrainingSet(ctx, request, func(t *clickhouse.TrainingRow) error {
		return each(&offline.Row{At: t.At, Created: t.CreatedAt, Features: &t.Features, Churned: t.Churned})
	}))
}

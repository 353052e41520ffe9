package flight

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/sinks/features/offline"
)

// Source is what rows are read from. Each is called with rows that are valid during the call only, in an order that depends
// on nothing but the rows; its error ends the reading. Errors wrap ErrRequest or ErrAway where they are one.
type Source interface {
	Snapshot(ctx context.Context, r Snapshot, each func(*offline.Row) error) error
	History(ctx context.Context, r History, each func(*offline.Row) error) error
	TrainingSet(ctx context.Context, r TrainingSet, each func(*offline.Row) error) error
}

// Config is a server's configuration.
type Config struct {
	// Address to listen on. One that is not loopback needs a Token.
	Address string
	// Token, if not empty, is asked of every call, as "authorization: Bearer TOKEN". It travels as the transport does: beyond
	// one machine put TLS in front.
	Token string
	// Set whose features are served.
	Set *feature.Set
	// Streams at a time, default 8; more are refused, for each costs the store a query.
	Streams int
	// Drain (default 5 s) is how long streams may go on after the end.
	Drain time.Duration
	// Registerer gets the metrics; nil is none. Logger's default discards.
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}

// Validate fills in the defaults and reports every problem at once.
func (c *Config) Validate() error {
	var problems []error
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		problems = append(problems, fmt.Errorf("flight: address %q is not HOST:PORT", c.Address))
	} else if ip := net.ParseIP(host); c.Token == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		problems = append(problems, fmt.Errorf("flight: address %q is not loopback: it needs a token", c.Address))
	}
	if strings.TrimSpace(c.Token) != c.Token {
		problems = append(problems, errors.New("flight: the token has spaces around it"))
	}
	if c.Set == nil {
		problems = append(problems, errors.New("flight: no feature set"))
	}
	if c.Streams < 0 || c.Drain < 0 {
		problems = append(problems, errors.New("flight: streams and drain must not be negative"))
	}
	if c.Streams == 0 {
		c.Streams = 8
	}
	if c.Drain == 0 {
		c.Drain = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return errors.Join(problems...)
}

// Server is the Flight service.
type Server struct {
	flight.BaseFlightServer
	cfg      Config
	source   Source
	listener net.Listener
	grpc     *grpc.Server
	slots    chan struct{}
	token    [sha256.Size]byte

	streams *prometheus.CounterVec
	rows    *prometheus.CounterVec
}

// New listens. Run serves, and closes the listener.
func New(cfg Config, source Source) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// A set that the records do not have is told now, not to the first client.
	batch, err := offline.NewBatch(cfg.Set, offline.Training, offline.Schema(cfg.Set, offline.Training, nil))
	if err != nil {
		return nil, err
	}
	batch.Release()
	s := &Server{
		cfg: cfg, source: source, slots: make(chan struct{}, cfg.Streams), token: sha256.Sum256([]byte("Bearer " + cfg.Token)),
		streams: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "droplift_flight_streams_total", Help: "Streams that were asked for, by flight and gRPC status."}, []string{"flight", "status"}),
		rows:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "droplift_flight_rows_total", Help: "Rows that were sent, by flight."}, []string{"flight"}),
	}
	if cfg.Registerer != nil {
		for _, c := range []prometheus.Collector{s.streams, s.rows} {
			if err := cfg.Registerer.Register(c); err != nil {
				return nil, err
			}
		}
	}
	if s.listener, err = net.Listen("tcp", cfg.Address); err != nil {
		return nil, fmt.Errorf("flight: %w", err)
	}
	s.grpc = grpc.NewServer(
		grpc.MaxConcurrentStreams(uint32(4*cfg.Streams)),
		grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := s.authorize(ctx); err != nil {
				return nil, err
			}
			return next(ctx, r)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := s.authorize(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	)
	flight.RegisterFlightServiceServer(s.grpc, s)
	return s, nil
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run serves until ctx is done, then lets streams end for Config.Drain.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(s.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	late := time.AfterFunc(s.cfg.Drain, func() {
		s.cfg.Logger.Warn("flight: streams were cut off at the end", "after", s.cfg.Drain)
		s.grpc.Stop()
	})
	s.grpc.GracefulStop()
	late.Stop()
	if err := <-served; !errors.Is(err, grpc.ErrServerStopped) { // which is told when ctx was done before it served
		return err
	}
	return nil
}

func (s *Server) authorize(ctx context.Context) error {
	if s.cfg.Token == "" {
		return nil
	}
	given, _ := metadata.FromIncomingContext(ctx)
	for _, value := range given.Get("authorization") {
		// Digests are of one length, so that the comparison tells nothing of the token's.
		if sum := sha256.Sum256([]byte(value)); subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "the call needs the header authorization: Bearer TOKEN")
}

// fault is the gRPC status of an error.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrRequest):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, ErrUnknown):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, ErrAway):
		return status.Error(codes.Unavailable, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

// described is what a descriptor asks for; only a command has parameters.
func (s *Server) described(d *flight.FlightDescriptor) (name string, ticket []byte, about map[string]string, err error) {
	if d.GetType() == flight.DescriptorCMD {
		r, err := decode(d.GetCmd())
		return r.name, d.GetCmd(), r.about(), err
	}
	path := d.GetPath()
	if len(path) != 1 || !slices.Contains(Flights, path[0]) {
		return "", nil, nil, fmt.Errorf("%w %q: there are %q", ErrUnknown, path, Flights)
	}
	r := request{name: path[0]}
	if path[0] == SnapshotFlight {
		ticket = []byte(`{"flight":"snapshot"}`)
	}
	return path[0], ticket, r.about(), nil
}

func (s *Server) info(d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	name, ticket, about, err := s.described(d)
	if err != nil {
		return nil, err
	}
	info := &flight.FlightInfo{
		Schema:           flight.SerializeSchema(offline.Schema(s.cfg.Set, kindOf(name), about), memory.DefaultAllocator),
		FlightDescriptor: d, TotalRecords: -1, TotalBytes: -1, Ordered: true,
	}
	if ticket != nil { // the others cannot be had without parameters
		info.Endpoint = []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: ticket}}}
	}
	return info, nil
}

// ListFlights names the flights, with their schemas. Those that need parameters have no endpoint.
func (s *Server) ListFlights(_ *flight.Criteria, stream flight.FlightService_ListFlightsServer) error {
	for _, name := range Flights {
		info, err := s.info(&flight.FlightDescriptor{Type: flight.DescriptorPATH, Path: []string{name}})
		if err != nil {
			return fault(stream.Context(), err)
		}
		if err := stream.Send(info); err != nil {
			return err
		}
	}
	return nil
}

// GetFlightInfo answers a path, or a command with parameters by its ticket.
func (s *Server) GetFlightInfo(ctx context.Context, d *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	info, err := s.info(d)
	return info, fault(ctx, err)
}

// GetSchema is the schema that DoGet would send.
func (s *Server) GetSchema(ctx context.Context, d *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	info, err := s.info(d)
	if err != nil {
		return nil, fault(ctx, err)
	}
	return &flight.SchemaResult{Schema: info.Schema}, nil
}

// rowsPerMessage keeps a message below the 4 MiB that gRPC clients take by default.
const rowsPerMessage = 4096

// DoGet streams a ticket's rows. No rows are an empty stream with its schema.
func (s *Server) DoGet(ticket *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	name, err := s.get(ticket.GetTicket(), stream)
	err = fault(stream.Context(), err)
	s.streams.WithLabelValues(name, status.Code(err).String()).Inc()
	return err
}

func (s *Server) get(ticket []byte, stream flight.FlightService_DoGetServer) (name string, err error) {
	r, err := decode(ticket)
	if err != nil {
		return "none", err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		return r.name, status.Errorf(codes.ResourceExhausted, "flight: %d streams are open already", cap(s.slots))
	}
	kind := kindOf(r.name)
	batch, err := offline.NewBatch(s.cfg.Set, kind, offline.Schema(s.cfg.Set, kind, r.about()))
	if err != nil {
		return r.name, err
	}
	defer batch.Release()
	w := flight.NewRecordWriter(stream, ipc.WithSchema(batch.Schema()))
	send := func() error {
		var record arrow.Record = batch.Record()
		defer record.Release()
		s.rows.WithLabelValues(r.name).Add(float64(record.NumRows()))
		return w.Write(record)
	}
	each := func(row *offline.Row) error {
		batch.Append(row)
		if batch.Len() < rowsPerMessage {
			return nil
		}
		return errors.Join(stream.Context().Err(), send())
	}
	ctx := stream.Context()
	switch {
	case r.snapshot != nil:
		err = s.source.Snapshot(ctx, *r.snapshot, each)
	case r.history != nil:
		err = s.source.History(ctx, *r.history, each)
	default:
		err = s.source.TrainingSet(ctx, *r.training, each)
	}
	if err == nil && batch.Len() > 0 {
		err = send()
	}
	if err != nil {
		return r.name, err // without the end of the stream: a client must not take it for whole
	}
	return r.name, w.Close()
}

package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kprom"

	"github.com/droplift/droplift/ingest/event"
)

// Config says how to reach the brokers. The zero value of every field but
// Brokers is usable.
type Config struct {
	// Brokers are host:port seeds; one that answers is enough.
	Brokers []string
	// ClientID names this process in broker logs and quotas. Default "droplift".
	ClientID string
	// TopicPrefix goes in front of every topic, group and transactional name, so that
	// several installations can share a cluster.
	TopicPrefix string
	SASL        SASL
	TLS         TLS
	// GroupProtocol of feeds. Default GroupClassic. A Stage is always classic:
	// its transactions could not be fenced under the other, see there.
	GroupProtocol GroupProtocol
	// Compression of produced batches: none, gzip, snappy, lz4 or zstd. Default snappy.
	Compression string
	// Logger gets client warnings, and client details at debug level. Default: discard.
	Logger *slog.Logger
	// Registerer gets client metrics, labelled by client. Default: none.
	Registerer prometheus.Registerer
	// Dial replaces how connections are made, for proxies and tests. With it,
	// TLS is the dialer's business.
	Dial func(ctx context.Context, network, host string) (net.Conn, error)
	// OnStep is told each Step of the loops, by the goroutine that takes it and before it goes on. It is
	// where tests crash, cut and freeze. It may be called from several goroutines at once. Default: nobody is told.
	OnStep func(Step)
}

// Secret is text that no log or dump shows.
type Secret string

// String implements fmt.Stringer without telling the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// GoString implements fmt.GoStringer without telling the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer without telling the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler without telling the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SASL is how to authenticate. An empty Mechanism means not at all.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string
	User      string
	Password  Secret
	// Token is asked for OAUTHBEARER at every authentication, so that it can be renewed.
	Token func(ctx context.Context) (Secret, error)
}

// TLS is how to encrypt. Enabled alone uses the system's authorities.
type TLS struct {
	Enabled bool
	// CAFile replaces the system's authorities (PEM).
	CAFile string
	// CertFile and KeyFile are the client's certificate (PEM); both or neither.
	CertFile string
	KeyFile  string
	// ServerName overrides the name that certificates are checked against.
	ServerName string
}

// compressions is the closed list behind Config.Compression.
var compressions = map[string]kgo.CompressionCodec{
	"":       kgo.SnappyCompression(),
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// topicCharacters are those that names of topics and of members may have.
const topicCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// Validate reports every problem at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("kafka: "+format, args...)) }
	if len(c.Brokers) == 0 {
		bad("brokers: none given")
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			bad("brokers: %q is not host:port", b)
		}
	}
	if strings.Trim(c.TopicPrefix, topicCharacters) != "" {
		bad("topic prefix: %q holds characters that topic names may not", c.TopicPrefix)
	}
	if _, ok := compressions[c.Compression]; !ok {
		bad("compression: %q is none of none, gzip, snappy, lz4, zstd", c.Compression)
	}
	switch c.GroupProtocol {
	case "", GroupClassic, GroupConsumer:
	default:
		bad("group protocol: %q is neither %s nor %s", c.GroupProtocol, GroupClassic, GroupConsumer)
	}
	switch s := c.SASL; s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" || s.Token != nil {
			bad("sasl: credentials are given but no mechanism")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.User == "" {
			bad("sasl: %s needs a user", s.Mechanism)
		}
		if s.Password == "" {
			bad("sasl: %s needs a password", s.Mechanism)
		}
	case "OAUTHBEARER":
		if s.Token == nil {
			bad("sasl: OAUTHBEARER needs a token")
		}
	default:
		bad("sasl: mechanism %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
	}
	if t := c.TLS; !t.Enabled {
		if t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != "" {
			bad("tls: settings are given but tls is not enabled")
		}
	} else if _, err := t.config(); err != nil {
		errs = append(errs, err)
	}
	if c.Dial != nil && c.TLS.Enabled {
		bad("tls: a dialer is given, which must do tls itself")
	}
	return errors.Join(errs...)
}

func (t TLS) config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	var errs []error
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("kafka: tls: authorities: %w", err))
		default:
			cfg.RootCAs = x509.NewCertPool()
			if !cfg.RootCAs.AppendCertsFromPEM(pem) {
				errs = append(errs, fmt.Errorf("kafka: tls: authorities: %s holds no certificate", t.CAFile))
			}
		}
	}
	switch {
	case (t.CertFile == "") != (t.KeyFile == ""):
		errs = append(errs, errors.New("kafka: tls: a client certificate needs both its certificate and its key file"))
	case t.CertFile != "":
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("kafka: tls: client certificate: %w", err))
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, errors.Join(errs...)
}

func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: string(s.Password)}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: string(s.Password)}.AsSha512Mechanism()
	case "OAUTHBEARER":
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: string(token)}, err
		})
	}
	return nil
}

// Options are the client options that every client of this process shares.
// client labels its metrics and names it in logs; bounded: one a role.
func (c Config) Options(client string) ([]kgo.Opt, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	id := c.ClientID
	if id == "" {
		id = "droplift"
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(id),
		kgo.WithLogger(clientLogger{c.logger().With("client", client)}),
		kgo.ProducerBatchCompression(compressions[c.Compression]),
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	switch {
	case c.Dial != nil:
		opts = append(opts, kgo.Dialer(c.Dial))
	case c.TLS.Enabled:
		cfg, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(cfg))
	}
	if c.Registerer != nil {
		reg := lenientRegisterer{prometheus.WrapRegistererWith(prometheus.Labels{"client": client}, c.Registerer), c.logger()}
		opts = append(opts, kgo.WithHooks(kprom.NewMetrics("droplift_kafka", kprom.Registerer(reg))))
	}
	return opts, nil
}

func (c Config) newClient(client string, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.Options(client)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %s client: %w", client, err)
	}
	return cl, nil
}

// Topic is the topic that carries kind.
func (c Config) Topic(kind event.Kind) string { return c.TopicPrefix + kind.Topic() }

// Topics are the topics that carry kinds, in their order.
func (c Config) Topics(kinds ...event.Kind) []string {
	topics := make([]string, len(kinds))
	for i, kind := range kinds {
		topics[i] = c.Topic(kind)
	}
	return topics
}

// Kind is the kind that a topic carries, KindUnknown for foreign topics and change-logs.
func (c Config) Kind(topic string) event.Kind {
	bare, ok := strings.CutPrefix(topic, c.TopicPrefix)
	if !ok {
		return event.KindUnknown
	}
	return event.KindOf(bare)
}

// Changelog is the change-log topic of a stage's group.
func (c Config) Changelog(group string) string { return c.TopicPrefix + "changelog-" + group }

// GroupID is what the brokers know a group by.
func (c Config) GroupID(group string) string { return c.TopicPrefix + group }

func (c Config) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// clientLogger passes franz-go's log on. What the client calls info is told per
// transaction and per rebalance, which is our debug.
type clientLogger struct{ log *slog.Logger }

func (l clientLogger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

func (l clientLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError, kgo.LogLevelWarn:
		// The client retries by itself what it reports as an error; what it gives up on comes
		// back as an error value and is judged where it arrives.
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}

// lenientRegisterer registers without panicking: a client that is replaced may
// overlap with its successor for a moment, and metrics are not worth a crash.
type lenientRegisterer struct {
	prometheus.Registerer
	log *slog.Logger
}

func (r lenientRegisterer) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			r.log.Debug("kafka client metrics are already registered", "error", err)
		}
	}
}

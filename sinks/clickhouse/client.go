package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cenkalti/backoff/v5"
)

// Config says which server to talk to and as whom.
type Config struct {
	// URL is http://host:port or https://host:port (recommended), or clickhouse://host:port for the native
	// protocol. Query parameters as clickhouse-go reads them are accepted.
	URL string
	// HTTPURL is where Stream sends its queries when URL speaks the native protocol.
	HTTPURL string
	// User defaults to "default". Password comes from the environment or a file, by the caller.
	User, Password string
	// Database defaults to "droplift". Migrate creates it.
	Database string
	// MaxConns bounds the connections, each of which keeps a buffer as large as the largest batch it sent; default 8.
	MaxConns int
	// DialTimeout bounds connecting, default 5 s; ReadTimeout waiting for an answer, default 60 s.
	DialTimeout, ReadTimeout time.Duration
	// Logger gets retries and what migrations do; default discards.
	Logger *slog.Logger
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Validate fills in the defaults and reports every problem at once.
func (cfg *Config) Validate() error {
	if cfg.User == "" {
		cfg.User = "default"
	}
	if cfg.Database == "" {
		cfg.Database = "droplift"
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 8
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 5 * time.Second
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var problems []error
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" || !isOneOf(u.Scheme, "http", "https", "clickhouse", "tcp") {
		problems = append(problems, fmt.Errorf("clickhouse url %q: want http://host:port, https://host:port or clickhouse://host:port", cfg.URL))
	}
	if cfg.HTTPURL != "" {
		if u, err := url.Parse(cfg.HTTPURL); err != nil || u.Host == "" || !isOneOf(u.Scheme, "http", "https") {
			problems = append(problems, fmt.Errorf("clickhouse http url %q: want http://host:port or https://host:port", cfg.HTTPURL))
		}
	}
	if !identifier.MatchString(cfg.Database) {
		problems = append(problems, fmt.Errorf("clickhouse database %q: want letters, digits and underscores", cfg.Database))
	}
	if cfg.MaxConns < 0 || cfg.DialTimeout < 0 || cfg.ReadTimeout < 0 {
		problems = append(problems, errors.New("clickhouse connections and timeouts must not be negative"))
	}
	return errors.Join(problems...)
}

func isOneOf(s string, of ...string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}

// Client talks to one ClickHouse database as one user. Its methods may be
// called from any goroutine.
type Client struct {
	cfg Config
	log *slog.Logger
	// conn works in cfg.Database, bare outside any: the database may not exist yet.
	conn, bare driver.Conn
	// stream is where raw queries go; nil without an HTTP address.
	stream *url.URL
	http   *http.Client
}

// Open connects and waits until the server answers, retrying until ctx is done.
// An error that waiting cannot cure, as a wrong password, is returned at once.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg:  cfg,
		log:  cfg.Logger.With("database", cfg.Database),
		http: &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 0}},
	}
	var err error
	if c.conn, err = connect(cfg, cfg.Database); err != nil {
		return nil, err
	}
	if c.bare, err = connect(cfg, ""); err != nil {
		return nil, err
	}
	address := cfg.HTTPURL
	if u, err := url.Parse(cfg.URL); err == nil && address == "" && isOneOf(u.Scheme, "http", "https") {
		address = u.Scheme + "://" + u.Host + u.Path
	}
	if address != "" {
		if c.stream, err = url.Parse(address); err != nil {
			return nil, err
		}
	}
	if err := c.retry(ctx, "connect", nil, func() error { return c.Ping(ctx) }); err != nil {
		return nil, errors.Join(fmt.Errorf("clickhouse at %s does not answer: %w", cfg.URL, explain(err)), c.Close())
	}
	return c, nil
}

func connect(cfg Config, database string) (driver.Conn, error) {
	options, err := ch.ParseDSN(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("clickhouse url %q: %w", cfg.URL, err)
	}
	options.Auth = ch.Auth{Database: database, Username: cfg.User, Password: cfg.Password}
	options.DialTimeout = cfg.DialTimeout
	options.ReadTimeout = cfg.ReadTimeout
	options.MaxOpenConns = cfg.MaxConns
	options.MaxIdleConns = cfg.MaxConns
	options.ConnMaxLifetime = time.Hour
	if options.Compression == nil {
		options.Compression = &ch.Compression{Method: ch.CompressionLZ4}
	}
	return ch.Open(options)
}

// Ping asks the server for a sign of life.
func (c *Client) Ping(ctx context.Context) error { return c.bare.Ping(ctx) }

// Close closes the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return errors.Join(c.conn.Close(), c.bare.Close())
}

// retry runs attempt until it succeeds, its error is neither retryable nor unknown, or ctx is
// done, waiting between attempts 100 ms to 10 s with jitter. failed, if not nil,
// hears every error after which there is another attempt.
func (c *Client) retry(ctx context.Context, what string, failed func(error), attempt func() error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	wait.MaxInterval = 10 * time.Second
	wait.RandomizationFactor = 0.5
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := attempt()
		if err == nil {
			return struct{}{}, nil
		}
		if !Classify(ctx, err).retried() {
			return struct{}{}, backoff.Permanent(err)
		}
		last = err // what an attempt that the deadline cut short says of itself would hide it
		if failed != nil {
			failed(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, next time.Duration) {
		c.log.Warn("clickhouse: will try again", "what", what, "in", next.Round(time.Millisecond), "error", err)
	}))
	if err != nil && ctx.Err() != nil && last != nil {
		// The wait was cut short: both the reason to stop and the trouble before it matter.
		return errors.Join(context.Cause(ctx), last)
	}
	return err
}

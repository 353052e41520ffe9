package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/droplift/droplift/deploy/embedded"
	"github.com/droplift/droplift/ingest/kafka"
)

// servers are the Kafka and ClickHouse that a command talks to: real ones that
// the configuration names, or embedded ones that it starts and owns.
type servers struct {
	kafka      *embedded.Kafka
	clickhouse *embedded.ClickHouse

	Brokers       []string
	ClickhouseURL string
}

// startServers starts what the configuration does not name elsewhere.
func startServers(ctx context.Context, cfg *Config, log *slog.Logger) (*servers, error) {
	s := &servers{Brokers: cfg.KafkaBrokers, ClickhouseURL: cfg.ClickhouseURL}
	if len(s.Brokers) == 0 {
		broker, err := embedded.StartKafka(embedded.KafkaConfig{
			DataDir:           filepath.Join(cfg.DataDir, "kafka"),
			Addr:              cfg.KafkaAddr,
			DefaultPartitions: int(cfg.KafkaPartitions),
			Logger:            log.With("server", "kafka"),
		})
		if err != nil {
			return nil, err
		}
		s.kafka, s.Brokers = broker, broker.Addrs()
	}
	if s.ClickhouseURL == "" {
		if err := s.startClickhouse(ctx, cfg, log); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *servers) startClickhouse(ctx context.Context, cfg *Config, log *slog.Logger) error {
	password, readonlyPassword, err := cfg.clickhousePasswords()
	if err != nil {
		return err
	}
	server, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{
		DataDir:          filepath.Join(cfg.DataDir, "clickhouse"),
		Addr:             cfg.ClickhouseAddr,
		User:             cfg.ClickhouseUser,
		Password:         password,
		ReadOnlyUser:     cfg.ClickhouseReadonlyUser,
		ReadOnlyPassword: readonlyPassword,
		Logger:           log.With("server", "clickhouse"),
	})
	if err != nil {
		return err
	}
	s.clickhouse, s.ClickhouseURL = server, server.URL()
	return nil
}

// close stops what was started, ClickHouse first: it may still be reading what
// Kafka's clients handed over.
func (s *servers) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	if s.clickhouse != nil {
		errs = append(errs, s.clickhouse.Close(ctx))
	}
	if s.kafka != nil {
		errs = append(errs, s.kafka.Close())
	}
	return errors.Join(errs...)
}

func (c *Config) clickhousePasswords() (full, readonly string, err error) {
	full, errFull := secret("DROPLIFT_CLICKHOUSE_PASSWORD", c.ClickhousePasswordFile)
	readonly, errReadonly := secret("DROPLIFT_CLICKHOUSE_READONLY_PASSWORD", c.ClickhouseReadonlyPasswordFile)
	return full, readonly, errors.Join(errFull, errReadonly)
}

// kafkaConfig is the client's view of the brokers.
func (c *Config) kafkaConfig(brokers []string, ops *operations, log *slog.Logger) (kafka.Config, error) {
	out := kafka.Config{
		Brokers:       brokers,
		TopicPrefix:   c.KafkaTopicPrefix,
		GroupProtocol: kafka.GroupProtocol(c.KafkaGroupProtocol),
		TLS: kafka.TLS{
			Enabled:  c.KafkaTLS,
			CAFile:   c.KafkaTLSCA,
			CertFile: c.KafkaTLSCert,
			KeyFile:  c.KafkaTLSKey,
		},
		Logger: log,
	}
	if ops != nil {
		out.Registerer = ops.registry
	}
	if c.KafkaSASL != "none" {
		password, err := secret("DROPLIFT_KAFKA_PASSWORD", c.KafkaPasswordFile)
		if err != nil {
			return out, err
		}
		out.SASL = kafka.SASL{Mechanism: strings.ToUpper(c.KafkaSASL), User: c.KafkaUser, Password: kafka.Secret(password)}
	}
	if c.adjustKafka != nil {
		c.adjustKafka(&out)
	}
	return out, out.Validate()
}

// brokersOrLocal is where a command that starts no server finds Kafka: the named brokers, or the embedded
// one that another process of ours runs.
func (c *Config) brokersOrLocal() []string {
	if len(c.KafkaBrokers) > 0 {
		return c.KafkaBrokers
	}
	return []string{c.KafkaAddr}
}

// clickhouseOrLocal is the same for ClickHouse.
func (c *Config) clickhouseOrLocal() string {
	if c.ClickhouseURL != "" {
		return c.ClickhouseURL
	}
	return "http://" + c.ClickhouseAddr
}

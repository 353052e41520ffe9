package kafka

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/droplift/droplift/ingest/event"
)

func testEnsureTopics(t *testing.T, k server) {
	cfg := k.config(t).Config
	cfg.TopicPrefix += "eu."
	eu := func(name string) string { return cfg.TopicPrefix + name }
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	topics := Topics{Partitions: 3, SubtitlePartitions: 2, Groups: []string{"churn"}}
	if _, err := adm.EnsureTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	listed, err := adm.adm.ListTopics(kadm.WithAuthorizedOps(t.Context())) // not from the client's memory
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		eu("player"): 3, eu("latency"): 3, eu("checkout"): 3, eu("subtitle"): 2, eu("drop"): 1, eu("features"): 3,
		eu("velocity"): 3, eu("dead-letter"): 3, eu("late"): 3, eu("redelivered"): 1, eu("changelog-churn"): 3,
	} {
		if got := len(listed[name].Partitions); got != want {
			t.Errorf("%s has %d partitions, want %d", name, got, want)
		}
	}
	ours := slices.DeleteFunc(listed.Names(), func(name string) bool { return !strings.HasPrefix(name, cfg.TopicPrefix) })
	if len(ours) != len(event.Kinds())+2 { // redelivered and the change-log
		t.Errorf("%d topics: %v", len(ours), ours)
	}
	configs, err := adm.adm.DescribeTopicConfigs(t.Context(), eu("changelog-churn"), eu("player"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs {
		for _, kv := range c.Configs {
			if want := map[string]string{eu("changelog-churn"): "compact", eu("player"): "delete"}[c.Name]; kv.Key == "cleanup.policy" && kv.MaybeValue() != want {
				t.Errorf("%s: cleanup.policy is %q", c.Name, kv.MaybeValue())
			}
		}
	}

	warnings, err := adm.EnsureTopics(t.Context(), topics)
	if err != nil || len(warnings) != 0 {
		t.Errorf("a second time: %v, %q", err, warnings)
	}

	topics.RawRetention, topics.SubtitlePartitions = 24*time.Hour, 5
	warnings, err = adm.EnsureTopics(t.Context(), topics)
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{eu("player") + `: retention.ms is "1209600000", configured is "86400000"`, eu("subtitle") + " has 2 partitions, configured are 5"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("no warning %q in %q", want, warnings)
		}
	}

	topics.Partitions = 4
	_, err = adm.EnsureTopics(t.Context(), topics)
	for _, name := range []string{eu("player"), eu("latency"), eu("checkout"), eu("features"), eu("velocity"), eu("changelog-churn")} {
		if err == nil || !strings.Contains(err.Error(), name+" has 3 partitions, but 4 are configured") {
			t.Errorf("%s: not in %v", name, err)
		}
	}
}

func testEnsureTopicsTogether(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensureTogether(t, cfg, Topics{Groups: []string{testGroup}})
}

// ensureTogether is processes that start at once: all find the topics, and can use them at once.
func ensureTogether(t testing.TB, cfg Config, topics Topics) {
	t.Helper()
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			adm, err := NewAdmin(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer adm.Close()
			if warnings, err := adm.EnsureTopics(t.Context(), topics); err != nil || len(warnings) > 0 {
				t.Errorf("process %d: %v, %q", i, err, warnings)
				return
			}
			for _, topic := range topics.Table(cfg) {
				if err := Read(t.Context(), cfg, ReadConfig{Topic: topic.Name}, func(int32, event.Record) {}); err != nil {
					t.Errorf("process %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
}

// Two processes that start at once do not trip over each other.
func TestEnsureTopicsRace(t *testing.T) {
	c, cfg := newCluster(t)
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	raced := false
	c.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if !raced {
			raced = true
			c.SleepControl(func() { ensure(t, cfg, Topics{}) })
		}
		return nil, nil, false
	})
	if _, err := adm.EnsureTopics(t.Context(), Topics{}); err != nil || !raced {
		t.Errorf("raced %v: %v", raced, err)
	}
}

func TestTopicsValidate(t *testing.T) {
	err := Topics{Partitions: -1, Replication: -2, RawRetention: 31 * 24 * time.Hour, DerivedRetention: -1, Groups: []string{"", "a", "a"}}.Validate()
	for _, want := range []string{"partitions", "replication", "under 30 days", "derived retention", "group 0", `"a" is named twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if err := (Topics{}).Validate(); err != nil {
		t.Error(err)
	}
}

func testLagAndRead(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 2})
	produce(t, cfg, event.KindPlayer, 0, 100, 10)
	adm, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer adm.Close()
	if err := adm.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	cl, err := cfg.newClient("test", kgo.ConsumerGroup(cfg.GroupID("g")), kgo.ConsumeTopics(cfg.Topic(event.KindPlayer)), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for n := 0; n < 100; {
		n += cl.PollFetches(t.Context()).NumRecords()
	}
	if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	produce(t, cfg, event.KindPlayer, 100, 130, 10)
	lags, err := adm.Lag(t.Context(), "g", "never")
	if err != nil {
		t.Fatal(err)
	}
	var total, end int64
	for _, l := range lags {
		total, end = total+l.Records(), end+l.End
	}
	if len(lags) != 2 || total != 30 || end != 130 {
		t.Errorf("lag %+v", lags)
	}

	var offsets []int64
	rc := ReadConfig{Topic: cfg.Topic(event.KindPlayer), Partitions: []int32{1}, From: map[int32]int64{1: 5}, To: map[int32]int64{1: 9}}
	err = Read(t.Context(), cfg, rc, func(p int32, r event.Record) {
		if p != 1 || r.Kind != event.KindPlayer || r.Timestamp == 0 || len(r.Key) == 0 || len(r.Value) == 0 {
			t.Errorf("partition %d: %+v", p, r)
		}
		offsets = append(offsets, r.Offset)
	})
	if err != nil || !slices.Equal(offsets, []int64{5, 6, 7, 8}) {
		t.Errorf("read %v: %v", offsets, err)
	}
	for _, rc := range []ReadConfig{{Topic: "nowhere"}, {Topic: cfg.Topic(event.KindPlayer), Partitions: []int32{7}}} {
		if err := Read(t.Context(), cfg, rc, func(int32, event.Record) {}); err == nil {
			t.Errorf("%+v: read", rc)
		}
	}
}

// A log that ends in aborted transactions is read to its end, without them.
func testReadOverAborted(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{Partitions: 1})
	cl, err := cfg.newClient("test", kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Topic(event.KindPlayer), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range contents(t, cfg, cfg.Topic(event.KindPlayer))[0] {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, []string{"0", "2"}) {
		t.Errorf("read %q", got)
	}
}

func TestProducer(t *testing.T) {
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	p, err := NewProducer(cfg, ProducerConfig{MaxBufferedBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	// The first failure is reported, by Produce as soon as it is known and by Flush once; then it is over.
	h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord})
	m := event.Message{Kind: event.KindPlayer, Key: []byte("k"), Value: []byte("v")}
	if err := p.Produce(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the failure is known", func() bool { return p.failure() != nil })
	if err := p.Produce(t.Context(), m); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("produce: %v", err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, kerr.InvalidRecord) || h.Hits() != 1 {
		t.Errorf("flush: %v, %d hits", err, h.Hits())
	}
	if err := p.Produce(t.Context(), m, m); err != nil {
		t.Error(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Produce(t.Context(), event.Message{Value: []byte("v")}); err == nil {
		t.Error("a message of no kind was taken")
	}

}

// Kafka's partitioner places keys where its own clients do.
func testProducerPartitions(t *testing.T, k server) {
	cfg := k.config(t).Config
	ensure(t, cfg, Topics{})
	// The values are those of the Java client's murmur2 for 4 partitions.
	for key, want := range map[string]int32{"21": toPartition(-973932308), "foobar": toPartition(-790332482), "a-little-bit-long-string": toPartition(-985981536), "a-little-bit-longer-string": toPartition(-1486304829)} {
		publish(t, cfg, event.Message{Kind: event.KindCheckout, Key: []byte(key), Value: []byte(key)})
		for part, rs := range contents(t, cfg, cfg.Topic(event.KindCheckout)) {
			for _, r := range rs {
				if string(r.Value) == key && part != want {
					t.Errorf("key %q went to %d, Kafka's clients send it to %d", key, part, want)
				}
			}
		}
	}
}

// toPartition is Utils.toPositive(hash) % 4 of the Java client.
func toPartition(murmur int32) int32 { return murmur & 0x7fffffff % 4 }

// Without acknowledgements Produce blocks at the bound, until its context ends.
func TestProducerBackPressure(t *testing.T) {
	c, cfg := newCluster(t)
	ensure(t, cfg, Topics{})
	release := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		<-release // the broker serves nobody meanwhile: nothing is acknowledged
		return nil, nil, false
	})
	p, err := NewProducer(cfg, ProducerConfig{MaxBufferedBytes: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	sent := 0
	for err == nil && sent < 1000 {
		err = p.Produce(ctx, event.Message{Kind: event.KindPlayer, Key: []byte("k"), Value: make([]byte, 1000)})
		sent++
	}
	if !errors.Is(err, context.DeadlineExceeded) || sent < 50 || sent > 110 {
		t.Errorf("after %d messages of 1 kB with a bound of 100 kB: %v", sent, err)
	}
	close(release)
}

func TestConfigValidate(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"empty":  {Config{}, []string{"brokers: none given"}},
		"broken": {Config{Brokers: []string{"nohost"}, TopicPrefix: "a b", Compression: "rar", GroupProtocol: "share", SASL: SASL{Mechanism: "KERBEROS"}}, []string{`"nohost" is not host:port`, "topic prefix", "compression", `group protocol: "share"`, "KERBEROS"}},
		"sasl":   {Config{Brokers: []string{"a:1"}, SASL: SASL{Mechanism: "PLAIN"}}, []string{"needs a user", "needs a password"}},
		"stray":  {Config{Brokers: []string{"a:1"}, SASL: SASL{User: "u"}, TLS: TLS{CAFile: "x"}}, []string{"no mechanism", "tls is not enabled"}},
		"oauth":  {Config{Brokers: []string{"a:1"}, SASL: SASL{Mechanism: "OAUTHBEARER"}}, []string{"needs a token"}},
		"tls":    {Config{Brokers: []string{"a:1"}, TLS: TLS{Enabled: true, CAFile: notPEM, CertFile: "c"}}, []string{"holds no certificate", "both its certificate and its key"}},
		"files":  {Config{Brokers: []string{"a:1"}, TLS: TLS{Enabled: true, CAFile: filepath.Join(dir, "none"), CertFile: notPEM, KeyFile: notPEM}}, []string{"authorities:", "client certificate:"}},
	} {
		err := c.cfg.Validate()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", name, want, err)
			}
		}
		if _, err := NewAdmin(c.cfg); err == nil {
			t.Errorf("%s: a client was made", name)
		}
	}
}

func TestSecretsStaySecret(t *testing.T) {
	cfg := Config{Brokers: []string{"a:1"}, SASL: SASL{Mechanism: "PLAIN", User: "u", Password: "hunter2"}}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "password", cfg.SASL.Password)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "cfg", cfg.SASL)
	fmt.Fprintf(&out, "%v %+v %#v %s", cfg, cfg, cfg.SASL, cfg.SASL.Password)
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("told: %s", out.String())
	}
}

// Credentials and certificates reach a broker that insists on them.
func TestSASLAndTLS(t *testing.T) {
	dir := t.TempDir()
	server, caFile := certificate(t, dir)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			_, cfg := newCluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "ada", "secret"),
				kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}}))
			cfg.TLS = TLS{Enabled: true, CAFile: caFile, ServerName: "kafka.test"}
			cfg.SASL = SASL{Mechanism: mechanism, User: "ada", Password: "secret"}
			ensure(t, cfg, Topics{})
			produce(t, cfg, event.KindPlayer, 0, 10, 10)

			cfg.SASL.Password = "wrong"
			adm, err := NewAdmin(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer adm.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := adm.Ping(ctx); err == nil {
				t.Error("a wrong password was accepted")
			}
		})
	}
}

func certificate(t *testing.T, dir string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka.test"}, DNSNames: []string{"kafka.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

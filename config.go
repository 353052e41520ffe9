package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/processors/settlement"
)

// Config is everything that can be set, by flag, by environment variable
// (DROPLIFT_ and the flag's name in capitals) or in one YAML file, in this order of
// precedence. YAML keys are the flags' names; a nested mapping joins its keys
// with a dash. Secrets come from the environment or from files, never from flags.
type Config struct {
	DataDir   string `help:"Directory for the embedded servers' data." default:"./data" placeholder:"DIR"`
	LogLevel  string `help:"Log level: ${enum}." enum:"debug,info,warn,error" default:"info"`
	LogFormat string `help:"Log format: ${enum}." enum:"text,json" default:"text"`

	KafkaBrokers      []string `group:"kafka" aliases:"kafka" help:"Brokers of a real Kafka (HOST:PORT,...). Empty starts the embedded one." placeholder:"BROKERS"`
	KafkaAddr         string   `group:"kafka" help:"Address of the embedded Kafka." default:"127.0.0.1:9092"`
	KafkaPartitions   int32    `group:"kafka" help:"Partitions of the keyed topics, when they are created." default:"4"`
	KafkaReplication  int16    `group:"kafka" help:"Replicas of topics, when they are created; -1 asks for the broker's default." default:"-1"`
	KafkaTopicPrefix  string   `group:"kafka" help:"Put in front of every topic and group name."`
	KafkaSASL         string   `group:"kafka" help:"SASL mechanism: ${enum}." enum:"none,plain,scram-sha-256,scram-sha-512" default:"none"`
	KafkaUser         string   `group:"kafka" help:"SASL user."`
	KafkaPasswordFile string   `group:"kafka" help:"File that holds the SASL password (or set DROPLIFT_KAFKA_PASSWORD)." placeholder:"FILE"`
	KafkaTLS          bool     `group:"kafka" help:"Connect with TLS."`
	KafkaTLSCA        string   `name:"kafka-tls-ca" group:"kafka" help:"CA certificates (PEM) to trust instead of the system's." placeholder:"FILE"`
	KafkaTLSCert      string   `group:"kafka" help:"Client certificate (PEM)." placeholder:"FILE"`
	KafkaTLSKey       string   `group:"kafka" help:"Client key (PEM)." placeholder:"FILE"`

	KafkaGroupProtocol string `group:"kafka" help:"Who distributes partitions in the sink's consumer group: ${enum}. consumer lets brokers of Kafka 4.0 and later do it (KIP-848), by their own session timeout and without --instance. The processors' group is always classic: only there can its transactions be fenced." enum:"classic,consumer" default:"classic"`

	Instance       string        `group:"kafka" help:"Name of this process, which no other has and which it has again after a restart: restarted within --session-timeout it gets its partitions back and nobody else's move. In return a clean stop does not leave its consumer groups: what it had waits for it that long, unprocessed. Without a name a stop leaves at once." placeholder:"NAME"`
	SessionTimeout time.Duration `group:"kafka" help:"How long a silent process keeps its partitions before its consumer groups give them to others." default:"45s"`

	ClickhouseURL                  string `name:"clickhouse-url" group:"clickhouse" aliases:"clickhouse" help:"URL of a real ClickHouse (http://HOST:8123). Empty starts the embedded one." placeholder:"URL"`
	ClickhouseAddr                 string `name:"clickhouse-addr" group:"clickhouse" help:"Address of the embedded ClickHouse's HTTP interface." default:"127.0.0.1:8123"`
	ClickhouseDatabase             string `name:"clickhouse-database" group:"clickhouse" help:"Database of Droplift's tables." default:"droplift"`
	ClickhouseUser                 string `name:"clickhouse-user" group:"clickhouse" help:"User that writes." default:"default"`
	ClickhousePasswordFile         string `name:"clickhouse-password-file" group:"clickhouse" help:"File that holds its password (or set DROPLIFT_CLICKHOUSE_PASSWORD)." placeholder:"FILE"`
	ClickhouseReadonlyUser         string `name:"clickhouse-readonly-user" group:"clickhouse" help:"User of dashboards and analysts, who can only read." default:"viewer"`
	ClickhouseReadonlyPasswordFile string `name:"clickhouse-readonly-password-file" group:"clickhouse" help:"File that holds its password (or set DROPLIFT_CLICKHOUSE_READONLY_PASSWORD)." placeholder:"FILE"`

	MetricsAddr string `group:"operations" help:"Address of /metrics, /healthz and /readyz; empty turns them off." default:"127.0.0.1:9464"`
	MemoryLimit string `group:"operations" help:"Memory of this process, such as 2GiB: near it the processors slow down, then stop fetching, instead of being killed. auto is GOMEMLIMIT, or 90 % of the container's limit; none is no limit. The embedded ClickHouse is a process of its own." default:"auto" placeholder:"SIZE"`
	PprofAddr   string `group:"operations" help:"Address of /debug/pprof; loopback only; empty turns it off." default:"127.0.0.1:6060"`

	ProcessGroup          string        `group:"processing" help:"Consumer group of the processors." default:"droplift-process"`
	RollupGroup           string        `group:"processing" help:"Consumer group of the rollup stage, which adds up what the processors' partitions publish of each drop." default:"droplift-rollup"`
	ProcessCommitInterval time.Duration `group:"processing" help:"How often a transaction commits." default:"100ms"`
	ProcessTxnTimeout     time.Duration `name:"process-transaction-timeout" group:"processing" help:"When the broker aborts the transaction of a process that is gone; until then readers wait behind it. 0 means half of --session-timeout, at most 20s." default:"0s"`
	OutOfOrderness        time.Duration `group:"processing" help:"How far events may be out of order before the watermark passes them." default:"10s"`
	AllowedLateness       time.Duration `group:"processing" help:"How long late events still correct published numbers." default:"10m"`
	IdleAfter             time.Duration `group:"processing" help:"An input without records or lag for this long does not hold the watermark." default:"30s"`
	InventoryReservation  time.Duration `group:"processing" help:"How long, in event time, a started checkout holds its pieces of a limited item." default:"10m"`
	InventoryLowBPS       uint16        `name:"inventory-low-bps" group:"processing" help:"Share of a limited item's inventory, in basis points, at and below which it is decided to be low." default:"1000"`
	InventoryRestock      bool          `group:"processing" help:"Pieces whose checkout was refunded in full are for sale again. By default they are not: somebody has to look at them first."`

	ExperimentLook   time.Duration `group:"processing" help:"Event time between two looks at a drop's experiments. Any number of looks is allowed: their p-values and intervals hold at all of them." default:"1m"`
	ExperimentAlpha  float64       `group:"processing" help:"Probability with which any of a drop's experiments may be called significant although none has an effect." default:"0.05"`
	SnapshotDir      string        `group:"processing" help:"Directory of snapshots of the processors' state, which make restarts fast. Shared between processes (NFS, say) it makes moving partitions fast too. auto is snapshots below --data-dir, none is no snapshots." default:"auto" placeholder:"DIR"`
	SnapshotInterval time.Duration `group:"processing" help:"How often a partition's state is snapshotted." default:"1m"`

	SubtitleConfig
	LatencyConfig
	FeaturesConfig
	FlightConfig
	LearningConfig
	ViewerConfig

	SettleHold       time.Duration    `group:"settlement" help:"How long after a drop's end nothing of it is paid out: disputes come late." default:"168h"`
	SettleReserveBPS int64            `name:"settle-reserve-bps" group:"settlement" help:"Share of what a participant has earned with a drop, in basis points, that is held back for --settle-reserve-for." default:"1000"`
	SettleReserveFor time.Duration    `group:"settlement" help:"How long after a drop's end the reserve is held back." default:"2880h"`
	SettleMinPayout  map[string]int64 `group:"settlement" help:"Least payout per currency, in minor units (USD=1000,JPY=1000); less waits for more. A currency that is not named has no minimum." default:"USD=1000,EUR=1000,GBP=1000" mapsep:"," placeholder:"CODE=MINOR,..."`
	SettleDisputeFee map[string]int64 `group:"settlement" help:"What the payment provider keeps of every chargeback, per currency, in minor units. A currency that is not named costs nothing." default:"USD=1500,EUR=1500,GBP=1500" mapsep:"," placeholder:"CODE=MINOR,..."`

	EdgePriceCurrency    string   `group:"edge" help:"ISO 4217 currency of the edge platform's price list. The prices given here are typical ones: put in your own. A drop whose budget is in another currency has no cost and says so. Empty prices nothing." default:"USD" placeholder:"CODE"`
	EdgePriceRequests    string   `group:"edge" help:"Price of a million requests, as an exact decimal." default:"0.30"`
	EdgePriceCPUMs       string   `name:"edge-price-cpu-ms" group:"edge" help:"Price of a million milliseconds of edge compute." default:"0.02"`
	EdgePriceEgressGB    string   `name:"edge-price-egress-gb" group:"edge" help:"Price of a GB (10⁹ bytes) that leaves the edge." default:"0"`
	EdgePricePOP         []string `name:"edge-price-pop" group:"edge" help:"Prices of single POPs, as POP:requests=PRICE, POP:cpu-ms=PRICE or POP:egress-gb=PRICE." placeholder:"POP:NAME=PRICE,..."`
	EdgePriceReplicaHour string   `group:"edge" help:"Price of one replica for an hour, which bounds replicas by what is left of the budget; 0 sets no bound." default:"0"`

	EdgePaceStep       float64       `group:"edge" help:"By which share the pace of optional work falls every minute that more is spent than planned, and rises otherwise." default:"0.1"`
	EdgeWarn           float64       `group:"edge" help:"Projected spending, as a share of the budget, at which a drop warns." default:"1"`
	EdgeWarnLeave      float64       `group:"edge" help:"Share at or below which the projection must stay for the warning to end." default:"0.85"`
	EdgeWarnLeaveAfter time.Duration `group:"edge" help:"For how long it must stay there." default:"10m"`
	EdgeWarnDwell      time.Duration `group:"edge" help:"How long a warning lasts at the least." default:"5m"`
	EdgeCap            float64       `group:"edge" help:"What is spent and in flight, as a share of the budget, at which a drop is capped, until its budget is raised or it ends." default:"0.95"`
	EdgeNotify         float64       `group:"edge" help:"Share spent at which people are told, once." default:"0.8"`
	EdgeRateWindow     time.Duration `group:"edge" help:"How far back the rate of spending looks." default:"15m"`

	EdgeReplicasMin        int64         `group:"edge" help:"Replicas that checkout needs, whatever the budget says." default:"2"`
	EdgeReplicasMax        int64         `group:"edge" help:"Replicas at the most." default:"100"`
	EdgeReplicaCores       float64       `group:"edge" help:"Cores of a replica." default:"4"`
	EdgeReplicaUtilisation float64       `group:"edge" help:"Share of its cores that should be busy." default:"0.6"`
	EdgeScaleTolerance     float64       `group:"edge" help:"Deviation of the utilisation from its target up to which replicas stay as they are." default:"0.1"`
	EdgeScaleDownWindow    time.Duration `group:"edge" help:"How far back a scale-in looks for the highest recommendation." default:"5m"`

	EdgeShedWarn    int `group:"edge" help:"Kinds of optional work that are shed at a warning, first first: debug traces, latency sampling, recommendations, small translations, impression detail, heartbeats every 60 s. Checkout, ledger, consent, erasure and exposure logs are never shed." default:"3"`
	EdgeShedCap     int `group:"edge" help:"Kinds of optional work that are shed at the cap." default:"6"`
	EdgeShedLimited int `group:"edge" help:"Kinds of optional work that are shed while the budget pays for fewer replicas than wanted." default:"1"`

	DecideConfig

	SinkGroup      string        `group:"sink" help:"Consumer group of the ClickHouse sink." default:"droplift-clickhouse"`
	SinkBatchRows  int           `group:"sink" help:"Rows at which a topic-partition's batch is inserted." default:"100000"`
	SinkBatchBytes int           `group:"sink" help:"Bytes of JSON at which it is inserted; up to three batches per topic-partition are in memory." default:"67108864"`
	SinkBatchAge   time.Duration `group:"sink" help:"Age at which it is inserted at the latest while the sink keeps up; less where ClickHouse has time for more and smaller inserts." default:"1s"`

	LiftEvery time.Duration `group:"operations" help:"How often droplift up looks for drops whose audience, revenue or returns can be read out at a further age, and publishes that; 0 turns it off." default:"1m"`

	// adjustKafka, when set, has the last word on how clients reach Kafka: tests put proxies and faults there.
	adjustKafka func(*kafka.Config)
	// onlyRules, when set, names the rule sets that run: benchmarks compare some of them with other programs.
	onlyRules []string
}

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var problems []error
	bad := func(flag, format string, args ...any) {
		problems = append(problems, fmt.Errorf("--%s: %s", flag, fmt.Sprintf(format, args...)))
	}
	address := func(flag, addr string) {
		if addr == "" {
			return
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad(flag, "%q is not HOST:PORT", addr)
		}
	}
	for _, broker := range c.KafkaBrokers {
		address("kafka-brokers", broker)
	}
	address("kafka-addr", c.KafkaAddr)
	address("clickhouse-addr", c.ClickhouseAddr)
	address("metrics-addr", c.MetricsAddr)
	address("pprof-addr", c.PprofAddr)
	if host, _, err := net.SplitHostPort(c.PprofAddr); err == nil && !loopback(host) {
		bad("pprof-addr", "%q is not a loopback address; profiles must not leave the machine", c.PprofAddr)
	}
	if c.ClickhouseURL != "" {
		if u, err := url.Parse(c.ClickhouseURL); err != nil || u.Host == "" {
			bad("clickhouse-url", "%q is not a URL such as http://127.0.0.1:8123", c.ClickhouseURL)
		} else if u.User != nil {
			bad("clickhouse-url", "holds a password; use --clickhouse-user and DROPLIFT_CLICKHOUSE_PASSWORD")
		}
	}
	if c.ClickhouseUser == c.ClickhouseReadonlyUser {
		bad("clickhouse-readonly-user", "is the same as --clickhouse-user")
	}
	if c.KafkaPartitions < 1 || c.KafkaPartitions > 10_000 {
		bad("kafka-partitions", "%d is not between 1 and 10000", c.KafkaPartitions)
	}
	if c.KafkaSASL != "none" && c.KafkaUser == "" {
		bad("kafka-user", "is needed with --kafka-sasl %s", c.KafkaSASL)
	}
	if (c.KafkaTLSCert == "") != (c.KafkaTLSKey == "") {
		bad("kafka-tls-cert", "and --kafka-tls-key go together")
	}
	positive := func(flag string, d time.Duration) {
		if d <= 0 {
			bad(flag, "%s is not positive", d)
		}
	}
	if c.Instance != "" {
		if err := kafka.CheckInstance(c.Instance); err != nil {
			bad("instance", "%v", err)
		}
	}
	if c.Instance != "" && c.KafkaGroupProtocol == string(kafka.GroupConsumer) {
		bad("instance", "needs --kafka-group-protocol classic")
	}
	positive("session-timeout", c.SessionTimeout)
	positive("process-commit-interval", c.ProcessCommitInterval)
	if c.ProcessTxnTimeout < 0 || c.SessionTimeout > 0 && c.ProcessTxnTimeout >= c.SessionTimeout {
		bad("process-transaction-timeout", "%s is not between 0s and --session-timeout (%s)", c.ProcessTxnTimeout, c.SessionTimeout)
	}
	positive("out-of-orderness", c.OutOfOrderness)
	positive("allowed-lateness", c.AllowedLateness)
	positive("idle-after", c.IdleAfter)
	positive("snapshot-interval", c.SnapshotInterval)
	problems = append(problems, c.SubtitleConfig.validate(c.AllowedLateness))
	problems = append(problems, c.FeaturesConfig.validate(c.KafkaPartitions), c.FlightConfig.validate())
	problems = append(problems, c.LatencyConfig.validate(), c.LearningConfig.validate(c.AllowedLateness))
	problems = append(problems, c.DecideConfig.validate(), c.ViewerConfig.validate())
	if c.InventoryReservation < time.Millisecond || c.InventoryReservation > 24*time.Hour {
		bad("inventory-reservation", "%s is not between 1ms and a day", c.InventoryReservation)
	}
	if c.InventoryLowBPS < 1 || c.InventoryLowBPS > 10_000 {
		bad("inventory-low-bps", "%d is not between 1 and 10000", c.InventoryLowBPS)
	}
	positive("experiment-look", c.ExperimentLook)
	if !(c.ExperimentAlpha > 0 && c.ExperimentAlpha < 0.5) {
		bad("experiment-alpha", "%v is not between 0 and 0.5", c.ExperimentAlpha)
	}
	positive("edge-rate-window", c.EdgeRateWindow)
	if _, err := c.edgePrices(); err != nil {
		bad("edge-price-…", "%v", err)
	}
	if _, err := c.edgeRollup(); err != nil {
		bad("edge-…", "%v", err)
	}
	if _, err := c.memoryLimit(); err != nil {
		bad("memory-limit", "%v", err)
	}
	if c.SettleHold < 0 || c.SettleReserveFor < 0 || c.SettleReserveBPS < 0 {
		bad("settle-hold", "neither it nor --settle-reserve-for or --settle-reserve-bps may be negative")
	} else if err := c.settlement().Validate(); err != nil {
		problems = append(problems, err)
	}
	positive("sink-batch-age", c.SinkBatchAge)
	if c.LiftEvery < 0 {
		bad("lift-every", "%s is negative", c.LiftEvery)
	}
	if c.SinkBatchRows < 1 {
		bad("sink-batch-rows", "%d is not positive", c.SinkBatchRows)
	}
	if c.SinkBatchBytes < 1 {
		bad("sink-batch-bytes", "%d is not positive", c.SinkBatchBytes)
	}
	return errors.Join(problems...)
}

// orNone is a setting as packages take it whose zero values mean their defaults: 0 is none, which they call −1.
func orNone[N int64 | float64](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

// settlement is how creators are paid.
func (c *Config) settlement() settlement.Config {
	return settlement.Config{
		Hold: orNone(c.SettleHold.Milliseconds()), ReserveBPS: orNone(c.SettleReserveBPS), ReserveFor: orNone(c.SettleReserveFor.Milliseconds()),
		MinPayout: c.SettleMinPayout, DisputeFee: c.SettleDisputeFee,
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// logger writes to stderr, so that results on stdout can be piped.
func (c *Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// secret reads the environment variable, else the file's first line, else "".
func secret(env, file string) (string, error) {
	if v, ok := os.LookupEnv(env); ok {
		return v, nil
	}
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the secret for %s: %w", env, err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// fileConfig is the YAML file, flattened to flag names.
type fileConfig map[string]any

// readConfigFile parses the file; unknown keys are found by Validate, which
// knows the flags.
func readConfigFile(path string) (fileConfig, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("configuration %s: %s", path, yaml.FormatError(err, false, true))
	}
	flat := fileConfig{}
	flatten(flat, "", tree)
	return flat, nil
}

func flatten(into fileConfig, prefix string, tree map[string]any) {
	for key, value := range tree {
		name := prefix + strings.ReplaceAll(key, "_", "-")
		if nested, ok := value.(map[string]any); ok {
			flatten(into, name+"-", nested)
			continue
		}
		into[name] = value
	}
}

// Resolve implements kong.Resolver.
func (f fileConfig) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		// The parser would let a file win over the environment.
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if flag.IsMap() {
		return f.pairs(flag), nil
	}
	value, ok := f[flag.Name]
	for _, alias := range flag.Aliases {
		if !ok {
			value, ok = f[alias]
		}
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []any:
		words := make([]string, len(v))
		for i, word := range v {
			words[i] = fmt.Sprint(word)
		}
		return strings.Join(words, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// pairs are a mapping's values as its flag takes them, nil without one.
func (f fileConfig) pairs(flag *kong.Flag) any {
	if value, ok := f[flag.Name]; ok {
		return fmt.Sprint(value) // written as the flag is
	}
	var pairs []string
	for _, key := range f.keys() {
		if name, ok := strings.CutPrefix(key, flag.Name+"-"); ok {
			pairs = append(pairs, fmt.Sprintf("%s=%v", name, f[key]))
		}
	}
	if pairs == nil {
		return nil
	}
	return strings.Join(pairs, ",")
}

// Validate implements kong.Resolver: every key must be a flag.
func (f fileConfig) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, flag := range app.Flags {
		known[flag.Name] = true
		if flag.IsMap() {
			for key := range f {
				known[key] = known[key] || strings.HasPrefix(key, flag.Name+"-")
			}
		}
		for _, alias := range flag.Aliases {
			known[alias] = true
		}
	}
	var problems []error
	for _, key := range f.keys() {
		if !known[key] {
			problems = append(problems, fmt.Errorf("configuration key %q is unknown; `droplift up --help` lists them", key))
		}
	}
	return errors.Join(problems...)
}

func (f fileConfig) keys() []string {
	keys := make([]string, 0, len(f))
	for key := range f {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// checkConfig reports every problem of the file and the environment: each setting is
// parsed on its own first, because a parser stops at its first error.
func checkConfig(file fileConfig) error {
	var problems []error
	parse := func(settings fileConfig) (*CLI, error) {
		var cli CLI
		parser, err := newArgumentParser(&cli, kong.Resolvers(settings))
		if err != nil {
			return nil, err
		}
		_, err = parser.Parse([]string{"config", "check"})
		return &cli, err
	}
	good := fileConfig{}
	check := func(key string, value any, from string) {
		if _, err := parse(fileConfig{key: value}); err != nil {
			problems = append(problems, fmt.Errorf("%s%w", from, err))
			return
		}
		good[key] = value
	}
	for _, key := range file.keys() {
		check(key, file[key], "")
	}
	var cli CLI
	parser, err := newParser(&cli)
	if err != nil {
		return err
	}
	for _, flag := range parser.Model.Flags {
		for _, env := range flag.Envs {
			if value, set := os.LookupEnv(env); set {
				check(flag.Name, value, env+": ")
			}
		}
	}
	merged, err := parse(good)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	return errors.Join(append(problems, merged.Config.Validate())...)
}

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/droplift/droplift/deploy/embedded/embeddedtest"
	"github.com/droplift/droplift/ingest/event"
	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/models/feature"
	"github.com/droplift/droplift/models/scoring"
)

// terminal runs droplift commands in this process against running servers.
type terminal struct {
	t     testing.TB
	flags []string
}

// run returns the exit code and what was printed on both outputs.
func (c *terminal) run(args ...string) (code int, stdout, stderr string) {
	c.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	said := make(chan string)
	go func() {
		text, _ := io.ReadAll(r)
		said <- string(text)
	}()
	before := os.Stderr
	os.Stderr = w
	stdout, err = captureStdout(func() error {
		code = run(append(args, c.flags...))
		return nil
	})
	os.Stderr = before
	w.Close()
	if err != nil {
		c.t.Fatal(err)
	}
	return code, stdout, <-said
}

// ok runs a command that must succeed and returns its standard output.
func (c *terminal) ok(args ...string) string {
	c.t.Helper()
	code, out, said := c.run(args...)
	if code != 0 {
		c.t.Fatalf("%s ended with %d\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out
}

// refused runs a command that must end with the code and say each of the words.
func (c *terminal) refused(code int, words []string, args ...string) {
	c.t.Helper()
	got, out, said := c.run(args...)
	if got != code {
		c.t.Errorf("%s ended with %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, said)
	}
	for _, word := range words {
		if !strings.Contains(out+said, word) {
			c.t.Errorf("%s does not say %q:\n%s%s", strings.Join(args, " "), word, out, said)
		}
	}
}

// modelBroker starts Kafka with the topics, and a terminal on it.
func modelBroker(t *testing.T) (*terminal, kafka.Config) {
	t.Helper()
	broker := embeddedtest.Kafka(t)
	flags := []string{"--kafka", strings.Join(broker.Addrs(), ","), "--data-dir", t.TempDir()}
	cfg := parseConfig(t, flags...)
	conf, err := cfg.kafkaConfig(cfg.KafkaBrokers, nil, embeddedtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.ensureTopics(t.Context(), conf, embeddedtest.Logger(t)); err != nil {
		t.Fatal(err)
	}
	return &terminal{t, flags}, conf
}

// recencyModel says churn from the time since the last activity, in days, and weight alone.
func recencyModel(version string, weight float64) *scoring.Artefact {
	a := &scoring.Artefact{
		Name: "churn", Version: version, Kind: "logistic",
		Features: scoring.Contract{Set: feature.Player.Name, Version: feature.Player.Version, Hash: feature.Player.Hash(), Names: []string{"recency_s"}},
		Training: scoring.Training{From: 1, To: 2, Rows: 10, Positives: 5, Trainer: "by hand"},
		Metrics:  &scoring.Metrics{Rows: 100, Positives: 40, AUC: .75, AUCSE: .05, LogLoss: .6, BaseLogLoss: .67, Slope: 1.1},
		Linear:   &scoring.Linear{Weights: []float64{weight}, Mean: []float64{0}, Scale: []float64{86_400}, Impute: []float64{0}},
	}
	for _, days := range []float64{0, 1, 7} {
		seconds := 86_400 * days
		a.Golden = append(a.Golden, scoring.Golden{Features: []*float64{&seconds}, Raw: weight * days, P: 1 / (1 + math.Exp(-weight*days))})
	}
	return a
}

// writeModel seals an artefact into a file.
func writeModel(t testing.TB, a *scoring.Artefact) string {
	t.Helper()
	file, err := scoring.Seal(a, feature.Player)
	if err != nil {
		t.Fatal(err)
	}
	return writeBytes(t, a.Version+".json", file)
}

func writeBytes(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rolloutNow is the rollout that edges follow.
func rolloutNow(t testing.TB, conf kafka.Config) event.Rollout {
	t.Helper()
	registry, err := readModelRegistry(t.Context(), conf, embeddedtest.Logger(t))
	if err != nil {
		t.Fatal(err)
	}
	return registry.rollouts["churn"]
}

func TestModelVersionsAreRolledOutAndBack(t *testing.T) {
	cli, conf := modelBroker(t)
	if out := cli.ok("model", "list"); !strings.Contains(out, "No model is published") {
		t.Errorf("an empty registry lists\n%s", out)
	}
	cli.refused(1, []string{"nothing was ever rolled out"}, "model", "rollback")

	first, second := writeModel(t, recencyModel("churn-1", .3)), writeModel(t, recencyModel("churn-2", .4))
	if out := cli.ok("model", "publish", first, "--reason", "the first"); !strings.Contains(out, "as the shadow") {
		t.Errorf("publish says %q", out)
	}
	if r := rolloutNow(t, conf); r.Shadow != "churn-1" || r.Champion != "" || r.Action != "shadow" || r.Reason != "the first" {
		t.Errorf("after publishing: %+v", r)
	}
	cli.ok("model", "publish", second, "--no-shadow")
	if r := rolloutNow(t, conf); r.Shadow != "churn-1" {
		t.Errorf("--no-shadow made %+v", r)
	}
	// Publishing again changes nothing; another model of the same version is not let in.
	if out := cli.ok("model", "publish", first); !strings.Contains(out, "published already.") {
		t.Errorf("publish again says %q", out)
	}
	cli.refused(1, []string{"version churn-1 is published already, as another model"}, "model", "publish", writeModel(t, recencyModel("churn-1", .5)))

	promote := func(version, against string) error {
		return decideOnModels(t.Context(), conf, embeddedtest.Logger(t), func(r *modelRegistry) ([]event.Message, error) {
			return r.promote("churn", version, against, "by the test", time.UnixMilli(7))
		})
	}
	if err := promote("churn-1", ""); err != nil {
		t.Fatal(err)
	}
	if r := rolloutNow(t, conf); r.Champion != "churn-1" || r.Shadow != "" || r.Previous != "" || r.At != 7 {
		t.Errorf("the first promotion: %+v", r)
	}
	cli.refused(1, []string{"no champion before churn-1"}, "model", "rollback")
	cli.refused(1, []string{"cannot score beside itself"}, "model", "shadow", "churn-1")
	cli.refused(1, []string{`no version "churn-9"`}, "model", "shadow", "churn-9")
	cli.ok("model", "shadow", "churn-2")
	if err := promote("churn-2", ""); !errors.Is(err, errOvertaken) {
		t.Errorf("judged against no champion: %v", err)
	}
	if err := promote("churn-2", "churn-1"); err != nil {
		t.Fatal(err)
	}
	if r := rolloutNow(t, conf); r.Champion != "churn-2" || r.Previous != "churn-1" || r.Shadow != "" {
		t.Errorf("the second promotion: %+v", r)
	}
	out := cli.ok("model", "list")
	for _, want := range []string{"churn-2", "champion", "previous", "0.7500 ± 0.0500", "by the test"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not say %q:\n%s", want, out)
		}
	}
	lines := strings.Split(strings.TrimSpace(cli.ok("model", "list", "--json")), "\n")
	var listed listedModel
	if err := json.Unmarshal([]byte(lines[0]), &listed); err != nil || len(lines) != 2 || listed.Metrics.AUC != .75 {
		t.Errorf("as JSON: %v, %s", err, lines)
	}

	cli.ok("model", "rollback", "--reason", "it was wrong")
	if r := rolloutNow(t, conf); r.Champion != "churn-1" || r.Previous != "" || r.Action != "rollback" || r.Reason != "it was wrong" {
		t.Errorf("the rollback: %+v", r)
	}
	cli.refused(1, []string{"promote another version"}, "model", "rollback")
	cli.ok("model", "shadow", "churn-2")
	cli.ok("model", "shadow", "none")
	if r := rolloutNow(t, conf); r.Shadow != "" || r.Champion != "churn-1" {
		t.Errorf("without a shadow: %+v", r)
	}
	for _, want := range []string{"recency_s", "slope 1.100", "by hand", "champion"} {
		if out := cli.ok("model", "show", "churn-1"); !strings.Contains(out, want) {
			t.Errorf("show does not say %q:\n%s", want, out)
		}
	}
	// What the topic holds is what was sealed: an edge opens it.
	whole, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if out := cli.ok("model", "show", "churn-1", "--json"); strings.TrimSpace(out) != string(whole) {
		t.Error("the published artefact is not the file")
	}
	cli.refused(1, []string{"--reason", "601 bytes"}, "model", "rollback", "--reason", strings.Repeat("x", 601))
}

// A bad artefact is refused by name before anybody can score with it, and nothing of it is published.
func TestPublishRefusesBadArtefacts(t *testing.T) {
	cli, conf := modelBroker(t)
	good, err := os.ReadFile(writeModel(t, recencyModel("churn-1", .3)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		reason string
		file   []byte
	}{
		{"malformed", good[:len(good)-7]},
		{"malformed", nil},
		{"checksum", bytes.Replace(good, []byte(`"weights":[0.3]`), []byte(`"weights":[0.9]`), 1)},
		{"newer", bytes.Replace(good, []byte(`"format":1`), []byte(`"format":2`), 1)},
		{"too_large", make([]byte, scoring.MaxBytes+1)},
		{"features", resealed(t, func(a *scoring.Artefact) { a.Features.Hash = strings.Repeat("0", 64) })},
		{"golden", resealed(t, func(a *scoring.Artefact) { a.Golden[1].P += 1e-3 })},
	} {
		if bytes.Equal(c.file, good) {
			t.Fatalf("%s: the file is not bad", c.reason)
		}
		cli.refused(1, []string{"is refused (" + c.reason + ")"}, "model", "publish", writeBytes(t, "bad.json", c.file))
	}
	registry, err := readModelRegistry(t.Context(), conf, embeddedtest.Logger(t))
	if err != nil || len(registry.versions) != 0 || len(registry.rollouts) != 0 {
		t.Errorf("%v: %d versions and %d rollouts were published", err, len(registry.versions), len(registry.rollouts))
	}
}

// resealed is an artefact with a right checksum that Seal would not write.
func resealed(t *testing.T, change func(*scoring.Artefact)) []byte {
	t.Helper()
	a := recencyModel("churn-1", .3)
	a.Format = scoring.Format
	change(a)
	body, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	a.Checksum = fmt.Sprintf("%x", sha256.Sum256(body))
	if body, err = json.Marshal(a); err != nil {
		t.Fatal(err)
	}
	return body
}

// A record that cannot be used does not keep anybody from the others, and a version can go bad after it was published.
func TestRegistryLivesWithBadRecords(t *testing.T) {
	cli, conf := modelBroker(t)
	cli.ok("model", "publish", writeModel(t, recencyModel("churn-1", .3)))
	producer, err := kafka.NewProducer(conf, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	old, err := modelMessage(&scoring.Artefact{Name: "churn", Version: "churn-0", Kind: "logistic", Features: scoring.Contract{Hash: "0"}, Checksum: "0"},
		resealed(t, func(a *scoring.Artefact) { a.Version, a.Features.Hash = "churn-0", "0" }), time.UnixMilli(1))
	if err != nil {
		t.Fatal(err)
	}
	gone := event.Message{Kind: event.KindModel, Key: []byte("churn|churn-1")}
	err = errors.Join(producer.Produce(t.Context(),
		event.Message{Kind: event.KindModel, Key: []byte("churn|x"), Value: []byte("{")},
		event.Message{Kind: event.KindRollout, Key: []byte("churn"), Value: []byte(`{"name":"churn","action":"promote"}`)},
		rolloutMessage(event.Rollout{Name: "churn", Champion: "churn-1", Previous: "churn-0", Action: "promote", At: 9}), old), producer.Flush(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	code, out, said := cli.run("model", "list")
	if code != 0 || !strings.Contains(out, "refused: features") || strings.Count(said, "cannot be used") != 2 {
		t.Errorf("list ended with %d and says\n%s%s", code, out, said)
	}
	cli.refused(1, []string{"cannot roll back", "(features)"}, "model", "rollback")
	if r := rolloutNow(t, conf); r.Champion != "churn-1" {
		t.Errorf("the champion is %q", r.Champion)
	}
	if err := errors.Join(producer.Produce(t.Context(), gone), producer.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	cli.refused(1, []string{`no version "churn-1"`}, "model", "show", "churn-1")
}

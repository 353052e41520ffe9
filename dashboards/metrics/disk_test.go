package metrics

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// kept is a Local of a process that goes on with dir at second s.
func kept(t testing.TB, gatherer prometheus.Gatherer, dir string, s float64, rules ...Rule) *Local {
	t.Helper()
	l := newLocal(t, gatherer, Config{Dir: dir, Rules: rules})
	l.restore(after(s))
	t.Cleanup(func() { l.disk.lock.Close() })
	return l
}

// kill lets go of the directory as a process does that is killed: nothing more is written.
func (l *Local) kill() { l.disk.lock.Close() }

// Charts go on after a restart, with a gap; rates do not see a jump in it.
func TestRestartGoesOn(t *testing.T) {
	dir := t.TempDir()
	process := func(value float64) (*prometheus.Registry, prometheus.Counter) {
		reg := prometheus.NewRegistry()
		counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "records_total"})
		gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "value", ConstLabels: prometheus.Labels{"drop": `quo"te 🎉 שלום`}})
		gauge.Set(value)
		reg.MustRegister(counter, gauge)
		return reg, counter
	}
	reg, counter := process(1)
	l := kept(t, reg, dir, 0)
	for s := 0.; s <= 1500; s += 5 { // over three windows
		l.scrape(after(s))
		counter.Add(50)
		if math.Mod(s, 60) == 0 {
			l.save(after(s))
		}
	}
	questions := []string{`value`, `records_total`, `rate(records_total[1m])`, `up`}
	var before []string
	for _, q := range questions {
		before = append(before, points(t, l, q, 0, 1500, 30))
	}
	l.kill()

	reg, counter = process(2)
	again := kept(t, reg, dir, 1600)
	if !again.Since().Equal(epoch) {
		t.Errorf("samples since %s", again.Since())
	}
	for s := 1600.; s <= 1700; s += 5 {
		again.scrape(after(s))
		counter.Add(50)
	}
	for i, q := range questions {
		if got := points(t, again, q, 0, 1500, 30); got != before[i] || got == "" {
			t.Errorf("%s:\n got %s\nwant %s", q, got, before[i])
		}
	}
	want(t, again, `value`, 1480, 1640, 20, "1480=1 1500=1 1600=2 1620=2 1640=2")
	want(t, again, `rate(records_total[1m])`, 1700, 1700, 5, "1700=10")
	want(t, again, `resets(records_total[10m])`, 1700, 1700, 5, "1700=1")

	// A gap stays one, however often the process starts.
	again.save(after(1700))
	again.kill()
	third := kept(t, prometheus.NewRegistry(), dir, 5000)
	want(t, third, `value`, 1480, 1640, 20, "1480=1 1500=1 1600=2 1620=2 1640=2")
	want(t, third, `value`, 1690, 1720, 10, "1690=2 1700=2")
}

// Pending and firing alerts go on; what has ended meanwhile ends once its series had time to be back.
func TestRestartKeepsAlerts(t *testing.T) {
	hour := Rule{Name: "Hour", Expr: "x > 0", For: time.Hour, Labels: map[string]string{"severity": "page"}}
	set := func(l *Local, s, value float64) {
		l.store.append(after(s).UnixMilli(), []sample{{labels.FromStrings("__name__", "x", "drop", "d 🎉"), value}})
		l.evaluate(context.Background(), after(s))
	}
	say := func(l *Local) string {
		states, err := l.Alerts(context.Background())
		if err != nil || len(states) != 1 {
			t.Fatal(states, err)
		}
		if s := states[0]; s.State != Inactive {
			return fmt.Sprint(s.State, " since ", s.Since.Sub(epoch).Seconds(), " ", s.Value, " ", s.Labels)
		}
		return "inactive"
	}
	const labels = "map[drop:d 🎉 severity:page]"
	for name, c := range map[string]struct {
		savedAt, startsAt float64
		then              func(l *Local)
		want              string
	}{
		"firing, at once":                    {3660, 3700, func(*Local) {}, "firing since 3600 7 " + labels},
		"firing, its series back":            {3660, 3700, func(l *Local) { set(l, 3710, 8); set(l, 4000, 8) }, "firing since 3600 8 " + labels},
		"firing, its series not yet back":    {3660, 3700, func(l *Local) { l.evaluate(context.Background(), after(3815)) }, "firing since 3600 7 " + labels},
		"firing, its series gone":            {3660, 3700, func(l *Local) { l.evaluate(context.Background(), after(3825)) }, "inactive"},
		"firing, over after it was back":     {3660, 3700, func(l *Local) { set(l, 3710, 8); set(l, 3725, 0) }, "inactive"},
		"firing, after a night":              {3660, 3660 + 8*3600, func(*Local) {}, "inactive"},
		"pending, the pause does not count":  {1800, 2400, func(l *Local) { set(l, 2410, 8); set(l, 4199, 8) }, "pending since 600 8 " + labels},
		"pending, fires after an hour of it": {1800, 2400, func(l *Local) { set(l, 2410, 8); set(l, 4200, 8) }, "firing since 4200 8 " + labels},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := kept(t, prometheus.NewRegistry(), dir, 0, hour)
			for s := 0.; s <= c.savedAt; s += 60 {
				set(l, s, 7)
			}
			l.save(after(c.savedAt))
			l.kill()
			again := kept(t, prometheus.NewRegistry(), dir, c.startsAt, hour, Rule{Name: "New", Expr: "nothing"})
			again.rules = again.rules[:1]
			c.then(again)
			if got := say(again); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// What cannot be read is left out with a word in the log, and nothing else is.
func TestRestartWithBrokenFiles(t *testing.T) {
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	l := kept(t, reg, dir, 0)
	for s := 0.; s < 2400; s += 5 { // windows at 0, 600, 1200, 1800
		l.scrape(after(s))
	}
	l.save(after(2400))
	l.kill()
	path := func(s float64) string { return l.disk.path(after(s).UnixMilli()) }
	whole, err := os.ReadFile(path(600))
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "notes.samples"), []byte("not ours"))
	write(path(3000), whole[:0])
	for n := 0; n < len(whole); n += 7 {
		// Prefixes, and a byte changed.
		for _, text := range [][]byte{whole[:n], append(append(bytes.Clone(whole[:n]), whole[n]^0x55), whole[n+1:]...)} {
			write(path(600), text)
			if f, err := l.disk.read(after(600).UnixMilli()); err == nil && !reflect.DeepEqual(f.Series, l.store.in(after(600).UnixMilli())) {
				t.Fatalf("%d bytes of %d are read as something else", n, len(whole))
			}
		}
	}
	write(path(600), whole[:len(whole)/2])
	foreign := &file{Format: "droplift metrics 99"}
	if err := l.disk.write(after(1200).UnixMilli(), foreign); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer
	again := newLocal(t, reg, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	again.restore(after(3600))
	defer again.kill()
	want(t, again, `count_over_time(up[2h])`, 3600, 3600, 5, "3600=240") // of the windows at 0 and 1800
	if n := strings.Count(log.String(), "leaving out"); n != 3 {
		t.Errorf("%d files are left out:\n%s", n, log.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.samples")); err != nil {
		t.Error(err)
	}

	// The directory is one process's; another one does without.
	other := newLocal(t, reg, Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	other.restore(after(3600))
	other.scrape(after(3600))
	other.save(after(3600))
	if other.disk != nil || !strings.Contains(log.String(), "another process") {
		t.Errorf("two processes share a directory:\n%s", log.String())
	}

	// A clock that was set back does not lose what comes.
	early := kept(t, reg, t.TempDir(), 0)
	early.cfg.Dir = dir
	again.kill()
	early.restore(after(100))
	early.scrape(after(100))
	want(t, early, `up`, 100, 100, 5, "100=1")
}

// Files go with their samples.
func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	l := newLocal(t, reg, Config{Dir: dir, Retention: time.Hour})
	l.restore(after(0))
	defer l.kill()
	for s := 0.; s <= 6*3600; s += 30 {
		l.scrape(after(s))
		l.save(after(s))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 1+7 { // the lock and, of a window in 10 min, those that overlap an hour
		t.Errorf("%d files, %v: %v", len(entries), err, entries)
	}
}

// killedIn names the directory to the process that TestKilled kills.
const killedIn = "DROPLIFT_TEST_METRICS_DIR"

// A process that is killed at any time, while it writes too, has kept everything up to its last save.
func TestKilled(t *testing.T) {
	count := func(s float64) float64 { return math.Mod(s*7919, 1000) }
	reg := prometheus.NewRegistry()
	now := 0.
	for n := range 200 {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "value", ConstLabels: prometheus.Labels{"n": fmt.Sprint(n)}}, func() float64 { return count(now) }))
	}
	if dir := os.Getenv(killedIn); dir != "" {
		l := kept(t, reg, dir, 0)
		for ; ; now += 5 {
			l.scrape(after(now))
			l.save(after(now))
			fmt.Println("saved", now)
		}
	}
	for kill := range 5 {
		dir := t.TempDir()
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), killedIn+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		last, lines := -1., bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 130+17*kill {
				child.Process.Kill()
			}
			fmt.Sscanf(lines.Text(), "saved %f", &last)
		}
		io.Copy(io.Discard, out)
		child.Wait()
		if last < 600 {
			t.Fatalf("the process came to %v", last)
		}
		l := kept(t, reg, dir, last+60)
		all, err := l.QueryRange(context.Background(), `value`, after(0), after(last), 5*time.Second)
		if err != nil || len(all) != 200 {
			t.Fatalf("%d series, %v", len(all), err)
		}
		for _, s := range all {
			if len(s.Times) != int(last/5)+1 {
				t.Fatalf("%v has %d points up to %v", s.Labels, len(s.Times), last)
			}
			for i, v := range s.Values {
				if v != count(float64(5*i)) {
					t.Fatalf("%v is %v at %v", s.Labels, v, 5*i)
				}
			}
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pkg/browser"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/droplift/droplift/ingest/kafka"
	"github.com/droplift/droplift/ingest/simulate"
)

// DemoCmd plays a simulated drop on the whole pipeline.
type DemoCmd struct {
	Simulation `embed:""`
	Exit       bool `help:"End after the report instead of serving until Ctrl-C."`
	Browser    bool `help:"Open the dashboards in a browser, where there is a screen." default:"true" negatable:""`
}

// Help is shown by --help.
func (c *DemoCmd) Help() string {
	return "Starts the pipeline, shows its dashboards in a browser (--no-browser prints their address only), backfills four weeks of " +
		"history, trains a model on it, plays one 48 h drop at --speed and the week after it, prints its report and keeps serving. Interrupted and started again with the same --data-dir, --scenario and --seed, it goes on where it was.\n\n" +
		"Example:\n\n  droplift demo --speed 2000 --exit"
}

func (c *DemoCmd) Run(ctx context.Context, cfg *Config) error {
	if len(cfg.KafkaBrokers) > 0 || cfg.ClickhouseURL != "" {
		return errors.New("the demo plays on embedded servers only; for real ones use droplift up and droplift simulate")
	}
	// What the servers have to say belongs below the progress lines only when it matters.
	if cfg.LogLevel == "info" {
		cfg.LogLevel = "warn"
	}
	cfg.DataDir = filepath.Join(cfg.DataDir, fmt.Sprintf("demo-%s-%d", strings.NewReplacer("/", "_", ".", "_").Replace(c.Scenario), c.Seed))
	cfg.forDemo()
	log := cfg.logger(os.Stderr)
	scenario, err := c.scenario()
	if err != nil {
		return err
	}
	generator, err := simulate.New(scenario)
	if err != nil {
		return err
	}
	n, err := startNode(ctx, cfg, log)
	if err != nil {
		return err
	}
	n.demo = true
	if n.viewer != nil {
		fmt.Printf("Dashboards  %s\n", n.liveAt(generator.MainDrop()))
	}
	fmt.Printf("ClickHouse  %s (user %s reads)\nKafka       %s\nMetrics     %s/metrics\nFeatures    %s\nData        %s\n\n",
		n.servers.ClickhouseURL, cfg.ClickhouseReadonlyUser, strings.Join(n.servers.Brokers, ","), n.ops.MetricsAt, n.featuresAt(), cfg.DataDir)

	if c.Browser && n.viewer != nil && hasScreen() {
		if err := browser.OpenURL(n.liveAt(generator.MainDrop())); err != nil {
			log.Warn("no browser opens; open the dashboards' address yourself", "error", err)
		}
	}
	show := func(ctx context.Context) error { return c.play(ctx, n, generator) }
	return n.run(ctx, append(n.roles(), show)...)
}

// hasScreen says whether somebody sits at a screen on which a browser can open.
func hasScreen() bool {
	if !interactive() || !term.IsTerminal(int(os.Stdout.Fd())) || os.Getenv("SSH_CONNECTION") != "" {
		return false
	}
	return runtime.GOOS != "linux" || os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != ""
}

// play is the demo's own role: history, drop, report.
func (c *DemoCmd) play(ctx context.Context, n *node, generator *simulate.Generator) error {
	if err := n.topics(ctx); err != nil {
		return err
	}
	client, err := n.cfg.openReader(ctx, n.servers.ClickhouseURL, n.log)
	if err != nil {
		return err
	}
	defer client.Close()
	admin, err := kafka.NewAdmin(n.kafka)
	if err != nil {
		return err
	}
	defer admin.Close()
	watch := &watch{cfg: n.cfg, kafka: n.kafka, admin: admin, client: client, drop: generator.MainDrop()}

	player := &player{generator: generator, speed: c.Speed, historySpeed: c.HistorySpeed}
	if err := player.resume(ctx, n.kafka, n.log); err != nil {
		return err
	}
	// Processors that are days behind do not read topics in step: the features of a visit would lack what another topic holds of
	// it, and a model would learn from that who came back.
	player.hold = func(ctx context.Context) error { return watch.keepUp(ctx, demoBehind) }
	if err := player.fast(ctx, n.kafka, "Four weeks of history", simulate.Live); err != nil {
		return err
	}
	player.hold = nil
	if err := watch.drain(ctx, "Processing and storing it"); err != nil {
		return err
	}
	if err := n.learn(ctx, client, generator.Scenario()); err != nil {
		return err
	}

	fmt.Fprintf(os.Stderr, "\nThe drop opens: 48 h at %gx.\n", c.Speed)
	if err := c.live(ctx, n, player, watch); err != nil {
		return err
	}
	if err := player.fast(ctx, n.kafka, "The days after", end); err != nil {
		return err
	}
	if err := watch.drain(ctx, "Settling"); err != nil {
		return err
	}
	if err := n.refreshCopies(ctx); err != nil {
		return err
	}
	if err := printReport(ctx, os.Stdout, client, generator.MainDrop()); err != nil {
		return err
	}
	if err := c.writeTruth(generator); err != nil {
		return err
	}
	if c.Exit {
		return errDone
	}
	fmt.Printf("\nServing until Ctrl-C. Try: droplift query --sql 'SHOW TABLES'\n")
	<-ctx.Done()
	return nil
}

// demoBehind is how many records the processors may be behind the history, which has 1,500 in an hour.
const demoBehind = 12_000

// end is a phase that no record is of.
const end = simulate.After + 1

// until says whether a phase, or a later one, has begun.
func until(phase simulate.Phase) func(*simulate.Record) bool {
	return func(r *simulate.Record) bool { return r.Phase >= phase }
}

// fast plays up to the first record of a phase, with a bar.
func (p *player) fast(ctx context.Context, conf kafka.Config, label string, phase simulate.Phase) error {
	progress := newBar(label, 1000)
	p.observe = func(at simulate.Progress) {
		if at.Phase < phase {
			progress.set(label, int64(at.Fraction*1000))
		}
	}
	if err := p.playUntil(ctx, conf, until(phase)); err != nil {
		return err
	}
	progress.finish()
	return nil
}

// refreshCopies lets cohorts show what was just simulated, instead of in half an hour.
func (n *node) refreshCopies(ctx context.Context) error {
	writer, err := n.cfg.openWriter(ctx, n.servers.ClickhouseURL, n.log)
	if err != nil {
		return err
	}
	defer writer.Close()
	return writer.RefreshCopies(ctx)
}

// live plays the drop and tells how it goes, once a second.
func (c *DemoCmd) live(ctx context.Context, n *node, player *player, watch *watch) error {
	group, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	progress := make(chan simulate.Progress, 1)
	player.observe = func(p simulate.Progress) {
		select {
		case <-progress:
		default:
		}
		progress <- p
	}
	leave := func() {}
	if n.features != nil {
		audience := newAudience(n.featuresAt())
		player.sending, leave = audience.see, audience.leave
		for range askers {
			group.Go(func() error {
				if err := audience.ask(ctx); err != nil {
					n.log.Warn("the edge did not answer everybody who landed", "error", err)
				}
				return nil
			})
		}
	}
	group.Go(func() error {
		defer close(over)
		defer leave()
		return player.playUntil(ctx, n.kafka, until(simulate.After))
	})
	group.Go(func() error {
		interval := time.Second
		if !interactive() {
			interval = 10 * time.Second
		}
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		var at simulate.Progress
		for {
			select {
			case <-over:
				watch.end()
				return nil
			case at = <-progress:
			case <-ticker.C:
				if at.At > 0 {
					watch.line(ctx, at)
				}
			}
		}
	})
	return group.Wait()
}

// Command droplift is a streaming analytics pipeline for live drops: Kafka to
// exactly-once processors to ClickHouse, in one binary that runs every role.
// This package parses the command line and wires the packages together.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // mappings name time zones, and a container may have no table of them

	"github.com/alecthomas/kong"

	"github.com/droplift/droplift/deploy/embedded"
)

// version is set by the linker.
var version = "unknown"

// CLI is the command line. Every command takes the configuration's flags.
type CLI struct {
	Config  `embed:""`
	File    string           `name:"config-file" short:"c" help:"YAML configuration file." env:"DROPLIFT_CONFIG_FILE" placeholder:"FILE"`
	Version kong.VersionFlag `help:"Print the version and exit." env:"-"`

	Up         UpCmd         `cmd:"" help:"Run the whole pipeline: embedded servers unless real ones are named, processors and sink."`
	Demo       DemoCmd       `cmd:"" help:"Run the pipeline and play a simulated drop on it, then report."`
	Process    ProcessCmd    `cmd:"" help:"Run the processors alone, against a real Kafka."`
	Sink       SinkCmd       `cmd:"" help:"Run the ClickHouse sink alone, against a real Kafka and ClickHouse."`
	Features   FeaturesCmd   `cmd:"" help:"Serve players' features to edge models; export them, and make and check training sets."`
	Simulate   SimulateCmd   `cmd:"" help:"Generate a seeded drop into Kafka, with its true effects in a file."`
	Replay     ReplayCmd     `cmd:"" help:"Turn real files into events through a mapping."`
	Deadletter DeadLetterCmd `cmd:"" help:"List, show and replay the records that could not be counted."`
	Audit      AuditCmd      `cmd:"" help:"Compare Kafka with ClickHouse, offset by offset."`
	Ledger     LedgerCmd     `cmd:"" help:"Prove the ledger of creator splits."`
	Migrate    MigrateCmd    `cmd:"" help:"Create or upgrade the ClickHouse tables."`
	Query      QueryCmd      `cmd:"" help:"Ask ClickHouse: a named query or SQL."`
	Prewarm    PrewarmCmd    `cmd:"" help:"Plan the warming of a drop's caches, and check that they are warm."`
	Report     ReportCmd     `cmd:"" help:"Print a drop's report."`
	Lift       LiftCmd       `cmd:"" help:"Print what a drop changed, by grade of evidence."`
	LTV        LTVCmd        `cmd:"" name:"ltv" help:"Predict lifetime values."`
	Model      ModelCmd      `cmd:"" help:"Train, publish, promote and watch models."`
	Dashboards DashboardsCmd `cmd:"" help:"Serve or list the dashboards."`
	Status     StatusCmd     `cmd:"" help:"Show how the running processes do, and why they are behind."`
	Settings   SettingsCmd   `cmd:"" name:"config" help:"Check or show the configuration."`
}

// newParser parses arguments and the environment.
func newParser(cli *CLI, options ...kong.Option) (*kong.Kong, error) {
	return newArgumentParser(cli, append(options, kong.DefaultEnvars("DROPLIFT"))...)
}

// newArgumentParser leaves the environment alone.
func newArgumentParser(cli *CLI, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(cli, append([]kong.Option{
		kong.Name("droplift"),
		kong.Description("Real-time analytics of drops: Kafka to ClickHouse, exactly once, in one binary.\n\n" +
			"`droplift demo` needs nothing else and shows all of it. `droplift up` is the pipeline without the simulator. " +
			"Flags can also be set as DROPLIFT_FLAG_NAME in the environment or in a YAML file (--config-file)."),
		kong.Vars{"version": version},
		kong.ExplicitGroups([]kong.Group{
			{Key: "kafka", Title: "Kafka:"},
			{Key: "clickhouse", Title: "ClickHouse:"},
			{Key: "processing", Title: "Processing:"},
			{Key: "subtitles", Title: "Subtitle objectives:"},
			{Key: "latency", Title: "Latency and revenue:"},
			{Key: "models", Title: "Models:"},
			{Key: "settlement", Title: "Settlement:"},
			{Key: "edge", Title: "Edge cost:"},
			{Key: "decide", Title: "Decisions at the edge:"},
			{Key: "sink", Title: "Sink:"},
			{Key: "features", Title: "Feature store:"},
			{Key: "viewer", Title: "Dashboards:"},
			{Key: "operations", Title: "Operations:"},
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		timeMapper,
	}, options...)...)
}

func main() {
	embedded.MaybeRunChild()
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit, so that it can be called by tests, which may adjust the parsed configuration.
// Errors are one clear line each and exit code 1, or an exitError's.
func run(args []string, adjust ...func(*Config)) int {
	var cli CLI
	var options []kong.Option
	if path := configFile(args); path != "" {
		file, err := readConfigFile(path)
		if err != nil {
			return fail(err)
		}
		options = append(options, kong.Resolvers(file))
	}
	parser, err := newParser(&cli, options...)
	if err != nil {
		return fail(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		if len(args) > 1 && args[0] == "config" && args[1] == "check" {
			// The file is bad enough to stop the parser: the check itself says all of it.
			if problems := (&ConfigCheckCmd{}).check(configFile(args)); problems != nil {
				return fail(problems)
			}
		}
		var parse *kong.ParseError
		if errors.As(err, &parse) && len(args) == 0 {
			parse.Context.PrintUsage(false)
			return 1
		}
		return fail(err)
	}
	for _, f := range adjust {
		f(&cli.Config)
	}
	if err := cli.Config.Validate(); err != nil {
		return fail(err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(&cli.Config)
	if err := command.Run(); err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			fail(err)
			return exit.code
		}
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return 0
		}
		return fail(err)
	}
	return 0
}

// exitError ends the process with a code of its own, also when it was interrupted.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func fail(err error) int {
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "droplift: error:", line)
	}
	return 1
}

// configFile finds --config-file before the parser runs, because the parser
// needs the file to resolve the other flags.
func configFile(args []string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config-file="); ok {
			return value
		}
		if (arg == "--config-file" || arg == "-c") && i+1 < len(args) {
			return args[i+1]
		}
	}
	return os.Getenv("DROPLIFT_CONFIG_FILE")
}

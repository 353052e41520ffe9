package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv makes a binary that calls MaybeRunChild become the child.
const childEnv = "DROPLIFT_CLICKHOUSE_CHILD"

// Descriptors the parent passes on: the listening socket, so that the port
// survives the child, and the data directory's lock, so that nobody else
// opens the data while a child of a dead parent still lives.
const (
	listenerFD = 3
	lockFD     = 4
)

// stopCommand on standard input asks the child to drain and exit. The end of
// standard input without it means that the parent died.
const stopCommand = "stop"

// childConfig travels over the child's standard input, never its arguments:
// those are visible to every user of the machine.
type childConfig struct {
	Library     string
	DataDir     string
	Accounts    []childAccount
	Connections int
	Threads     int
	MemoryLimit int64
	Drain       time.Duration
	LogLevel    slog.Level
}

type childAccount struct {
	User, Password string
	Role           role
}

// MaybeRunChild turns the process into the ClickHouse child when its parent
// started it as one, and then never returns. Every binary that calls
// [StartClickHouse] with the default command calls this first thing in main,
// or in TestMain.
func MaybeRunChild() {
	if os.Getenv(childEnv) != "1" {
		return
	}
	if err := runChild(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild reads the configuration and serves until told to stop.
func runChild() error {
	stdin, err := takeStdin()
	if err != nil {
		return fmt.Errorf("take over standard input: %w", err)
	}
	commands := bufio.NewReader(stdin)
	line, err := commands.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var cfg childConfig
	if err := json.Unmarshal(line, &cfg); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	file := os.NewFile(listenerFD, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("inherit the listening socket: %w", err)
	}
	file.Close()
	syscall.CloseOnExec(lockFD) // held, but not passed on to anything the engine starts

	// The terminal's Ctrl-C is for the parent, which stops the child in its
	// turn, after those who still write to it.
	signal.Ignore(syscall.SIGINT)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	go func() {
		command, err := commands.ReadString('\n')
		if err != nil || strings.TrimSpace(command) != stopCommand {
			// Nobody is left to serve, and the data survives a sudden end.
			os.Exit(0)
		}
		cancel()
	}()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel, ReplaceAttr: dropTime}))
	return serveChild(ctx, cfg, listener, log)
}

// takeStdin moves standard input out of the engine's sight: as a client
// program it would read data from there that a statement lacks.
func takeStdin() (*os.File, error) {
	fd, err := syscall.Dup(int(os.Stdin.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), int(os.Stdin.Fd())); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stdin"), nil
}

// dropTime leaves the time stamp to the parent's logger.
func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// serveChild boots the engine and answers requests until ctx ends. Then it
// takes no new ones, lets running ones finish for cfg.Drain, cancels the rest
// and shuts the engine down.
func serveChild(ctx context.Context, cfg childConfig, listener net.Listener, log *slog.Logger) error {
	lib, err := loadLibrary(cfg.Library)
	if err != nil {
		return err
	}
	lib.signals(0) // Go handles them
	args, err := engineArgs(cfg)
	if err != nil {
		return err
	}
	base := map[string]string{
		"max_threads": strconv.Itoa(cfg.Threads),
		// The library defaults to clickhouse-local's conveniences; a server
		// has them off.
		"implicit_select":               "0",
		"allow_introspection_functions": "0",
	}
	pool, err := newPool(lib, args, cfg.Connections, base)
	if err != nil {
		return err
	}
	accounts := make([]account, len(cfg.Accounts))
	for i, a := range cfg.Accounts {
		accounts[i] = account{a.User, a.Password, a.Role}
	}
	s, err := newServer(pool, accounts, log)
	if err != nil {
		return err
	}
	queries, cancelQueries := context.WithCancel(context.Background())
	defer cancelQueries()
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    2 << 20, // queries may come in the URL
		BaseContext:       func(net.Listener) context.Context { return queries },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("ClickHouse engine ready", "version", s.version, "address", listener.Addr().String())
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	drain, cancelDrain := context.WithTimeout(context.Background(), cfg.Drain)
	defer cancelDrain()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("cancelling the queries that did not finish in time", "drain", cfg.Drain)
		cancelQueries()
		last, cancelLast := context.WithTimeout(context.Background(), time.Second)
		defer cancelLast()
		if err := server.Shutdown(last); err != nil {
			// The engine cannot be closed under a running query; the process
			// ends around both and the data is none the worse.
			return errors.New("some queries could not be cancelled")
		}
	}
	s.sessions.close()
	pool.close()
	return nil
}

// engineArgs writes the engine's configuration files and returns the
// arguments of its connections. The engine knows one user; what an HTTP user
// may do is the role its connection takes. Neither role may touch local
// files, which the library would otherwise open anywhere.
func engineArgs(cfg childConfig) ([]string, error) {
	dir := filepath.Join(cfg.DataDir, "config")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	config, users := filepath.Join(dir, "config.xml"), filepath.Join(dir, "users.xml")
	memory := "<max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>"
	if cfg.MemoryLimit > 0 {
		memory = fmt.Sprintf("<max_server_memory_usage>%d</max_server_memory_usage>", cfg.MemoryLimit)
	}
	var path strings.Builder
	if err := xml.EscapeText(&path, []byte(users)); err != nil {
		return nil, err
	}
	err := os.WriteFile(config, fmt.Appendf(nil, `<clickhouse>
  <users_config>%s</users_config>
  <user_directories><users_xml><path>%[1]s</path></users_xml></user_directories>
  %s
%s</clickhouse>
`, path.String(), memory, mergeTreeXML), 0o640)
	if err == nil {
		err = os.WriteFile(users, []byte(usersXML), 0o640)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory is not writable: %w", err)
	}
	return []string{"--path=" + filepath.Join(cfg.DataDir, "data"), "--config-file=" + config}, nil
}

// mergeTreeXML suits tables that take in many small parts. The engine would
// merge as few as two or three of them at a time, and so write every row five
// or six times within a minute; merging twenty at a time halves that, for some
// tens of parts more to read. It would leave small parts out of a merge with a
// large one, all but the first, and so write the large one again for every
// insert. Column statistics, which it would compute and store for every part,
// serve queries with many joins of large tables.
const mergeTreeXML = `  <merge_tree>
    <merge_selector_base>20</merge_selector_base>
    <min_parts_to_merge_at_once>20</min_parts_to_merge_at_once>
    <merge_selector_enable_heuristic_to_remove_small_parts_at_right>0</merge_selector_enable_heuristic_to_remove_small_parts_at_right>
    <auto_statistics_types></auto_statistics_types>
  </merge_tree>
`

const usersXML = `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password/>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants><query>GRANT admin</query><query>GRANT reader</query></grants>
  </default></users>
  <roles>
    <admin><grants>
      <query>GRANT ALL ON *.*</query>
      <query>REVOKE READ, WRITE ON FILE</query>
    </grants></admin>
    <reader><grants><query>GRANT SELECT, SHOW, dictGet ON *.*</query></grants></reader>
  </roles>
</clickhouse>
`

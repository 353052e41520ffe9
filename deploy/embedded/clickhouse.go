package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	defaultConnections = 8
	defaultDrain       = 10 * time.Second

	minRestartWait = 100 * time.Millisecond
	maxRestartWait = 5 * time.Second
	// A child that lived this long was healthy: its successor starts at once.
	healthyAfter = 30 * time.Second
)

// ClickHouseConfig configures an embedded ClickHouse.
type ClickHouseConfig struct {
	// DataDir holds tables, metadata and the lock. Created when missing.
	DataDir string
	// Addr is the host:port to listen on; default 127.0.0.1:0, a free port.
	// An address that is not loopback needs passwords.
	Addr string

	// User and Password are the full-access credentials. An empty User is
	// "default", which with an empty Password needs no credentials at all.
	User, Password string
	// ReadOnlyUser, when set, may only read: no writes, no DDL, no table
	// functions that reach files or other servers. Settings are allowed.
	ReadOnlyUser, ReadOnlyPassword string

	// Connections is how many statements run at once; default 8.
	Connections int
	// Threads is how many threads one query may use; default the number of
	// CPUs, at most 4. Queries can ask for more with max_threads.
	Threads int
	// MemoryLimit in bytes for the engine; default half of the machine's.
	MemoryLimit int64
	// Drain is how long Close lets running statements finish; default 10 s.
	Drain time.Duration

	// Logger gets restarts and whatever the child writes; default discards.
	Logger *slog.Logger
	// Command starts a process that calls [MaybeRunChild]; default this
	// executable.
	Command []string
}

// validate fills in the defaults and reports every problem at once.
func (cfg *ClickHouseConfig) validate() error {
	var problems []error
	if cfg.DataDir == "" {
		problems = append(problems, errors.New("DataDir is empty"))
	}
	if cfg.User == "" {
		cfg.User = "default"
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.ReadOnlyUser == "" && cfg.ReadOnlyPassword != "" {
		problems = append(problems, errors.New("ReadOnlyPassword without ReadOnlyUser"))
	}
	if cfg.ReadOnlyUser == cfg.User {
		problems = append(problems, fmt.Errorf("ReadOnlyUser %q is also the full-access user", cfg.User))
	}
	host, _, err := net.SplitHostPort(cfg.Addr)
	switch {
	case err != nil:
		problems = append(problems, fmt.Errorf("address %q: %w", cfg.Addr, err))
	case !isLoopback(host) && (cfg.Password == "" || cfg.ReadOnlyUser != "" && cfg.ReadOnlyPassword == ""):
		problems = append(problems, fmt.Errorf("address %s is reachable from other machines: set a password for every user", cfg.Addr))
	}
	if cfg.Connections < 0 || cfg.Threads < 0 || cfg.MemoryLimit < 0 || cfg.Drain < 0 {
		problems = append(problems, errors.New("Connections, Threads, MemoryLimit and Drain must not be negative"))
	}
	if cfg.Connections == 0 {
		cfg.Connections = defaultConnections
	}
	if cfg.Threads == 0 {
		cfg.Threads = min(runtime.NumCPU(), 4)
	}
	if cfg.Drain == 0 {
		cfg.Drain = defaultDrain
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			problems = append(problems, err)
		}
		cfg.Command = []string{self}
	}
	return errors.Join(problems...)
}

// isLoopback reports whether a listening host is only reachable from here.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ClickHouse is a running embedded ClickHouse. Its methods may be called from
// any goroutine.
type ClickHouse struct {
	cfg      ClickHouseConfig
	child    []byte // childConfig as the child reads it
	lock     *os.File
	listener *net.TCPListener
	socket   *os.File // the listener, as inherited by children
	done     chan struct{}
	closing  chan struct{}

	mu       sync.Mutex
	process  *childProcess
	restarts int
	closed   bool
}

// StartClickHouse starts the child and waits until it answers. ctx bounds the
// start only; stop with Close. From then on the child is restarted whenever it
// dies, on the same socket: requests made meanwhile wait.
//
// Errors are one line each: no library, directory in use or not writable,
// port taken, or the last words of the child.
func StartClickHouse(ctx context.Context, cfg ClickHouseConfig) (_ *ClickHouse, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("embedded ClickHouse: %w", err)
		}
	}()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, err
	}
	library, err := LocateLibrary()
	if err != nil {
		return nil, err
	}
	c := &ClickHouse{cfg: cfg, done: make(chan struct{}), closing: make(chan struct{})}
	child := childConfig{
		Library: library, DataDir: cfg.DataDir, Connections: cfg.Connections, Threads: cfg.Threads,
		MemoryLimit: cfg.MemoryLimit, Drain: cfg.Drain, LogLevel: slog.LevelInfo,
		Accounts: []childAccount{{cfg.User, cfg.Password, roleAdmin}},
	}
	if cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		child.LogLevel = slog.LevelDebug
	}
	if cfg.ReadOnlyUser != "" {
		child.Accounts = append(child.Accounts, childAccount{cfg.ReadOnlyUser, cfg.ReadOnlyPassword, roleReader})
	}
	if c.child, err = json.Marshal(child); err != nil {
		return nil, err
	}
	c.child = append(c.child, '\n')
	if c.lock, err = lockDirectory(cfg.DataDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	listener, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	c.listener = listener.(*net.TCPListener)
	if c.socket, err = c.listener.File(); err != nil {
		return nil, err
	}
	if c.process, err = c.spawn(); err != nil {
		return nil, err
	}
	if err := c.waitReady(ctx, c.process); err != nil {
		c.process.kill()
		return nil, err
	}
	go c.supervise()
	return c, nil
}

// Addr is the host:port clients connect to.
func (c *ClickHouse) Addr() string { return c.listener.Addr().String() }

// URL is the base URL of the HTTP interface, without credentials.
func (c *ClickHouse) URL() string { return "http://" + c.Addr() }

// PID is the process id of the current child; 0 between two children.
func (c *ClickHouse) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return 0
	}
	return c.process.cmd.Process.Pid
}

// Restarts is how often the child died and was started again.
func (c *ClickHouse) Restarts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restarts
}

// Done is closed when the server has stopped for good, after Close.
func (c *ClickHouse) Done() <-chan struct{} { return c.done }

// Close drains and stops the child: running statements may finish for
// cfg.Drain, or until ctx ends, and are cancelled then. It returns when the
// child is gone and the data directory free. Calling it again waits likewise.
func (c *ClickHouse) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
		if c.process != nil {
			c.process.stop()
		}
	}
	process := c.process
	c.mu.Unlock()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		if process != nil {
			process.kill()
		}
		<-c.done
		return fmt.Errorf("embedded ClickHouse: killed before it had drained: %w", ctx.Err())
	}
}

// supervise replaces the child whenever it dies, until Close.
func (c *ClickHouse) supervise() {
	defer close(c.done)
	defer c.release()
	wait := minRestartWait
	for {
		c.mu.Lock()
		process := c.process
		c.mu.Unlock()
		if process != nil {
			<-process.exited
			if time.Since(process.started) > healthyAfter {
				wait = minRestartWait
			}
		}
		c.mu.Lock()
		c.process = nil
		c.mu.Unlock()
		select {
		case <-c.closing:
			return
		default:
		}
		if process != nil {
			c.cfg.Logger.Error("embedded ClickHouse died; restarting", "cause", process.cause(), "wait", wait)
		}
		select {
		case <-c.closing:
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, maxRestartWait)
		next, err := c.spawn()
		if err != nil {
			c.cfg.Logger.Error("embedded ClickHouse does not start", "error", err, "wait", wait)
			continue
		}
		c.mu.Lock()
		c.process = next
		c.restarts++
		if c.closed {
			next.stop()
		}
		c.mu.Unlock()
	}
}

// release frees what Start took.
func (c *ClickHouse) release() {
	if c.listener != nil {
		c.listener.Close()
	}
	if c.socket != nil {
		c.socket.Close()
	}
	c.lock.Close()
}

// waitReady asks for /ping, which the child answers once the engine runs.
func (c *ClickHouse) waitReady(ctx context.Context, process *childProcess) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-process.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL()+"/ping", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Do(request)
	if err == nil {
		reply.Body.Close()
		return nil
	}
	select {
	case <-process.exited:
		return errors.New(process.cause())
	default:
		return fmt.Errorf("did not become ready: %w", err)
	}
}

// childProcess is one incarnation of the child.
type childProcess struct {
	cmd     *exec.Cmd
	started time.Time
	stdin   io.WriteCloser
	log     *lineLogger
	exited  chan struct{}
	err     error // of Wait; valid after exited
}

// spawn starts a child and hands it its configuration.
func (c *ClickHouse) spawn() (*childProcess, error) {
	p := &childProcess{exited: make(chan struct{}), started: time.Now(), log: &lineLogger{log: c.cfg.Logger}}
	p.cmd = exec.Command(c.cfg.Command[0], c.cfg.Command[1:]...)
	// The engine's time zone must not depend on the machine's.
	p.cmd.Env = append(os.Environ(), childEnv+"=1", "TZ=UTC")
	p.cmd.Dir = c.cfg.DataDir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.ExtraFiles = []*os.File{c.socket, c.lock}
	// A process group of its own keeps the terminal's signals away.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the child process: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		p.log.flush()
		close(p.exited)
	}()
	if _, err := p.stdin.Write(c.child); err != nil {
		p.kill()
		return nil, fmt.Errorf("configure the child process: %s", p.cause())
	}
	return p, nil
}

// stop asks the child to drain and exit.
func (p *childProcess) stop() {
	_, _ = io.WriteString(p.stdin, stopCommand+"\n")
}

func (p *childProcess) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// cause is why the child exited: its last line, or its exit status.
func (p *childProcess) cause() string {
	<-p.exited
	if last := p.log.lastLine(); last != "" && p.cmd.ProcessState.Exited() {
		return last
	}
	if p.err != nil {
		return p.err.Error()
	}
	return "it exited"
}

// lineLogger forwards what the child writes, line by line.
type lineLogger struct {
	log *slog.Logger

	mu      sync.Mutex
	partial []byte
	last    string
}

func (l *lineLogger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, ok := bytes.Cut(l.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.emit(string(line))
		l.partial = rest
	}
}

func (l *lineLogger) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.emit(string(l.partial))
	l.partial = nil
}

// emit logs one line: the child's own log records as they were, anything else
// (the engine's last words, a Go panic) as text.
func (l *lineLogger) emit(line string) {
	if line = strings.TrimSpace(line); line == "" {
		return
	}
	var record map[string]any
	var level slog.Level
	if json.Unmarshal([]byte(line), &record) == nil && level.UnmarshalText(fmt.Append(nil, record["level"])) == nil {
		attrs := make([]slog.Attr, 0, len(record))
		for _, key := range slices.Sorted(maps.Keys(record)) {
			if key != slog.LevelKey && key != slog.MessageKey {
				attrs = append(attrs, slog.Any(key, record[key]))
			}
		}
		l.log.LogAttrs(context.Background(), level, fmt.Sprintf("embedded ClickHouse: %v", record["msg"]), attrs...)
		return
	}
	l.last = line
	l.log.Warn("embedded ClickHouse: " + line)
}

func (l *lineLogger) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

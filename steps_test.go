package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/droplift/droplift/ingest/kafka"
)

// A process under test asks at every step of the loops whether it may go on, over a socket. The test
// that owns the socket can so hold it at a chosen step and break something meanwhile.
const (
	stepsSocket  = "DROPLIFT_TEST_STEPS"         // socket to ask
	kafkaProxies = "DROPLIFT_TEST_KAFKA_PROXIES" // a broker's address, its proxy's, the next broker's and so on, separated by commas
)

// adjustForTests puts the hooks that the environment asks for into a process under test.
func adjustForTests(cfg *Config) {
	socket, via := os.Getenv(stepsSocket), strings.Split(os.Getenv(kafkaProxies), ",")
	if socket == "" {
		return
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		panic(err)
	}
	answers := bufio.NewReader(conn)
	var mu sync.Mutex
	cfg.adjustKafka = func(conf *kafka.Config) {
		conf.Dial = dialVia(via)
		conf.OnStep = func(step kafka.Step) {
			mu.Lock()
			defer mu.Unlock()
			// Without the test nobody watches: an error here means that it is gone, and this process is about to be.
			if _, err := fmt.Fprintln(conn, step); err == nil {
				answers.ReadByte()
			}
		}
	}
}

// stepHolder is the test's end of the socket.
type stepHolder struct {
	path     string
	listener net.Listener

	mu     sync.Mutex
	wanted kafka.Step
	after  int           // occurrences of wanted to let pass
	held   chan struct{} // closed when the process is held
	goOn   chan struct{} // closed to let it go
}

func newStepHolder(t testing.TB) *stepHolder {
	t.Helper()
	h := &stepHolder{path: filepath.Join(t.TempDir(), "steps")}
	var err error
	if h.listener, err = net.Listen("unix", h.path); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := h.listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() {
		h.listener.Close()
		h.release()
	})
	return h
}

func (h *stepHolder) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if goOn := h.passes(kafka.Step(strings.TrimSpace(lines.Text()))); goOn != nil {
			<-goOn
		}
		if _, err := conn.Write([]byte{'.'}); err != nil {
			return
		}
	}
}

// passes hears of a step, and returns what to wait for when it is the wanted one.
func (h *stepHolder) passes(step kafka.Step) (goOn chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if step != h.wanted {
		return nil
	}
	if h.after > 0 {
		h.after--
		return nil
	}
	h.wanted = ""
	h.goOn = make(chan struct{})
	close(h.held)
	return h.goOn
}

// hold asks for the process to be held at a step, once it has taken it so many times. The channel is
// closed when it is.
func (h *stepHolder) hold(step kafka.Step, after int) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted, h.after, h.held = step, after, make(chan struct{})
	return h.held
}

// hurry takes the next occurrence of the wanted step, for when there are fewer than hoped for.
func (h *stepHolder) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = 0
}

// release lets a held process go on.
func (h *stepHolder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wanted = ""
	if h.goOn != nil {
		close(h.goOn)
		h.goOn = nil
	}
}

// dialVia connects to the proxy of the broker that is asked for.
func dialVia(proxies []string) func(ctx context.Context, network, host string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		i := slices.Index(proxies, host)
		if i < 0 || i%2 == 1 {
			return nil, fmt.Errorf("no proxy stands before %s: %q", host, proxies)
		}
		return (&net.Dialer{}).DialContext(ctx, network, proxies[i+1])
	}
}

package apachekafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterID is what storage is formatted with: 16 bytes, as Kafka prints them.
var clusterID = base64.RawURLEncoding.EncodeToString([]byte("droplift-cluster"))

// broker is one process, and what it was configured with.
type broker struct {
	id                             int
	dir, java, jars                string
	listen, controller, advertised string
	jvm                            []string

	process *os.Process
	exited  chan struct{} // closed when process has ended
}

func (b *broker) config() string { return filepath.Join(b.dir, "server.properties") }
func (b *broker) log() string    { return b.dir + ".log" }

// command runs a class of the jars.
func (b *broker) command(ctx context.Context, jvm []string, class string, args ...string) *exec.Cmd {
	jvm = append(jvm, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-cp", filepath.Join(b.jars, "*"), class)
	return exec.CommandContext(ctx, b.java, append(jvm, args...)...)
}

// format writes the configuration and prepares the data directory for it.
func (b *broker) format(ctx context.Context, properties map[string]string) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
	}
	if err := os.WriteFile(b.config(), []byte(text.String()), 0o644); err != nil {
		return err
	}
	cmd := b.command(ctx, []string{"-XX:TieredStopAtLevel=1", "-Xmx128m"}, "kafka.tools.StorageTool", "format", "--cluster-id", clusterID, "--config", b.config())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apachekafka: format storage of broker %d: %w\n%s", b.id, err, out)
	}
	return nil
}

func (b *broker) start() error {
	log, err := os.OpenFile(b.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := b.command(context.Background(), append([]string{"-Xms256m", "-Xmx1g", "-XX:+UseSerialGC"}, b.jvm...), "kafka.Kafka", b.config())
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// The kernel takes the thread that started the process for its parent, so that thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // its log tells why it ended; await and kill see that it has
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("apachekafka: start broker %d: %w", b.id, err)
	}
	b.process, b.exited = cmd.Process, exited
	return nil
}

// await returns when the broker knows itself as a live part of the cluster.
func (b *broker) await(ctx context.Context) error {
	// Asked past any proxy: the answer names the advertised address, which is not followed.
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.listen), kgo.RequestRetries(0), kgo.DialTimeout(2*time.Second))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		err := b.serves(ctx, cl.SeedBrokers()[0])
		if err == nil {
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("apachekafka: broker %d ended while starting; its log %s ends:\n%s", b.id, b.log(), LogTail(b.log(), 8<<10))
		case <-ctx.Done():
			return fmt.Errorf("apachekafka: broker %d does not serve: %w; its log %s ends:\n%s", b.id, err, b.log(), LogTail(b.log(), 8<<10))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *broker) serves(ctx context.Context, seed *kgo.Broker) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := seed.RetriableRequest(ctx, req)
	if err != nil {
		return err
	}
	for _, known := range resp.(*kmsg.MetadataResponse).Brokers {
		if int(known.NodeID) == b.id {
			return nil
		}
	}
	return fmt.Errorf("broker %d is not part of the cluster yet", b.id)
}

func (b *broker) kill() error {
	if b.process == nil {
		return nil
	}
	select {
	case <-b.exited:
		return nil
	default:
	}
	if err := b.process.Kill(); err != nil {
		return fmt.Errorf("apachekafka: kill broker %d: %w", b.id, err)
	}
	<-b.exited
	return nil
}

// LogTail is the end of a broker's log, at most that many bytes of it, or why it cannot be read.
func LogTail(file string, limit int) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-limit):]
}
